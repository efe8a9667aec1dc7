"""Says every two seconds how far long work has come: a bar on a terminal, plain lines where standard error is piped."""

import sys
import threading
import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from orchestrator.console import console, note

_EVERY = 2.0
"""Seconds between lines."""


class Ticker:
    """Use it in a `with` block; `show` is the callback that counts. `stage` is said until something counts.

    The lines come from a thread of their own, so that they also come while one call takes long.
    """

    def __init__(self, stage: str, things: str) -> None:
        self._stage, self._things = stage, things
        self.done, self.total = 0, 0
        self._began, self._ended = time.monotonic(), threading.Event()
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task = self._bar.add_task(stage, total=None) if self._bar else None
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Ticker":
        if self._bar:
            self._bar.start()
        else:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        if self._bar:
            self._bar.stop()
        else:
            self._thread.join()

    def show(self, done: int, total: int) -> None:
        """How far the work has come."""
        self.done, self.total = done, total
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, description=self._things)

    def _tick(self) -> None:
        while not self._ended.wait(_EVERY):
            passed = time.monotonic() - self._began
            count = f"{self.done:,} of {self.total:,} {self._things}" if self.total else self._stage
            note(f"  {count}, {passed:.0f} s")


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console(stderr=True), transient=True)
