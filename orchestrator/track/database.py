"""Reads MLflow's own tables in sqlite or PostgreSQL, read-only, with a handful of statements.

Used by the reader in place of MlflowClient, which takes 3 s to import and first answer, builds an object per row, and
sorts a leaderboard of 10,000 runs in 105 s on an sqlite file without statistics. The tables read here are MLflow's
oldest; the schema's revision is checked against the installed MLflow's, as MLflow itself does.
"""

import importlib.metadata
import importlib.util
import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, unquote, urlsplit

from orchestrator.errors import Unreachable
from orchestrator.track.names import Tag
from orchestrator.track.records import RunRecord, SweepRuns, SweepSummary, gather, summarise

_PATIENCE_SECONDS = 10
_CHUNK = 500
"""Run ids in one statement; sqlite's oldest limit is 999 parameters."""
_LARGEST = 1.7976931348623157e308
"""What MLflow stores for infinity."""


class Connection(Protocol):
    """What sqlite3 and psycopg connections have in common."""

    def execute(self, query: Any, params: Any = ..., /) -> Any: ...


def is_database(tracking_uri: str) -> bool:
    """Whether the tracking URI is a database that can be read directly."""
    return tracking_uri.startswith(("sqlite:", "postgresql:", "postgresql+", "postgres:"))


class Database:
    """An open, read-only view of MLflow's tables: one transaction, so that all statements see the same moment."""

    def __init__(self, tracking_uri: str, connection: Connection, placeholder: str) -> None:
        self.tracking_uri = tracking_uri
        self._connection = connection
        self._placeholder = placeholder

    def experiments(self) -> dict[str, str]:
        """Name -> id of every experiment that was not deleted."""
        return dict(self._rows("SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'"))

    def sweep(self, name: str, params: bool, metrics: Collection[str] | None) -> SweepRuns | None:
        """A sweep's runs, or None."""
        found = self._rows(
            "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'", (name,)
        )
        for (experiment_id,) in found:
            chosen = "SELECT run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active'"
            runs = self._runs(chosen, (experiment_id,), params, metrics)
            return gather(name, self.tracking_uri, str(experiment_id), runs)
        return None

    def with_identity(self, identities: Collection[str]) -> list[RunRecord]:
        """Runs of any sweep with one of these identities."""
        tagged = self._rows("SELECT run_uuid, value FROM tags WHERE key = ?", (str(Tag.IDENTITY),))
        return self.with_ids([run_id for run_id, value in tagged if value in identities])

    def with_ids(self, run_ids: Sequence[str]) -> list[RunRecord]:
        """These runs in this order, as far as they exist and were not deleted."""
        found: dict[str, RunRecord] = {}
        for start in range(0, len(run_ids), _CHUNK):
            chunk = run_ids[start : start + _CHUNK]
            runs = self._runs(", ".join("?" * len(chunk)), chunk, params=True, metrics=None)
            found |= {run.run_id: run for run in runs}
        return [found[run_id] for run_id in run_ids if run_id in found]

    def summaries(self) -> list[SweepSummary]:
        """One line per sweep; experiments without runs of ours are left out."""
        statement = (
            "SELECT e.name, r.run_uuid, r.status, r.start_time, r.end_time, t.key, t.value FROM experiments e "
            "JOIN runs r ON r.experiment_id = e.experiment_id JOIN tags t ON t.run_uuid = r.run_uuid "
            "WHERE e.lifecycle_stage = 'active' AND r.lifecycle_stage = 'active' AND t.key IN (?, ?)"
        )
        sweeps: dict[str, dict[str, RunRecord]] = {}
        for name, run_id, status, start, end, key, value in self._rows(statement, (str(Tag.ROLE), str(Tag.QUESTION))):
            run = sweeps.setdefault(name, {}).setdefault(run_id, RunRecord(run_id, status, start, end, ""))
            run.tags[key] = value
        return [summarise(gather(name, self.tracking_uri, "", runs.values())) for name, runs in sweeps.items()]

    def _runs(
        self, chosen: str, values: Sequence[Any], params: bool, metrics: Collection[str] | None
    ) -> list[RunRecord]:
        """The runs whose ids `chosen` (a subquery or a list of placeholders) names, with what belongs to them."""
        statement = (
            f"SELECT run_uuid, status, start_time, end_time, artifact_uri FROM runs WHERE run_uuid IN ({chosen})"
        )
        rows = self._rows(f"{statement} AND lifecycle_stage = 'active'", values)
        runs = {row[0]: RunRecord(*row[:4], artifact_uri=row[4] or "") for row in rows}
        for run_id, key, value in self._rows(
            f"SELECT run_uuid, key, value FROM tags WHERE run_uuid IN ({chosen})", values
        ):
            if run_id in runs:
                runs[run_id].tags[key] = value
        if params:
            statement = f"SELECT run_uuid, key, value FROM params WHERE run_uuid IN ({chosen})"
            for run_id, key, value in self._rows(statement, values):
                if run_id in runs:
                    runs[run_id].params[key] = value
        only = "" if metrics is None else f" AND key IN ({', '.join('?' * len(metrics))})"
        statement = f"SELECT run_uuid, key, value, is_nan FROM latest_metrics WHERE run_uuid IN ({chosen}){only}"
        for run_id, key, value, is_nan in self._rows(statement, (*values, *(metrics or ()))):
            if run_id in runs:
                runs[run_id].metrics[key] = number(value, is_nan)
        return list(runs.values())

    def _rows(self, statement: str, values: Iterable[Any] = ()) -> list[Any]:
        rows = self._connection.execute(statement.replace("?", self._placeholder), tuple(values)).fetchall()
        return list(rows)


