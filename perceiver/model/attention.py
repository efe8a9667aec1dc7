"""Cross-attends, self-attends and the dense layers behind both.

Paper, appendix C, and DeepMind's `perceiver.py`: pre-norm, biases in every linear layer, a residual around the
attention and another around the dense layers, no dropout.
"""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from perceiver.model.absorbed import FoldedTokens, absorbed_attention
from perceiver.model.initial import linear
from perceiver.model.tokens import NORM_EPS, Tokens, join


class Dense(nn.Module):
    """LayerNorm, two linear layers with a GELU between them, and a residual around it all."""

    def __init__(self, channels: int, widening: int, gelu: str) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, NORM_EPS)
        self.widen = linear(channels, widening * channels)
        self.gelu = nn.GELU("tanh" if gelu == "tanh" else "none")
        self.narrow = linear(widening * channels, channels)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return latents + self.narrow(self.gelu(self.widen(self.norm(latents))))


class SelfAttend(nn.Module):
    """Latents attend to one another, with several heads."""

    def __init__(self, channels: int, heads: int, widening: int, gelu: str) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels, NORM_EPS)
        # Three layers, not one of three times the width: LAMB's trust ratio is one per weight matrix.
        self.query = linear(channels, channels)
        self.key = linear(channels, channels)
        self.value = linear(channels, channels)
        self.out = linear(channels, channels)
        self.dense = Dense(channels, widening, gelu)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        normed = self.norm(latents)
        attended = _attend(self.query(normed), self.key(normed), self.value(normed), self.heads)
        return self.dense(latents + self.out(attended))


class CrossAttend(nn.Module):
    """Latents attend to the input array. Keys and values are as wide as the inputs, as in DeepMind's code."""

    def __init__(self, channels: int, input_channels: int, heads: int, widening: int, gelu: str) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels, NORM_EPS)
        self.input_norm = nn.LayerNorm(input_channels, NORM_EPS)
        self.query = linear(channels, input_channels)
        self.key = linear(input_channels, input_channels)
        self.value = linear(input_channels, input_channels)
        self.out = linear(input_channels, channels)
        self.dense = Dense(channels, widening, gelu)

    def forward(self, latents: Tensor, inputs: Tensor | list[FoldedTokens]) -> Tensor:
        """Latents (B, N, D) and the input array (B, M, C), or its tokens folded for absorbed attention -> (B, N, D)."""
        queries = self.query(self.norm(latents))
        if isinstance(inputs, Tensor):
            normed = self.input_norm(inputs)
            attended = _attend(queries, self.key(normed), self.value(normed), self.heads)
        else:
            attended = absorbed_attention(queries, inputs, self.input_norm, self.key, self.value)
        return self.dense(latents + self.out(attended))

    def weights(self, latents: Tensor, inputs: list[Tokens]) -> Tensor:
        """What each latent looks at: softmaxed attention (B, heads, N, M), always computed in the plain form."""
        normed = self.input_norm(join(inputs))
        queries, keys = _split(self.query(self.norm(latents)), self.heads), _split(self.key(normed), self.heads)
        return (queries @ keys.mT / queries.shape[-1] ** 0.5).softmax(-1)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """Softmax attention; (B, N, C), (B, M, C), (B, M, C) -> (B, N, C)."""
    attended = scaled_dot_product_attention(_split(queries, heads), _split(keys, heads), _split(values, heads))
    return attended.transpose(1, 2).flatten(2)


def _split(channels: Tensor, heads: int) -> Tensor:
    """(B, L, C) -> (B, heads, L, C / heads)."""
    return channels.unflatten(-1, (heads, -1)).transpose(1, 2)
