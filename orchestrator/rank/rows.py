"""From runs to rows: the replicates of each configuration, what counts of them, and what has to be said about them."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean
from typing import Any

from orchestrator.rank.environments import environment_notes, usual_environment
from orchestrator.rank.statistics import Difference, Estimate, estimate
from orchestrator.track.names import Tag
from orchestrator.track.records import RunRecord

_ALIASES = {"data": "data digest", "metrics": "metric version", "effective_batch": "effective batch"}
_ITS_OWN_FACTOR = {"effective_batch": "train.batch_size"}
"""What differs between runs on purpose where this factor varies."""


@dataclass(frozen=True)
class Stopped:
    """A replicate that `stop_early` ended."""

    where: str
    """`asha at 2 of 10 evaluations`."""
    fraction: float
    """Share of its evaluations that it had made."""
    score: float | None
    """At its last evaluation."""


@dataclass(frozen=True)
class Row:
    """One configuration: its replicates, their mean, and how it compares with the baseline."""

    configuration: str
    """What differs from the baseline, or `baseline`."""
    role: str
    """baseline, trial or final."""
    factors: dict[str, Any]
    """Dotted key -> level, of what differs from the baseline."""
    planned: int
    """Seeds that it needs to be ranked."""
    begun: int
    """Seeds that have a run. Fewer than planned: a search proposed it, and it is no leader."""
    scores: dict[int, float]
    """Seed -> score of every trial that counts: finished, with a finite score, comparable with the baseline's."""
    run_ids: dict[int, str]
    """Seed -> MLflow run of those trials."""
    estimate: Estimate | None
    """None without a trial that counts."""
    metrics: dict[str, float]
    """Mean over the same trials of every other metric that they all have."""
    stopped: dict[int, Stopped] = field(default_factory=dict)
    """Seed -> where it was stopped early. Such a row has no rank: the seeds that are left were chosen by their scores,
    so their mean would flatter it."""
    notes: tuple[str, ...] = ()
    """What a reader must know: seeds that failed or still run, what was left out."""
    rank: int | None = None
    difference: Difference | None = None
    """To the baseline; None for itself and where one of the two has no score."""
    p: float | None = field(default=None, kw_only=True)
    """The difference's p value with Holm's correction over the board."""

    @property
    def complete(self) -> bool:
        """Whether every planned seed counts."""
        return len(self.scores) == self.planned

    @property
    def is_baseline(self) -> bool:
        """Whether it is what the others are compared with."""
        return self.role == "baseline"


def make_rows(runs: Iterable[RunRecord], metric: str, replicates: int = 1) -> list[Row]:
    """One row per configuration, in the order in which they were first started; not ranked yet.

    `replicates`: how many seeds the sweep wants of each.
    """
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault(run.tags.get(Tag.CONFIGURATION, run.role), []).append(run)
    all_runs = [run for group in groups.values() for run in group]
    reference, usual = _reference(all_runs), usual_environment(all_runs)
    return [_make_row(name, group, metric, reference, usual, replicates) for name, group in groups.items()]


def _make_row(
    configuration: str,
    runs: Sequence[RunRecord],
    metric: str,
    reference: dict[str, Any],
    usual: dict[str, str],
    replicates: int,
) -> Row:
    by_seed = _one_per_seed(runs)
    factors = _factors(runs[0])
    counted: dict[int, RunRecord] = {}
    reasons: dict[int, str] = {}
    for seed, run in by_seed.items():
        reason = _why_not_counted(run, metric, reference, factors)
        if reason is None:
            counted[seed] = run
        else:
            reasons[seed] = reason
    scores = {seed: run.metrics[metric] for seed, run in counted.items()}
    origins = [*_origin_notes(counted, runs), *environment_notes(counted.values(), usual)]
    return Row(
        configuration=configuration,
        role=runs[0].role,
        factors=factors,
        planned=max(replicates, len(by_seed)),
        begun=len(by_seed),
        scores=scores,
        run_ids={seed: run.run_id for seed, run in counted.items()},
        estimate=estimate(list(scores.values())) if scores else None,
        metrics=_means(list(counted.values()), leave_out=metric),
        stopped={seed: found for seed, run in by_seed.items() if (found := _stopped(run, metric))},
        notes=(*_seed_notes(reasons, len(by_seed)), *origins),
    )


