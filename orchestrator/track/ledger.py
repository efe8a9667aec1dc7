"""What is already there for a plan: which trials are finished, here or in another sweep, and which were begun.

Reads MLflow only, through the reader that needs no mlflow, so that `sweep plan` stays quick.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.errors import UsageError
from orchestrator.plan.planner import Plan, Trial
from orchestrator.track.names import Tag
from orchestrator.track.reader import NoDatabase, find_identities, read_runs
from orchestrator.track.records import RunRecord

OLDER_CODE = "made by older code"


class State(StrEnum):
    """Where a planned trial stands."""

    NEW = "new"
    """Nothing is there."""
    UNFINISHED = "unfinished"
    """A run is there that has not come to its end: it waits, runs, failed or was interrupted."""
    FINISHED = "finished"
    """Its result is in this sweep."""
    REUSABLE = "reusable"
    """Its result is in another sweep."""


@dataclass(frozen=True)
class Entry:
    """What is there for one trial."""

    state: State
    run: RunRecord | None = None
    """The run that has the result, or that goes on."""
    sweep: str = ""
    """The other sweep, if the result is reusable."""
    near_miss: str = ""
    """Why a finished run of the same configuration does not count: what differs."""
    outdated: tuple[RunRecord, ...] = ()
    """Runs of the same configuration on other data or by other code; a new run takes their place."""
    older_code: bool = False
    """The result was computed by other code, and the user accepts that."""

    @property
    def progress(self) -> float:
        """Share of the trial that is saved."""
        return float(self.run.tags.get(Tag.PROGRESS, 0.0)) if self.run else 0.0

    def __str__(self) -> str:
        if self.state == State.REUSABLE:
            return f"finished in {self.sweep}"
        if self.state == State.UNFINISHED:
            return f"at {self.progress:.0%}" if self.progress else "new"
        if self.near_miss:
            return f"near miss: {self.near_miss}"
        return f"finished, {OLDER_CODE}" if self.older_code else str(self.state)


def take_stock(plan: Plan, accept_older_code: bool = False) -> dict[str, Entry]:
    """Trial id -> what is there for it.

    Raises:
        Unreachable: the tracker does not answer. A tracker that is not there yet holds nothing.
    """
    here = _runs_of(plan)
    elsewhere = _runs_elsewhere(plan)
    return {trial.id: _entry(trial, plan, here, elsewhere, accept_older_code) for trial in plan.trials}


def _runs_of(plan: Plan) -> dict[str, list[RunRecord]]:
    """Trial id -> its runs in this sweep, however they ended."""
    try:
        children = read_runs(plan.site.tracking, plan.sweep.name).children
    except (NoDatabase, UsageError):
        return {}
    runs: dict[str, list[RunRecord]] = {}
    for run in children:
        runs.setdefault(run.tags.get(Tag.TRIAL, ""), []).append(run)
    return runs


def _runs_elsewhere(plan: Plan) -> Mapping[str, RunRecord]:
    """Identity -> a finished run of another sweep."""
    identities = [trial.identity for trial in plan.trials if trial.identity]
    try:
        found = find_identities(plan.site.tracking, identities)
    except NoDatabase:
        return {}
    return {
        run.tags[Tag.IDENTITY]: run
        for run in found
        if run.status == "FINISHED" and run.tags.get(Tag.NAME) != plan.sweep.name and Tag.REUSED_FROM not in run.tags
    }


def _entry(
    trial: Trial,
    plan: Plan,
    here: Mapping[str, list[RunRecord]],
    elsewhere: Mapping[str, RunRecord],
    accept_older_code: bool,
) -> Entry:
    runs = [run for run in here.get(trial.id, []) if run.role != "superseded"]
    same = [run for run in runs if run.tags.get(Tag.IDENTITY) == trial.identity]
    if same:
        best = max(same, key=lambda run: (run.status == "FINISHED", float(run.tags.get(Tag.PROGRESS, 0))))
        return Entry(State.FINISHED if best.status == "FINISHED" else State.UNFINISHED, best)
    outdated = tuple(runs)
    if trial.identity is not None and trial.identity in elsewhere:
        run = elsewhere[trial.identity]
        return Entry(State.REUSABLE, run, sweep=run.tags[Tag.NAME], outdated=outdated)
    finished = next((run for run in runs if run.status == "FINISHED"), None)
    near_miss = difference(finished, trial) if finished else ""
    if near_miss == OLDER_CODE and accept_older_code:
        return Entry(State.FINISHED, finished, older_code=True)
    return Entry(State.NEW, near_miss=near_miss, outdated=outdated)


def difference(run: RunRecord, trial: Trial) -> str:
    """What sets a finished run of an equal config apart from the planned trial."""
    data = json.loads(run.tags.get(Tag.COMPARABLE) or "{}").get("data")
    return OLDER_CODE if data == trial.data_digest else f"data digest {str(data)[:8]}"
