"""One driver per sweep: numbered files on storage that say who runs it, renewed while they live. Runs on: the driver.

    <storage>/<sweep>/driver/000003.json     the highest number holds; its `beat` grows while its driver lives

A lease is taken by creating the next number, which storage lets only one of several do: two drivers that start at the
same moment can't both hold the sweep, and nothing of another's is removed first. Whether a driver on another machine
lives is told by watching its beat, not by comparing two clocks; on this machine a process that is gone is known.
"""

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from orchestrator.console import note
from orchestrator.errors import Unreachable, UsageError
from orchestrator.track import storage
from orchestrator.track.paths import SweepPaths

_RENEW_SECONDS = 10.0
_EXPIRES_SECONDS = 60.0
"""A driver that did not renew its lease for so long is taken for dead: storage may be away for a while."""
_LOOK_SECONDS = 1.0

_BOOT = Path("/proc/sys/kernel/random/boot_id")

_held_here: set[str] = set()
"""Tokens of the leases that this process holds."""


def holder(paths: SweepPaths) -> dict[str, Any] | None:
    """Who runs the sweep, as far as is known without waiting: `host`, `pid`, and `time`, when it was heard of last by
    its own clock; None if nobody does.
    """
    _, text = _newest(paths)
    lease = _parse(text)
    if not lease or lease.get("ended") or _is_gone(lease):
        return None
    return {key: lease[key] for key in ("host", "pid", "time")}


class Lease:
    """Held while a driver runs a sweep.

    A driver that could not renew it for a minute (its machine slept, storage was away) may find the sweep in another's
    hands: then it has `lost` the lease.

    Raises:
        UsageError: on entering, when another driver holds it. That one on another machine is dead is known after a
            minute.
        Unreachable: storage does not answer.
    """

    def __init__(self, paths: SweepPaths) -> None:
        self._paths = paths
        self._token, self._number, self._beat = secrets.token_hex(8), 0, 0
        self._lost = False
        self._done = threading.Event()
        self._renewer = threading.Thread(target=self._renew, daemon=True)

    @property
    def lost(self) -> bool:
        """Whether another driver has taken over the sweep; seen within ten seconds."""
        return self._lost

    def __enter__(self) -> "Lease":
        while True:
            number, text = _newest(self._paths)
            self._require_free(number, text)
            if storage.create_text(self._paths.driver(number + 1), self._record()):
                break  # else another driver was quicker: it holds the sweep now
        self._number = number + 1
        storage.remove(self._paths.stop)
        _held_here.add(self._token)
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._renewer.join()
        _held_here.discard(self._token)
        with suppress(Unreachable):  # its beat stands still by itself
            if self._is_ours():
                storage.remove(self._paths.stop)
                storage.write_text(self._paths.driver(self._number), self._record(ended=True))
                for number in range(1, self._number):
                    storage.remove(self._paths.driver(number))

    def _require_free(self, number: int, text: str) -> None:
        """Raises UsageError if the driver that holds this lease lives. Another machine's is watched for a minute."""
        lease = _parse(text)
        if not number or (lease and (lease.get("ended") or _is_gone(lease))):
            return
        who = f"process {lease['pid']} on {lease['host']}" if lease else "a program of another version"
        if not (lease and _is_here(lease)):
            note(f"{who} ran {self._paths.sweep}; looking for {_EXPIRES_SECONDS:.0f} s whether it still does ...")
            if self._stands_still(number, text):
                note(f"It does not. Taken over from {who}.")
                return
        raise UsageError(
            f"sweep {self._paths.sweep} is being run by {who}. "
            f"Watch it with: sweep status {self._paths.sweep}, or end it with: sweep stop {self._paths.sweep}"
        )

    def _stands_still(self, number: int, text: str) -> bool:
        began = time.monotonic()
        while time.monotonic() - began < _EXPIRES_SECONDS:
            time.sleep(_LOOK_SECONDS)
            if _newest(self._paths) != (number, text):
                return False
        return True

    def _renew(self) -> None:
        while not self._lost and not self._done.wait(_RENEW_SECONDS):
            with suppress(Unreachable):  # storage that is away for a moment; the lease outlives six of these
                if self._is_ours():
                    storage.write_text(self._paths.driver(self._number), self._record())

    def _is_ours(self) -> bool:
        """Whether no other driver has taken a higher number."""
        self._lost = self._lost or _newest(self._paths)[0] > self._number
        return not self._lost

    def _record(self, ended: bool = False) -> str:
        self._beat += 1
        about = {"host": socket.gethostname(), "machine": machine(), "pid": os.getpid(), "began": began(os.getpid())}
        return json.dumps(about | {"token": self._token, "beat": self._beat, "time": time.time(), "ended": ended})


def _newest(paths: SweepPaths) -> tuple[int, str]:
    """The highest lease's number and text; 0 where there is none."""
    stems = [name.removesuffix(".json") for name in storage.list_names(paths.drivers)]
    number = max((int(stem) for stem in stems if stem.isdecimal()), default=0)
    return number, (storage.read_text(paths.driver(number)) or "") if number else ""


def _parse(text: str) -> dict[str, Any] | None:
    """The lease in a file; None for whatever else lies there."""
    try:
        lease = json.loads(text)
    except ValueError:
        return None
    known = isinstance(lease, dict) and isinstance(lease.get("pid"), int) and isinstance(lease.get("host"), str)
    return lease if known and isinstance(lease.get("time"), float | int) else None


def machine() -> str:
    """What tells this machine, since it was started, from others of its name; so each container, with its processes."""
    try:
        return f"{_BOOT.read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def began(pid: int) -> float | None:
    """When a process was started, which tells it from a later one of its number; None if there is none."""
    try:
        return psutil.Process(pid).create_time()
    except (psutil.Error, ValueError, OverflowError):
        return None


def _is_here(lease: dict[str, Any]) -> bool:
    return lease.get("machine") == machine()


def _is_gone(lease: dict[str, Any]) -> bool:
    """Whether the process of a lease of this machine is no more; its number may be ours by now, or another's."""
    if not _is_here(lease):
        return False
    if lease["pid"] == os.getpid():
        return lease.get("token") not in _held_here
    since = began(lease["pid"])
    return since is None or since != lease.get("began")
