"""RunConfig: everything that determines a trial's result, and nothing about where it runs.

Read by every part of the project; imports neither torch nor anything else heavy. Sections: `model`, `data`, `train`,
`eval`. A key is written with dots, `model.inputs.video.bands`; `flatten` and `with_changes` go between the two forms.

    config = with_changes(RunConfig(), {"train.video_dropout": 0.1})
    flatten(config)["train.video_dropout"]        # 0.1

Defaults are the paper's AudioSet mel+video model (Jaegle et al. 2021, section 4.2); where the paper is silent the
description says "not in the paper". Fields marked `speed_only` change how fast a trial runs, not what it computes
beyond rounding, and are left out of a trial's identity.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from perceiver.errors import ConfigError, ConfigMistake
from perceiver.wording import in_words, nearest

SPEED_ONLY = {"speed_only": True}

Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class YamlLoader(yaml.SafeLoader):
    """Safe YAML in which `1e-4` is a number, as in YAML 1.2 and JSON; YAML 1.1 makes it a string."""


YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


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
    mel_mean: float = -4.0
    """mel: subtracted from the natural logarithm of the magnitudes. Not in the paper."""
    mel_std: Annotated[float, Field(gt=0)] = 4.0
    """mel: the logarithm less its mean is divided by this. Not in the paper."""
    mel_positions: Literal["1d", "2d"] = "1d"
    """mel: one axis over the flattened spectrogram (Perceiver IO, table 6), or time and frequency."""
    positions: Literal["fourier", "learned"] = "fourier"
    """Fourier features, or a learned vector per position."""
    bands: Annotated[int, Field(ge=1, le=512)] = 64
    """Fourier bands per axis. Not in the paper; the fused width allows at most 177 (raw) and 240 (mel)."""
    max_resolution: Literal["grid", "samples"] = "grid"
    """What sets the highest Fourier frequency: the tokens, or (raw) the samples. Not in the paper."""
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
    latent_init_std: Annotated[float, Field(gt=0)] = 0.02
    """Scale of the latents' initial values, truncated at two of it."""
    share_weights: bool = False
    """The paper's ImageNet rule: cross-attends 2..R share weights, and so do all blocks; the first cross-attend is its own."""
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
    """A batch without one of the modalities: refuse it, or let the model see zeros in its place."""
    classes: Annotated[int, Field(ge=1, le=100_000)] = 527
    """Logits, one per class of the data set's label list."""
    absorbed_attention: Annotated[bool, Field(json_schema_extra=SPEED_ONLY)] = True
    """Fold the key and value projections of one-headed cross-attends into the latents: the same algebra, half the work."""

    @property
    def input_channels(self) -> int:
        """Width C of the input array."""
        video, audio = self.inputs.video, self.inputs.audio
        if video is None or audio is None:
            return (video or audio).channels  # type: ignore[union-attr]
        return video.channels + (video.embedding if self.fusion == "embedding" else 0)

    @property
    def input_tokens(self) -> int:
        """Length M of the input array."""
        return sum(getattr(self.inputs, name).tokens for name in self.inputs.modalities)

    @model_validator(mode="after")
    def _shapes_work(self) -> "ModelConfig":
        mistakes = list(_shape_mistakes(self))
        if mistakes:
            raise ValueError("; ".join(mistakes))
        return self


def _shape_mistakes(model: ModelConfig) -> Iterator[str]:
    """Arithmetic that no model can satisfy, in the user's keys."""
    video, audio = model.inputs.video, model.inputs.audio
    if video is None and audio is None:
        yield "model.inputs has neither video nor audio: give at least one"
    if model.latent_channels % model.self_heads:
        yield f"model.self_heads {model.self_heads} does not divide model.latent_channels {model.latent_channels}"
    if video is not None:
        for size, key, patch in zip(
            (video.frames, video.size, video.size), ("frames", "size", "size"), video.patch, strict=True
        ):
            if size % patch:
                message = f"model.inputs.video.{key} {size} is not divisible by {patch} of model.inputs.video.patch {list(video.patch)}"
                yield message
        if model.unroll_time and video.grid[0] % model.iterations:
            yield (
                f"model.unroll_time needs model.iterations {model.iterations} to divide the {video.grid[0]} time steps of the patches "
                f"(model.inputs.video.frames {video.frames} / {video.patch[0]})"
            )
    if audio is not None:
        yield from _audio_mistakes(model, audio)
    if video is not None and audio is not None:
        yield from _fusion_mistakes(model, video, audio)
    if (video is None) != (audio is None) and model.input_channels % model.cross_heads:
        yield f"model.cross_heads {model.cross_heads} does not divide the input array's width {model.input_channels}"


