"""Reads what sweeps have recorded, without starting or changing anything.

    runs = read_runs("sqlite:///runs/mlflow.db", "video-dropout")
    [run.metrics["eval/mAP"] for run in runs.trials if run.status == "FINISHED"]

sqlite and PostgreSQL are read directly (`database.py`), so that this takes milliseconds and does not import MLflow;
any other tracking URI goes through MlflowClient (`server.py`). All functions raise Unreachable when the tracker can't
be read: locked, damaged, not answering, or with the schema of another MLflow version; NoDatabase where nothing was
recorded yet.
"""

import difflib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from orchestrator.errors import Unreachable, UsageError
from orchestrator.track.connection import is_database, open_database, without_password
from orchestrator.track.database import Database
from orchestrator.track.records import RunRecord, SweepRuns, SweepSummary
from orchestrator.track.server import Server, open_server

__all__ = [
    "NoDatabase",
    "RunRecord",
    "SweepRuns",
    "SweepSummary",
    "find_identities",
    "list_sweeps",
    "read_by_id",
    "read_history",
    "read_runs",
]


class NoDatabase(Unreachable):
    """Raised when nothing was ever recorded at the tracking URI: no such file, or a database without tables."""


def read_runs(
    tracking_uri: str, sweep: str, *, params: bool = True, metrics: Collection[str] | None = None
) -> SweepRuns:
    """The sweep's parent run and all its other runs; leave out `params`, or name the `metrics`, to read less.

    Raises:
        UsageError: no sweep has this name; names the nearest.
    """
    with _open(tracking_uri) as store:
        runs = store.sweep(sweep, params, metrics)
        if runs is None:
            raise UsageError(_no_such_sweep(sweep, tracking_uri, store.summaries()))
        return runs


def list_sweeps(tracking_uri: str) -> list[SweepSummary]:
    """One line per sweep, the one that changed last first; empty where nothing was recorded yet."""
    try:
        with _open(tracking_uri) as store:
            return sorted(store.summaries(), key=lambda line: -(line.changed or 0))
    except NoDatabase:
        return []


def find_identities(tracking_uri: str, identities: Collection[str]) -> list[RunRecord]:
    """Runs of any sweep with one of these identities, finished ones first, then the newest."""
    with _open(tracking_uri) as store:
        runs = store.with_identity(set(identities)) if identities else []
    return sorted(runs, key=lambda run: (run.status == "FINISHED", run.start_time or 0), reverse=True)


def read_by_id(tracking_uri: str, run_ids: Sequence[str]) -> list[RunRecord]:
    """These runs in this order, as far as they exist and were not deleted."""
    with _open(tracking_uri) as store:
        return store.with_ids(run_ids)


def read_history(
    tracking_uri: str, run_ids: Sequence[str], metrics: Collection[str]
) -> dict[str, list[dict[str, Any]]]:
    """Run id -> its reports of these metrics in the order of their steps, in the form in which workers send them.

    A step that was reported twice has its newest values.
    """
    reports: dict[str, dict[int, dict[str, Any]]] = {run_id: {} for run_id in run_ids}
    with _open(tracking_uri) as store:
        rows = store.history(run_ids, metrics) if run_ids else []
    for row in sorted(rows, key=lambda row: (row.step, row.time)):
        report = reports[row.run_id].setdefault(row.step, {"time": row.time, "clips": row.step, "metrics": {}})
        report["metrics"][row.metric] = row.value
    return {run_id: list(found.values()) for run_id, found in reports.items()}


@contextmanager
def _open(tracking_uri: str) -> Iterator[Database | Server]:
    with open_database(tracking_uri) if is_database(tracking_uri) else open_server(tracking_uri) as store:
        if store is None:
            raise NoDatabase(
                f"Nothing is recorded at {without_password(tracking_uri)} yet. A sweep run with another --site may be "
                "recorded elsewhere"
            )
        yield store


def _no_such_sweep(sweep: str, tracking_uri: str, sweeps: list[SweepSummary]) -> str:
    message = f"No sweep {sweep} at {without_password(tracking_uri)}."
    nearest = difflib.get_close_matches(sweep, [line.sweep for line in sweeps], n=1, cutoff=0.0)
    for line in sweeps:
        if line.sweep in nearest:
            message += f" Nearest: {line.sweep} ({line.trials} trials)."
    return f"{message} All: sweep board"
