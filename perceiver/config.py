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
from pydantic import Field, ValidationError, model_validator

from perceiver.errors import ConfigError, ConfigMistake
from perceiver.model_config import SPEED_ONLY, Count, Rate
from perceiver.model_config import AudioInput as AudioInput
from perceiver.model_config import Inputs as Inputs
from perceiver.model_config import ModelConfig as ModelConfig
from perceiver.model_config import Section as Section
from perceiver.model_config import VideoInput as VideoInput
from perceiver.wording import in_words, nearest


class YamlLoader(yaml.SafeLoader):
    """Safe YAML in which `1e-4` is a number, as in YAML 1.2 and JSON; YAML 1.1 makes it a string."""


YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


class DataConfig(Section):
    """Which clips a trial learns from."""

    set: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "audioset"
    """Name of the data set; the site says where it lies."""
    sampler: Literal["uniform", "balanced", "weighted"] = "uniform"
    """uniform: every clip once an epoch (the paper). balanced: classes in turn (PANNs). weighted: rare classes' clips
    more often, drawn with replacement (AST)."""
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
                f"train.video_dropout {self.train.video_dropout:g} + train.audio_dropout "
                f"{self.train.audio_dropout:g} is above 1: a clip never loses both"
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
        raise ConfigError([mistake for item in error.errors() for mistake in _mistakes(item)]) from None


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


def _mistakes(error: Mapping[str, Any]) -> list[ConfigMistake]:
    """A pydantic error in the user's words; rules between several keys, one a line, name them themselves."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return [_unknown(key)]
    if error["type"] == "value_error":
        return [ConfigMistake("", line) for line in in_words(error).splitlines()]
    return [ConfigMistake(key, in_words(error))]
