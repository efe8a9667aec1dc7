"""What was found out about files, kept in the user's cache folder: it tells which files to look into again.

    index = FileIndex()
    known = index.known("content", files)                  # path -> value, of the files that have not changed since
    index.remember("content", {file: value, ...})

A file is the same while its path, size and stamp are. Nothing here is needed: where the folder can't be used, or the
index is damaged, everything is unknown and found out again. Several processes may use it at once.
"""

import os
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TypeVar

from perceiver.data.files import File, is_local, local_path

T = TypeVar("T")

_INDEX = "files-1.db"
"""The number is the version of the table."""
_AT_ONCE = 500
"""Files asked for in one query; SQLite takes 999 parameters everywhere."""
_PATIENCE = 20.0
"""Seconds to wait for another process that writes."""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def cache_folder() -> Path | None:
    """The folder of this program's caches, private to the user; None where there is no place for one.

    $XDG_CACHE_HOME/perceiver-sweeps, or ~/.cache/perceiver-sweeps; below the folder for temporary files where there is
    no home, or none that can be written.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    home = given if os.path.isabs(given) else os.path.join(os.path.expanduser("~"), ".cache")
    places = [os.path.join(home, "perceiver-sweeps")] if os.path.isabs(home) else []
    for place in (*places, os.path.join(tempfile.gettempdir(), f"perceiver-sweeps-{os.getuid()}")):
        try:
            os.makedirs(place, mode=0o700, exist_ok=True)
        except OSError:
            continue
        if _is_ours(place):
            return Path(place)
    return None


def _is_ours(place: str) -> bool:
    """Whether nobody else can have put something there, and this user can."""
    about = os.stat(place)
    private = about.st_uid == os.getuid() and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return private and os.access(place, os.R_OK | os.W_OK | os.X_OK)


class FileIndex:
    """Values by kind (such as "content") and file. Values are text; what they mean is the caller's to know."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or cache_folder()
        self._path = folder / _INDEX if folder else None

    def known(self, kind: str, files: Iterable[File]) -> dict[str, str]:
        """Path -> value, of the files whose size and stamp are those of the time when it was remembered."""
        by_key = {_key(file.path): file for file in files if file.stamp}

        def read(index: sqlite3.Connection) -> dict[str, str]:
            found = {}
            for keys in _in_batches(by_key):
                marks = ",".join("?" * len(keys))
                query = f"SELECT path, size, stamp, value FROM files WHERE kind = ? AND path IN ({marks})"
                for key, size, stamp, value in index.execute(query, [kind, *keys]):
                    file = by_key[key]
                    if (size, stamp) == (file.size, file.stamp):
                        found[file.path] = value
            return found

        return self._with_index(read) or {}

    def remember(self, kind: str, found: Mapping[File, str]) -> None:
        """Keeps values for the next time, also for other processes; those of files without a stamp are not kept."""
        rows = [(kind, _key(file.path), file.size, file.stamp, value) for file, value in found.items() if file.stamp]

        def write(index: sqlite3.Connection) -> None:
            with index:
                index.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)

        if rows:
            self._with_index(write)

    def _with_index(self, use: Callable[[sqlite3.Connection], T]) -> T | None:
        """What `use` makes of the index; None where it can't be used, and from then on, so that nobody waits for a lock
        again and again. One that is damaged is made anew.
        """
        for _ in range(2 if self._path else 0):
            try:
                with closing(self._open()) as index:
                    return use(index)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                    self._path = None
                    return None
            try:
                os.unlink(self._path)
            except OSError:
                return None
        return None

    def _open(self) -> sqlite3.Connection:
        index = sqlite3.connect(self._path, timeout=_PATIENCE)
        index.execute("PRAGMA synchronous = OFF")  # what a crash of the machine spoils is made anew
        index.execute(
            "CREATE TABLE IF NOT EXISTS files (kind TEXT, path BLOB, size INTEGER, stamp TEXT, value TEXT, "
            "PRIMARY KEY (kind, path)) WITHOUT ROWID"
        )
        return index


def _key(path: str) -> bytes:
    """Where the file is, whatever folder the program was called in; a name on disk may be no text."""
    return (os.path.abspath(local_path(path)) if is_local(path) else path).encode("utf-8", "surrogateescape")


def _in_batches(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(keys)
    return iter(lambda: list(islice(rest, _AT_ONCE)), [])