def _audio_mistakes(model: ModelConfig, audio: AudioInput) -> Iterator[str]:
    if audio.kind == "raw" and audio.samples % audio.segment:
        yield f"model.inputs.audio.samples {audio.samples} is not divisible by model.inputs.audio.segment {audio.segment}"
    if audio.kind == "mel" and not audio.mel_low < audio.mel_high <= audio.sample_rate / 2:
        yield (
            f"model.inputs.audio.mel_low {audio.mel_low:g} < mel_high {audio.mel_high:g} <= half of sample_rate "
            f"{audio.sample_rate} does not hold"
        )
    unrolls_audio = model.unroll_time and (audio.unrolled or model.inputs.video is None)
    if unrolls_audio and audio.grid[0] % model.iterations:
        yield (
            f"model.unroll_time needs model.iterations {model.iterations} to divide the {audio.grid[0]} time steps of the audio "
            "(model.inputs.audio.unrolled)"
        )


def _fusion_mistakes(model: ModelConfig, video: VideoInput, audio: AudioInput) -> Iterator[str]:
    if abs(video.seconds - audio.seconds) > 1e-3:
        yield (
            f"a clip is {video.seconds:g} s of video (model.inputs.video.frames {video.frames} / fps {video.fps:g}) but {audio.seconds:g} s "
            f"of audio (model.inputs.audio.samples {audio.samples} / sample_rate {audio.sample_rate})"
        )
    if model.fusion == "embedding":
        if video.embedding == 0:
            yield "model.inputs.video.embedding 0 leaves two modalities that can't be told apart: give 1 or more, or model.fusion: linear"
        if audio.channels >= video.channels + video.embedding:
            yield (
                f"audio tokens are {audio.channels} channels wide and leave no room for an embedding in the fused width {model.input_channels} "
                f"(video {video.channels} + model.inputs.video.embedding {video.embedding}): lower model.inputs.audio.bands {audio.bands}"
            )
    if model.input_channels % model.cross_heads:
        yield f"model.cross_heads {model.cross_heads} does not divide the input array's width {model.input_channels}"


class DataConfig(Section):
    """Which clips a trial learns from."""

    set: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "audioset"
    """Name of the data set; the site says where it lies."""
    sampler: Literal["uniform", "balanced"] = "uniform"
    """uniform: every clip once an epoch (the paper). balanced: classes in turn (PANNs)."""
    max_bad_fraction: Rate = 0.02
    """Share of clips that may be unreadable before the trial fails with their list."""
    shuffle_labels: bool = False
    """Deal the training clips' labels out at random: the control that tells learning from chance."""


class TrainConfig(Section):
    """How the model learns. The paper gives 100 epochs and sigmoid cross-entropy, but no optimizer, rate or batch."""

    epochs: Annotated[float, Field(gt=0)] = 100.0
    """Passes over the training clips; `steps` overrides it."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimizer steps, instead of epochs."""
    batch_size: Count = 512
    """Clips of one optimizer step over all workers. Not in the paper."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of initial weights, sampling, crops and dropout."""
    optimizer: Literal["lamb", "adamw"] = "lamb"
    """Not given for AudioSet; LAMB on ImageNet."""
    lr: Annotated[float, Field(gt=0)] = 0.004
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled; never on biases and norms."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of linear warm-up. Perceiver IO found none best with LAMB."""
    schedule: Literal["constant", "cosine", "constant_cosine", "step"] = "step"
    """step: x0.1 at 70, 85 and 95 % (paper, 4.1). constant_cosine: flat for half, then cosine to 0 (Perceiver IO)."""
    clip_norm: Annotated[float, Field(gt=0)] | None = 10.0
    """Largest global norm of the gradient; null for none."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of an average of the weights that is evaluated in their place; null for none."""
    video_dropout: Rate = 0.3
    """Chance that a training clip's video is zeroed, in models with both modalities."""
    audio_dropout: Rate = 0.0
    """Chance that a training clip's audio is zeroed, in models with both modalities (never both)."""
    dropout_of: Literal["values", "tokens"] = "values"
    """What dropout zeroes: the pixels or samples only, or positions and embedding too. Not in the paper."""
    spec_augment: bool = True
    """Mask two stripes of time and two of frequency in training spectrograms (mel only)."""
    augment: bool = True
    """Colour, Inception crop and flip of training video; off: centre crop."""
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Alpha of mixup's Beta(alpha, alpha); 0 for none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast, weights stay in float32."""
    micro_batch: Annotated[Count | None, Field(json_schema_extra=SPEED_ONLY)] = None
    """Clips per forward pass on one worker; gradients are accumulated to the global batch. Null: all at once."""
    compile: Annotated[bool, Field(json_schema_extra=SPEED_ONLY)] = False
    """torch.compile the model."""
    activation_checkpointing: Annotated[bool, Field(json_schema_extra=SPEED_ONLY)] = False
    """Compute activations again in the backward pass instead of keeping them."""


