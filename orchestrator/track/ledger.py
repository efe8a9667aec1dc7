"""What is already there for a plan: which trials are finished, here or in another sweep, and which were begun.

Reads MLflow through the reader that needs no mlflow, so that `sweep plan` stays quick; and the last plan from storage.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Literal

from orchestrator.errors import UsageError
from orchestrator.plan.planner import Plan, PlanDiff, Trial, extend_plan
from orchestrator.plan.vary import Adaptive
from orchestrator.track import storage
from orchestrator.track.names import SUPERSEDED, Tag
from orchestrator.track.paths import SweepPaths
from orchestrator.track.proposals import recorded_proposals
from orchestrator.track.reader import NoDatabase, find_identities, read_by_id, read_runs
from orchestrator.track.records import RunRecord
from perceiver.environment import environment

OLDER_CODE = "made by older code"

_OnRecord = dict[tuple[str, bool], list[RunRecord]]
"""Trial id, and whether it is a final run's -> the runs of that trial in this sweep."""

NoReuse = Literal["all", "environment"]
"""What is not taken over: any result of another sweep, or any that was computed in another environment than today's."""


class State(StrEnum):
    """Where a planned trial stands."""

    NEW = "new"
    """Nothing is there."""
    UNFINISHED = "unfinished"
    """A run is there that has not come to its end: it waits, runs, failed or was interrupted."""
    FINISHED = "finished"
    """Its result is in this sweep."""
    STOPPED = "stopped"
    """`stop_early` ended it in this sweep: a result, at less than the whole budget."""
    REUSABLE = "reusable"
    """Its result is in another sweep."""


@dataclass(frozen=True)
class Entry:
    """What is there for one trial."""

    state: State
    run: RunRecord | None = None
    """The run that has the result, or that goes on."""
    sweep: str = ""
    """The sweep that has the result, if it is reusable."""
    near_miss: str = ""
    """Why a run of the same configuration does not count: what differs."""
    older_code: bool = False
    """The run was made by other code, and the user accepts that."""

    @property
    def progress(self) -> float:
        """Share of the trial that is saved."""
        return _progress(self.run) if self.run else 0.0

    def __str__(self) -> str:
        if self.state == State.REUSABLE:
            return f"finished in {self.sweep}"
        older = f", {OLDER_CODE}" if self.older_code else ""
        if self.state == State.STOPPED and self.run is not None:
            return f"stopped by {self.run.early_stop}{older}"
        if self.state == State.UNFINISHED:
            return f"at {self.progress:.0%}{older}" if self.progress else "new"
        return f"near miss: {self.near_miss}" if self.near_miss else f"{self.state}{older}"


@dataclass(frozen=True)
class Stock:
    """What is there for a plan."""

    plan: Plan
    """The plan, with what the search of an adaptive sweep has proposed so far."""
    entries: Mapping[str, Entry]
    """Trial id -> what is there for it."""
    runs: tuple[RunRecord, ...]
    """Every trial's run of this sweep, in the plan or not; final runs are not among them."""
    accept_older_code: bool = False
    no_reuse: NoReuse | None = None

    def look_up(self, trial: Trial) -> Entry:
        """What is there for a trial that has joined the plan since."""
        results = _results(self.plan, [trial], self.no_reuse)
        found = {run.tags.get(Tag.IDENTITY): run for run in reversed(results)}
        return _entry(trial, self.plan, self._on_record, found, self.accept_older_code)

    @cached_property
    def _on_record(self) -> "_OnRecord":
        return _by_trial(run for run in self.runs if _may_count(run, self.no_reuse))

    @property
    def by_older_code(self) -> list[Entry]:
        """What was paid for but was made by other code."""
        return [entry for entry in self.entries.values() if entry.near_miss == OLDER_CODE]

    @property
    def is_another_sweep(self) -> bool:
        """Whether results are on record under this name, and none of them is of a trial in the plan."""
        there = {run.tags.get(Tag.TRIAL) for run in self.runs if run.role != SUPERSEDED and _progress(run)}
        return bool(there) and there.isdisjoint(self.entries)


def take_stock(plan: Plan, accept_older_code: bool = False, no_reuse: NoReuse | None = None) -> Stock:
    """What is there for each trial of a plan.

    Raises:
        Unreachable: the tracker does not answer. A tracker that is not there yet holds nothing.
    """
    here = _runs_of(plan)
    plan = extend_plan(plan, recorded_proposals(plan, here))
    elsewhere = _results(plan, plan.trials, no_reuse)
    count = [run for run in here if _may_count(run, no_reuse)]
    on_record = _by_trial(count)
    results = {run.tags.get(Tag.IDENTITY): run for run in reversed(elsewhere)}
    entries = {trial.id: _entry(trial, plan, on_record, results, accept_older_code) for trial in plan.trials}
    return Stock(plan, entries, tuple(run for run in here if not is_final(run)), accept_older_code, no_reuse)


