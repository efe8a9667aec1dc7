"""The folder of a Ray that is started on this machine: its sockets, its logs. Runs on: the driver.

Ray's own choice is a folder that all users share, below TMPDIR; the path of a Unix socket has room for 107 bytes, and a
Slurm job's TMPDIR alone may have as many.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.errors import OrchestratorError, UsageError

_SOCKET = "session_2026-11-28_12-58-08_123456_4194304/sockets/plasma_store"
_LONGEST = (103 if sys.platform == "darwin" else 107) - len(f"/rabcdefgh/r/{_SOCKET}")
"""Bytes that the path around the folder may have."""
_ATTEMPTS = 50


@contextmanager
def ray_folder() -> Iterator[Path]:
    """A new folder for one Ray, that nobody else can look into and that is gone at the end.

    Raises:
        UsageError: RAY_TMPDIR is set, and can't be used.
        OrchestratorError: no place has room for it.
    """
    private = _in_named_place() if os.environ.get("RAY_TMPDIR") else _in_any_place()
    try:
        yield private / "r"  # Ray opens its folder to everybody; what is around it stays closed
    finally:
        _remove(private)


def _remove(folder: Path) -> None:
    """Takes the folder away; Ray's processes may still be writing their last lines while they end."""
    for _ in range(_ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _in_named_place() -> Path:
    """A private folder in RAY_TMPDIR."""
    place = os.environ["RAY_TMPDIR"]
    if not _is_short(place):
        raise UsageError(
            f"RAY_TMPDIR {place} is {len(os.fsencode(place))} bytes long, and a socket of Ray leaves it {_LONGEST}: "
            "name a folder with a shorter path, or unset it"
        )
    try:
        os.makedirs(place, exist_ok=True)
        return _new(place)
    except OSError as error:
        raise UsageError(f"RAY_TMPDIR {place} can't be used: {error.strerror}") from None


def _in_any_place() -> Path:
    """A private folder in TMPDIR, or where that has too long a path in a place that every machine has."""
    places = [place for place in (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm") if _is_short(place)]
    for place in places:
        with suppress(OSError):
            return _new(place)
    raise OrchestratorError(
        f"Ray needs a folder for its sockets, and none of {', '.join(places)} can be written: "
        f"set RAY_TMPDIR to a folder with a path of up to {_LONGEST} bytes"
    )


def _new(place: str) -> Path:
    return Path(tempfile.mkdtemp(prefix="r", dir=place))


def _is_short(place: str) -> bool:
    return len(os.fsencode(os.path.abspath(place))) <= _LONGEST
