"""The Perceiver of Jaegle et al. 2021 (arXiv 2103.03206) for audio and video.

    model = build_model(RunConfig().model)
    logits = model({"video": frames, "audio": samples})    # uint8 (B, 32, 224, 224, 3), float32 (B, 61440) -> (B, 527)

Read on in `inputs.py` (clips to tokens), `encoder.py` (iterations), `attention.py` and `readout.py`.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from perceiver.config import ModelConfig
from perceiver.model.encoder import Encoder
from perceiver.model.inputs import InputTokens
from perceiver.model.readout import MeanReadout, QueryReadout


class Perceiver(nn.Module):
    """Raw clips to logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = InputTokens(config)
        self.encoder = Encoder(config, config.input_channels)
        self.readout: nn.Module
        if config.readout == "mean":
            self.readout = MeanReadout(config.latent_channels, config.logits, config.prior)
        else:
            width = config.latent_channels
            self.readout = QueryReadout(width, config.logits, config.widening, config.gelu, config.prior)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
        blank: Literal["values", "tokens"] = "values",
        mel_mask: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, classes).

        Args:
            inputs: "video", uint8 or float (B, T, H, W, 3) in [0, 255]; "audio", float (B, S), nominally in [-1, 1].
            present: per modality bool (B,), False for clips whose modality was dropped or is missing.
            blank: what is zeroed of an absent modality: its values after scaling (pixels, samples, normalised
                spectrogram), or whole tokens, positions and embedding too.
            mel_mask: bool (B, frames, bins), True where SpecAugment sets the spectrogram to its mean.

        Raises:
            DataError: a modality is missing and `model.missing_modality` is not "mask", a shape is not the config's, or
                an argument is none of the above.
        """
        tokens = self.tokens(inputs, present=present, blank=blank, mel_mask=mel_mask)
        return self.readout(self.encoder(tokens))

    @torch.no_grad()
    def attention_maps(self, inputs: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Where each latent looks, one dictionary per cross-attend in their order: modality -> (B, N, *grid).

        The grid is (time, height, width) of video patches, (time, frequency) of a spectrogram, (segments,) of raw
        audio; where time is unrolled, that of the stretch which this cross-attend sees. A latent's values over all
        modalities sum to one; several heads are averaged.
        """
        tokens, parts = self.tokens(inputs), self.config.iterations
        grids = [getattr(self.config.inputs, name).grid for name in self.tokens.names]
        seen = [
            (time // parts if group.unrolled else time, *rest)
            for group, (time, *rest) in zip(tokens, grids, strict=True)
        ]
        maps = []
        for weights in self.encoder.attention(tokens):
            split = weights.mean(dim=1).split([math.prod(grid) for grid in seen], dim=-1)
            maps.append(
                {n: part.unflatten(-1, grid) for n, part, grid in zip(self.tokens.names, split, seen, strict=True)}
            )
        return maps

    def checkpoint_activations(self, on: bool) -> None:
        """Whether the backward pass computes the encoder's activations again instead of keeping them."""
        self.encoder.checkpointing = on


def build_model(config: ModelConfig) -> Perceiver:
    """A Perceiver with initial weights drawn from torch's global generator; on the current default device."""
    return Perceiver(config)
