"""Which rows of a data set make which shard: it follows from the rows alone, so an ingest can go on."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

from perceiver.data.audioset import DataSource, Layout, Segment, Split
from perceiver.data.content import Progress, with_contents
from perceiver.data.digest import habits_of
from perceiver.data.files import is_local, local_path
from perceiver.data.packing import ShardTask
from perceiver.data.shards import SPLITS, Form, read_shards
from perceiver.data.synthetic import ensure_synthetic
from perceiver.errors import DataError

_LARGEST, _SMALLEST, _FEWEST = 256, 16, 64
"""Clips of a shard: 256, which are 300 MB at ten seconds each; fewer, down to 16, where that would make less than 64
shards of a split, since a shard is what a worker does at a time and what an interruption loses."""

Place = tuple[str, int]
"""Split and number of a shard."""


class ShardPlan:
    """Which rows make which shard.

    `progress` counts the files whose content is looked into.

    Raises:
        DataError: the source is not in AudioSet's layout, or a split has no row with a file.
        StorageError: the source can't be read now.
    """

    def __init__(self, source: DataSource, dest: str, form: Form, progress: Progress | None = None) -> None:
        _refuse_places(source.url, dest)
        if source.recipe is not None:
            ensure_synthetic(source.url, source.recipe)
        layout = Layout(source)
        self.source, self.dest, self.form, self.classes = source, dest, form, layout.classes
        self.mids = [label.mid for label in layout.classes]
        self.tasks: list[ShardTask] = []
        self.problems: list[tuple[str, str, str, str]] = []
        """Rows that can't be used, as lines of left_out.csv."""
        rows = {split: list(self._rows(layout, split)) for split in SPLITS}
        every = [(split, row) for split in SPLITS for row in rows[split]]
        contents = {row.path: content for _, row, content in with_contents(every, layout.files, progress)}
        self.habit = habits_of(layout, (row for _, row in every)).habit
        for split in SPLITS:
            size = min(max(-(-len(rows[split]) // _FEWEST), _SMALLEST), _LARGEST)
            for number, first in enumerate(range(0, len(rows[split]), size)):
                some = rows[split][first : first + size]
                found = [contents[row.path] for row in some]
                self.tasks.append(ShardTask(dest, split, number, first, form, some, self.mids, found, self.habit))
        self.keys: dict[Place, str] = {(task.split, task.number): task.key() for task in self.tasks}
        self.contents: dict[Place, str] = {(task.split, task.number): task.content() for task in self.tasks}
        self.source_digest = _digest([self.mids, *self.keys.values()])
        self.content = _digest([*self.contents.values()])

    def _rows(self, layout: Layout, split: Split) -> Iterator[Segment]:
        """A split's rows that can be used; the others become problems."""
        usable = False
        for row in layout.segments(split):
            if isinstance(row, Segment):
                usable = True
                yield row
            elif not row.used:
                self.problems.append((split, row.where, row.reason, row.message))
        if not usable:
            counts = Counter(reason for of, _, reason, _ in self.problems if of == split)
            raise DataError(f"{self.source.url} has no usable row in its {split} split: {dict(counts)}")

    @property
    def clips(self) -> int:
        return sum(len(task.rows) for task in self.tasks)


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _refuse_places(source: str, dest: str) -> None:
    if read_shards(source) is not None:
        raise DataError(f"{source} is an ingested set already; a site file can name it as it is")
    inner, outer = (
        f"{os.path.realpath(local_path(url)) if is_local(url) else url.rstrip('/')}/" for url in (dest, source)
    )
    if inner.startswith(outer) or outer.startswith(inner):
        raise DataError(f"{dest} lies within {source}, or around it: shards need a place of their own")
