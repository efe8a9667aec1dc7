"""Changes to a RunConfig as dotted keys: putting them in, reading them off, naming a configuration by them."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from perceiver.config import RunConfig, all_keys, dump, flatten, is_speed_only, with_changes

BASELINE = "baseline"
SEED = "train.seed"
_LONGEST_LABEL = 230
"""With the seed behind it, it is a run's name, for which MLflow's column has 250 characters."""


def dotted(changes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested or dotted changes with dotted keys only; a mapping changes the keys that it names and no others."""
    flat: dict[str, Any] = {}
    for name, value in changes.items():
        if isinstance(value, Mapping) and value:
            flat |= dotted(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def apply(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The config with these changes. Keys inside a part that the same changes switch off (null) fall away.

    Raises:
        ConfigError: unknown keys and invalid values, all of them.
    """
    flat = dotted(changes)
    off = tuple(f"{key}." for key, value in flat.items() if value is None)
    kept = {key: value for key, value in flat.items() if not key.startswith(off)} if off else flat
    present = flatten(config)
    for key in [key for key, value in kept.items() if value == {} and present.get(key, key) is not None]:
        del kept[key]  # an empty mapping only brings in a part that is absent
    return with_changes(config, dict(sorted(kept.items(), key=lambda item: item[0].count("."))))


def difference(baseline: RunConfig, config: RunConfig) -> dict[str, Any]:
    """What turns the baseline into the config, seed and speed aside: the same for every way of writing it."""
    before, after = flatten(baseline), flatten(config)
    changes: dict[str, Any] = {}
    for key, value in after.items():
        if key == SEED or is_speed_only(key) or (key in before and before[key] == value):
            continue
        part = _absent_part(key, before)
        if part is None:
            changes[key] = value
        else:
            changes.setdefault(part, {})
            if value != all_keys()[key].get_default():
                changes[key] = list(value) if isinstance(value, tuple) else value
    return changes


def label(changes: Mapping[str, Any], first: Iterable[str] = ()) -> str:
    """A configuration's name, `model.iterations=4 train.video_dropout=0.1`; keys in `first` lead, in that order."""
    if not changes:
        return BASELINE
    leading = [key for key in first if key in changes]
    rest = [key for key in changes if key not in leading]
    text = " ".join(f"{key}={level_text(changes[key])}" for key in leading + rest)
    if len(text) <= _LONGEST_LABEL:
        return text
    mark = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[: _LONGEST_LABEL - 12]}... {mark}"


def level_text(value: Any) -> str:
    """A level without spaces: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def nested_value(config: RunConfig, key: str) -> Any:
    """The value of a dotted key, a part as a mapping, None inside an absent part."""
    value: Any = dump(config)
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _absent_part(key: str, flat: Mapping[str, Any]) -> str | None:
    """The part around `key` that is absent (null) in a flat config."""
    parts = key.split(".")
    ends = (".".join(parts[:count]) for count in range(1, len(parts)))
    return next((part for part in ends if part in flat and flat[part] is None), None)
