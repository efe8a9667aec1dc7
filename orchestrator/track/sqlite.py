"""An sqlite file as a tracker: where it is, and what it needs so that many may use it."""

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import unquote

from orchestrator.errors import Unreachable
from orchestrator.plan.site import in_uri


def sqlite_file(tracking_uri: str) -> Path | None:
    """The database file of a `sqlite:///relative` or `sqlite:////absolute` URI, None for every other tracker.

    As SQLAlchemy, and so MLflow, reads it: % begins a code, ? a query, and # is a letter like others.
    """
    found = re.match(r"sqlite[+\w]*:///([^?]+)", tracking_uri)
    return Path(unquote(found[1])) if found else None


def for_mlflow(tracking_uri: str) -> str:
    """The URI that MLflow is given.

    MLflow makes the folder that an sqlite URI spells, codes and all, before it opens the right one. So a path with
    codes is given from the current folder on, where it has none.
    """
    path, (scheme, _, place) = sqlite_file(tracking_uri), tracking_uri.partition(":///")
    if path is None or "%" not in place:
        return tracking_uri
    _, mark, query = place.partition("?")
    return f"{scheme}:///{in_uri(os.path.relpath(path))}{mark}{query}"


def prepare_sqlite(tracking_uri: str) -> None:
    """Readers (the board, the UI) and the writer work side by side only with a write-ahead log.

    Raises:
        Unreachable: the file can't be made or written.
    """
    path = sqlite_file(tracking_uri)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA journal_mode=WAL")
    except (OSError, sqlite3.Error) as error:
        raise Unreachable(f"The MLflow database {path} can't be opened: {error}") from None


def analyze_sqlite(tracking_uri: str) -> None:
    """MLflow never runs ANALYZE, and without it a sorted query takes minutes (105 s -> 0.3 s on 10,000 runs).

    Only speed hangs on it, so that it may fail.
    """
    path = sqlite_file(tracking_uri)
    if path is None:
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=20)) as database, database:
        database.execute("PRAGMA analysis_limit=400")
        database.execute("ANALYZE")
