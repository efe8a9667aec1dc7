"""The run in MLflow that each planned trial has: an old one that goes on, or a new one. Runs on: the driver."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.plan.identity import mixed_identity
from orchestrator.plan.planner import Plan, Trial
from orchestrator.plan.spec import Score
from orchestrator.plan.vary import Adaptive
from orchestrator.run.worker import Order
from orchestrator.track import checkpoints, storage
from orchestrator.track.ledger import Entry, State, Stock
from orchestrator.track.names import EVALUATED, METRIC_VERSION, SUPERSEDED, Tag
from orchestrator.track.params import to_params
from orchestrator.track.paths import SweepPaths, TrialPaths
from orchestrator.track.provenance import code_version
from orchestrator.track.reader import read_history
from orchestrator.track.recorder import Recorder, RunPlace
from orchestrator.track.records import EarlyStop, RunRecord
from perceiver.config import dump

Scores = list[tuple[float, ...]]
"""The sweep's scores at each evaluation of a trial, from the first on; NaN where one was not reported."""


@dataclass
class Booking:
    """A trial, its run, and whether anything is left to do."""

    trial: Trial
    run_id: str
    root: str
    finished: bool = False
    stop: EarlyStop | None = None
    """Where `stop_early` has ended it."""
    may_stop: bool = False
    """Whether `stop_early` may end it."""
    attempts: int = 0
    """How often the trial was started, in all drivers."""
    environments: list[dict[str, str]] = field(default_factory=list)
    """What it was computed with so far; see `perceiver.environment`."""
    running: bool = False
    """Whether a worker has it now."""
    home: str = ""
    """Where its files belong, if its run was deleted and booked again while it trained: they are copied at its end."""
    scores: Scores = field(default_factory=list)
    """Of the evaluations that are recorded; kept where the sweep searches or stops trials early."""

    @property
    def there(self) -> bool:
        """Whether the trial has its result: it is finished, or was stopped early."""
        return self.finished or self.stop is not None

    @property
    def paths(self) -> TrialPaths:
        """Where the trial's files lie."""
        return TrialPaths(self.root)

    def order(self, plan: Plan, paths: SweepPaths) -> Order:
        """What the trial's worker has to know."""
        site = plan.site
        return Order(
            trial=self.trial.id,
            config=dump(self.trial.config),
            root=self.root,
            data=plan.data.source(site, self.trial.config.data.set),
            stop=paths.stop,
            cpus=max(1, int(site.resources.cpus)),
            gpus=site.resources.gpus,
            workers=site.workers,
            data_workers=site.data_workers,
            checkpoint_seconds=site.checkpoint_seconds,
        )


def extended(before: list[dict[str, str]], now: dict[str, str], goes_on: bool) -> list[dict[str, str]]:
    """The environments of a trial whose next attempt begins: one more where it goes on in another than before."""
    return before if goes_on and before[-1:] == [now] else [*(before if goes_on else []), now]


def evaluations(history: Iterable[Mapping[str, Any]], scores: Sequence[Score]) -> Scores:
    """The scores of the evaluations among a trial's reports."""
    metrics = [report["metrics"] for report in history if EVALUATED in report["metrics"]]
    return [tuple(found.get(score.metric, math.nan) for score in scores) for found in metrics]


