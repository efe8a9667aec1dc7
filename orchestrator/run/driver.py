"""Runs a plan: books its runs, drives Ray Tune until every trial has ended, tells the recorder. Runs on: the head node.

Running a plan again is safe at any time: what is finished stays, what was interrupted goes on from its newest
checkpoint, only the rest starts. `Tuner.restore` is not used: it can't extend a sweep and forgets what it has seen.
"""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestrator.errors import UsageError
from orchestrator.plan.planner import Plan, plan_sweep
from orchestrator.plan.report import done
from orchestrator.plan.site import Site, load_site
from orchestrator.plan.spec import Sweep, load_sweep
from orchestrator.run.booking import Booking, book
from orchestrator.run.cluster import connected, require_room
from orchestrator.run.display import Silent
from orchestrator.run.interrupt import Interrupt
from orchestrator.run.lease import Lease
from orchestrator.track import ledger, storage
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


OlderCode = Literal["ask", "keep", "compute"]
"""What becomes of results that other code computed: refuse to go on, count them, or compute them again."""


def run_sweep(sweep: Sweep | str | Path, site: Site | str | None = None, *, older_code: OlderCode = "ask") -> Outcome:
    """Runs what is missing of a sweep, or of the sweep in a file, and returns when all of it has ended.

    Raises:
        SpecError: the file is invalid.
        and what `run_plan` raises.
    """
    where = site if isinstance(site, Site) else load_site(site)
    what = sweep if isinstance(sweep, Sweep) else load_sweep(sweep)
    return run_plan(plan_sweep(what, where), older_code=older_code)


def run_plan(
    plan: Plan,
    display: Silent | None = None,
    *,
    older_code: OlderCode = "ask",
    lineage: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs what is missing of the plan and returns when all of it has ended; `lineage` tags its runs.

    Raises:
        Unreachable: tracker, storage or cluster can't be used.
        UsageError: another driver runs this sweep, the cluster has no room for a trial, the data can't be seen, or
            finished trials were computed by other code and nobody said what to do with them.
        InfeasiblePlan: trials lie beyond the sweep's limits.
        KeyboardInterrupt: at the second Ctrl-C; nothing that was saved is lost.
    """
    if plan.data.problems:
        raise UsageError("\n".join(plan.data.problems.values()))
    display = display or Silent()
    paths = SweepPaths(plan.site.storage, plan.sweep.name)
    storage.check_writable(paths.root)
    with Lease(paths):
        recorder = Recorder(plan.site.tracking, plan.sweep.name, paths.root)
        stock = ledger.take_stock(plan, accept_older_code=older_code == "keep")
        if older_code == "ask":
            _refuse_older_code(stock)
        plan.require_feasible(done(stock))
        bookings = book(plan, stock, recorder, lineage or {})
        if lineage is None:  # a final run is not the sweep's plan
            runs = {booking.trial.id: booking.run_id for booking in bookings}
            storage.write_text(paths.plan, json.dumps(plan.freeze() | {"final": plan.sweep.final, "runs": runs}))
        session = _Session(plan, recorder, paths, display, bookings)
        try:
            session.run()
        finally:
            session.end_parent()
            recorder.close()
        return session.outcome


def _refuse_older_code(stock: Mapping[str, ledger.Entry]) -> None:
    """Results are paid for: they are neither thrown away nor mixed with newer ones unless somebody says so."""
    older = [entry for entry in stock.values() if entry.near_miss == ledger.OLDER_CODE]
    if older:
        raise UsageError(
            f"{len(older)} finished trials were {ledger.OLDER_CODE}. "
            "Keep them with --accept-older-code (they are marked), or compute them again with --yes"
        )


class _Session:
    """One run of the driver: what is asked of Tune, and what becomes of its reports."""

    def __init__(
        self, plan: Plan, recorder: Recorder, paths: SweepPaths, display: Silent, bookings: Sequence[Booking]
    ) -> None:
        self.plan, self.recorder, self.paths, self.display = plan, recorder, paths, display
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
            self._stop_seen, self._looked = storage.exists(self.paths.stop), time.monotonic()
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
        self.open.discard(booking.trial.id)
        self.recorder.end(booking.run_id, status, **reason)
        if status == "FINISHED":
            self.outcome.finished.append(booking.trial.id)

    def _fail(self, booking: Booking, error: str) -> None:
        last = error.strip().splitlines()[-1] if error.strip() else "no message"
        self.outcome.failed[booking.trial.id] = last
        storage.write_text(booking.paths.error, error)
        self._end(booking, "FAILED", stopped="failed", error=last)

    def end_parent(self) -> None:
        """Leaves the parent run, and trials that a second Ctrl-C cut, in their true state."""
        for booking in self.bookings.values():
            if booking.running:
                self.recorder.end(booking.run_id, "KILLED", stopped="interrupted")
        parent = next((booking.parent for booking in self.bookings.values()), None)
        if parent is not None:
            status = (
                "FINISHED" if not self.open and not self.outcome.failed else "FAILED" if not self.open else "KILLED"
            )
            self.recorder.end(parent, status)
