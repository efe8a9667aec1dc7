"""The model's part of a RunConfig: its inputs, sizes and switches, and the shapes that follow from them.

What has to hold between its keys is in `perceiver.rules`.

Everything here is also in `perceiver.config`, which is where the rest of the project takes it from.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SPEED_ONLY = {"speed_only": True}
AUDIOSET_CLASSES = 527
"""Mark of a key that changes how fast a trial runs, not what it computes: left out of a trial's identity."""
ADDED_LATER = {"added_later": True}
"""Mark of a key that was added after results had been paid for: left out of a trial's identity while at its default,
whose meaning never changes."""

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the config: frozen, strict about types, unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class VideoInput(Section):
    """The video half of the input array: patches with 3D positions (time, height, width)."""

    frames: Annotated[int, Field(ge=1, le=1024)] = 32
    """Frames of a clip."""
    fps: Annotated[float, Field(gt=0, le=240)] = 25.0
    """Frames per second; sources with another rate are resampled."""
    size: Annotated[int, Field(ge=8, le=1024)] = 224
    """Height and width of a frame, in pixels."""
    patch: Annotated[tuple[Count, Count, Count], Field(strict=False)] = (2, 8, 8)
    """Frames, rows and columns that make one token."""
    positions: Literal["fourier", "learned"] = "fourier"
    """Fourier features, or a learned vector per position (128 channels in the paper's trial of it)."""
    bands: Annotated[int, Field(ge=1, le=512)] = 16
    """Fourier bands per axis. 16 is derived from the 487 channels of Perceiver IO's tables 5 and 6."""
    max_resolution: Literal["grid", "pixels"] = "grid"
    """What sets the highest Fourier frequency: the patch grid or the pixels. Not in the paper."""
    position_channels: Annotated[int, Field(ge=1, le=1024)] = 128
    """Width of learned positions."""
    embedding: Annotated[int, Field(ge=0, le=1024)] = 4
    """Channels of the learned modality embedding (with `model.fusion: embedding`); audio fills up to the same width."""
    scaling: Literal["unit", "symmetric"] = "symmetric"
    """Pixels as [0, 1] or [-1, 1]. Not in the paper."""

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, height and width."""
        t, h, w = self.patch
        return self.frames // t, self.size // h, self.size // w

    @property
    def tokens(self) -> int:
        """Tokens of a clip."""
        t, h, w = self.grid
        return t * h * w

    @property
    def channels(self) -> int:
        """Channels of a token before the modality embedding: RGB values of the patch and its position."""
        t, h, w = self.patch
        return 3 * t * h * w + (3 * (2 * self.bands + 1) if self.positions == "fourier" else self.position_channels)

    @property
    def seconds(self) -> float:
        """Length of a clip in seconds."""
        return self.frames / self.fps


class AudioInput(Section):
    """The audio half of the input array: raw segments, or the single values of a log-mel spectrogram."""

    kind: Literal["mel", "raw"] = "mel"
    """Log-mel spectrogram (one token per value) or raw samples (one token per segment)."""
    samples: Annotated[int, Field(ge=64, le=4_800_000)] = 61_440
    """Samples of a clip, cut in sync with its frames."""
    sample_rate: Annotated[int, Field(ge=1_000, le=192_000)] = 48_000
    """Samples per second; sources with another rate are resampled."""
    segment: Annotated[int, Field(ge=1, le=65_536)] = 128
    """raw: samples that make one token."""
    mel_bins: Annotated[int, Field(ge=1, le=512)] = 80
    """mel: frequency bins. 80 x 60 is derived from the paper's 4,800 inputs."""
    mel_window: Annotated[int, Field(ge=16, le=65_536)] = 2_048
    """mel: samples of the analysis window, also the FFT's length."""
    mel_hop: Annotated[int, Field(ge=8, le=65_536)] = 1_024
    """mel: samples between windows."""
    mel_low: Annotated[float, Field(ge=0)] = 80.0
    """mel: lowest frequency in Hz."""
    mel_high: Annotated[float, Field(gt=0)] = 7_600.0
    """mel: highest frequency in Hz."""
    mel_mean: Annotated[float, Field(ge=-1_000, le=1_000)] = 0.0
    """mel: subtracted from the logarithm of the magnitudes. Not in the paper; recorded sounds have means around 0."""
    mel_std: Annotated[float, Field(ge=0.001, le=1_000)] = 3.0
    """mel: the logarithm less its mean is divided by this. Not in the paper."""
    mel_positions: Literal["1d", "2d"] = "1d"
    """mel: one axis over the flattened spectrogram (Perceiver IO, table 6), or time and frequency."""
    positions: Literal["fourier", "learned"] = "fourier"
    """Fourier features, or a learned vector per position."""
    bands: Annotated[int, Field(ge=1, le=512)] = 64
    """Fourier bands per axis. Not in the paper; its fused width of 487 has room for at most 178 (raw) and 242 (mel)."""
    max_resolution: Literal["grid", "samples"] = "grid"
    """What sets the highest Fourier frequency: the tokens, or (raw only) the samples. Not in the paper; the raw bases
    say samples, as DeepMind's notebook for Kinetics does."""
    position_channels: Annotated[int, Field(ge=1, le=1024)] = 128
    """Width of learned positions."""
    unrolled: bool = False
    """With `model.unroll_time`: cut the audio by time too. The paper found that this hurts."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Tokens along each axis: (segments,) of raw audio, (time, frequency) of mel."""
        if self.kind == "raw":
            return (self.samples // self.segment,)
        return -(-self.samples // self.mel_hop), self.mel_bins

    @property
    def tokens(self) -> int:
        """Tokens of a clip."""
        return self.grid[0] * (self.grid[1] if self.kind == "mel" else 1)

    @property
    def position_axes(self) -> int:
        """Axes of the position encoding."""
        return 2 if self.kind == "mel" and self.mel_positions == "2d" else 1

    @property
    def channels(self) -> int:
        """Channels of a token before fusion: its values and its position."""
        values = self.segment if self.kind == "raw" else 1
        fourier = self.position_axes * (2 * self.bands + 1)
        return values + (fourier if self.positions == "fourier" else self.position_channels)

    @property
    def seconds(self) -> float:
        """Length of a clip in seconds."""
        return self.samples / self.sample_rate


class Inputs(Section):
    """The modalities that the model has; one of them may be null."""

    video: VideoInput | None = VideoInput()
    """Null for an audio-only model."""
    audio: AudioInput | None = AudioInput()
    """Null for a video-only model."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities present, audio first (the order of DeepMind's input array)."""
        return tuple(name for name in ("audio", "video") if getattr(self, name) is not None)


class ModelConfig(Section):
    """The Perceiver: iterations of one cross-attend and a block of self-attends."""

    inputs: Inputs = Inputs()
    """Modalities and how they become tokens."""
    fusion: Literal["embedding", "linear"] = "embedding"
    """Two modalities to one width: a learned modality embedding, or a linear layer on audio (the paper: worse)."""
    iterations: Annotated[int, Field(ge=1, le=32)] = 2
    """Cross-attends over the input array."""
    placement: Literal["interleaved", "at_start"] = "interleaved"
    """A block after every cross-attend, or all cross-attends first and then all blocks (table 6)."""
    layers_per_block: Annotated[int, Field(ge=0, le=64)] = 8
    """Self-attends of a block, one block per iteration."""
    latents: Annotated[int, Field(ge=1, le=16_384)] = 512
    """Vectors of the latent array."""
    latent_channels: Annotated[int, Field(ge=1, le=16_384)] = 1024
    """Width of a latent. 1024 is inferred: the paper gives no size for AudioSet."""
    latent_init_std: Annotated[float, Field(ge=1e-6, le=1_000)] = 0.02
    """Scale of the latents' initial values, truncated at two of it."""
    share_weights: bool = False
    """The paper's ImageNet rule: cross-attends 2..R share weights, and all blocks; the first cross-attend is alone."""
    cross_heads: Annotated[int, Field(ge=1, le=128)] = 1
    """Heads of a cross-attend."""
    self_heads: Annotated[int, Field(ge=1, le=128)] = 8
    """Heads of a self-attend."""
    widening: Annotated[int, Field(ge=1, le=16)] = 1
    """Hidden width of the dense layers over the latents' width."""
    gelu: Literal["tanh", "erf"] = "tanh"
    """tanh as in DeepMind's code, erf as in most PyTorch ones; they differ by at most 5e-4."""
    unroll_time: bool = False
    """Each cross-attend sees its own stretch of time, not the whole clip."""
    readout: Literal["mean", "query"] = "mean"
    """Mean over the latents and one linear layer, or Perceiver IO's learned query."""
    missing_modality: Literal["error", "mask"] = "error"
    """A batch given without a modality, or a split in which no clip has it: refuse it, or let the model see zeros in
    its place. A single clip that lacks one is normal and always masked."""
    classes: Annotated[int, Field(ge=1, le=100_000)] | None = AUDIOSET_CLASSES
    """Logits, one per class of the data set's label list. Left out of a file, or null: as many as the list has."""
    prior: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability that every class starts with: 0.5 is DeepMind's zero start, 0.005 AudioSet's share of positives."""
    absorbed_attention: Annotated[bool, Field(json_schema_extra=SPEED_ONLY)] = True
    """Fold the key and value projections of one-headed cross-attends into the latents: same algebra, half the work."""

    @property
    def logits(self) -> int:
        """The classes; AudioSet's number as long as no label list has been seen."""
        return self.classes or AUDIOSET_CLASSES

    @property
    def input_channels(self) -> int:
        """Width C of the input array."""
        video, audio = self.inputs.video, self.inputs.audio
        if video is None or audio is None:
            return (video or audio).channels
        return video.channels + (video.embedding if self.fusion == "embedding" else 0)

    @property
    def input_tokens(self) -> int:
        """Length M of the input array."""
        return sum(getattr(self.inputs, name).tokens for name in self.inputs.modalities)
