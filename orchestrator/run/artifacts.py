"""What a trial leaves beside its checkpoints: its log, tables, pictures, and room. Runs on: a trial's first worker.

None of it is the trial's result, so none of it ends the trial: what can't be made or written is tried again, then told.
A log line that could not be written comes with the next one, a table with the next evaluation's.
"""

import csv
import io
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from orchestrator.errors import Unreachable
from orchestrator.track import checkpoints, storage
from orchestrator.track.paths import TrialPaths
from perceiver.attention_maps import draw_attention
from perceiver.data.batch import BadClip
from perceiver.train import Progress

_WAITS = (0.5, 2.0)
"""Seconds between attempts."""


class Artifacts:
    """Leaves files below a trial's artifact root; `trouble` says what could not be left, until it is taken."""

    def __init__(self, paths: TrialPaths, scratch: Path) -> None:
        self._paths, self._scratch = paths, scratch
        self._lines = [self._earlier_log()]
        self._trouble: list[str] = []

    def log(self, line: str) -> None:
        """Adds a line to the trial's log, which all its attempts share."""
        self._lines.append(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {line}\n")
        self._leave("its log", lambda: storage.write_text(self._paths.log, "".join(self._lines)))

    def leave(self, progress: Progress) -> None:
        """AP of every class, unreadable clips and rows, attention maps at the end."""
        evaluation = progress.evaluation
        if progress.bad_clips:
            self._table("bad_clips.csv", lambda: (BadClip._fields, progress.bad_clips))
        if progress.bad_rows:
            self._table(
                "bad_rows.csv", lambda: (("where", "reason", "message"), [row[:3] for row in progress.bad_rows])
            )
        if evaluation:
            self._table("evaluation/per_class.csv", evaluation.per_class)
        if evaluation and progress.fraction >= 1:
            self._leave("its attention maps", lambda: self._draw(progress.state.eval_model, evaluation.example))

    def prune(self, keep: int) -> None:
        """Removes all but the newest checkpoints."""
        self._leave("room for checkpoints", lambda: checkpoints.prune(self._paths.checkpoints, keep))

    def take_trouble(self) -> tuple[str, ...]:
        """What could not be left since this was asked last."""
        told, self._trouble = tuple(self._trouble), []
        return told

    def _earlier_log(self) -> str:
        try:
            return storage.read_text(self._paths.log) or ""
        except Unreachable as error:
            return f"(the log of earlier attempts can't be read: {error})\n"

    def _draw(self, model: Any, example: Any) -> None:
        storage.upload_files(draw_attention(model, example, self._scratch), f"{self._paths.root}/attention")

    def _table(self, name: str, make: Callable[[], tuple[Iterable[str], Iterable[Iterable[Any]]]]) -> None:
        def write() -> None:
            header, rows = make()
            text = io.StringIO()
            csv.writer(text).writerows([header, *rows])
            storage.write_text(f"{self._paths.root}/{name}", text.getvalue())

        self._leave(name, write)

    def _leave(self, what: str, write: Callable[[], None]) -> None:
        for wait in (*_WAITS, None):
            try:
                return write()
            except Exception as error:  # a picture may fail in any library
                if wait is None:
                    self._trouble.append(f"{what} can't be left: {' '.join(str(error).split())}")
                else:
                    time.sleep(wait)
