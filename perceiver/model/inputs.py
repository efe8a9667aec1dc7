"""From a clip's pixels and samples to tokens: patches, mel spectrogram, positions, and the fusion of the modalities."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from perceiver.config import AudioInput, ModelConfig, VideoInput
from perceiver.errors import DataError, NumericError
from perceiver.model.initial import linear, truncated_normal_
from perceiver.model.mel import LogMel
from perceiver.model.positions import FourierPositions, LearnedPositions
from perceiver.model.tokens import Tokens

EMBEDDING_STD = 0.02
"""Scale of a modality embedding's initial values (DeepMind's MultimodalPreprocessor)."""


class VideoValues(nn.Module):
    """Pixels to patches."""

    def __init__(self, config: VideoInput) -> None:
        super().__init__()
        self.config = config
        self.shape = (config.frames, config.size, config.size, 3)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, H, W, 3) in [0, 255] -> (B, M, values), each patch in the order (time, row, column, colour)."""
        (t, h, w), (dt, dh, dw) = self.config.grid, self.config.patch
        # The cheap copy first: as bytes, patches move a quarter of what they do as floats.
        patches = video.reshape(-1, t, dt, h, dh, w, dw, 3).permute(0, 1, 3, 5, 2, 4, 6, 7).flatten(4).flatten(1, 3)
        low, high = (-1.0, 1.0) if self.config.scaling == "symmetric" else (0.0, 1.0)
        if patches.is_floating_point():
            return patches * ((high - low) / 255) + low
        return patches.to(torch.get_default_dtype()).mul_((high - low) / 255).add_(low)


class AudioValues(nn.Module):
    """Samples to segments, or to the single values of a log-mel spectrogram."""

    def __init__(self, config: AudioInput) -> None:
        super().__init__()
        self.config = config
        self.shape = (config.samples,)
        self.mel = LogMel(config) if config.kind == "mel" else None

    def forward(self, audio: Tensor, mel_mask: Tensor | None) -> Tensor:
        """(B, S) -> (B, M, values). `mel_mask` (B, frames, bins) is True where the spectrogram becomes its mean."""
        if self.mel is None:
            return audio.unflatten(1, (-1, self.config.segment))
        spectrogram = self.mel(audio)
        if mel_mask is not None:
            spectrogram = spectrogram.masked_fill(mel_mask, 0.0)
        return spectrogram.flatten(1)[..., None]


def _positions(config: VideoInput | AudioInput) -> nn.Module:
    if config.positions == "learned":
        return LearnedPositions(config.tokens, config.position_channels)
    if isinstance(config, VideoInput):
        grid = config.grid
        top: tuple[int, ...] = grid if config.max_resolution == "grid" else (config.frames, config.size, config.size)
    elif config.kind == "raw":
        grid, top = config.grid, config.grid if config.max_resolution == "grid" else (config.samples,)
    else:
        grid = config.grid if config.mel_positions == "2d" else (config.tokens,)
        top = grid
    return FourierPositions(grid, config.bands, top)


