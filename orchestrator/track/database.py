"""Reads MLflow's own tables in sqlite or PostgreSQL, read-only, with a handful of statements.

Used by the reader in place of MlflowClient, which takes 3 s to import and first answer, builds an object per row, and
sorts a leaderboard of 10,000 runs in 105 s on an sqlite file without statistics. The tables read here are MLflow's
oldest; `connection.py` opens the database and checks the schema.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from orchestrator.track.names import Tag
from orchestrator.track.records import HistoryRow, RunRecord, SweepRuns, SweepSummary, gather, summarise

_CHUNK = 500
"""Run ids in one statement; sqlite's oldest limit is 999 parameters."""
_LARGEST = 1.7976931348623157e308
"""What MLflow stores for infinity."""


class Connection(Protocol):
    """What sqlite3 and psycopg connections have in common."""

    def execute(self, query: Any, params: Any = ..., /) -> Any: ...


class Database:
    """An open, read-only view of MLflow's tables: one transaction, so that all statements see the same moment."""

    def __init__(self, tracking_uri: str, connection: Connection, placeholder: str) -> None:
        self.tracking_uri = tracking_uri
        self._connection = connection
        self.placeholder = placeholder

    def experiments(self) -> dict[str, str]:
        """Name -> id of every experiment that was not deleted."""
        return dict(self.rows("SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'"))

    def sweep(self, name: str, params: bool, metrics: Collection[str] | None) -> SweepRuns | None:
        """A sweep's runs, or None."""
        found = self.rows(
            "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'", (name,)
        )
        for (experiment_id,) in found:
            chosen = "SELECT run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active'"
            runs = self._runs(chosen, (experiment_id,), params, metrics)
            return gather(name, self.tracking_uri, str(experiment_id), runs)
        return None

    def with_identity(self, identities: Collection[str]) -> list[RunRecord]:
        """Runs of any sweep with one of these identities."""
        tagged = self.rows("SELECT run_uuid, value FROM tags WHERE key = ?", (str(Tag.IDENTITY),))
        return self.with_ids([run_id for run_id, value in tagged if value in identities])

    def with_ids(self, run_ids: Sequence[str]) -> list[RunRecord]:
        """These runs in this order, as far as they exist and were not deleted."""
        found: dict[str, RunRecord] = {}
        for start in range(0, len(run_ids), _CHUNK):
            chunk = run_ids[start : start + _CHUNK]
            runs = self._runs(", ".join("?" * len(chunk)), chunk, params=True, metrics=None)
            found |= {run.run_id: run for run in runs}
        return [found[run_id] for run_id in run_ids if run_id in found]

    def history(self, run_ids: Sequence[str], metrics: Collection[str]) -> list[HistoryRow]:
        """Every value of these metrics."""
        rows: list[HistoryRow] = []
        for start in range(0, len(run_ids), _CHUNK):
            chunk = run_ids[start : start + _CHUNK]
            statement = (
                "SELECT run_uuid, key, step, timestamp, value, is_nan FROM metrics "
                f"WHERE run_uuid IN ({', '.join('?' * len(chunk))}) AND key IN ({', '.join('?' * len(metrics))})"
            )
            found = self.rows(statement, (*chunk, *metrics))
            rows += [HistoryRow(run, key, step, time, number(value, nan)) for run, key, step, time, value, nan in found]
        return rows

    def summaries(self) -> list[SweepSummary]:
        """One line per sweep; experiments without runs of ours are left out."""
        statement = (
            "SELECT e.name, r.run_uuid, r.status, r.start_time, r.end_time, t.key, t.value FROM experiments e "
            "JOIN runs r ON r.experiment_id = e.experiment_id JOIN tags t ON t.run_uuid = r.run_uuid "
            "WHERE e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active' AND t.key IN (?, ?, ?)"
        )
        sweeps: dict[str, dict[str, RunRecord]] = {}
        tags = (str(Tag.ROLE), str(Tag.QUESTION), str(Tag.STOPPED))
        for name, run_id, status, start, end, key, value in self.rows(statement, tags):
            run = sweeps.setdefault(name, {}).setdefault(run_id, RunRecord(run_id, status, start, end, ""))
            run.tags[key] = value
        return [summarise(gather(name, self.tracking_uri, "", runs.values())) for name, runs in sweeps.items()]

    def _runs(
        self, chosen: str, values: Sequence[Any], params: bool, metrics: Collection[str] | None
    ) -> list[RunRecord]:
        """The runs whose ids `chosen` (a subquery or a list of placeholders) names, with what belongs to them."""
        where = f"WHERE run_uuid IN ({chosen})"
        columns = "run_uuid, status, start_time, end_time, artifact_uri"
        found = self.rows(f"SELECT {columns} FROM runs {where} AND lifecycle_stage = 'active'", values)
        runs = {run_id: RunRecord(run_id, status, start, end, root or "") for run_id, status, start, end, root in found}
        for run_id, key, value in self.rows(f"SELECT run_uuid, key, value FROM tags {where}", values):
            if run_id in runs:
                runs[run_id].tags[key] = value
        for run_id, key, value in (
            self.rows(f"SELECT run_uuid, key, value FROM params {where}", values) if params else ()
        ):
            if run_id in runs:
                runs[run_id].params[key] = value
        only = "" if not metrics else f" AND key IN ({', '.join('?' * len(metrics))})"
        measured = self.rows(
            f"SELECT run_uuid, key, value, is_nan FROM latest_metrics {where}{only}", (*values, *(metrics or ()))
        )
        for run_id, key, value, is_nan in measured:
            if run_id in runs:
                runs[run_id].metrics[key] = number(value, is_nan)
        return list(runs.values())

    def rows(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        """The rows that a statement gives; `?` stands for its values."""
        rows = self._connection.execute(statement.replace("?", self.placeholder), tuple(values)).fetchall()
        return list(rows)


def number(value: float, is_nan: bool = False) -> float:
    """A metric as it was logged; MLflow stores infinities as the largest number and NaN as a flagged 0."""
    if is_nan:
        return float("nan")
    return value if abs(value) < _LARGEST else float("inf") if value > 0 else float("-inf")
