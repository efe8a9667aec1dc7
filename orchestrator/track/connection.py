"""Whether a tracker can be used: opens its database for reading, checks its schema, and says what is wrong in a line.

Nothing is created, changed or upgraded, and MLflow itself is not imported.
"""

import importlib.metadata
import importlib.util
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from orchestrator.errors import OrchestratorError, Unreachable
from orchestrator.track.database import Database
from orchestrator.track.sqlite import sqlite_file

_PATIENCE_SECONDS = 10
_HANDSHAKE_SECONDS = 5
_REFUSALS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE", "BAD_REQUEST")


def is_database(tracking_uri: str) -> bool:
    """Whether the tracking URI is a database that can be read directly."""
    return tracking_uri.startswith(("sqlite:", "postgresql:", "postgresql+", "postgres:"))


def is_recorded(tracking_uri: str) -> bool:
    """Whether the tracker holds anything; a server that answers does.

    Raises:
        Unreachable: it can't be used, which is known within seconds where MlflowClient would try again for minutes.
    """
    if not is_database(tracking_uri):
        require_answer(tracking_uri)
        return True
    with open_database(tracking_uri) as database:
        return database is not None


def require_answer(tracking_uri: str) -> None:
    """Raises Unreachable within seconds where nothing answers at an http address; behind a proxy nobody can tell."""
    address = urlsplit(tracking_uri)
    if address.scheme not in ("http", "https") or address.hostname is None:
        return
    if address.scheme in getproxies() and not proxy_bypass(address.hostname):
        return
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname, port), timeout=_HANDSHAKE_SECONDS).close()
    except OSError as error:
        shown = without_password(tracking_uri)
        raise Unreachable(f"No MLflow server answers at {shown} ({error}). Is it running?") from error


@contextmanager
def explained(tracking_uri: str) -> Iterator[None]:
    """Raises what MLflow, SQLAlchemy or the network say at length, and have no common base for, as Unreachable."""
    try:
        yield
    except OrchestratorError:
        raise
    except Exception as error:
        raise Unreachable(explain(tracking_uri, error)) from error


def explain(tracking_uri: str, error: Exception) -> str:
    """One line, without passwords, for what MLflow, SQLAlchemy or the network say at length."""
    if isinstance(error, OrchestratorError):
        return str(error)
    try:
        require_answer(tracking_uri)  # says it in fewer words than the network does
    except Unreachable as away:
        return str(away)
    verb = "refuses" if is_refusal(error) else "does not answer"
    return without_password(f"The tracker {tracking_uri} {verb}: {_first_line(error)}")


def is_refusal(error: Exception) -> bool:
    """Whether MLflow answered that it can't do this, now or later: the run was deleted, say."""
    return getattr(error, "error_code", None) in _REFUSALS


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
    path = sqlite_file(tracking_uri)
    if path is None or not path.exists():
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
    message = getattr(error, "message", error)  # MLflow's own text leads with the code, which says nothing
    return (str(message).strip().splitlines() or [type(error).__name__])[0]


def _has_tables(database: Database) -> bool:
    catalog = "sqlite_master WHERE name" if database.placeholder == "?" else "pg_tables WHERE tablename"
    return bool(database.rows(f"SELECT 1 FROM {catalog} = 'alembic_version'"))


def _check_schema(database: Database) -> None:
    """Raises Unreachable unless the schema is the one that the installed MLflow would accept."""
    known, newest = _schema_revisions()
    revisions = [row[0] for row in database.rows("SELECT version_num FROM alembic_version")]
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