class InputTokens(nn.Module):
    """All modalities of a batch as tokens of one width."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.names = config.inputs.modalities
        self.values, self.positions, self.embeddings = nn.ModuleDict(), nn.ModuleDict(), nn.ParameterDict()
        for name in self.names:
            part = getattr(config.inputs, name)
            self.values[name] = VideoValues(part) if name == "video" else AudioValues(part)
            self.positions[name] = _positions(part)
            if len(self.names) == 2 and config.fusion == "embedding":
                filled = torch.empty(config.input_channels - part.channels)
                self.embeddings[name] = nn.Parameter(truncated_normal_(filled, scale=EMBEDDING_STD))
        self.audio_width: nn.Linear | None = None
        if len(self.names) == 2 and config.fusion == "linear":
            self.audio_width = linear(config.inputs.audio.channels, config.input_channels)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        *,
        present: Mapping[str, Tensor] | None = None,
        blank: Literal["values", "tokens"] = "values",
        mel_mask: Tensor | None = None,
    ) -> list[Tokens]:
        """One `Tokens` per modality; arguments as in `Perceiver.forward`."""
        clips, present = self._check(inputs), present or {}
        _check_dropped(present, blank, clips)
        return [self._tokens(name, inputs.get(name), clips, present.get(name), blank, mel_mask) for name in self.names]

    def _tokens(
        self, name: str, raw: Tensor | None, clips: int, present: Tensor | None, blank: str, mel_mask: Tensor | None
    ) -> Tokens:
        part, positions = getattr(self.config.inputs, name), self.positions[name]()
        kept = None
        if raw is None:
            values = positions.new_zeros(clips, part.tokens, part.channels - positions.shape[-1])
            present = torch.zeros(clips, dtype=torch.bool, device=values.device)
        else:
            values = self.values[name](raw, mel_mask) if name == "audio" else self.values[name](raw)
        if present is not None and blank == "tokens":
            kept = present
        elif present is not None:
            values = values * present[:, None, None]
        features = torch.cat([values, positions.expand(clips, -1, -1)], dim=-1)
        if name == "audio" and self.audio_width is not None:
            features = self.audio_width(features).to(features.dtype)  # the norm's statistics want more than bfloat16
        embedding = self.embeddings.get(name)
        unrolls = self.config.unroll_time and (name == "video" or part.unrolled or len(self.names) == 1)
        return Tokens(features, embedding, kept, unrolls)

    def _check(self, inputs: Mapping[str, Tensor]) -> int:
        """The number of clips; DataError where a modality is missing or has another shape than the config says."""
        given = [name for name in self.names if name in inputs]
        missing = [name for name in self.names if name not in inputs]
        if not given or (missing and self.config.missing_modality == "error"):
            setting = f"model.missing_modality is {self.config.missing_modality!r}"
            advice = "; 'mask' would let the model see zeros in its place" if given else ""
            raise DataError(f"the batch has no {' and no '.join(missing)}, and {setting}{advice}")
        for name in given:
            expected, got = self.values[name].shape, tuple(inputs[name].shape[1:])
            if got != expected:
                raise DataError(f"{name} of shape {got} a clip, but model.inputs.{name} asks for {expected}")
        sizes = [inputs[name].shape[0] for name in given]
        if sizes != sizes[:1] * len(sizes):
            raise DataError(f"batches of {' and '.join(map(str, sizes))} clips of {' and '.join(given)}: give as many")
        if "audio" in given and not inputs["audio"].is_floating_point():
            raise DataError(f"audio of {inputs['audio'].dtype}: give floating-point samples, nominally in [-1, 1]")
        return sizes[0]


def _check_dropped(present: Mapping[str, Tensor], blank: str, clips: int) -> None:
    """DataError where `present` or `blank` says something that would not be heard."""
    for name, there in present.items():
        if name not in ("audio", "video"):
            raise DataError(f"present has {name!r}, which is no modality: audio and video are")
        if there.shape != (clips,):
            raise DataError(
                f"present[{name!r}] is of shape {tuple(there.shape)}: give one value for each clip, ({clips},)"
            )
    if blank not in ("values", "tokens"):
        raise DataError(f"blank is {blank!r}: give 'values' or 'tokens'")


def refuse_non_finite(inputs: Mapping[str, Tensor], ids: Sequence[str]) -> None:
    """Looks for clips that hold a NaN or an infinity: one such sample would spread to every weight.

    One pass over the floats, which costs next to nothing while a batch is on the CPU; bytes can't hold any.

    Raises:
        NumericError: names the clips by their `ids`, one for each of the batch.
    """
    bad: set[str] = set()
    for values in inputs.values():
        if values.is_floating_point():
            finite = values.flatten(1).sum(1).isfinite().tolist()
            bad |= {name for name, is_finite in zip(ids, finite, strict=True) if not is_finite}
    if bad:
        raise NumericError(f"NaN or infinite samples in the clips {', '.join(sorted(bad))}")
