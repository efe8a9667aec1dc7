"""Initial weights as in DeepMind's code (Haiku's initialisers), which differ from PyTorch's defaults."""

import math

from torch import Tensor, nn

# Standard deviation of a standard normal that is cut off at +-2.
_CUT_STD = 0.87962566103423978


def truncated_normal_(tensor: Tensor, scale: float) -> Tensor:
    """Normal values cut off at two of `scale`, so that their standard deviation is 0.88 of it.

    Haiku truncates before it scales: `trunc_normal_(std=0.02, a=-2, b=2)` would hardly truncate at all.
    """
    return nn.init.trunc_normal_(tensor, std=scale, a=-2 * scale, b=2 * scale)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Weights by Haiku's `VarianceScaling(1.0)`: truncated, of standard deviation 1 / sqrt(inputs). Zero biases."""
    layer = nn.Linear(inputs, outputs)
    truncated_normal_(layer.weight.data, scale=1 / math.sqrt(inputs) / _CUT_STD)
    nn.init.zeros_(layer.bias)
    return layer
