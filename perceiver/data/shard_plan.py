"""Which rows of a data set make which shard: it follows from the rows alone, so an ingest can go on."""

import hashlib
import json
import os
from collections import Counter

from perceiver.data.audioset import DataSource, Layout, Segment
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

    Raises:
        DataError: the source is not in AudioSet's layout, or a split has no row with a file.
    """

    def __init__(self, source: DataSource, dest: str, form: Form) -> None:
        _refuse_places(source.url, dest)
        if source.recipe is not None:
            ensure_synthetic(source.url, source.recipe)
        layout = Layout(source)
        self.source, self.dest, self.form, self.classes = source, dest, form, layout.classes
        self.mids = [label.mid for label in layout.classes]
        self.tasks: list[ShardTask] = []
        self.problems: list[tuple[str, str, str, str]] = []
        """Rows that can't be used, as lines of left_out.csv."""
        for split in SPLITS:
            rows = []
            for row in layout.segments(split):
                if isinstance(row, Segment):
                    rows.append(row)
                elif not row.used:
                    self.problems.append((split, row.where, row.reason, row.message))
            if not rows:
                counts = Counter(reason for of, _, reason, _ in self.problems if of == split)
                raise DataError(f"{source.url} has no usable row in its {split} split: {dict(counts)}")
            size = min(max(-(-len(rows) // _FEWEST), _SMALLEST), _LARGEST)
            for number, first in enumerate(range(0, len(rows), size)):
                task = ShardTask(dest, split, number, first, form, rows[first : first + size], self.mids)
                self.tasks.append(task)
        self.keys: dict[Place, str] = {(task.split, task.number): task.key() for task in self.tasks}
        self.source_digest = hashlib.sha256(json.dumps([self.mids, *self.keys.values()]).encode()).hexdigest()

    @property
    def clips(self) -> int:
        return sum(len(task.rows) for task in self.tasks)


def _refuse_places(source: str, dest: str) -> None:
    if read_shards(source) is not None:
        raise DataError(f"{source} is an ingested set already; a site file can name it as it is")
    inner, outer = (
        f"{os.path.realpath(local_path(url)) if is_local(url) else url.rstrip('/')}/" for url in (dest, source)
    )
    if inner.startswith(outer) or outer.startswith(inner):
        raise DataError(f"{dest} lies within {source}, or around it: shards need a place of their own")
