"""A point as a configuration: its label, what differs from the baseline, its config. And which a search may propose."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from orchestrator.plan.changes import SEED, difference, label
from orchestrator.plan.combine import NoMatch, configure
from orchestrator.plan.identity import canonical
from orchestrator.plan.limits import oversized
from orchestrator.plan.spec import Sweep
from perceiver.config import RunConfig, with_classes
from perceiver.errors import ConfigError

Named = tuple[str, dict[str, Any], RunConfig]
"""A configuration's label, what differs from the baseline, and its config."""
Fits = Callable[[RunConfig], bool]


def name_point(sweep: Sweep, changes: Mapping[str, Any], name: str | None = None) -> Named:
    """The configuration of a point.

    Raises:
        ConfigError: it can't be run.
        NoMatch: nothing keeps the baseline's cost.
    """
    baseline = with_seed(sweep.baseline, 0)
    config = with_seed(configure(sweep.vary, baseline, changes), 0)
    differing = difference(baseline, config)
    if sweep.classes and "data.set" in differing and "model.classes" not in differing:
        config = with_classes(config, sweep.classes.get(config.data.set))
    return name or label(differing, getattr(sweep.vary, "factors", {})), differing, config


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The config with a replicate's seed; no other key can be wrong, so nothing is checked again."""
    return config.model_copy(update={"train": config.train.model_copy(update={SEED.split(".")[1]: seed})})


def proposable(sweep: Sweep, changes: Mapping[str, Any], tried: Collection[str], fits: Fits) -> RunConfig | None:
    """The config of a point that a search may propose: new, within the limits, and one that can be run; else None.

    `tried`: canonical configs.
    """
    try:
        _, _, config = name_point(sweep, changes)
    except (ConfigError, NoMatch):
        return None
    known = canonical(config) in tried
    return None if known or oversized(config.model, sweep.limits) or not fits(config) else config