def number(value: float, is_nan: bool = False) -> float:
    """A metric as it was logged; MLflow stores infinities as the largest number and NaN as a flagged 0."""
    if is_nan:
        return float("nan")
    return value if abs(value) < _LARGEST else float("inf") if value > 0 else float("-inf")


@contextmanager
def open_database(tracking_uri: str) -> Iterator[Database | None]:
    """The database, or None where nothing was recorded yet: no such file, or a database without MLflow's tables.

    Raises:
        Unreachable: it can't be opened or read, is locked, or has another MLflow's schema.
    """
    opened = _sqlite(tracking_uri) if tracking_uri.startswith("sqlite:") else _postgresql(tracking_uri)
    with opened as database:
        if database is None or not _has_tables(database):
            yield None
        else:
            _check_schema(database)
            yield database


@contextmanager
def _sqlite(tracking_uri: str) -> Iterator[Database | None]:
    path = Path(unquote(urlsplit(tracking_uri).path)[1:])  # sqlite:///relative, sqlite:////absolute
    if not path.exists():
        yield None
        return
    try:
        # mode=ro: reading must never create a file or change one
        address = f"file:{quote(str(path.absolute()))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as connection:
            connection.execute("BEGIN")
            yield Database(tracking_uri, connection, "?")
    except sqlite3.Error as error:
        raise Unreachable(_sqlite_message(path, str(error))) from error


def _sqlite_message(path: Path, problem: str) -> str:
    if "locked" in problem:
        return f"{path} has been locked by another process for {_PATIENCE_SECONDS} s. Try again when its write is done"
    if "no such" in problem:
        return f"{path} does not have MLflow's tables ({problem})"
    return f"The MLflow database {path} can't be read: {problem}"


@contextmanager
def _postgresql(tracking_uri: str) -> Iterator[Database | None]:
    try:
        import psycopg
    except ImportError as error:
        raise Unreachable("PostgreSQL needs its driver:  pip install 'perceiver-sweeps[postgresql]'") from error
    shown = without_password(tracking_uri)
    address = re.sub(r"^postgres(ql)?(\+\w+)?:", "postgresql:", tracking_uri)
    patience = {} if "connect_timeout" in parse_qs(urlsplit(address).query) else {"connect_timeout": _PATIENCE_SECONDS}
    try:
        with psycopg.connect(address, **patience) as connection:  # type: ignore[arg-type]
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield Database(tracking_uri, connection, "%s")
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise Unreachable(f"{shown} does not have MLflow's tables ({_first_line(error)})") from error
    except psycopg.Error as error:
        raise Unreachable(f"The MLflow database {shown} can't be read: {_first_line(error)}") from error


def without_password(tracking_uri: str) -> str:
    """The URI as it may be printed."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", tracking_uri)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _has_tables(database: Database) -> bool:
    catalog = "sqlite_master WHERE name" if database._placeholder == "?" else "pg_tables WHERE tablename"
    return bool(database._rows(f"SELECT 1 FROM {catalog} = 'alembic_version'"))


def _check_schema(database: Database) -> None:
    """Raises Unreachable unless the schema is the one that the installed MLflow would accept."""
    known, newest = _schema_revisions()
    revisions = [row[0] for row in database._rows("SELECT version_num FROM alembic_version")]
    if newest is None or newest in revisions:
        return
    shown, installed = without_password(database.tracking_uri), importlib.metadata.version("mlflow")
    schema = f"the installed MLflow {installed} needs schema {newest}, it has {', '.join(revisions) or 'none'}"
    if known.issuperset(revisions):
        raise Unreachable(
            f"{shown} is from an older MLflow: {schema}. Make a copy of it, then:  mlflow db upgrade {shown}"
        )
    raise Unreachable(f"{shown} is from a newer MLflow: {schema}. Then:  pip install --upgrade mlflow")


def _schema_revisions() -> tuple[set[str], str | None]:
    """All schema revisions that the installed MLflow knows, and the newest.

    Read from the text of its migrations, as importing MLflow takes seconds. None where they can't be found.
    """
    found = importlib.util.find_spec("mlflow")
    folder = Path(found.origin).parent / "store/db_migrations/versions" if found and found.origin else None
    revisions, replaced = set[str](), set[str]()
    for file in folder.glob("*.py") if folder else ():
        for name, value in re.findall(r"^(down_revision|revision)\b[^=\n]*=\s*(.+)$", file.read_text(), re.MULTILINE):
            (revisions if name == "revision" else replaced).update(re.findall(r"['\"](\w+)['\"]", value))
    heads = revisions - replaced
    return revisions, heads.pop() if len(heads) == 1 else None
