"""Peak memory of a training worker, estimated from the config; no torch.

Weights, gradients and two moments in float32, the average's weights, and under bfloat16 a copy of the weights; the
micro-batch's pixels; what each layer keeps for its backward pass, which tests hold to what torch really keeps; and the
matrices of the widest operation; or, where that is more, what the optimizer's step needs. Allocators waste some more:
the estimate is meant to be within a quarter, and on a CPU it was within 10 % for ten models from 1M to 109M parameters.
"""

from orchestrator.plan.counts import folded_channels, parameters, tokens_seen
from perceiver.config import ModelConfig, RunConfig

_FLOAT = 4
FIXED = 600 * 2**20
"""Context, kernels and workspaces of a process that trains on a GPU."""
_PROCESS = 900 * 2**20
"""A process that trains on a CPU, before it does: Python, torch, Ray, scikit-learn, PyAV."""
_STEP_COPIES = {"lamb": 3, "adamw": 1}
"""Arrays as large as the weights that an optimizer's step makes, of which none is kept."""
_SELF_ARRAYS = 14
"""Arrays of N x D that a self-attend keeps: norms, query, key, value, attended, dense layers, residuals."""
_CROSS_ARRAYS = 12
"""The same of a cross-attend, apart from what is as long as the input array."""
_PLAIN_INPUT_ARRAYS = 4
"""Arrays of M x C that a cross-attend in the plain form keeps: the norm's output, key, value, and their layout."""
_WIDEST_MATRICES = 4
"""Matrices of N x M in the backward pass of absorbed attention: scores, weights, and the gradient of each."""


def peak_memory(config: RunConfig, workers: int = 1, gpu: bool = True) -> int:
    """Bytes at the peak of a training step on one worker: on its GPU, or of its process where it has none."""
    train = config.train
    number = 2 if train.precision == "bfloat16" else _FLOAT
    weights = _FLOAT * parameters(config.model)
    held = weights * (4 + (train.ema is not None))
    cast = weights // 2 if number == 2 else 0
    batch = min(train.micro_batch or train.batch_size, -(-train.batch_size // workers))
    pixels = _pixels(config.model) * (1 + _FLOAT * train.augment)
    if train.activation_checkpointing:
        latents = config.model.latents * config.model.latent_channels * _FLOAT
        layers = config.model.iterations * (config.model.layers_per_block + 1)
        kept = layers * latents + input_bytes(config.model, _FLOAT)
        peak = kept + _cross_bytes(config.model, number) + _widest(config.model, number)
    else:
        kept = kept_bytes(config.model, number)
        last_block = config.model.layers_per_block * _self_bytes(config.model, number)
        peak = max(kept, kept - last_block + _widest(config.model, number))
    stepping = weights * _STEP_COPIES[train.optimizer]  # when what the backward pass kept is free again
    return (FIXED if gpu else _PROCESS) + held + max(cast + batch * (pixels + peak), stepping)


def kept_bytes(model: ModelConfig, number: int) -> int:
    """What one clip's forward pass keeps for the backward pass, with `number` bytes to a number in matrix products."""
    layers = _cross_bytes(model, number) + model.layers_per_block * _self_bytes(model, number)
    return model.iterations * layers + input_bytes(model, number)


def input_bytes(model: ModelConfig, number: int) -> int:
    """The tokens, kept once for all iterations: folded, or in the plain form as one array in float32."""
    if _absorbed(model):
        return _folded(model) * number
    return model.input_tokens * model.input_channels * _FLOAT


def _self_bytes(model: ModelConfig, number: int) -> int:
    return (_SELF_ARRAYS + 2 * (model.widening - 1)) * model.latents * model.latent_channels * number


def _cross_bytes(model: ModelConfig, number: int) -> int:
    latents = (_CROSS_ARRAYS + 2 * (model.widening - 1)) * model.latents * model.latent_channels * number
    if not _absorbed(model):
        seen = sum(tokens_seen(model).values())
        return latents + _PLAIN_INPUT_ARRAYS * seen * model.input_channels * number
    return latents


def _widest(model: ModelConfig, number: int) -> int:
    return _WIDEST_MATRICES * model.latents * sum(tokens_seen(model).values()) * number if _absorbed(model) else 0


def _folded(model: ModelConfig) -> int:
    return sum(getattr(model.inputs, name).tokens * folded_channels(model, name) for name in model.inputs.modalities)


def _absorbed(model: ModelConfig) -> bool:
    return model.absorbed_attention and model.cross_heads == 1


def _pixels(model: ModelConfig) -> int:
    video = model.inputs.video
    return 0 if video is None else 3 * video.frames * video.size**2
