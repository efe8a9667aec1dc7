"""Does a trial's work. Runs on: every GPU (or share of a CPU) of a trial; the only place that knows the perceiver.

A worker never talks to MLflow. It trains, saves checkpoints and artifacts to storage, and yields reports; the history
of metrics leaves it only together with the checkpoint that holds it, so nothing recorded can be computed twice. Of
several workers that share a trial the first one decides, saves and is heard; the others do the same steps.
"""

import json
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from orchestrator.run.artifacts import Artifacts
from orchestrator.track import checkpoints, storage
from orchestrator.track.paths import TrialPaths
from perceiver.config import parse
from perceiver.data.audioset import DataSource
from perceiver.environment import environment
from perceiver.errors import CheckpointError
from perceiver.ranks import Ranks
from perceiver.speed import Mark as Mark
from perceiver.speed import measure as measure_speed
from perceiver.state import verify
from perceiver.train import Progress, train

KEPT_CHECKPOINTS = 2
"""The newest may be damaged on its way to storage; the one before it is then what a trial goes on from."""


@dataclass(frozen=True)
class Order:
    """Everything that a worker needs to know, as plain data."""

    trial: str
    config: dict[str, Any]
    root: str
    """The run's artifact root on storage."""
    data: dict[str, Any]
    """Where the data set lies and what is known of it: the fields of DataSource."""
    stop: str
    """URL of a file that is there while the sweep shall stop."""
    cpus: int = 1
    gpus: float = 0.0
    """What each worker holds of a GPU; without, it trains on the CPU even where there is one."""
    workers: int = 1
    """Processes that share the trial's batches."""
    data_workers: int = 0
    checkpoint_seconds: float = 600.0


@dataclass(frozen=True)
class Report:
    """What a worker tells the driver."""

    trial: str
    state: str
    """started (once per attempt), running, finished, stopped (early), interrupted or failed."""
    clips: int = 0
    fraction: float = 0.0
    saved: float = 0.0
    """Share of the trial that the newest checkpoint holds."""
    history: tuple[dict[str, Any], ...] = ()
    """Reports that came with the newest checkpoint."""
    latest: dict[str, float] | None = None
    """Newest metrics, saved or not: to look at, not to record."""
    resumed: float = 0.0
    """Share of the trial that was there when this attempt began."""
    bad_clips: int = 0
    trouble: tuple[str, ...] = ()
    """What could not be written beside the checkpoints; it ends nothing."""
    node: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    """Versions of the libraries that compute; told once per attempt."""
    error: str = ""
    message: str = ""
    """The error in a line."""
    kind: str = ""
    """data, user, or empty for any other, see `failures.py`."""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def work(order: Order) -> Iterator[Report]:
    """Runs a trial from its newest checkpoint to its end, or until the sweep shall stop."""
    torch.set_num_threads(max(1, order.cpus))
    with tempfile.TemporaryDirectory(prefix=f"trial-{order.trial}-") as scratch:
        yield from _Trial(order, Path(scratch)).run()


def measure(order: Order, seconds: float) -> Iterator[Mark]:
    """Measures a trial's config for so many seconds, as it would train here; saves nothing."""
    torch.set_num_threads(max(1, order.cpus))
    yield from measure_speed(
        parse(order.config),
        DataSource(**order.data),
        device=torch.device("cuda" if order.gpus else "cpu"),
        seconds=seconds,
        data_workers=order.data_workers,
    )


