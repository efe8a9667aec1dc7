"""One modality's tokens on their way into the encoder.

Letters for shapes, here and in the files beside: B clips, M tokens, N latents, C channels of a token, D of a latent.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

NORM_EPS = 1e-5
"""Added to variances, as in Haiku's and PyTorch's LayerNorm."""


@dataclass(frozen=True)
class Tokens:
    """What one modality adds to the input array, not yet joined into one tensor.

    The modality embedding is the same for all tokens, so it is kept apart: absorbed attention never repeats it M times.
    """

    features: Tensor
    """(B, M, C - e): values and positions."""
    embedding: Tensor | None = None
    """(e,): the learned modality embedding."""
    kept: Tensor | None = None
    """(B,) bool, False where all tokens of a clip are zeroed, positions and embedding too."""
    unrolled: bool = False
    """Whether each cross-attend sees only its own stretch of time; tokens are ordered by time first."""

    @property
    def channels(self) -> int:
        """C, the width of the input array."""
        return self.features.shape[-1] + (0 if self.embedding is None else self.embedding.shape[0])

    def array(self) -> Tensor:
        """The tokens as one tensor (B, M, C)."""
        array = self.features
        if self.embedding is not None:
            array = torch.cat([array, self.embedding.expand(*array.shape[:2], -1)], dim=-1)
        return array if self.kept is None else array * self.kept[:, None, None]

    def stretch(self, part: int, parts: int) -> "Tokens":
        """The tokens that cross-attend number `part` of `parts` sees."""
        if not self.unrolled:
            return self
        return replace(self, features=self.features[:, stretch_of(self.features.shape[1], part, parts)])

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and reciprocal standard deviation of every token, (B, M) each, as LayerNorm would take them.

        From sums and norms of the parts: on a CPU a tenth of the time of `torch.var_mean`.
        """
        total, power = self.features.sum(-1), torch.linalg.vector_norm(self.features, dim=-1).square()
        if self.embedding is not None:
            total, power = total + self.embedding.sum(), power + self.embedding.square().sum()
        mean = total / self.channels
        reciprocal = ((power / self.channels - mean.square()).clamp_min(0.0) + NORM_EPS).rsqrt()
        return mean, reciprocal if self.kept is None else reciprocal * self.kept[:, None]


def stretch_of(length: int, part: int, parts: int) -> slice:
    """The `part`-th of equal stretches of a time-first axis."""
    return slice(length * part // parts, length * (part + 1) // parts)


def join(tokens: list[Tokens]) -> Tensor:
    """The input array (B, M, C) of all modalities."""
    return torch.cat([group.array() for group in tokens], dim=1)
