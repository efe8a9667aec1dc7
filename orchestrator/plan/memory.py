"""Peak memory of a training worker, estimated from the config; no torch."""

from orchestrator.plan.counts import parameters
from perceiver.config import ModelConfig, RunConfig

_FLOAT = 4
_FIXED = 600 * 2**20
"""Context, kernels and workspaces of a process that trains."""
_KEPT_PER_SELF_LAYER = 14
"""Arrays of N x D that a self-attend keeps for backward: norms, query, key, value, attended, dense, residuals."""
_KEPT_PER_CROSS_LAYER = 7
"""The same of a cross-attend, apart from what is as long as the input array."""


def peak_memory(config: RunConfig, workers: int = 1) -> int:
    """Bytes at the peak of a training step on one worker.

    Weights, gradients and two moments in float32 (and the average's weights), plus the activations of the micro-batch:
    the input array as tokens, each layer's kept arrays (2 bytes a number under bfloat16), and the matrices of the
    largest single operation. Activation checkpointing keeps only each layer's input.
    """
    model, train = config.model, config.train
    copies = 4 + (train.ema is not None)
    batch = min(train.micro_batch or train.batch_size, -(-train.batch_size // workers))
    return _FIXED + _FLOAT * copies * parameters(model) + batch * _activations(config)


def _activations(config: RunConfig) -> int:
    model = config.model
    number = 2 if config.train.precision == "bfloat16" else _FLOAT
    latents = model.latents * model.latent_channels
    layers = model.iterations * (model.layers_per_block + 1)
    if config.train.activation_checkpointing:
        kept = layers * latents * _FLOAT + _KEPT_PER_SELF_LAYER * latents * number
    else:
        selves = model.iterations * model.layers_per_block * _KEPT_PER_SELF_LAYER
        kept = (selves + model.iterations * _KEPT_PER_CROSS_LAYER) * latents * number
    return _raw_input(model) + kept + _input_array(model, number)


def _raw_input(model: ModelConfig) -> int:
    video, audio = model.inputs.video, model.inputs.audio
    count = 0
    if video is not None:
        count += 3 * video.frames * video.size**2 * (1 + _FLOAT)  # bytes, and the augmented floats
    if audio is not None:
        count += audio.samples * _FLOAT
    return count


def _input_array(model: ModelConfig, number: int) -> int:
    """The tokens and what cross-attends make of them."""
    tokens, channels = model.input_tokens, model.input_channels
    array = tokens * channels
    scores = model.latents * tokens
    if model.absorbed_attention and model.cross_heads == 1:
        return array * (_FLOAT + number) + 4 * scores * number
    return array * (_FLOAT + model.iterations * (_FLOAT + 2 * number))
