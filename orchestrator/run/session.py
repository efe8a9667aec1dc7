"""One run of the driver: what is asked of Ray Tune, and what becomes of its reports. Runs on: the head node."""

import json
import tempfile
import time
from contextlib import suppress
from typing import Any

from orchestrator.errors import Unreachable
from orchestrator.plan.planner import Plan
from orchestrator.run.booking import Booking, Desk, evaluations, extended
from orchestrator.run.cluster import connected
from orchestrator.run.display import Silent
from orchestrator.run.early import EarlyStopping
from orchestrator.run.failures import EndedEarly, FailingAlike
from orchestrator.run.interrupt import Interrupt
from orchestrator.run.lease import Lease
from orchestrator.run.nodes import alive_nodes
from orchestrator.run.outcome import Outcome
from orchestrator.run.room import require_room
from orchestrator.run.upcoming import Ended, NotNow, Upcoming
from orchestrator.run.worker import Order
from orchestrator.track import storage
from orchestrator.track.records import EarlyStop

PROCESS_RETRIES = 3
"""How often Tune starts a trial again whose process died; it goes on from its checkpoint."""


class Session:
    """One run of the driver: what is asked of Tune, and what becomes of its reports."""

    def __init__(self, plan: Plan, desk: Desk, display: Silent, upcoming: Upcoming, lease: Lease) -> None:
        self.plan, self.recorder, self.paths, self.display = plan, desk.recorder, desk.paths, display
        self.upcoming, self._desk, self._lease = upcoming, desk, lease
        self.early = EarlyStopping(plan, upcoming.bookings.values())
        self.outcome = Outcome()
        self._first: Booking | NotNow | None = None
        self._verdicts: dict[str, EarlyStop | None] = {}
        self._looked, self._stop_seen = 0.0, False
        self._interrupt, self._interrupt_shown, self._stop_told = Interrupt(), False, False
        self._started: set[str] = set()
        self._failing = FailingAlike()

    @property
    def open(self) -> list[str]:
        """Ids of the trials that have not come to their end."""
        bookings = self.upcoming.bookings
        return [key for key, booking in bookings.items() if not (booking.there or key in self.outcome.failed)]

    def run(self) -> None:
        """Drives Tune until every trial has ended or the sweep was stopped."""
        self._first = self.upcoming.next()
        if self._first is not None:
            with self._interrupt, connected(self.plan.site), self.display.showing(self.upcoming):
                require_room(self.plan.site, alive_nodes())
                self._tune()
        self.conclude()

    def conclude(self) -> None:
        """Says in the outcome what came of it."""
        came_here = {*self.outcome.finished, *self.outcome.stopped}
        there = [key for key, booking in self.upcoming.bookings.items() if booking.there]
        self.outcome.already = [key for key in there if key not in came_here]
        self.outcome.waiting = sorted(self.open)
        if self.outcome.ended_early:
            left = [self.upcoming.bookings[key].trial for key in self.open if key not in self._started]
            self.outcome.not_started = {trial.id: f"{trial.configuration} seed {trial.seed}" for trial in left}
        else:
            self.outcome.interrupted = self._stop_seen and (bool(self.open) or self.upcoming.more)

    def _tune(self) -> None:
        from ray import tune

        from orchestrator.run.callback import Reports
        from orchestrator.run.search import NextTrials
        from orchestrator.run.trial import run_trial

        with tempfile.TemporaryDirectory(prefix=f"sweep-{self.plan.sweep.name}-") as scratch:
            tuner = tune.Tuner(
                tune.with_resources(run_trial, tune.PlacementGroupFactory(self._bundles())),
                tune_config=tune.TuneConfig(
                    search_alg=NextTrials(self.next_order),
                    num_samples=-1,  # until there is none any more
                    max_concurrent_trials=self.plan.site.concurrency,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=self.plan.sweep.name,
                    storage_path=scratch,  # Tune's own bookkeeping, which nothing here reads
                    callbacks=[Reports(self)],
                    failure_config=tune.FailureConfig(max_failures=PROCESS_RETRIES),
                    verbose=0,
                ),
            )
            tuner.fit()

    def _bundles(self) -> list[dict[str, float]]:
        """What Tune reserves for a trial: the same for each of its workers, on one node if it has the room."""
        return [self.plan.site.worker_resources()] * self.plan.site.workers

    def next_order(self) -> Order | NotNow | None:
        """What Tune shall start next; None once the sweep shall stop."""
        if self.outcome.ended_early or self.shall_stop():
            return None
        booking, self._first = self._first or self.upcoming.next(), None
        return booking.order(self.plan, self.paths) if isinstance(booking, Booking) else booking

    def shall_stop(self) -> bool:
        """Whether somebody asked the sweep to stop, here or with `sweep stop`; asks storage once a second."""
        self._stop_seen = self._stop_seen or self._interrupt.requested or self._lease.lost
        if not self._stop_seen and time.monotonic() - self._looked > 1:
            self._stop_seen = storage.is_asked(self.paths.stop)
            self._looked = time.monotonic()
        return self._stop_seen

    def _pass_on_interrupt(self) -> None:
        """Asks the running trials to save, by a file that they look for; tried until storage takes it."""
        if not self._interrupt_shown:
            self.display.saving(sum(booking.running for booking in self.upcoming.bookings.values()))
        self._interrupt_shown = True
        with suppress(Unreachable):
            storage.write_text(self.paths.stop, json.dumps({"by": "interrupt", "time": time.time()}))
            self._stop_told = True

    def on_report(self, report: dict[str, Any]) -> None:
        """A worker's report: recorded, shown, judged if it is an evaluation, and counted if it is a trial's last.

        A driver that has lost its lease hears nothing more: the trial is another's.
        """
        if self._lease.lost:
            return
        booking = self.upcoming.bookings[report["trial"]]
        state = report["state"]
        if state == "started":
            self._started.add(booking.trial.id)
            booking.attempts += 1
            booking.scores = []  # the whole history comes with this report
            booking.environments = extended(booking.environments, report["environment"], goes_on=report["resumed"] > 0)
            self.recorder.start(booking.run_id, booking.attempts, json.dumps(booking.environments))
        if state in ("started", "running"):
            booking.running = True
            self.recorder.report(booking.run_id, report["history"], report["saved"])
            self._hear(booking, report)
            if report["fraction"] > report["resumed"]:
                for line in self._failing.trained():
                    self.display.note(line)
        else:
            booking.running = False
            self._bring_home(booking)
        if state in ("finished", "stopped"):
            self._end(booking, state)
        elif state == "failed":
            self._fail(booking, report["error"], report)
        elif state == "interrupted":
            self._stop_seen = True
            self.recorder.end(booking.run_id, "KILLED", stopped="interrupted")
        for line in report["trouble"]:
            self.display.note(f"! {booking.trial.id}  {line}")
        self.display.report(booking, report | {"held": self._failing.holds(report)})

    def on_died(self, trial: str, error: str) -> None:
        """A trial's process died more often than it is started again."""
        booking = self.upcoming.bookings[trial]
        if self._is_open(booking):
            self._bring_home(booking)
            self._fail(booking, error)
            self.display.report(booking, {"state": "failed", "error": error})

    def tick(self) -> None:
        """Called between events: passes Ctrl-C on, writes what waits.

        Raises:
            Unreachable: another driver has taken the sweep over; what runs here ends without a trace.
        """
        if self._lease.lost:
            raise Unreachable(
                f"another driver has taken {self.plan.sweep.name} over, since this one could not renew its lease; its "
                f"trials here were ended. Watch the other with: sweep status {self.plan.sweep.name}"
            )
        if self._interrupt.requested and not self._stop_told:
            self._pass_on_interrupt()
        self.recorder.flush_if_due()
        self._book_again()
        self.display.trouble(self.recorder.trouble)

    def _hear(self, booking: Booking, report: dict[str, Any]) -> None:
        """Takes in what was evaluated; the trial waits for this, so it may find here that it shall stop."""
        if found := evaluations(report["history"], self.plan.sweep.scores):
            booking.scores += found
            self._verdicts[booking.trial.id] = self.early.judge(booking, report["fraction"])

    def _end(self, booking: Booking, how: Ended) -> None:
        """A trial's end is passed on once; a process that died after its last report comes to its end again."""
        trial, is_news = booking.trial.id, self._is_open(booking)
        booking.running = False
        if how == "finished":
            booking.finished = True
        elif how == "stopped":
            booking.stop = self._verdicts.get(trial)
        self._record_end(booking)
        if is_news and how == "finished":
            self.outcome.finished.append(trial)
            self.outcome.stopped.pop(trial, None)  # a leader that was stopped early and went on
        elif is_news and how == "stopped":
            self.outcome.stopped[trial] = str(booking.stop)
        if is_news:
            self.upcoming.ended(booking, how)

    def _fail(self, booking: Booking, error: str, report: dict[str, Any] | None = None) -> None:
        if not self._is_open(booking):
            return
        last = error.strip().splitlines()[-1] if error.strip() else "no message"
        if report and report.get("message"):
            last = report["message"]
            self._end_early(self._failing.hear(booking, report, self.upcoming.bookings.values(), self.upcoming.more))
        self._end(booking, "failed")
        self.outcome.failed[booking.trial.id] = last
        self._record_end(booking)
        with suppress(Unreachable):  # the last line is on the run; storage that is away must not end the sweep
            storage.write_text(booking.paths.error, error)

    def _book_again(self) -> None:
        """New runs for trials whose runs were deleted before their end was recorded; of one that was there before this
        driver came, a deleted run stays deleted.
        """
        here = {*self.outcome.finished, *self.outcome.stopped, *self.outcome.failed}
        for key, booking in self.upcoming.bookings.items() if self.recorder.gone else ():
            if booking.run_id not in self.recorder.gone or not (booking.running or key in here):
                continue
            before = booking.run_id
            try:
                self._desk.book_again(booking)
            except Unreachable:
                return  # at the next tick
            self.display.note(f"! {key}  its run {before} was deleted: recorded again as {booking.run_id}")
            if not booking.running:
                self._bring_home(booking)
                self._record_end(booking)

    def _bring_home(self, booking: Booking) -> None:
        try:
            self._desk.bring_home(booking)
        except Unreachable as error:
            self.display.note(f"! {booking.trial.id}  {error}")

    def _record_end(self, booking: Booking) -> None:
        """How a trial ended, on its run."""
        if booking.finished:
            self.recorder.end(booking.run_id, "FINISHED")
        elif booking.stop is not None:
            self.recorder.end(booking.run_id, "KILLED", stopped=str(booking.stop))
        elif error := self.outcome.failed.get(booking.trial.id):
            self.recorder.end(booking.run_id, "FAILED", stopped="failed", error=error)

    def _end_early(self, why: EndedEarly | None) -> None:
        """Starts no more trials; those that run, none of which has trained, are asked to stop."""
        if why is not None:
            self.outcome.ended_early = why
            with suppress(Unreachable):
                storage.write_text(self.paths.stop, json.dumps({"by": "failures", "time": time.time()}))

    def _is_open(self, booking: Booking) -> bool:
        return not booking.there and booking.trial.id not in self.outcome.failed

    def leave_true_states(self, parent: bool) -> None:
        """Leaves trials that a second Ctrl-C cut, and with `parent` the sweep's own run, in their true state."""
        bookings = self.upcoming.bookings.values()
        self.recorder.flush()
        self._book_again()
        for booking in bookings:
            if booking.running:
                self.recorder.end(booking.run_id, "KILLED", stopped="interrupted")
        if parent:
            left = self.open or self.upcoming.more
            status = (
                "KILLED" if left and not self.outcome.ended_early else "FAILED" if self.outcome.failed else "FINISHED"
            )
            self.recorder.end(self._desk.parent, status)
