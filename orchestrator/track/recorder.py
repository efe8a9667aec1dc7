"""The only writer of MLflow runs. Runs on: the driver.

Everything of a run is collected and written in batches, at most every second: metrics, tags and state together. What
MLflow can't take now is kept and tried again, so a tracker that is away for a while costs nothing. Metrics carry the
time stamps of the checkpointed history, so a replay writes rows that are there already.
"""

import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException

from orchestrator.errors import Unreachable
from orchestrator.track.names import Tag

_FLUSH_SECONDS = 1.0
_TRIES_AT_CLOSE = 6


@dataclass
class _Unwritten:
    """What is still to be written of one run."""

    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    status: str | None = None


@dataclass(frozen=True)
class RunPlace:
    """A run, and the folder that is its artifact root."""

    run_id: str
    root: str


class Recorder:
    """Writes the runs of one sweep.

    Raises:
        Unreachable: on opening and closing, when the tracker does not answer; in between, it waits for it.
    """

    def __init__(self, tracking: str, sweep: str, artifact_location: str) -> None:
        self.tracking = tracking
        self._unwritten: dict[str, _Unwritten] = {}
        self._last_flush = 0.0
        self._trouble: str | None = None
        _prepare_sqlite(tracking)
        try:
            self._client = MlflowClient(tracking)
            self.experiment = self._open_experiment(sweep, artifact_location)
        except Exception as error:  # SQLAlchemy's, MLflow's and the network's have no common base
            raise Unreachable(_explained(tracking, error)) from error

    def open_parent(self, tags: Mapping[str, str]) -> str:
        """The sweep's parent run, made if need be."""
        parent = self._find(f"tags.`{Tag.ROLE}` = 'sweep'")
        if parent is None:
            parent = self._client.create_run(self.experiment.experiment_id, run_name=tags[Tag.NAME])
        self._note(parent.info.run_id, tags, "RUNNING")
        self.flush()
        return str(parent.info.run_id)

    def schedule(self, parent: str, name: str, tags: Mapping[str, str], params: Mapping[str, str]) -> RunPlace:
        """A run for a trial that waits, made ahead of need so that the UI shows the whole plan."""
        run = self._client.create_run(self.experiment.experiment_id, run_name=name, tags={Tag.PARENT: parent, **tags})
        run_id = run.info.run_id
        self._client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
        self._client.update_run(run_id, status="SCHEDULED")
        return RunPlace(run_id, str(run.info.artifact_uri))

    def wait(self, run_id: str) -> None:
        """An earlier attempt's run waits for the next one."""
        self._note(run_id, {}, "SCHEDULED")

    def start(self, run_id: str, attempt: int) -> None:
        """The trial runs, for the attempt-th time."""
        self._note(run_id, {Tag.ATTEMPTS: str(attempt), Tag.STOPPED: "", Tag.ERROR: ""}, "RUNNING")

    def report(self, run_id: str, history: Iterable[Mapping[str, Any]], saved: float) -> None:
        """Reports of a trial's history that a checkpoint holds, and the share of the trial that is saved."""
        waiting = self._unwritten.setdefault(run_id, _Unwritten())
        for entry in history:
            waiting.metrics += [
                Metric(key, value, entry["time"], entry["clips"]) for key, value in entry["metrics"].items()
            ]
        waiting.tags[Tag.PROGRESS] = f"{saved:.4f}"
        self.flush_if_due()

    def copy_metrics(self, source: str, target: str) -> None:
        """Gives a run every metric that another one has, with its history."""
        waiting = self._unwritten.setdefault(target, _Unwritten())
        for key in self._client.get_run(source).data.metrics:
            waiting.metrics += self._client.get_metric_history(source, key)

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Sets tags of a run."""
        self._note(run_id, tags)

    def end(self, run_id: str, status: str, stopped: str = "", error: str = "") -> None:
        """The run ended: FINISHED, FAILED or KILLED, with the reason for the last two."""
        self._note(run_id, {Tag.STOPPED: stopped, Tag.ERROR: error[:4000]}, status)
        self.flush_if_due()

    @property
    def trouble(self) -> str | None:
        """Why the last write failed; None when all is well."""
        return self._trouble

    def flush_if_due(self) -> None:
        """Writes what waits if the last write is a second ago."""
        if time.monotonic() - self._last_flush > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> bool:
        """Writes what waits; what can't be written is kept. Whether all was written."""
        self._trouble = None
        for run_id in list(self._unwritten):
            try:
                self._write(run_id, self._unwritten[run_id])
            except Exception as error:
                self._trouble = _explained(self.tracking, error)
                break
            del self._unwritten[run_id]
        self._last_flush = time.monotonic()
        return self._trouble is None

    def close(self) -> None:
        """Writes all that waits, trying for half a minute.

        Raises:
            Unreachable: something could not be written; it is on storage, and the next `sweep run` writes it.
        """
        for attempt in range(_TRIES_AT_CLOSE):
            if self.flush():
                _analyze_sqlite(self.tracking)
                return
            time.sleep(min(2.0**attempt, 10))
        raise Unreachable(
            f"{self._trouble}\nNothing is lost: results are on storage, and the same command records them."
        )

    def _note(self, run_id: str, tags: Mapping[str, str], status: str | None = None) -> None:
        waiting = self._unwritten.setdefault(run_id, _Unwritten())
        waiting.tags |= dict(tags)
        waiting.status = status or waiting.status

    def _write(self, run_id: str, waiting: _Unwritten) -> None:
        tags = [RunTag(str(key), value) for key, value in waiting.tags.items()]
        self._client.log_batch(run_id, metrics=waiting.metrics, tags=tags, synchronous=True)
        if waiting.status is None:
            return
        if RunStatus.is_terminated(RunStatus.from_string(waiting.status)):
            self._client.set_terminated(run_id, waiting.status)
        else:
            self._client.update_run(run_id, status=waiting.status)

    def _find(self, condition: str) -> Run | None:
        found: Sequence[Run] = self._client.search_runs([self.experiment.experiment_id], condition, max_results=1)
        return found[0] if found else None

    def _open_experiment(self, sweep: str, artifact_location: str) -> Experiment:
        experiment = self._client.get_experiment_by_name(sweep)
        if experiment is None:
            return self._client.get_experiment(self._client.create_experiment(sweep, artifact_location))
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return experiment


