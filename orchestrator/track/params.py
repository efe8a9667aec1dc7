"""A config as MLflow params, and back. Text is written bare, everything else as JSON."""

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.track.records import RunRecord
from perceiver.config import RunConfig, flatten, parse
from perceiver.errors import ConfigError


def to_params(config: RunConfig) -> dict[str, str]:
    """Dotted key -> text, for every key of the config."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in flatten(config).items()}


def config_of(run: RunRecord) -> RunConfig:
    """The config that a run was made with.

    Raises:
        UsageError: the run's params are no config of this version of the code.
    """
    try:
        config = parse(_nested(run.params))
    except ConfigError as error:
        raise UsageError(f"run {run.run_id} holds a config of another version of the code: {error}") from None
    if missing := to_params(config).keys() - run.params.keys():  # defaults are not what it was made with
        raise UsageError(f"run {run.run_id} does not say its whole config: {', '.join(sorted(missing)[:5])} missing")
    return config


def _nested(params: Mapping[str, str]) -> dict[str, Any]:
    written_bare = {key for key, value in flatten(RunConfig()).items() if isinstance(value, str)}
    config: dict[str, Any] = {}
    for key, text in params.items():
        *sections, last = key.split(".")
        place = config
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = text if key in written_bare else json.loads(text)
    return config
