"""The only writer of MLflow runs. Runs on: the driver.

Everything of a run is collected and written in batches, at most every second: metrics, tags and state together. What
MLflow can't take now is kept and tried again, less and less often, so a tracker that is away for a while costs nothing;
what it refuses, as for a run that somebody deleted, is dropped. Metrics carry the time stamps of the checkpointed
history, so a replay writes rows that are there already.
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mlflow.entities import Experiment, Metric, Param, Run, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException

from orchestrator.errors import Unreachable, UsageError
from orchestrator.track.connection import explain, explained, is_recorded, is_refusal, require_answer
from orchestrator.track.names import Tag
from orchestrator.track.server import make_client, pages
from orchestrator.track.sqlite import analyze_sqlite, prepare_sqlite

_FLUSH_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_CLOSE_SECONDS = 30.0


@dataclass
class _Unwritten:
    """What is still to be written of one run."""

    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    status: str | None = None


@dataclass(frozen=True)
class RunPlace:
    """A run, and the folder that is its artifact root."""

    run_id: str
    root: str


class Recorder:
    """Writes the runs of one sweep.

    Raises:
        Unreachable: the tracker does not answer. Only opening, booking (`open_parent`, `schedule`, `copy_metrics`) and
            closing raise it; everything else keeps what it has to write, and `trouble` says so.
        UsageError: on opening, when the sweep's runs lie on another storage.
    """

    def __init__(self, tracking: str, sweep: str, artifact_location: str) -> None:
        self.tracking = tracking
        self._unwritten: dict[str, _Unwritten] = {}
        self._refused: dict[str, str] = {}
        self.gone: set[str] = set()
        """Runs that were deleted while something of them was to be written."""
        self._away: str | None = None
        self._pause, self._next_flush = _FLUSH_SECONDS, 0.0
        self._sweep, self._location = sweep, artifact_location
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs a stack trace per failed write
        with explained(tracking):
            is_recorded(tracking)
            prepare_sqlite(tracking)
            self._client = make_client(tracking)
            self.experiment = self._open_experiment()

    def open_parent(self, tags: Mapping[str, str], runs: bool = True) -> str:
        """The sweep's parent run, made if need be. `runs`: the sweep itself runs now; final runs leave it as it is."""
        with explained(self.tracking):
            parent = self._find(f"tags.`{Tag.ROLE}` = 'sweep'")
            if parent is None:
                parent = self._create_run(self.experiment.name, {})
        self._note(parent.info.run_id, tags, "RUNNING" if runs else None)
        self.flush()
        return str(parent.info.run_id)

    def schedule(self, parent: str, name: str, tags: Mapping[str, str], params: Mapping[str, str]) -> RunPlace:
        """A run for a trial that waits, made ahead of need so that the UI shows the whole plan."""
        with explained(self.tracking):
            tags = {Tag.PARENT: parent, **tags}
            run = self._create_run(name, tags)
            run_id = run.info.run_id
            self._client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
            self._client.update_run(run_id, status="SCHEDULED")
        return RunPlace(run_id, str(run.info.artifact_uri))

    def describe(self, run_id: str, tags: Mapping[str, str], params: Mapping[str, str]) -> None:
        """Says again what a run is: tags may have changed, and a driver that died may not have come to its params."""
        self._note(run_id, tags)
        self._unwritten[run_id].params = dict(params)

    def wait(self, run_id: str) -> None:
        """An earlier attempt's run waits for the next one."""
        self._note(run_id, {}, "SCHEDULED")

    def start(self, run_id: str, attempt: int, environments: str = "[]") -> None:
        """The trial runs, for the attempt-th time; `environments`: the tag's text."""
        tags = {Tag.STOPPED: "", Tag.ERROR: "", Tag.ATTEMPTS: str(attempt), Tag.ENVIRONMENT: environments}
        self._note(run_id, {str(tag): text for tag, text in tags.items()}, "RUNNING")

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
        with explained(self.tracking):
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
        """Why the last write failed, or which runs MLflow refuses; None when all is well."""
        refused = (f"run {run_id} is not recorded: {reason}" for run_id, reason in self._refused.items())
        return self._away or "\n".join(refused) or None

    def forget(self, run_id: str) -> None:
        """Another run has taken the place of one that is gone."""
        self.gone.discard(run_id)
        self._refused.pop(run_id, None)
        self._unwritten.pop(run_id, None)

    def flush_if_due(self) -> None:
        """Writes what waits if the last write is a second ago; longer while the tracker is away."""
        if time.monotonic() >= self._next_flush:
            self.flush()

    def flush(self) -> bool:
        """Writes what waits; what can't be written now is kept. Whether nothing waits any more."""
        try:
            require_answer(self.tracking)
            for run_id in list(self._unwritten):
                self._write_or_drop(run_id, self._unwritten[run_id])
                del self._unwritten[run_id]
            self._away, self._pause = None, _FLUSH_SECONDS
        except Exception as error:  # SQLAlchemy's, MLflow's and the network's have no common base
            self._away, self._pause = explain(self.tracking, error), min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        self._next_flush = time.monotonic() + self._pause
        return self._away is None

    def close(self, patience: float = _CLOSE_SECONDS) -> None:
        """Writes all that waits, trying for so many seconds.

        Raises:
            Unreachable: something could not be written; it is on storage, and the next `sweep run` writes it.
        """
        given_up = time.monotonic() + patience
        while not self.flush():
            if time.monotonic() >= given_up:
                raise Unreachable(
                    f"{self._away}\nNothing is lost: results are on storage, and the same command records them."
                )
            time.sleep(max(0.0, min(2.0, given_up - time.monotonic())))
        analyze_sqlite(self.tracking)

    def _note(self, run_id: str, tags: Mapping[str, str], status: str | None = None) -> None:
        waiting = self._unwritten.setdefault(run_id, _Unwritten())
        waiting.tags |= dict(tags)
        waiting.status = status or waiting.status

    def _write_or_drop(self, run_id: str, waiting: _Unwritten) -> None:
        """One run that MLflow refuses must not keep it from the record of all others."""
        try:
            self._write(run_id, waiting)
            self._refused.pop(run_id, None)
            self.gone.discard(run_id)
        except MlflowException as error:
            if not is_refusal(error):
                raise
            self._refused[run_id] = explain(self.tracking, error)
            if self._is_gone(run_id):
                self.gone.add(run_id)

    def _write(self, run_id: str, waiting: _Unwritten) -> None:
        tags = [RunTag(str(key), value) for key, value in waiting.tags.items()]
        self._client.log_batch(run_id, metrics=waiting.metrics, tags=tags, synchronous=True)
        if waiting.params:
            self._add_params(run_id, waiting.params)
        if waiting.status is None:
            return
        if RunStatus.is_terminated(RunStatus.from_string(waiting.status)):
            self._client.set_terminated(run_id, waiting.status)
        else:
            self._client.update_run(run_id, status=waiting.status)

    def _add_params(self, run_id: str, params: Mapping[str, str]) -> None:
        """Those that the run lacks: MLflow refuses to change one, as when it goes on with another setting for speed."""
        there = self._client.get_run(run_id).data.params
        missing = [Param(key, value) for key, value in params.items() if key not in there]
        self._client.log_batch(run_id, params=missing, synchronous=True)

    def _find(self, condition: str) -> Run | None:
        found: Sequence[Run] = self._client.search_runs([self.experiment.experiment_id], condition, max_results=1)
        return found[0] if found else None

    def _create_run(self, name: str, tags: Mapping[str, str]) -> Run:
        """A new run of the sweep's experiment, which may have been deleted since it was opened."""
        try:
            return self._client.create_run(self.experiment.experiment_id, run_name=name, tags=dict(tags))
        except MlflowException as error:
            if not is_refusal(error):
                raise
            self.experiment = self._open_experiment()
            return self._client.create_run(self.experiment.experiment_id, run_name=name, tags=dict(tags))

    def _is_gone(self, run_id: str) -> bool:
        """Whether the run was deleted, for a while or for good."""
        try:
            return bool(self._client.get_run(run_id).info.lifecycle_stage == "deleted")
        except MlflowException as error:
            if not is_refusal(error):
                raise
            return True

    def _open_experiment(self) -> Experiment:
        sweep, artifact_location = self._sweep, self._location
        experiment = self._client.get_experiment_by_name(sweep)
        if experiment is None:
            return self._client.get_experiment(self._client.create_experiment(sweep, artifact_location))
        if _folder(experiment.artifact_location) != _folder(artifact_location):
            raise UsageError(
                f"sweep {sweep} has its runs at {experiment.artifact_location}, and the site says {artifact_location}. "
                "Use the storage that it has, or give the sweep another name"
            )
        if experiment.lifecycle_stage == "deleted":
            self._restore(experiment.experiment_id)
        return experiment

    def _restore(self, experiment_id: str) -> None:
        """Brings a deleted experiment back without its runs, which MLflow restores with it: who deleted them wants them
        gone, and the plan has counted them as gone.
        """
        gone = ViewType.DELETED_ONLY
        found = pages(lambda token: self._client.search_runs([experiment_id], "", gone, page_token=token))
        deleted = [run.info.run_id for run in found]
        self._client.restore_experiment(experiment_id)
        for run_id in deleted:
            self._client.delete_run(run_id)


def _folder(location: str) -> str:
    """One text for every way to write the same folder."""
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return location.rstrip("/")
    return str(Path(unquote(parts.path) if parts.scheme else location).resolve())
