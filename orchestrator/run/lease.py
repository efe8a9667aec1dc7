"""One driver per sweep: a file on storage that says who runs it, renewed while they live. Runs on: the driver."""

import json
import os
import socket
import threading
import time
from types import TracebackType
from typing import Any

from orchestrator.errors import Unreachable, UsageError
from orchestrator.track import storage
from orchestrator.track.paths import SweepPaths

_RENEW_SECONDS = 10.0
_EXPIRES_SECONDS = 60.0


def holder(paths: SweepPaths) -> dict[str, Any] | None:
    """Who is running the sweep now: `host`, `pid` and `time`; None if nobody is."""
    lease: dict[str, Any] | None = storage.read_json(paths.driver)
    if lease is None:
        return None
    if lease["host"] == socket.gethostname():
        return lease if lease["pid"] != os.getpid() and _is_alive(lease["pid"]) else None
    return lease if time.time() - lease["time"] < _EXPIRES_SECONDS else None


class Lease:
    """Held while a driver runs a sweep.

    Raises:
        UsageError: on entering, when another driver holds it.
    """

    def __init__(self, paths: SweepPaths) -> None:
        self._paths = paths
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> "Lease":
        other = holder(self._paths)
        if other is not None:
            raise UsageError(
                f"sweep {self._paths.sweep} is being run by process {other['pid']} on {other['host']}. "
                f"Watch it with: sweep status {self._paths.sweep}, or end it with: sweep stop {self._paths.sweep}"
            )
        storage.remove(self._paths.stop)
        self._write()
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._renewer.join()
        storage.remove(self._paths.driver)
        storage.remove(self._paths.stop)

    def _renew(self) -> None:
        while not self._done.wait(_RENEW_SECONDS):
            try:
                self._write()
            except Unreachable:
                continue  # storage that is away for a moment; the lease outlives six of these

    def _write(self) -> None:
        lease = {"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
        storage.write_text(self._paths.driver, json.dumps(lease))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
