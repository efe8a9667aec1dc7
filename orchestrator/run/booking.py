"""The run in MLflow that each planned trial has: an old one that goes on, or a new one. Runs on: the driver."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.planner import Plan, Trial
from orchestrator.plan.site import Site
from orchestrator.run.worker import Order
from orchestrator.track.ledger import SUPERSEDED, Entry, State, Stock
from orchestrator.track.names import METRIC_VERSION, Tag
from orchestrator.track.params import to_params
from orchestrator.track.paths import SweepPaths, TrialPaths
from orchestrator.track.provenance import code_version
from orchestrator.track.recorder import Recorder, RunPlace
from orchestrator.track.records import RunRecord
from perceiver.config import dump


@dataclass
class Booking:
    """A trial, its run, and whether anything is left to do."""

    trial: Trial
    parent: str
    run_id: str
    root: str
    finished: bool = False
    attempts: int = 0
    """How often the trial was started, in all drivers."""
    running: bool = False
    """Whether a worker has it now."""

    @property
    def paths(self) -> TrialPaths:
        """Where the trial's files lie."""
        return TrialPaths(self.root)

    def order(self, site: Site, paths: SweepPaths) -> Order:
        """What the trial's worker has to know."""
        return Order(
            trial=self.trial.id,
            config=dump(self.trial.config),
            root=self.root,
            data=site.data_source(self.trial.config.data.set),
            stop=paths.stop,
            cpus=max(1, int(site.resources.cpus)),
            gpus=site.resources.gpus,
            data_workers=site.data_workers,
            checkpoint_seconds=site.checkpoint_seconds,
        )


def book(plan: Plan, stock: Stock, recorder: Recorder, lineage: Mapping[str, str] | None) -> list[Booking]:
    """A run for every trial of the plan, in its order; `lineage` is tagged on final runs.

    What is on record and not in the plan is superseded: the board shows what the file says, and a trial that comes
    back into the file has its result again.
    """
    parent = recorder.open_parent({} if lineage else _parent_tags(plan))
    desk = _Desk(plan, recorder, parent, lineage or {})
    bookings = [desk.book(trial, stock.entries[trial.id]) for trial in plan.trials]
    booked = {booking.run_id for booking in bookings}
    for run in stock.runs if lineage is None else ():
        if run.run_id not in booked and run.role != SUPERSEDED:
            recorder.tag(run.run_id, {Tag.ROLE: SUPERSEDED})
    recorder.flush()
    return bookings


@dataclass(frozen=True)
class _Desk:
    """Where trials get their runs."""

    plan: Plan
    recorder: Recorder
    parent: str
    lineage: Mapping[str, str]

    def book(self, trial: Trial, entry: Entry) -> Booking:
        """The trial's run: the one that is there, or a new one."""
        if entry.state == State.REUSABLE:
            return self._repeat(trial, entry)
        if entry.run is not None:
            return self._go_on(trial, entry, entry.run)
        place = self._schedule(trial)
        return Booking(trial, self.parent, place.run_id, place.root)

    def _go_on(self, trial: Trial, entry: Entry, run: RunRecord) -> Booking:
        attempts = int(run.tags.get(Tag.ATTEMPTS) or 0)
        finished = entry.state == State.FINISHED
        tags = _place_tags(trial) | ({str(Tag.OLDER_CODE): self.plan.code_digest} if entry.older_code else {})
        self.recorder.describe(run.run_id, tags, to_params(trial.config))
        if not finished:
            self.recorder.wait(run.run_id)
        return Booking(trial, self.parent, run.run_id, run.artifact_uri, finished, attempts)

    def _repeat(self, trial: Trial, entry: Entry) -> Booking:
        """A finished run here for an equal trial's result in another sweep: nothing is paid for twice."""
        assert entry.run is not None
        place = self._schedule(trial, {Tag.REUSED_FROM: f"{entry.sweep} {entry.run.run_id}", Tag.PROGRESS: "1.0000"})
        self.recorder.copy_metrics(entry.run.run_id, place.run_id)
        self.recorder.end(place.run_id, "FINISHED")
        return Booking(trial, self.parent, place.run_id, entry.run.artifact_uri, finished=True)

    def _schedule(self, trial: Trial, more: Mapping[str, str] | None = None) -> RunPlace:
        tags = _trial_tags(trial, self.plan) | dict(self.lineage) | dict(more or {})
        name = f"{trial.configuration} seed {trial.seed}"
        return self.recorder.schedule(self.parent, name, tags, to_params(trial.config))


def _parent_tags(plan: Plan) -> dict[str, str]:
    score = {"metric": plan.sweep.score.metric, "goal": plan.sweep.score.goal}
    return {
        Tag.NAME: plan.sweep.name,
        Tag.ROLE: "sweep",
        Tag.QUESTION: plan.sweep.question,
        Tag.SCORE: json.dumps(score),
    }


def _trial_tags(trial: Trial, plan: Plan) -> dict[str, str]:
    comparable: dict[str, Any] = {"data": trial.data_digest, "metrics": METRIC_VERSION}
    return {
        Tag.NAME: plan.sweep.name,
        Tag.TRIAL: trial.id,
        Tag.IDENTITY: trial.identity or "",
        Tag.SEED: str(trial.seed),
        **_place_tags(trial),
        Tag.COMPARABLE: json.dumps(comparable),
        Tag.CODE: code_version(),
        Tag.CODE_DIGEST: plan.code_digest,
    }


def _place_tags(trial: Trial) -> dict[str, str]:
    """Where the trial stands in its sweep: this may change with the file while its result stays what it is."""
    return {
        Tag.ROLE: trial.role,
        Tag.CONFIGURATION: trial.configuration,
        Tag.FACTOR: " ".join(trial.factors),
        Tag.LEVEL: json.dumps(list(trial.factors.values())),
    }
