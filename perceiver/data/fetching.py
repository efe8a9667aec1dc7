"""Fetches remote files: many side by side ahead of their use, since each costs the time that a request takes.

Storage that hangs can be left behind: every request has a daemon thread of its own. They share one client, which fsspec
keeps for each process and never takes over a fork.
"""

import errno
import io
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Any, BinaryIO, TypeVar

from perceiver.data.faults import missing
from perceiver.data.files import files_of, is_local
from perceiver.data.remote_media import head_size, is_whole, open_media, read_head
from perceiver.errors import StorageError

T = TypeVar("T")

REQUESTS = 32
"""Files that are asked for at the same time."""
BYTES = 256 * 2**20
"""That are asked for or wait for their use in a process, at most."""


class Ahead:
    """The beginnings of the files that a reader will open, asked for in that order, a bounded number ahead of it."""

    def __init__(self) -> None:
        self._left: Counter[str] = Counter()
        self._coming: deque[str] = deque()
        self._asked: dict[str, Future[bytes]] = {}

    def expect(self, paths: Iterable[str]) -> None:
        """Names every file that will be opened from now on, in order, as far as that is known."""
        remote = [file for path in paths for file in files_of(path) if not is_local(file)]
        self._left = Counter(remote)
        self._asked = {path: asked for path, asked in self._asked.items() if path in self._left}
        self._coming = deque(path for path in dict.fromkeys(remote) if path not in self._asked)
        self._ask()

    def open(self, path: str, deadline: float) -> BinaryIO:
        """A remote file, or a clip in a remote shard, as `open_media` gives it.

        Raises:
            ClipError: it is not there.
            DataError: its server gives no parts of files.
            StorageError: storage failed, or gave nothing within the deadline.
        """
        try:
            return self._open(path, deadline)
        except FileNotFoundError:
            raise missing(path) from None

    def close(self) -> None:
        """Lets go of what was asked for; whoever waits for it in another thread is told so."""
        self._coming.clear()
        for asked in list(self._asked.values()):  # its reader's thread may be at work
            asked.cancel()

    def _open(self, path: str, deadline: float) -> BinaryIO:
        asked = self._asked.get(path)
        if asked is None or (asked.done() and (asked.cancelled() or asked.exception())):
            asked = self._asked[path] = _begin(read_head, path)
        head = _within(asked, deadline, path)
        self._left[path] -= 1
        if self._left[path] <= 0:
            del self._asked[path]
        self._ask()
        return io.BytesIO(head) if is_whole(path, head) else _within(_begin(open_media, path, head), deadline, path)

    def _ask(self) -> None:
        with suppress(IndexError):  # closed meanwhile
            while self._coming and self._has_room_for(self._coming[0]):
                path = self._coming.popleft()
                self._asked[path] = _begin(read_head, path)

    def _has_room_for(self, path: str) -> bool:
        open_requests, size = 0, head_size(path)
        for other, asked in self._asked.items():
            there = asked.done() and not asked.cancelled() and not asked.exception()
            size += len(asked.result()) if there else head_size(other)
            open_requests += not asked.done()
        return not self._asked or (open_requests < REQUESTS and size <= BYTES)


def _begin(call: Callable[..., T], *arguments: Any) -> "Future[T]":
    """The call's result, some time later; its thread does not keep the process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                future.set_result(call(*arguments))
            except BaseException as error:
                future.set_exception(error)

    threading.Thread(target=run, name="fetch", daemon=True).start()
    return future


def _within(asked: "Future[T]", deadline: float, path: str) -> T:
    try:
        return asked.result(timeout=deadline)
    except CancelledError:
        raise StorageError(f"{path} is not fetched any more") from None
    except TimeoutError:
        asked.cancel()
        raise StorageError(f"{path} was not fetched within {deadline:g} s", errno.ETIMEDOUT) from None
