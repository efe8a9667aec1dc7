"""One driver per sweep: a file on storage that says who runs it, renewed while they live. Runs on: the driver."""

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from orchestrator.errors import Unreachable, UsageError
from orchestrator.track import storage
from orchestrator.track.paths import SweepPaths

_RENEW_SECONDS = 10.0
_EXPIRES_SECONDS = 60.0

_held_here: set[str] = set()
"""Tokens of the leases that this process holds."""


def holder(paths: SweepPaths) -> dict[str, Any] | None:
    """Who is running the sweep now: `host`, `pid`, `time` and `token`; None if nobody is."""
    lease = _read(paths)
    if lease is None or time.time() - lease["time"] > _EXPIRES_SECONDS:
        return None
    return lease if lease["host"] != socket.gethostname() or _lives(lease) else None


def _read(paths: SweepPaths) -> dict[str, Any] | None:
    """The lease on storage; None where there is none, or something else."""
    try:
        lease = storage.read_json(paths.driver)
    except ValueError:
        return None
    known = isinstance(lease, dict) and isinstance(lease.get("time"), float | int)
    return lease if known and {"host", "pid"} <= lease.keys() else None


class Lease:
    """Held while a driver runs a sweep.

    A driver that could not renew it for a minute (its machine slept, storage was away) may find the sweep in another's
    hands: then it has `lost` the lease, and leaves the other's alone.

    Raises:
        UsageError: on entering, when another driver holds it.
    """

    def __init__(self, paths: SweepPaths) -> None:
        self._paths = paths
        self._token = secrets.token_hex(8)
        self._lost = False
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._renew, daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another driver has taken over the sweep; seen within ten seconds."""
        return self._lost

    def __enter__(self) -> "Lease":
        other = holder(self._paths)
        if other is not None:
            raise UsageError(
                f"sweep {self._paths.sweep} is being run by process {other['pid']} on {other['host']}. "
                f"Watch it with: sweep status {self._paths.sweep}, or end it with: sweep stop {self._paths.sweep}"
            )
        storage.remove(self._paths.stop)
        self._write()
        _held_here.add(self._token)
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._renewer.join()
        _held_here.discard(self._token)
        with suppress(Unreachable):  # it expires by itself
            if self._is_ours():
                storage.remove(self._paths.driver)
                storage.remove(self._paths.stop)

    def _renew(self) -> None:
        while not self._lost and not self._done.wait(_RENEW_SECONDS):
            with suppress(Unreachable):  # storage that is away for a moment; the lease outlives six of these
                if self._is_ours():
                    self._write()

    def _is_ours(self) -> bool:
        """Whether no other driver has written its lease; one that is gone or damaged is nobody's, so still ours."""
        lease = _read(self._paths)
        self._lost = self._lost or (lease is not None and lease.get("token") != self._token)
        return not self._lost

    def _write(self) -> None:
        lease = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time(), "token": self._token}
        storage.write_text(self._paths.driver, json.dumps(lease))


def _lives(lease: dict[str, Any]) -> bool:
    """Whether the process of a lease of this host is there; after a crash its number may be ours, or no process's."""
    if lease["pid"] == os.getpid():
        return lease.get("token") in _held_here
    try:
        os.kill(lease["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
