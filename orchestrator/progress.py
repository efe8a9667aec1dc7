"""Says how far long work has come: a bar on a terminal, a line every other second where standard error is piped."""

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from orchestrator.console import console, note

if TYPE_CHECKING:
    from rich.progress import Progress

_FIRST = 0.5
"""Seconds before the first line: what is quick says nothing."""
_EVERY = 1.5
"""Seconds between lines, so that with a busy machine there are at most two."""


class Ticker:
    """Use it in a `with` block; `show` is the callback that counts. `stage` is said until something counts.

    The lines come from a thread of their own, so that they also come while one call takes long.
    """

    def __init__(self, stage: str, things: str) -> None:
        self._stage, self._things = stage, things
        self.done, self.total = 0, 0
        self._began, self._ended = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._draw if sys.stderr.isatty() else self._tick, daemon=True)

    def __enter__(self) -> "Ticker":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def show(self, done: int, total: int) -> None:
        """How far the work has come."""
        self.done, self.total = done, total

    def _tick(self) -> None:
        wait = _FIRST
        while not self._ended.wait(wait):
            passed, wait = time.monotonic() - self._began, _EVERY
            count = f"{self.done:,} of {self.total:,} {self._things}" if self.total else self._stage
            note(f"  {count}, {passed:.0f} s")

    def _draw(self) -> None:
        if self._ended.wait(_FIRST):
            return
        with _bar() as bar:
            task = bar.add_task(self._stage, total=None)
            while not self._ended.wait(0.1):
                if self.total:
                    bar.update(task, completed=self.done, total=self.total, description=self._things)


def _bar() -> "Progress":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console(stderr=True), transient=True)
