"""Plays the trials of a sweep: a driver's session with a real store, and workers that report scores from a formula.

Everything of ours is real but the training: the order comes from the session, the reports go to it one by one, and the
worker looks for its stop file after each evaluation, as the real one does.
"""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from orchestrator.plan.planner import plan_sweep
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Sweep, parse_sweep
from orchestrator.run.booking import Desk
from orchestrator.run.display import Lines
from orchestrator.run.failures import in_a_line, kind_of
from orchestrator.run.lease import Lease
from orchestrator.run.proposals import Proposals
from orchestrator.run.session import Session
from orchestrator.run.upcoming import NotNow, Planned
from orchestrator.run.worker import Order
from orchestrator.track import storage
from orchestrator.track.ledger import take_stock
from orchestrator.track.names import SUPERSEDED, Tag
from orchestrator.track.paths import SweepPaths, TrialPaths
from orchestrator.track.reader import read_runs
from orchestrator.track.recorder import Recorder
from orchestrator.track.records import RunRecord
from orchestrator.track.warm_start import gather_warm_start

TIMES = 4
"""Evaluations of a trial."""

Score = Callable[[dict[str, Any]], float]


class Killed(Exception):
    """The driver is gone, in the middle of everything."""


SEARCHES = ("tpe", "gp", "nsga2")
FACTORS = {
    "train.lr": {"low": 1e-4, "high": 1e-1, "scale": "log"},
    "train.video_dropout": {"low": 0.0, "high": 0.6},
}


def make_sweep(name: str = "mine", vary: dict[str, Any] | None = None, **changes: Any) -> Sweep:
    """A search for the best learning rate and dropout with some changes to it, or what `vary` lists."""
    listed = vary is not None and vary.get("by", "tpe") not in SEARCHES
    search = {} if listed else {"by": "tpe", "trials": 8, "startup": 3, "factors": FACTORS}
    text = {"sweep": name, "base": "tiny", "set": {"eval.times": TIMES}, "vary": search | (vary or {})} | changes
    return parse_sweep(yaml.safe_dump(text, sort_keys=False), "mine.yaml")


def score_of(config: dict[str, Any]) -> float:
    """Best, 0.9, at a rate of 0.005 and dropout 0.2; seeds differ a little."""
    rate, dropout = math.log10(config["train"]["lr"]) + 2.3, config["train"]["video_dropout"] - 0.2
    return 0.9 - 0.1 * rate**2 - 0.5 * dropout**2 - 0.01 * config["train"]["seed"]