def changes_since_last_run(plan: Plan) -> PlanDiff | None:
    """What differs from the plan that lies beside the sweep's results; None if nothing does, or it was never run.

    An adaptive sweep's plan holds what was proposed, which no file says, so there is nothing to compare.

    Raises:
        Unreachable: storage does not answer.
    """
    if isinstance(plan.sweep.vary, Adaptive):
        return None
    frozen = storage.read_json(SweepPaths(plan.site.storage, plan.sweep.name).plan)
    return (plan.diff(frozen) or None) if frozen else None


def is_final(run: RunRecord) -> bool:
    """Whether the run is a promotion's; its role tells until it is superseded."""
    return Tag.PROMOTED_FROM in run.tags


def original(run: RunRecord, tracking: str) -> RunRecord:
    """The run that computed this one's result: itself, unless it repeats another sweep's."""
    if Tag.REUSED_FROM not in run.tags:
        return run
    found = read_by_id(tracking, [run.tags[Tag.REUSED_FROM].split(" ")[-1]])
    return found[0] if found else run


def _runs_of(plan: Plan) -> tuple[RunRecord, ...]:
    """The runs of this sweep, however they ended."""
    try:
        return read_runs(plan.site.tracking, plan.sweep.name).children
    except (NoDatabase, UsageError):
        return ()


def _may_count(run: RunRecord, no_reuse: NoReuse | None) -> bool:
    """Whether what was computed may be taken over where the user wants nothing of another environment."""
    return no_reuse != "environment" or not _progress(run) or run.environments == [environment()]


def _results(plan: Plan, trials: Iterable[Trial], no_reuse: NoReuse | None) -> list[RunRecord]:
    """Finished runs of any sweep with the identity of one of these trials, as far as they may be taken over."""
    if no_reuse == "all":
        return []
    try:
        found = find_identities(plan.site.tracking, [trial.identity for trial in trials if trial.identity])
    except NoDatabase:
        return []
    finished = [run for run in found if run.status == "FINISHED" and Tag.REUSED_FROM not in run.tags]
    return [run for run in finished if _may_count(run, no_reuse)]


def _by_trial(runs: Iterable[RunRecord]) -> _OnRecord:
    found: _OnRecord = {}
    for run in runs:
        found.setdefault((run.tags.get(Tag.TRIAL, ""), is_final(run)), []).append(run)
    return found


def _entry(
    trial: Trial, plan: Plan, here: _OnRecord, results: Mapping[str | None, RunRecord], accept_older_code: bool
) -> Entry:
    runs = here.get((trial.id, trial.role == "final"), [])
    same = [run for run in runs if run.tags.get(Tag.IDENTITY) == trial.identity]
    older = [run for run in runs if run.tags.get(Tag.OLDER_CODE) == plan.code_digest]
    accepted = [run for run in older if _difference(run, trial) == OLDER_CODE]  # not where the data has changed, too
    if same or accepted:
        best = max(same or accepted, key=_worth)
        return Entry(_state(best, trial, plan), best, older_code=not same)
    if trial.identity in results:
        result = results[trial.identity]
        return Entry(State.REUSABLE, result, sweep=result.tags[Tag.NAME])
    begun = [run for run in runs if run.role != SUPERSEDED and _progress(run)]
    if not begun:
        return Entry(State.NEW)
    best = max(begun, key=_worth)
    differs = _difference(best, trial)
    if differs == OLDER_CODE and accept_older_code:
        return Entry(_state(best, trial, plan), best, older_code=True)
    return Entry(State.NEW, near_miss=differs)


def _state(run: RunRecord, trial: Trial, plan: Plan) -> State:
    """A trial that was stopped early goes on if today's file would not have stopped it there."""
    if run.status == "FINISHED":
        return State.FINISHED
    stop, rule = run.early_stop, plan.sweep.stop_early
    if stop is None or rule is None or not plan.may_stop(trial):
        return State.UNFINISHED
    return State.STOPPED if stop.rule == rule.rule and stop.evaluation >= rule.grace else State.UNFINISHED


def _worth(run: RunRecord) -> tuple[bool, float, int]:
    """Of several runs of a trial, as when a deleted one was restored, a finished one counts, then the newest."""
    return run.status == "FINISHED", _progress(run), run.start_time or 0


def _progress(run: RunRecord) -> float:
    return float(run.tags.get(Tag.PROGRESS) or 0.0)


def _difference(run: RunRecord, trial: Trial) -> str:
    """What sets a run of an equal config apart from the planned trial."""
    data = json.loads(run.tags.get(Tag.COMPARABLE) or "{}").get("data")
    return OLDER_CODE if data == trial.data_digest else f"data digest {str(data)[:8]}"
