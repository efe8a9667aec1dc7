"""How large a Perceiver is and what a clip costs, in closed form from its config; no torch.

Sources: the layer shapes of Jaegle et al. 2021 (appendix C), checked against the paper's own figures: 44.9M parameters
for the shared ImageNet model, 404 to 707 GFLOPs for 1 to 8 cross-attends (0.1 % apart). Tests hold `parameters` to
the real module exactly, and `flops` to torch's counter within 1 %.

Letters: N latents, D their channels, M tokens of the input array, C its channels, w widening.
"""

from perceiver.config import ModelConfig


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
    """FLOPs of one clip's forward pass, a multiply and an add counted apart (2 x MACs), matrix products only.

    Keys and values are counted as the paper projects them. The absorbed form computes the same with fewer operations;
    `computed_flops` counts what is really done.
    """
    return _flops(model, absorbed=False)


def computed_flops(model: ModelConfig) -> int:
    """FLOPs of one clip's forward pass as it is computed, with absorbed cross-attention where the config has it."""
    return _flops(model, absorbed=model.absorbed_attention and model.cross_heads == 1)


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
    return query + _linear(width, model.classes)


def _flops(model: ModelConfig, absorbed: bool) -> int:
    n, d = model.latents, model.latent_channels
    cross = _cross_flops(model, n, _tokens_per_iteration(model), model.input_channels, absorbed)
    latent = 2 * (4 * n * d * d + 2 * n * n * d + 2 * model.widening * n * d * d)
    query = _cross_flops(model, 1, n, d, absorbed=False) if model.readout == "query" else 0
    readout = query + 2 * d * model.classes
    return model.iterations * (cross + model.layers_per_block * latent) + readout + _fusion_flops(model)


def _cross_flops(model: ModelConfig, n: int, m: int, c: int, absorbed: bool) -> int:
    """Keys and values of M inputs, or in the absorbed form of N latents; scores and sums; query and output; dense."""
    d = model.latent_channels
    projections = 2 * (n if absorbed else m) * c * c
    return 2 * (projections + 2 * n * m * c + 2 * n * d * c + 2 * model.widening * n * d * d)


def _tokens_per_iteration(model: ModelConfig) -> int:
    """Tokens that one cross-attend sees: with unrolled time, its stretch of what is unrolled."""
    video, audio = model.inputs.video, model.inputs.audio
    if not model.unroll_time:
        return model.input_tokens
    tokens = 0
    if video is not None:
        tokens += video.tokens // model.iterations
    if audio is not None:
        unrolled = audio.unrolled or video is None
        tokens += audio.tokens // model.iterations if unrolled else audio.tokens
    return tokens


def _fusion_flops(model: ModelConfig) -> int:
    video, audio = model.inputs.video, model.inputs.audio
    if model.fusion != "linear" or video is None or audio is None:
        return 0
    return 2 * audio.tokens * audio.channels * video.channels
