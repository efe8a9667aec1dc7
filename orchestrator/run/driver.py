"""Runs a plan: books its runs, drives Ray Tune until every trial has ended, tells the recorder. Runs on: the head node.

Running a plan again is safe at any time: what is finished stays, what was interrupted goes on from its newest
checkpoint, only the rest starts. `Tuner.restore` is not used: it can't extend a sweep and forgets what it has seen.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from orchestrator.errors import UsageError
from orchestrator.plan.planner import Plan, done, plan_sweep
from orchestrator.plan.site import Site, load_site
from orchestrator.plan.spec import Sweep, load_sweep
from orchestrator.plan.vary import Adaptive
from orchestrator.run import gate
from orchestrator.run.booking import Desk
from orchestrator.run.cluster import side_by_side
from orchestrator.run.display import Silent
from orchestrator.run.lease import Lease
from orchestrator.run.outcome import Outcome
from orchestrator.run.proposals import Proposals
from orchestrator.run.session import Session
from orchestrator.run.upcoming import Planned, Upcoming
from orchestrator.track import ledger
from orchestrator.track.paths import SweepPaths
from orchestrator.track.recorder import Recorder
from orchestrator.track.warm_start import WarmStart, gather_warm_start

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
    no_reuse: ledger.NoReuse | None = None,
    replace: bool = False,
    lineage: Mapping[str, str] | None = None,
) -> Outcome:
    """Runs what is missing of the plan and returns when all of it has ended.

    `no_reuse`: which results on record are computed again all the same. `replace`: take the place of a sweep of this
    name that has none of the plan's trials. `lineage`: the plan is of final runs, and these tags say where they come
    from.

    Raises:
        Unreachable: tracker, storage or cluster can't be used.
        UsageError: another driver runs this sweep, trials were computed by other code and nobody said what to do with
            them, the name is another sweep's, or a sweep of `warm_start` is unknown.
        SpecError: what `gate.look` refuses.
        InfeasiblePlan: trials lie beyond the sweep's limits, or no node could hold one.
        KeyboardInterrupt: at the second Ctrl-C; nothing that was saved is lost.
    """
    gate.look(plan, driving=True)
    display = display or Silent()
    paths = SweepPaths(plan.site.storage, plan.sweep.name)
    warm = gather_warm_start(plan)
    with Lease(paths) as lease:
        stock = ledger.take_stock(plan, accept_older_code=older_code == "keep", no_reuse=no_reuse)
        plan = stock.plan
        if older_code == "ask":
            _refuse_older_code(stock)
        if lineage is None and stock.is_another_sweep and not replace:
            raise UsageError(
                f"a sweep {plan.sweep.name} is on record, and none of its trials is in {plan.sweep.source}. "
                "Give this one another name, or take its place: --confirm name (its results are kept, off the board)"
            )
        there = done(stock.entries)
        plan.require_feasible(there)
        if len(there) < len(plan.trials) or plan.to_propose:
            for line in gate.ask_for_room(plan.site):
                display.note(line)
        recorder = Recorder(plan.site.tracking, plan.sweep.name, paths.root)
        desk = Desk(stock, recorder, paths, lineage)
        session = Session(plan, desk, display, _upcoming(desk, warm, display), lease)
        try:
            session.run()
        finally:
            if not lease.lost:  # the sweep's runs are then another driver's to describe
                session.leave_true_states(parent=lineage is None)
            recorder.close()
        return session.outcome


def _upcoming(desk: Desk, warm: WarmStart, display: Silent) -> Upcoming:
    """Where the sweep's trials come from: its list, or a search."""
    plan = desk.stock.plan
    if not isinstance(plan.sweep.vary, Adaptive):
        return Planned(desk.book_all())
    return Proposals(plan, desk, warm, lambda: side_by_side(plan.site), display.note)


def _refuse_older_code(stock: ledger.Stock) -> None:
    """Results are paid for: they are neither thrown away nor mixed with newer ones unless somebody says so."""
    if older := stock.by_older_code:
        raise UsageError(
            f"{len(older)} trials on record were {ledger.OLDER_CODE}. "
            "Keep them with --accept-older-code (they are marked), or compute them again with --confirm older-code"
        )