def _explained(tracking: str, error: Exception) -> str:
    """One line for what MLflow, SQLAlchemy or the network say at length."""
    shown = urlsplit(tracking)
    place = tracking if not shown.password else tracking.replace(f":{shown.password}@", ":***@")
    message = str(error.message if isinstance(error, MlflowException) else error).strip()
    if "out-of-date database schema" in message:
        return (
            f"The MLflow database {place} is from another version of MLflow. "
            f"Back it up, then run: mlflow db upgrade {place}"
        )
    return f"The tracker {place} does not answer: {message.splitlines()[0] if message else type(error).__name__}"


def sqlite_file(tracking: str) -> Path | None:
    """The database file of a `sqlite:///` URI, None for other trackers."""
    parts = urlsplit(tracking)
    return Path(unquote(parts.path[1:])) if parts.scheme.startswith("sqlite") and len(parts.path) > 1 else None


def _prepare_sqlite(tracking: str) -> None:
    """Readers (the board, the UI) and the writer work side by side only with a write-ahead log."""
    path = sqlite_file(tracking)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(path) as database:
            database.execute("PRAGMA journal_mode=WAL")
        database.close()
    except (OSError, sqlite3.Error) as error:
        raise Unreachable(f"The tracker {tracking} can't be opened: {error}") from None


def _analyze_sqlite(tracking: str) -> None:
    """MLflow never runs ANALYZE, and without it a sorted query takes minutes (105 s -> 0.3 s on 10,000 runs)."""
    path = sqlite_file(tracking)
    if path is None:
        return
    with sqlite3.connect(path, timeout=20) as database:
        database.execute("PRAGMA analysis_limit=400")
        database.execute("ANALYZE")
    database.close()
