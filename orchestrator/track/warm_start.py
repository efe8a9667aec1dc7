"""Results of earlier sweeps that start an adaptive one: `warm_start: [sweep, ...]`.

A result is taken if this sweep could have proposed its config, which then differs from this baseline only in the
factors, and if it was measured on the same data by the same metrics. It only tells the sampler where to look: it takes
no trial's place.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.plan.changes import difference
from orchestrator.plan.combine import NoMatch
from orchestrator.plan.identity import canonical
from orchestrator.plan.planner import Plan, name_point, with_seed
from orchestrator.plan.space import Space
from orchestrator.plan.vary import Adaptive
from orchestrator.track.names import METRIC_VERSION, Tag
from orchestrator.track.params import config_of
from orchestrator.track.reader import NoDatabase, read_runs
from orchestrator.track.records import RunRecord
from perceiver.errors import ConfigError


@dataclass(frozen=True)
class WarmStart:
    """What is taken: points with their scores, the mean over their seeds; and a line for each sweep that was asked."""

    results: tuple[tuple[dict[str, Any], tuple[float, ...]], ...] = ()
    notes: tuple[str, ...] = ()


class _NotTaken(Exception):
    """Raised with the reason why a result tells this search nothing."""


def gather_warm_start(plan: Plan) -> WarmStart:
    """What the sweeps of `warm_start` have found that this one can start from.

    Raises:
        UsageError: there is no such sweep; names the nearest.
        Unreachable: the tracker can't be read.
    """
    sweep = plan.sweep
    if not isinstance(sweep.vary, Adaptive):
        return WarmStart()
    space = Space(sweep.baseline, sweep.vary.factors, sweep.vary.where)
    found: dict[str, tuple[dict[str, Any], list[tuple[float, ...]]]] = {}
    notes = []
    for name in sweep.warm_start:
        reasons: Counter[str] = Counter()
        runs = [run for run in _trials(plan, name) if run.status == "FINISHED"]
        for run in runs:
            try:
                point = _point(run, plan, space)
                found.setdefault(json.dumps(point), (point, []))[1].append(_scores(run, plan))
            except _NotTaken as reason:
                reasons[str(reason)] += 1
        notes.append(_note(name, len(runs), reasons))
    results = ((point, tuple(map(fmean, zip(*scores, strict=True)))) for point, scores in found.values() if scores)
    return WarmStart(tuple(results), tuple(notes))


def _trials(plan: Plan, name: str) -> Iterable[RunRecord]:
    if name == plan.sweep.name:
        raise UsageError(f"warm_start: {name} is this sweep itself, which goes on from its own results in any case")
    try:
        return read_runs(plan.site.tracking, name).trials
    except NoDatabase as error:
        raise UsageError(f"warm_start: No sweep {name}. {error}") from None
    except UsageError as error:
        raise UsageError(f"warm_start: {error}") from None


def _point(run: RunRecord, plan: Plan, space: Space) -> dict[str, Any]:
    """The point of this sweep's space that the run tried."""
    try:
        config = with_seed(config_of(run), 0)
    except UsageError:
        raise _NotTaken("the config is of another version of the code") from None
    beyond = [key for key in difference(plan.sweep.baseline, config) if key not in space.factors]
    point = space.point_of(config)
    try:
        same = point is not None and canonical(name_point(plan.sweep, point)[2]) == canonical(config)
    except (ConfigError, NoMatch):
        same = False
    if point is None or not same:
        raise _NotTaken(f"{', '.join(sorted(beyond))} differs" if beyond else "outside the factors' levels")
    comparable = json.loads(run.tags.get(Tag.COMPARABLE) or "{}")
    if comparable.get("data") != plan.data.digest(config.data.set):
        raise _NotTaken(f"data digest {str(comparable.get('data'))[:8]}")
    if comparable.get("metrics") != METRIC_VERSION:
        raise _NotTaken(f"metric version {comparable.get('metrics')}")
    return point


def _scores(run: RunRecord, plan: Plan) -> tuple[float, ...]:
    names = [score.metric for score in plan.sweep.scores]
    if missing := [name for name in names if not isfinite(run.metrics.get(name, float("nan")))]:
        raise _NotTaken(f"no finite {', '.join(missing)}")
    return tuple(run.metrics[name] for name in names)


def _note(name: str, count: int, reasons: Counter[str]) -> str:
    taken = f"warm start: {count - reasons.total()} of {count} results of {name} taken"
    return "; ".join([taken, *(f"{number} not ({reason})" for reason, number in reasons.items())])
