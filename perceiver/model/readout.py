"""From the latents to one logit per class."""

import math

import torch
from torch import Tensor, nn

from perceiver.model.attention import CrossAttend
from perceiver.model.initial import truncated_normal_

QUERY_STD = 0.02
"""Scale of the learned query's initial values (DeepMind's TrainablePositionEncoding)."""


def _logits(channels: int, classes: int, prior: float) -> nn.Linear:
    """The last layer starts with zero weights, as in DeepMind's ProjectionDecoder: every class begins at the prior.

    With hundreds of rare classes and a prior of 1/2, the first steps push all logits down through every weight below,
    and fill Adam's second moments with gradients that never come again: a short trial then learns nothing else.
    """
    layer = nn.Linear(channels, classes)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, math.log(prior / (1 - prior)))
    return layer


class MeanReadout(nn.Module):
    """Mean over the latents, then one linear layer (paper, appendix C)."""

    def __init__(self, channels: int, classes: int, prior: float = 0.5) -> None:
        super().__init__()
        self.logits = _logits(channels, classes, prior)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, N, D) -> (B, classes)."""
        return self.logits(latents.mean(dim=1))


class QueryReadout(nn.Module):
    """A learned query attends to the latents, then one linear layer (Perceiver IO's classification decoder)."""

    def __init__(self, channels: int, classes: int, widening: int, gelu: str, prior: float = 0.5) -> None:
        super().__init__()
        self.query = nn.Parameter(truncated_normal_(torch.empty(1, channels), scale=QUERY_STD))
        self.cross_attend = CrossAttend(channels, channels, heads=1, widening=widening, gelu=gelu)
        self.logits = _logits(channels, classes, prior)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, N, D) -> (B, classes)."""
        answer = self.cross_attend(self.query.expand(latents.shape[0], -1, -1), latents)
        return self.logits(answer[:, 0])