class Desk:
    """Where trials get their runs; `lineage` is tagged on final runs."""

    def __init__(self, stock: Stock, recorder: Recorder, paths: SweepPaths, lineage: Mapping[str, str] | None) -> None:
        self.stock, self.recorder, self.paths, self.lineage = stock, recorder, paths, lineage
        self._plan = stock.plan
        self.parent = self._open_parent()
        """The sweep's own run."""
        self._histories: dict[str, list[dict[str, Any]]] = {}

    def book_all(self) -> dict[str, Booking]:
        """A run for every trial of the plan, in its order.

        What is on record and not in the plan is superseded: the board shows what the file says, and a trial that comes
        back into the file has its result again.
        """
        plan, entries = self._plan, self.stock.entries
        self._read_histories(entries.values())
        bookings = {trial.id: self.book(trial, entries[trial.id]) for trial in plan.trials}
        booked = {booking.run_id for booking in bookings.values()}
        for run in self.stock.runs if self.lineage is None else ():
            if run.run_id not in booked and run.role != SUPERSEDED:
                self.supersede(run.run_id)
                if run.status == "RUNNING":
                    self.recorder.end(run.run_id, "KILLED", stopped="interrupted", error="its driver died")
        self.recorder.flush()
        self.freeze(plan, bookings)
        return bookings

    def join(self, trial: Trial) -> Booking:
        """A run for a trial that has joined the plan since.

        Raises:
            Unreachable: the tracker does not answer.
        """
        entry = self.stock.look_up(trial)
        self._read_histories([entry])
        return self.book(trial, entry)

    def book_again(self, booking: Booking) -> None:
        """A new run for a trial whose run was deleted before its end was recorded. It has what the trial has saved.

        Raises:
            Unreachable: tracker or storage does not answer; nothing has changed.
        """
        self.parent = self._open_parent()
        place = self._schedule(booking.trial)
        newest = next(checkpoints.complete(booking.paths.checkpoints), None)
        saved = storage.read_json(f"{newest}/progress.json") if newest else None
        storage.copy_folder(booking.root, place.root)
        self.recorder.forget(booking.run_id)
        booking.run_id, booking.home = place.run_id, place.root
        self.recorder.start(place.run_id, booking.attempts, json.dumps(booking.environments))
        if saved:
            self.recorder.report(place.run_id, saved["history"], saved["step"] / saved["total"])

    def bring_home(self, booking: Booking) -> None:
        """Copies the files of a trial that was booked again, and has ended, to where its run has them.

        Raises:
            Unreachable: storage does not answer; they stay where they are.
        """
        if booking.home:
            storage.copy_folder(booking.root, booking.home)
            booking.root, booking.home = booking.home, ""

    def supersede(self, run_id: str) -> None:
        """Takes a run off the board; its result is kept."""
        self.recorder.tag(run_id, {Tag.ROLE: SUPERSEDED})

    def freeze(self, plan: Plan, bookings: Mapping[str, Booking]) -> None:
        """Writes the plan beside the results; a final run is not the sweep's plan.

        Raises:
            Unreachable: storage can't be written.
        """
        if self.lineage is None:
            runs = {booking.trial.id: booking.run_id for booking in bookings.values()}
            frozen = plan.freeze() | {"final": plan.sweep.final, "runs": runs}
            storage.write_text(self.paths.plan, json.dumps(frozen))

    def book(self, trial: Trial, entry: Entry) -> Booking:
        """The trial's run: the one that is there, or a new one."""
        if entry.state == State.REUSABLE:
            booking = self._repeat(trial, entry)
        elif entry.run is not None:
            booking = self._go_on(trial, entry, entry.run)
        else:
            place = self._schedule(trial)
            booking = Booking(trial, place.run_id, place.root)
        booking.may_stop = self._plan.may_stop(trial)
        if entry.run is not None and entry.run.run_id in self._histories:
            found = evaluations(self._histories[entry.run.run_id], self._plan.sweep.scores)
            booking.scores = found[: booking.stop.evaluation] if booking.stop else found
        return booking

    def _read_histories(self, entries: Iterable[Entry]) -> None:
        """The recorded scores of what is there, where somebody asks for them: a search, or a rule that stops trials."""
        sweep = self._plan.sweep
        if not isinstance(sweep.vary, Adaptive) and sweep.stop_early is None:
            return
        begun = [entry.run.run_id for entry in entries if entry.run is not None and entry.progress]
        metrics = {EVALUATED, *(score.metric for score in sweep.scores)}
        self._histories |= read_history(self._plan.site.tracking, begun, metrics) if begun else {}

    def _go_on(self, trial: Trial, entry: Entry, run: RunRecord) -> Booking:
        attempts = int(run.tags.get(Tag.ATTEMPTS) or 0)
        finished = entry.state == State.FINISHED
        stop = run.early_stop if entry.state == State.STOPPED else None
        tags = _place_tags(trial) | (self._older_tags(run, finished or stop is not None) if entry.older_code else {})
        self.recorder.describe(run.run_id, {Tag.PARENT: self.parent, **tags}, to_params(trial.config))
        if not finished and stop is None:
            self.recorder.wait(run.run_id)
        booking = Booking(trial, run.run_id, run.artifact_uri, finished, stop, attempts=attempts)
        booking.environments = run.environments
        return booking

    def _older_tags(self, run: RunRecord, there: bool) -> dict[str, str]:
        """What is said of a run that other code made or began. What goes on under today's code is neither code's."""
        today = self._plan.code_digest
        mixed = {} if there else {str(Tag.IDENTITY): mixed_identity(run.tags.get(Tag.IDENTITY, ""), today)}
        return {str(Tag.OLDER_CODE): today} | mixed

    def _repeat(self, trial: Trial, entry: Entry) -> Booking:
        """A finished run here for an equal trial's result in another sweep: nothing is paid for twice."""
        assert entry.run is not None
        origin: dict[str, str] = {Tag.REUSED_FROM: f"{entry.sweep} {entry.run.run_id}", Tag.PROGRESS: "1.0000"}
        if entry.run.environments:
            origin[Tag.ENVIRONMENT] = entry.run.tags[Tag.ENVIRONMENT]
        place = self._schedule(trial, origin)
        self.recorder.copy_metrics(entry.run.run_id, place.run_id)
        self.recorder.end(place.run_id, "FINISHED")
        return Booking(trial, place.run_id, entry.run.artifact_uri, finished=True)

    def _open_parent(self) -> str:
        is_sweep = self.lineage is None
        return self.recorder.open_parent(_parent_tags(self._plan) if is_sweep else {}, runs=is_sweep)

    def _schedule(self, trial: Trial, more: Mapping[str, str] | None = None) -> RunPlace:
        tags = _trial_tags(trial, self._plan) | dict(self.lineage or {}) | dict(more or {})
        name = f"{trial.configuration} seed {trial.seed}"
        return self.recorder.schedule(self.parent, name, tags, to_params(trial.config))


def _parent_tags(plan: Plan) -> dict[str, str]:
    score = {"metric": plan.sweep.score.metric, "goal": plan.sweep.score.goal}
    return {
        Tag.NAME: plan.sweep.name,
        Tag.ROLE: "sweep",
        Tag.QUESTION: plan.sweep.question,
        Tag.SCORE: json.dumps(score),
        Tag.REPLICATES: str(len(plan.sweep.seeds)),
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
    proposal = {str(Tag.PROPOSAL): json.dumps(asdict(trial.proposal))} if trial.proposal else {}
    return {
        Tag.ROLE: trial.role,
        Tag.CONFIGURATION: trial.configuration,
        Tag.FACTOR: " ".join(trial.factors),
        Tag.LEVEL: json.dumps(list(trial.factors.values())),
        **proposal,
    }
