"""One run of the driver: what is asked of Ray Tune, and what becomes of its reports. Runs on: the head node."""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import Unreachable
from orchestrator.plan.planner import Plan
from orchestrator.run.booking import Booking
from orchestrator.run.cluster import connected, require_room
from orchestrator.run.display import Silent
from orchestrator.run.interrupt import Interrupt
from orchestrator.run.lease import Lease
from orchestrator.track import storage
from orchestrator.track.paths import SweepPaths
from orchestrator.track.recorder import Recorder

PROCESS_RETRIES = 3
"""How often Tune starts a trial again whose process died; it goes on from its checkpoint."""


@dataclass
class Outcome:
    """What came of running a plan: ids of trials."""

    already: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """With the last line of their error."""
    interrupted: bool = False
    waiting: list[str] = field(default_factory=list)
    """Not finished when the sweep was interrupted."""

    @property
    def complete(self) -> bool:
        """Whether every trial of the plan has a result."""
        return not (self.failed or self.interrupted or self.waiting)


class Session:
    """One run of the driver: what is asked of Tune, and what becomes of its reports."""

    def __init__(
        self,
        plan: Plan,
        recorder: Recorder,
        paths: SweepPaths,
        display: Silent,
        bookings: Sequence[Booking],
        lease: Lease,
    ) -> None:
        self.plan, self.recorder, self.paths, self.display = plan, recorder, paths, display
        self._lease = lease
        self.bookings = {booking.trial.id: booking for booking in bookings}
        self.todo = [booking for booking in bookings if not booking.finished]
        self.open = {booking.trial.id for booking in self.todo}
        self.outcome = Outcome(already=[booking.trial.id for booking in bookings if booking.finished])
        self._looked, self._stop_seen = 0.0, False

    def run(self) -> None:
        """Drives Tune until every trial has ended or the sweep was stopped."""
        if not self.todo:
            return
        with Interrupt(self._on_interrupt), connected(self.plan.site), self.display.showing(self.bookings.values()):
            require_room(self.plan.site)
            self._tune()
        self.outcome.interrupted = self._stop_seen and bool(self.open)
        self.outcome.waiting = sorted(self.open)

    def _tune(self) -> None:
        from ray import tune

        from orchestrator.run.callback import Reports
        from orchestrator.run.search import PlannedTrials
        from orchestrator.run.trial import run_trial

        with tempfile.TemporaryDirectory(prefix=f"sweep-{self.plan.sweep.name}-") as scratch:
            tuner = tune.Tuner(
                tune.with_resources(run_trial, self.plan.site.trial_resources()),
                tune_config=tune.TuneConfig(
                    search_alg=PlannedTrials(self._orders(), self.shall_stop),
                    num_samples=len(self.todo),
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

    def _orders(self) -> Iterator[Any]:
        for booking in self.todo:
            yield booking.order(self.plan.site, self.paths)

    def shall_stop(self) -> bool:
        """Whether somebody asked the sweep to stop, here or with `sweep stop`; asks storage once a second."""
        if not self._stop_seen and time.monotonic() - self._looked > 1:
            self._stop_seen = self._lease.lost or storage.is_asked(self.paths.stop)
            self._looked = time.monotonic()
        return self._stop_seen

    def _on_interrupt(self) -> None:
        self._stop_seen = True
        self.display.saving(sum(booking.running for booking in self.bookings.values()))
        storage.write_text(self.paths.stop, json.dumps({"by": "interrupt", "time": time.time()}))

    def on_report(self, report: dict[str, Any]) -> None:
        """A worker's report: recorded, shown, and counted if it is a trial's last."""
        booking = self.bookings[report["trial"]]
        state = report["state"]
        if state == "started":
            booking.attempts += 1
            self.recorder.start(booking.run_id, booking.attempts)
        if state in ("started", "running"):
            booking.running = True
            self.recorder.report(booking.run_id, report["history"], report["saved"])
        else:
            booking.running = False
        if state == "finished":
            self._end(booking, "FINISHED")
        elif state == "failed":
            self._fail(booking, report["error"])
        elif state == "interrupted":
            self._stop_seen = True
            self.recorder.end(booking.run_id, "KILLED", stopped="interrupted")
        self.display.report(booking, report)

    def on_died(self, trial: str, error: str) -> None:
        """A trial's process died more often than it is started again."""
        booking = self.bookings[trial]
        if trial in self.open:
            self._fail(booking, error)
            self.display.report(booking, {"state": "failed", "error": error})

    def tick(self) -> None:
        """Called between events: writes what waits."""
        self.recorder.flush_if_due()
        self.display.trouble(self.recorder.trouble)

    def _end(self, booking: Booking, status: str, **reason: str) -> None:
        booking.running = False
        if booking.trial.id not in self.open:  # its process died after its last report and did it again
            return
        self.open.discard(booking.trial.id)
        self.recorder.end(booking.run_id, status, **reason)
        if status == "FINISHED":
            self.outcome.finished.append(booking.trial.id)

    def _fail(self, booking: Booking, error: str) -> None:
        last = error.strip().splitlines()[-1] if error.strip() else "no message"
        self.outcome.failed[booking.trial.id] = last
        self._end(booking, "FAILED", stopped="failed", error=last)
        with suppress(Unreachable):  # the last line is on the run; storage that is away must not end the sweep
            storage.write_text(booking.paths.error, error)

    def leave_true_states(self, parent: bool) -> None:
        """Leaves trials that a second Ctrl-C cut, and with `parent` the sweep's own run, in their true state."""
        for booking in self.bookings.values():
            if booking.running:
                self.recorder.end(booking.run_id, "KILLED", stopped="interrupted")
        if parent:
            status = "KILLED" if self.open else "FAILED" if self.outcome.failed else "FINISHED"
            self.recorder.end(next(iter(self.bookings.values())).parent, status)
