"""How large a Perceiver is and what a clip costs, in closed form from its config; no torch.

Sources: the layer shapes of Jaegle et al. 2021 (appendix C), checked against the paper's own figures: 44.9M parameters
for the shared ImageNet model, 404 to 707 GFLOPs for 1 to 8 cross-attends (0.1 % apart). Tests hold `parameters` to
the real module exactly, and `flops` to torch's counter within 1 %.

Letters: N latents, D their channels, M tokens of the input array, C its channels, w widening.
"""

from perceiver.config import ModelConfig, RunConfig

BACKWARD = 2
"""A backward pass costs twice its forward pass."""


def parameters(model: ModelConfig) -> int:
    """Parameters of the model, all of them trained."""
    cross, block = _distinct_layers(model)
    return (
        model.latents * model.latent_channels
        + cross * _cross_parameters(model, model.input_channels)
        + block * model.layers_per_block * _self_parameters(model)
        + _input_parameters(model)
        + _readout_parameters(model)
    )


def flops(model: ModelConfig) -> int:
    """FLOPs of one clip's forward pass as the paper counts them: matrix products, multiply and add counted apart."""
    tokens = sum(tokens_seen(model).values())
    cross = _cross_flops(model, model.latents, tokens, model.input_channels)
    return model.iterations * cross + _other_flops(model)


def computed_flops(model: ModelConfig) -> int:
    """FLOPs that are really done: absorbed cross-attention, where the config has it, computes the same with fewer.

    It projects N latents and not M tokens, and each modality's products are as wide as its own channels and two more,
    filled up to a multiple of 8 (`perceiver/model/absorbed.py`).
    """
    if not model.absorbed_attention or model.cross_heads > 1:
        return flops(model)
    n, c = model.latents, model.input_channels
    products = sum(2 * n * m * folded_channels(model, name) for name, m in tokens_seen(model).items())
    cross = 2 * (2 * n * c * c + products) + _query_and_dense_flops(model, n, c)
    return model.iterations * cross + _other_flops(model)


def training_flops(config: RunConfig) -> int:
    """FLOPs of a training step on one clip; with activation checkpointing its forward pass runs once more."""
    return (1 + BACKWARD + config.train.activation_checkpointing) * computed_flops(config.model)


def evaluation_flops(config: RunConfig) -> int:
    """FLOPs of measuring one clip: a model with two modalities sees it whole, and with each of them alone."""
    modalities = len(config.model.inputs.modalities)
    return (1 + modalities if modalities > 1 else 1) * computed_flops(config.model)


def _distinct_layers(model: ModelConfig) -> tuple[int, int]:
    """Cross-attends and blocks with weights of their own; sharing keeps two cross-attends and one block."""
    if model.share_weights:
        return min(model.iterations, 2), 1
    return model.iterations, model.iterations


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def _mlp_parameters(channels: int, widening: int) -> int:
    """LayerNorm, up, down."""
    return 2 * channels + _linear(channels, widening * channels) + _linear(widening * channels, channels)


def _cross_parameters(model: ModelConfig, channels: int) -> int:
    """Two LayerNorms; query D -> C; key and value C -> C; output C -> D; the dense layers."""
    width = model.latent_channels
    norms = 2 * width + 2 * channels
    attention = _linear(width, channels) + 2 * _linear(channels, channels) + _linear(channels, width)
    return norms + attention + _mlp_parameters(width, model.widening)


def _self_parameters(model: ModelConfig) -> int:
    width = model.latent_channels
    return 2 * width + 4 * _linear(width, width) + _mlp_parameters(width, model.widening)


def _input_parameters(model: ModelConfig) -> int:
    """Learned positions, and what brings two modalities to one width."""
    video, audio = model.inputs.video, model.inputs.audio
    count = sum(
        part.tokens * part.position_channels
        for part in (video, audio)
        if part is not None and part.positions == "learned"
    )
    if video is None or audio is None:
        return count
    if model.fusion == "linear":
        return count + _linear(audio.channels, video.channels)
    return count + video.embedding + (model.input_channels - audio.channels)


def _readout_parameters(model: ModelConfig) -> int:
    """One linear layer; with a learned query, that and a cross-attend of it to the latents before."""
    width = model.latent_channels
    query = width + _cross_parameters(model, width) if model.readout == "query" else 0
    return query + _linear(width, model.logits)


def _cross_flops(model: ModelConfig, n: int, m: int, c: int) -> int:
    """Keys and values of M inputs, scores, weighted sums; query, output, dense."""
    return 2 * (2 * m * c * c + 2 * n * m * c) + _query_and_dense_flops(model, n, c)


def _query_and_dense_flops(model: ModelConfig, n: int, c: int) -> int:
    d = model.latent_channels
    return 2 * (2 * n * d * c + 2 * model.widening * n * d * d)


def _other_flops(model: ModelConfig) -> int:
    """All blocks of self-attends, the read-out, and what happens to the inputs before they are tokens."""
    n, d = model.latents, model.latent_channels
    latent = 2 * (4 * n * d * d + 2 * n * n * d + 2 * model.widening * n * d * d)
    query = _cross_flops(model, 1, n, d) if model.readout == "query" else 0
    return model.iterations * model.layers_per_block * latent + query + 2 * d * model.logits + _input_flops(model)


def folded_channels(model: ModelConfig, modality: str) -> int:
    """Width of a modality's tokens in absorbed attention."""
    linear = modality == "audio" and model.fusion == "linear" and len(model.inputs.modalities) == 2
    channels = model.input_channels if linear else getattr(model.inputs, modality).channels
    return -(-(channels + 2) // 8) * 8


def tokens_seen(model: ModelConfig) -> dict[str, int]:
    """Tokens of each modality that one cross-attend sees: with unrolled time, its stretch of what is unrolled."""
    seen = {}
    for name in model.inputs.modalities:
        part = getattr(model.inputs, name)
        unrolls = name == "video" or part.unrolled or len(model.inputs.modalities) == 1
        seen[name] = part.tokens // model.iterations if model.unroll_time and unrolls else part.tokens
    return seen


def _input_flops(model: ModelConfig) -> int:
    """The mel filters, and the linear layer that brings audio to video's width."""
    video, audio = model.inputs.video, model.inputs.audio
    if audio is None:
        return 0
    mel = 2 * audio.grid[0] * (audio.mel_window // 2 + 1) * audio.mel_bins if audio.kind == "mel" else 0
    fused = 0 if video is None or model.fusion != "linear" else 2 * audio.tokens * audio.channels * video.channels
    return mel + fused
