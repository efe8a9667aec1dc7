"""Where a token lies: Fourier features of its place on the grid, or a learned vector for every place.

Paper, section 3.2 and appendix D; the order of channels is that of DeepMind's `position_encoding.py`.
"""

import math

import torch
from torch import Tensor, nn

from perceiver.model.initial import truncated_normal_


def fourier_features(grid: tuple[int, ...], bands: int, max_resolution: tuple[int, ...]) -> Tensor:
    """Sines and cosines of every place on a grid, (tokens, axes * (2 * bands + 1)), in the default dtype.

    Per axis the positions run over [-1, 1], both ends included, and the frequencies linearly from 1 to half of the
    axis's `max_resolution`, its Nyquist frequency. Channels: the positions, all sines (axis by axis), all cosines.
    """
    # In float64 first: an angle reaches 2,400 pi on the paper's mel, where float32 is off by 5e-4.
    axes = [torch.linspace(-1.0, 1.0, size, dtype=torch.float64) for size in grid]
    places = torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")], dim=-1)  # (tokens, axes)
    tops = [torch.linspace(1.0, top / 2, bands, dtype=torch.float64) for top in max_resolution]
    angles = (math.pi * places[:, :, None] * torch.stack(tops)).flatten(1)
    return torch.cat([places, angles.sin(), angles.cos()], dim=-1).to(torch.get_default_dtype())


class FourierPositions(nn.Module):
    """Fixed Fourier features; a buffer that no checkpoint needs to hold."""

    def __init__(self, grid: tuple[int, ...], bands: int, max_resolution: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("table", fourier_features(grid, bands, max_resolution), persistent=False)

    def forward(self) -> Tensor:
        """(tokens, channels)."""
        return self.table


class LearnedPositions(nn.Module):
    """A learned vector per place. Paper, section 4.1: a scale of 1 worked best there."""

    def __init__(self, tokens: int, channels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(truncated_normal_(torch.empty(tokens, channels), scale=1.0))

    def forward(self) -> Tensor:
        """(tokens, channels)."""
        return self.table