class EvalConfig(Section):
    """How a trial is measured."""

    clips: Annotated[int, Field(ge=1, le=256)] = 16
    """Overlapping clips that cover each evaluation file; their scores are averaged."""
    average: Literal["probabilities", "logits"] = "probabilities"
    """What is averaged over the clips. Not in the paper."""
    times: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Evaluations of a trial, evenly spaced, the last at its end."""
    batch_size: Annotated[Count, Field(json_schema_extra=SPEED_ONLY)] = 16
    """Clips per forward pass."""


class RunConfig(Section):
    """Everything that determines a trial's result."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _parts_agree(self) -> "RunConfig":
        if len(self.model.inputs.modalities) == 2 and self.train.video_dropout + self.train.audio_dropout > 1:
            raise ValueError(
                f"train.video_dropout {self.train.video_dropout:g} + train.audio_dropout {self.train.audio_dropout:g} is above 1: "
                "a clip never loses both"
            )
        if self.train.micro_batch is not None and self.train.micro_batch > self.train.batch_size:
            raise ValueError(
                f"train.micro_batch {self.train.micro_batch} is above train.batch_size {self.train.batch_size}"
            )
        return self


def parse(nested: Mapping[str, Any]) -> RunConfig:
    """The config of a nested mapping, as YAML gives it.

    Raises:
        ConfigError: with every mistake in it.
    """
    try:
        return RunConfig.model_validate(nested)
    except ValidationError as error:
        raise ConfigError([_mistake(item) for item in error.errors()]) from None


def load(path: str | Path) -> RunConfig:
    """The config in a YAML file.

    Raises:
        ConfigError: with every mistake in it; the message names the file.
    """
    try:
        nested = yaml.load(Path(path).read_text(), Loader=YamlLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError([ConfigMistake("", f"{path} can't be read as YAML: {error}")]) from None
    if not isinstance(nested, dict):
        raise ConfigError([ConfigMistake("", f"{path} holds no mapping of sections model, data, train and eval")])
    return parse(nested)


def dump(config: RunConfig) -> dict[str, Any]:
    """The config as plain nested JSON data."""
    return config.model_dump(mode="json")


def flatten(nested: RunConfig | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value for every leaf; a modality that is absent is one leaf with the value None."""
    flat: dict[str, Any] = {}
    for name, value in (dump(nested) if isinstance(nested, RunConfig) else nested).items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def with_changes(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The config with dotted keys set to new values. A whole part may be set to null or to a mapping.

    Raises:
        ConfigError: unknown keys (with the nearest valid one) and invalid values, all of them.
    """
    nested = dump(config)
    mistakes = [_unknown(key) for key in changes if key not in _KEYS]
    for key, value in changes.items():
        if key in _KEYS:
            _set(nested, key.split("."), value)
    try:
        changed = parse(nested)
    except ConfigError as error:
        raise ConfigError(mistakes + error.mistakes) from None
    if mistakes:
        raise ConfigError(mistakes)
    return changed


def all_keys() -> dict[str, Any]:
    """Every dotted key, sections included -> its pydantic field."""
    return _KEYS


def nearest_key(key: str) -> str | None:
    """The valid key that is spelled most like this one."""
    return nearest(key, _KEYS)


def determining(config: RunConfig) -> dict[str, Any]:
    """The flat config without keys that only change speed: what a trial's identity is made of."""
    return {key: value for key, value in flatten(config).items() if not is_speed_only(key)}


def is_speed_only(key: str) -> bool:
    """Whether the key changes speed and not results."""
    extra = _KEYS[key].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("speed_only"))


def _walk(section: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in section.model_fields.items():
        yield prefix + name, field
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, Section):
                yield from _walk(part, f"{prefix}{name}.")


_KEYS = dict(_walk(RunConfig))


def _set(nested: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        if nested.get(name) is None:
            nested[name] = {}  # a key of an absent modality brings it in with its defaults
        nested = nested[name]
    nested[last] = value


def _unknown(key: str) -> ConfigMistake:
    return ConfigMistake(key, "not a key of the configuration", nearest_key(key))


def _mistake(error: Mapping[str, Any]) -> ConfigMistake:
    """A pydantic error in the user's words; a rule between several keys names them itself."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return _unknown(key)
    return ConfigMistake("" if error["type"] == "value_error" else key, in_words(error))