def _one_per_seed(runs: Sequence[RunRecord]) -> dict[int, RunRecord]:
    """Seed -> its run, in the order of seeds. Of several, a finished one counts, then the newest."""
    best: dict[int, RunRecord] = {}
    for run in sorted(runs, key=lambda run: (run.status == "FINISHED", run.start_time or 0)):
        best[-1 if run.seed is None else run.seed] = run
    return dict(sorted(best.items()))


def _why_not_counted(run: RunRecord, metric: str, reference: dict[str, Any], factors: dict[str, Any]) -> str | None:
    """Why a trial's score is not part of its configuration's mean; None if it is."""
    progress = float(run.tags.get(Tag.PROGRESS) or 0)
    at = f" at {progress:.0%}" if progress else ""
    if run.early_stop is not None:
        return f"stopped by {run.early_stop}"
    if run.status == "FAILED":
        error = run.tags.get(Tag.ERROR, "").strip().splitlines()
        return "failed" + (f": {error[-1]}" if error else "")
    if run.status != "FINISHED":
        return {"RUNNING": "running", "SCHEDULED": "waiting"}.get(run.status, "interrupted") + at
    if metric not in run.metrics:
        return f"finished without {metric}"
    if not isfinite(run.metrics[metric]):
        return f"ended with {metric} {run.metrics[metric]}"
    return _why_not_comparable(_comparable(run), reference, factors)


def _stopped(run: RunRecord, metric: str) -> Stopped | None:
    stop = run.early_stop
    return None if stop is None else Stopped(str(stop), stop.evaluation / stop.evaluations, run.metrics.get(metric))


def _reference(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """What runs must agree in to be compared: what most of the baseline's finished trials have, else of all."""
    finished = [run for run in runs if run.status == "FINISHED"]
    texts = Counter(
        json.dumps(_comparable(run), sort_keys=True)
        for run in [run for run in finished if run.role == "baseline"] or finished
    )
    reference: dict[str, Any] = json.loads(texts.most_common(1)[0][0]) if texts else {}
    return reference


def _comparable(run: RunRecord) -> dict[str, Any]:
    found = json.loads(run.tags.get(Tag.COMPARABLE) or "{}")
    return found if isinstance(found, dict) else {}


def _why_not_comparable(own: dict[str, Any], reference: dict[str, Any], factors: dict[str, Any]) -> str | None:
    for key in sorted(own.keys() | reference.keys()):
        if own.get(key) != reference.get(key) and _ITS_OWN_FACTOR.get(key) not in factors:
            name = _ALIASES.get(key, key)
            return f"not comparable: {name} {_short(own.get(key))}, the others' is {_short(reference.get(key))}"
    return None


def _short(value: Any) -> str:
    return str(value)[:8] if isinstance(value, str) else json.dumps(value)


def _factors(run: RunRecord) -> dict[str, Any]:
    keys = run.tags.get(Tag.FACTOR, "").split()
    levels = json.loads(run.tags.get(Tag.LEVEL) or "[]")
    return dict(zip(keys, levels, strict=False))


def _means(runs: Sequence[RunRecord], leave_out: str) -> dict[str, float]:
    shared = set.intersection(*(set(run.metrics) for run in runs)) if runs else set[str]()
    return {key: fmean(run.metrics[key] for run in runs) for key in sorted(shared - {leave_out})}


def _seed_notes(reasons: dict[int, str], planned: int) -> list[str]:
    """Seeds that do not count, one note per reason."""
    seeds: dict[str, list[int]] = {}
    for seed, reason in reasons.items():
        seeds.setdefault(reason, []).append(seed)
    return [
        f"{len(those)} of {planned} seeds {reason} (seed {', '.join(map(str, those))})"
        for reason, those in seeds.items()
    ]


def _origin_notes(counted: dict[int, RunRecord], runs: Sequence[RunRecord]) -> list[str]:
    """Results that count, but were not computed by this sweep with today's code, or more than once."""
    notes = []
    reused = Counter(run.tags[Tag.REUSED_FROM].split(" ")[0] for run in counted.values() if Tag.REUSED_FROM in run.tags)
    notes += [f"{count} of {len(counted)} results from the sweep {sweep}" for sweep, count in reused.items()]
    older = sum(bool(run.tags.get(Tag.OLDER_CODE)) for run in counted.values())
    if older:
        notes.append(f"{older} of {len(counted)} results computed by older code")
    finished = Counter(run.seed for run in runs if run.status == "FINISHED")
    notes += [f"seed {seed} finished {count} times; the newest counts" for seed, count in finished.items() if count > 1]
    return notes
