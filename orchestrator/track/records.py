"""What is read back from MLflow: runs, a sweep's runs, and one line per sweep. Plain data, whatever the backend."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.track.names import Tag

TRIAL_ROLES = ("baseline", "trial")

_EARLY = re.compile(r"(\w+) at (\d+) of (\d+) evaluations")


@dataclass(frozen=True)
class EarlyStop:
    """Where `stop_early` ended a trial. Its text is the run's tag `sweep.stopped`."""

    rule: str
    evaluation: int
    """How many evaluations it had made."""
    evaluations: int
    """How many it would have made."""

    def __str__(self) -> str:
        return f"{self.rule} at {self.evaluation} of {self.evaluations} evaluations"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as it stands. Times are milliseconds since 1970, as MLflow keeps them."""

    run_id: str
    status: str
    """SCHEDULED, RUNNING, FINISHED, FAILED or KILLED."""
    start_time: int | None
    end_time: int | None
    artifact_uri: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The latest value of each metric; NaN and infinity are what they say."""

    @property
    def role(self) -> str:
        """sweep, baseline, trial or final; empty for a run that the project did not make."""
        return self.tags.get(Tag.ROLE, "")

    @property
    def early_stop(self) -> EarlyStop | None:
        """Where the trial was stopped early; MLflow has no state for that, and calls it KILLED."""
        found = _EARLY.fullmatch(self.tags.get(Tag.STOPPED, "")) if self.status == "KILLED" else None
        return EarlyStop(found[1], int(found[2]), int(found[3])) if found else None

    @property
    def environments(self) -> list[dict[str, str]]:
        """The environments that computed the result, one after the other; none where it is not known."""
        try:
            found = json.loads(self.tags.get(Tag.ENVIRONMENT) or "[]")
        except ValueError:
            return []
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    @property
    def seed(self) -> int | None:
        """The replicate's seed."""
        seed = self.tags.get(Tag.SEED, "")
        return int(seed) if seed.lstrip("-").isdigit() else None


class HistoryRow(NamedTuple):
    """One value of a metric. The step is the number of training clips, the time in milliseconds since 1970."""

    run_id: str
    metric: str
    step: int
    time: int
    value: float


@dataclass(frozen=True)
class SweepRuns:
    """All runs of one sweep that were not deleted."""

    sweep: str
    tracking_uri: str
    experiment_id: str
    parent: RunRecord | None
    """The sweep's own run with the question and the score; None while the sweep was never started."""
    children: tuple[RunRecord, ...]
    """Every other run, in the order of their start."""

    @property
    def trials(self) -> list[RunRecord]:
        """Runs of the plan: baseline and trials."""
        return [run for run in self.children if run.role in TRIAL_ROLES]

    @property
    def finals(self) -> list[RunRecord]:
        """Final runs of promoted configurations."""
        return [run for run in self.children if run.role == "final"]


@dataclass(frozen=True)
class SweepSummary:
    """One line about a sweep: how far it is, and when something last happened."""

    sweep: str
    question: str
    trials: int
    finished: int
    running: int
    failed: int
    stopped: int
    """Stopped early."""
    changed: int | None
    """Latest start or end of a run, in milliseconds since 1970."""


def gather(sweep: str, tracking_uri: str, experiment_id: str, runs: Iterable[RunRecord]) -> SweepRuns:
    """Sorts an experiment's runs into the sweep's parent and the rest; of several parents the newest counts."""
    ordered = sorted(runs, key=lambda run: (run.start_time or 0, run.run_id))
    parents = [run for run in ordered if run.role == "sweep"]
    children = tuple(run for run in ordered if run.role != "sweep")
    return SweepRuns(sweep, tracking_uri, experiment_id, parents[-1] if parents else None, children)


def summarise(runs: SweepRuns) -> SweepSummary:
    """A sweep's line, from its runs."""
    states = [run.status for run in runs.trials]
    times = [time for run in (*runs.children, runs.parent) if run for time in (run.start_time, run.end_time) if time]
    return SweepSummary(
        sweep=runs.sweep,
        question=runs.parent.tags.get(Tag.QUESTION, "") if runs.parent else "",
        trials=len(states),
        finished=states.count("FINISHED"),
        running=states.count("RUNNING"),
        failed=states.count("FAILED"),
        stopped=sum(run.early_stop is not None for run in runs.trials),
        changed=max(times, default=None),
    )
