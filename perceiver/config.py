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
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, model_validator

from perceiver.errors import ConfigError, ConfigMistake
from perceiver.model_config import ADDED_LATER, SPEED_ONLY
from perceiver.model_config import AudioInput as AudioInput
from perceiver.model_config import Inputs as Inputs
from perceiver.model_config import ModelConfig as ModelConfig
from perceiver.model_config import Section as Section
from perceiver.model_config import VideoInput as VideoInput
from perceiver.rules import broken_rules
from perceiver.train_config import DataConfig as DataConfig
from perceiver.train_config import EvalConfig as EvalConfig
from perceiver.train_config import TrainConfig as TrainConfig
from perceiver.wording import in_words, nearest
from perceiver.yaml_loader import YamlLoader as YamlLoader


class RunConfig(Section):
    """Everything that determines a trial's result."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _rules_hold(self) -> "RunConfig":
        broken = list(broken_rules(self))
        if broken:
            raise ValueError("\n".join(broken))
        return self


def parse(nested: Mapping[str, Any], source: str = "") -> RunConfig:
    """The config of a nested mapping, as YAML gives it. `source`, a file's name, begins the message of each mistake.

    Where `model.classes` is left out it is null, to be completed once the label list has been seen.

    Raises:
        ConfigError: with every mistake in it.
    """
    nested = _with_open_classes(nested)
    try:
        return RunConfig.model_validate(nested)
    except ValidationError as error:
        items = error.errors()
    mistakes = [mistake for item in items for mistake in _mistakes(item)]
    raise ConfigError(mistakes + _hidden(nested, items), source)


def completed(config: RunConfig, classes: int | None) -> RunConfig:
    """The config with as many classes as the label list has, where it leaves them open."""
    return config if config.model.classes is not None else with_classes(config, classes)


def with_classes(config: RunConfig, classes: int | None) -> RunConfig:
    """The config with so many classes; no other key can be wrong, so nothing is checked again."""
    return config.model_copy(update={"model": config.model.model_copy(update={"classes": classes})})


def load(path: str | Path) -> RunConfig:
    """The config in a YAML file.

    Raises:
        ConfigError: with every mistake in it; the message names the file.
    """
    source, problem = str(path), ""
    try:
        nested = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=YamlLoader)
    except FileNotFoundError:
        problem = "is not there"
    except OSError as error:
        problem = f"can't be read: {error.strerror}"
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        problem = f"can't be read as YAML: {error}"
    else:
        if isinstance(nested, dict):
            return parse(nested, source)
        problem = "holds no mapping of sections model, data, train and eval"
    raise ConfigError([ConfigMistake("", problem)], source)


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
    """The config with dotted keys set to new values, outer ones first. A whole part may be set to null, and keys inside
    of it then fall away, or to a mapping.

    Raises:
        ConfigError: unknown keys (with the nearest valid one) and invalid values, all of them.
    """
    nested = dump(config)
    mistakes = [_unknown(str(key)) for key in changes if key not in _KEYS]
    off = tuple(f"{key}." for key, value in changes.items() if value is None)
    for key in sorted(_KEYS.keys() & changes.keys(), key=lambda key: (key.count("."), key)):
        if not key.startswith(off):
            _set(nested, key.split("."), deepcopy(changes[key]))
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
    """The flat config that a trial's identity is made of: without keys that only change speed, and without keys that
    were added later and are at their default, so that results from before they were there stay what they are.
    """
    return {
        key: value
        for key, value in flatten(config).items()
        if not is_speed_only(key) and not (_says(key, ADDED_LATER) and _is_default(key, value))
    }


def is_speed_only(key: str) -> bool:
    """Whether the key changes speed and not results."""
    return _says(key, SPEED_ONLY)


def _is_default(key: str, value: Any) -> bool:
    """Whether a value of the flat config is the key's default; a tuple is a list there."""
    default = _KEYS[key].default
    return bool(value == (list(default) if isinstance(default, tuple) else default))


def _says(key: str, mark: Mapping[str, Any]) -> bool:
    """Whether a key's field carries a mark such as `SPEED_ONLY`."""
    extra = _KEYS[key].json_schema_extra
    return isinstance(extra, dict) and mark.items() <= extra.items()


def _walk(section: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in section.model_fields.items():
        yield prefix + name, field
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, Section):
                yield from _walk(part, f"{prefix}{name}.")


_KEYS = dict(_walk(RunConfig))


def _with_open_classes(nested: Mapping[str, Any]) -> Mapping[str, Any]:
    model = nested.get("model", {}) if isinstance(nested, Mapping) else None
    return {**nested, "model": {"classes": None, **model}} if isinstance(model, Mapping) else nested


def _set(nested: dict[str, Any], path: list[str], value: Any) -> None:
    """Sets a key below its parents. A parent that is no mapping stays as it is: `parse` tells that mistake."""
    *parents, last = path
    for name in parents:
        if nested.get(name) is None and name in Inputs.model_fields:
            nested[name] = {}  # a key of an absent modality brings it in with its defaults
        nested = nested.get(name)
        if not isinstance(nested, dict):
            return
    nested[last] = value


def _hidden(nested: Any, items: Sequence[Mapping[str, Any]]) -> list[ConfigMistake]:
    """Broken rules, which pydantic looks at only where every field is right: here without those that are wrong.

    A rule that names a wrong field, or the one that an unknown name may have meant, can't be judged.
    """
    if not isinstance(nested, Mapping) or any(item["type"] == "value_error" for item in items):
        return []
    rest = deepcopy(dict(nested))
    wrong = [_remove(rest, item["loc"]) for item in items]
    wrong += [nearest_key(key) or key for key in wrong if key not in _KEYS]
    try:
        RunConfig.model_validate(rest)
    except ValidationError as error:
        broken = [mistake for item in error.errors() for mistake in _mistakes(item)]
        return [rule for rule in broken if not any(re.search(rf"\b{re.escape(key)}\b", str(rule)) for key in wrong)]
    return []


def _remove(nested: dict[Any, Any], path: Sequence[Any]) -> str:
    """Takes the innermost part of `nested` on the path away, and returns its dotted key."""
    depth = 0
    while depth + 1 < len(path) and isinstance(nested.get(path[depth]), dict):
        nested, depth = nested[path[depth]], depth + 1
    nested.pop(path[depth], None)
    return ".".join(str(name) for name in path[: depth + 1])


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