@dataclass
class Player:
    """A place where sweeps run: a store, a storage, and what its trials have saved."""

    site: Site
    score: Score = score_of
    saved: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Artifact root -> history in the newest checkpoint."""
    started: list[tuple[str, float]] = field(default_factory=list)
    """Every attempt at a trial, and the share of it that was there."""
    said: list[str] = field(default_factory=list)
    patience: int | None = None
    """Reports after which the driver is killed."""
    environment: dict[str, str] = field(default_factory=lambda: {"torch": "2.11"})
    accept_older_code: bool = False
    fails: Callable[[Order], Exception | None] = lambda order: None
    """What a trial fails of before it trains."""
    checkpoints: bool = False
    """Whether trials leave on storage what a driver reads of a checkpoint."""
    records: bool = True
    """Whether each report is recorded at once; else a driver that is killed takes the last second's with it."""

    def run(self, sweep: Sweep, side_by_side: int = 1, kill_after: int | None = None) -> Session:
        """Runs a sweep, to its end or until it is killed."""
        self.patience = kill_after
        with self.session(sweep, side_by_side) as session:
            self._play(session, side_by_side)
        return session

    @contextmanager
    def session(self, sweep: Sweep, side_by_side: int = 1) -> Iterator[Session]:
        """A driver's session, ended in its true state unless it is killed."""
        plan = plan_sweep(sweep, self.site)
        paths, display = SweepPaths(self.site.storage, sweep.name), _Said(sweep.score, self.said)
        warm = gather_warm_start(plan)
        with Lease(paths) as lease:
            recorder = Recorder(self.site.tracking, sweep.name, paths.root)
            stock = take_stock(plan, self.accept_older_code)
            desk = Desk(stock, recorder, paths, None)
            adaptive = sweep.vary.by in SEARCHES
            upcoming = (
                Proposals(stock.plan, desk, warm, lambda: side_by_side, display.note)
                if adaptive
                else Planned(desk.book_all())
            )
            session = Session(stock.plan, desk, display, upcoming, lease)
            try:
                yield session
            except Killed:
                return
            session.conclude()
            session.leave_true_states(parent=True)
            recorder.close()

    def runs(self, sweep: str) -> list[RunRecord]:
        """The runs on its board."""
        return [run for run in read_runs(self.site.tracking, sweep).children if run.role != SUPERSEDED]

    def proposals(self, sweep: str) -> list[str]:
        """What was proposed, in order."""
        first = [run for run in self.runs(sweep) if run.tags.get(Tag.PROPOSAL) and run.seed == 0]
        assert len({run.tags[Tag.TRIAL] for run in first}) == len(first), "nothing is proposed twice"
        return sorted((run.tags[Tag.PROPOSAL] for run in first), key=lambda text: int(text.split(":")[1].split(",")[0]))

    def _play(self, session: Session, side_by_side: int) -> None:
        """As Tune: a new trial when there is room, and a report of each running one in turn."""
        running: list[Iterator[dict[str, Any]]] = []
        while True:
            order: Order | NotNow | None = None
            while len(running) < side_by_side and isinstance(order := session.next_order(), Order):
                running.append(self._work(order))
            if not running:
                assert not isinstance(order, NotNow), "nothing runs, and nothing can start"
                return
            for worker in list(running):
                report = next(worker, None)
                if report is None:
                    running.remove(worker)
                    continue
                if self.patience is not None:
                    self.patience -= 1
                    if self.patience < 0:
                        raise Killed
                session.on_report(report)
                if self.records:
                    session.recorder.flush()
                session.tick()

    def _work(self, order: Order) -> Iterator[dict[str, Any]]:
        paths = TrialPaths(order.root)
        storage.remove(paths.stop)
        history = self.saved.setdefault(order.root, [])
        share = len(history) / TIMES
        self.started.append((order.trial, share))
        base = {"trial": order.trial, "history": (), "saved": share, "fraction": share, "latest": None}
        base |= {"resumed": share, "node": "here", "error": "", "trouble": ()}
        yield base | {"state": "started", "history": tuple(history), "environment": self.environment}
        if history and storage.exists(paths.stop):
            yield base | {"state": "stopped"}
            return
        if storage.exists(order.stop):
            yield base | {"state": "interrupted"}
            return
        if (error := self.fails(order)) is not None:
            what = {"error": f"Traceback\n{error!r}", "message": in_a_line(error), "kind": kind_of(error)}
            yield base | {"state": "failed"} | what
            return
        while len(history) < TIMES:
            done, value = len(history) + 1, self.score(order.config)
            if value == -math.inf:
                yield base | {"state": "failed", "error": "Traceback\nNumericError: the loss is nan"}
                return
            metrics = {"eval/mAP": value * (0.5 + 0.5 * done / TIMES), "eval/loss": 1 - value, "cost/hours": 0.1 * done}
            entry = {
                "time": 1_700_000_000_000 + len(self.started) * 1000 + done,
                "clips": done * 100,
                "metrics": metrics,
            }
            history.append(entry)
            if self.checkpoints:
                _save(paths.checkpoint(entry["clips"]), {"history": history, "step": done, "total": TIMES})
            base |= {"saved": done / TIMES, "fraction": done / TIMES, "latest": metrics}
            stop = storage.exists(order.stop)
            yield base | {"state": "running", "history": (entry,)}
            if done < TIMES and storage.exists(paths.stop):
                yield base | {"state": "stopped"}
                return
            if stop and done < TIMES:
                yield base | {"state": "interrupted"}
                return
        yield base | {"state": "finished"}


def _save(url: str, progress: dict[str, Any]) -> None:
    """A checkpoint that holds a history and nothing else."""
    text = json.dumps(progress)
    storage.write_text(f"{url}/progress.json", text)
    storage.write_text(f"{url}/MANIFEST.json", json.dumps({"files": {"progress.json": {"size": len(text)}}}))


class _Said(Lines):
    """Keeps the lines that a user would see."""

    def __init__(self, score: Any, said: list[str]) -> None:
        super().__init__(score)
        self._said = said

    def _say(self, line: str) -> None:
        self._said.append(line)