class _Trial:
    """One attempt at a trial: what it has saved, and what it tells."""

    def __init__(self, order: Order, scratch: Path) -> None:
        self.order = order
        self.scratch = scratch
        self.paths = TrialPaths(order.root)
        self.config = parse(order.config)
        self.ranks = Ranks.here()
        self.node = socket.gethostname()
        self.saved = self.resumed = 0.0
        self.told = 0
        self.last_save = time.monotonic()
        self.artifacts = Artifacts(self.paths, scratch / "attention")

    def run(self) -> Iterator[Report]:
        """The attempt, as reports."""
        if self.ranks.is_first:
            storage.remove(self.paths.stop)  # the verdict on an earlier attempt; the driver judges this one anew
        resume, history = self._newest_checkpoint()
        self.told = len(history)
        self._log(f"started on {self.node}" + (f", goes on at {self.resumed:.1%}" if self.resumed else ""))
        yield replace(self._report("started", history=tuple(history)), environment=environment())
        if history and self._stops_early():
            yield self._report("stopped")
            return
        if self._shall_stop():
            yield self._report("interrupted")
            return
        data = DataSource(**self.order.data)
        running = train(
            self.config,
            resume,
            data=data,
            device="cuda" if self.order.gpus else "cpu",
            gpus=self.order.gpus * self.order.workers,
            data_workers=self.order.data_workers,
        )
        for progress in running:
            stop = self._shall_stop()
            news: tuple[dict[str, Any], ...] = ()
            if self.ranks.is_first and (progress.fraction >= 1 or progress.evaluation or stop or self._save_is_due()):
                news = self._save(progress)
            yield self._report("running", progress, news)
            if progress.evaluation and progress.fraction < 1 and self._stops_early():
                yield self._report("stopped", progress)
                return
            if stop and progress.fraction < 1:
                yield self._report("interrupted", progress)
                return
        yield self._report("finished")

    def _newest_checkpoint(self) -> tuple[Path | None, list[dict[str, Any]]]:
        """The newest undamaged checkpoint, copied here, and its history; one that is damaged gives way to an older."""
        for url in self.ranks.first(list(checkpoints.complete(self.paths.checkpoints))):
            folder = checkpoints.download(url, self.scratch / "resume")
            if not all(self.ranks.gather(_is_whole(folder))):
                continue
            progress = json.loads((folder / "progress.json").read_text())
            self.saved = self.resumed = progress["step"] / progress["total"]
            return folder, progress["history"]
        return None, []

    def _shall_stop(self) -> bool:
        return self._is_asked(self.order.stop)

    def _stops_early(self) -> bool:
        """Whether the driver, which has just heard the newest evaluation, has ended the trial at it."""
        if not self._is_asked(self.paths.stop):
            return False
        self._log(f"stopped by {storage.read_text(self.paths.stop)}")
        return True

    def _is_asked(self, url: str) -> bool:
        """Whether the file is there for the first worker: all must do the same."""
        return self.ranks.first(self.ranks.is_first and storage.is_asked(url))

    def _save_is_due(self) -> bool:
        return time.monotonic() - self.last_save > self.order.checkpoint_seconds

    def _save(self, progress: Progress) -> tuple[dict[str, Any], ...]:
        """Writes a checkpoint, then what only decorates it; returns the reports that it holds for the first time."""
        folder = self.scratch / "checkpoint"
        progress.state.save(folder)
        checkpoints.upload(folder, self.paths.checkpoint(progress.clips))
        self.saved, self.last_save = progress.fraction, time.monotonic()
        self.artifacts.leave(progress)
        self.artifacts.prune(KEPT_CHECKPOINTS)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in progress.metrics.items())
        self._log(f"saved at {progress.fraction:.1%}, {progress.clips} clips  {shown}")
        news = tuple(progress.state.history[self.told :])
        self.told = len(progress.state.history)
        return news

    def _log(self, line: str) -> None:
        """Adds a line to the trial's log, which all its attempts share."""
        if self.ranks.is_first:
            self.artifacts.log(line)

    def _report(self, state: str, progress: Progress | None = None, history: tuple[dict[str, Any], ...] = ()) -> Report:
        return Report(
            trial=self.order.trial,
            state=state,
            clips=progress.clips if progress else 0,
            fraction=progress.fraction if progress else self.saved,
            saved=self.saved,
            history=history,
            latest=progress.metrics if progress else None,
            resumed=self.resumed,
            bad_clips=len(progress.bad_clips) if progress else 0,
            trouble=self.artifacts.take_trouble(),
            node=self.node,
        )


def _is_whole(folder: Path) -> bool:
    try:
        verify(folder)
    except CheckpointError:
        return False
    return True
