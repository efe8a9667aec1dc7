"""The splits of a data set, opened for a trial: classes, clips, and the rows that can't be used.

data, held_out = open_splits(DataSource("/data/audioset"), config)
data.clips[3].id, data.classes[data.clips[3].labels[0]].name
"""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from perceiver.config import RunConfig
from perceiver.data.audioset import ClassLabel, DataSource, Layout, Problem, Problems, Segment, Split
from perceiver.data.draws import generator
from perceiver.data.habit import Habit
from perceiver.data.listing import Listing, require_planned
from perceiver.data.shards import IndexRows, ShardedLayout, open_layout, require_current
from perceiver.errors import DataError


class Clip(NamedTuple):
    """One clip of a data set: its file, where the segment lies in its source, its classes.

    `trimmed`: the file's own time begins with the segment. Where it is false the reader decides by the file's
    length and the set's habit (see `perceiver.data.clips.segment`).
    """

    id: str
    path: str
    start: float
    end: float
    trimmed: bool
    labels: tuple[int, ...]
    habit: Habit = ""


class Clips(Sequence[Clip]):
    """Clips in columns, since two million of them as objects would take gigabytes on every worker."""

    def __init__(self, habit: Habit = "") -> None:
        self.habit: Habit = habit
        self.ids: list[str] = []
        self.paths: Any = []
        self.starts, self.ends = array("d"), array("d")
        self.trimmed = array("b")
        self.labels, self.label_ends = array("i"), array("q", [0])

    @classmethod
    def of_index(cls, rows: IndexRows) -> "Clips":
        """The clips of an ingested set, without a look at each."""
        clips = cls()
        clips.ids, clips.paths, clips.starts, clips.ends = rows.ids, rows.places, rows.starts, rows.ends
        clips.trimmed = array("b", b"\1") * len(rows.ids)
        clips.labels, clips.label_ends = rows.labels, rows.label_ends
        return clips

    def append(self, row: Segment) -> None:
        self.ids.append(row.id)
        self.paths.append(row.path)
        self.starts.append(row.start)
        self.ends.append(row.end)
        self.trimmed.append(row.trimmed)
        self.labels.extend(row.labels)
        self.label_ends.append(len(self.labels))

    def labels_of(self, index: int) -> tuple[int, ...]:
        return tuple(self.labels[self.label_ends[index] : self.label_ends[index + 1]])

    def deal_labels(self, order: Sequence[int]) -> None:
        """Gives clip i the labels that clip order[i] had."""
        dealt, ends = array("i"), array("q", [0])
        for index in order:
            dealt.extend(self.labels_of(index))
            ends.append(len(dealt))
        self.labels, self.label_ends = dealt, ends

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        start, end, trimmed = self.starts[index], self.ends[index], bool(self.trimmed[index])
        return Clip(self.ids[index], self.paths[index], start, end, trimmed, self.labels_of(index), self.habit)


class DataSet:
    """A split of a data set: `classes`, `clips`, and `problems`, the rows that can't be used."""

    def __init__(self, source: DataSource, split: Split, classes: list[ClassLabel]) -> None:
        self.source, self.split, self.classes = source, split, classes
        self.clips, self.problems = Clips(source.planned.habit if source.planned else ""), Problems()

    def __len__(self) -> int:
        return len(self.clips)

    def fingerprint(self) -> str:
        """What a trial that goes on has to find again: the clips, their order, times and labels, and the set's digest,
        which covers what is in the files, where the source was opened with one.
        """
        clips, sha, planned = self.clips, hashlib.sha256(), self.source.planned
        sha.update("\n".join(clips.ids).encode())
        for column, kind in ((clips.starts, "f8"), (clips.ends, "f8"), (clips.labels, "i8"), (clips.label_ends, "i8")):
            sha.update(np.ascontiguousarray(column, kind))
        of_set = f" of set {planned.digest[:16]}" if planned else ""
        return f"{len(self)} clips, digest {sha.hexdigest()[:16]}{of_set}"

    def labels(self, rows: Sequence[int] | None = None) -> np.ndarray:
        """Labels of all clips, or of those at `rows`, as float32 zeros and ones, (clips, classes)."""
        rows = range(len(self)) if rows is None else rows
        matrix = np.zeros((len(rows), len(self.classes)), np.float32)
        for line, row in enumerate(rows):
            matrix[line, list(self.clips.labels_of(row))] = 1
        return matrix


def open_splits(source: DataSource, config: RunConfig) -> tuple[DataSet, DataSet]:
    """The training and the evaluation split, from one listing; see `open_data`."""
    layout = _layout(source, config)
    return _open(layout, config, "train"), _open(layout, config, "eval")


def open_data(source: DataSource, config: RunConfig, split: Split) -> DataSet:
    """A split of the data set, checked against the config. A synthetic set is made first where it is not there yet.

    Raises:
        DataError: the set is not there or not in AudioSet's layout, its classes are not as many as the model's, no
            row has a file, or most rows can't be used; it was ingested for smaller pictures, not to its end,
            or by an older reader; it is not what `source.planned` says.
    """
    return _open(_layout(source, config), config, split)


def _layout(source: DataSource, config: RunConfig) -> Layout | ShardedLayout:
    if source.recipe is not None:
        from perceiver.data.synthetic import ensure_synthetic

        ensure_synthetic(source.url, source.recipe)
    layout = open_layout(source)
    if config.model.classes not in (None, len(layout.classes)):
        raise DataError(
            f"{source.url} has {len(layout.classes)} classes, but model.classes is {config.model.classes}: "
            f"set model.classes: {len(layout.classes)}, or leave it out"
        )
    if isinstance(layout, ShardedLayout):
        require_current(source.url, layout.shards)
        layout.require_planned()
        layout.require_pixels(config.model.inputs.video.size if config.model.inputs.video else 0)
    return layout


def _open(layout: Layout | ShardedLayout, config: RunConfig, split: Split) -> DataSet:
    data = DataSet(layout.source, split, layout.classes)
    if isinstance(layout, ShardedLayout):
        data.clips = Clips.of_index(layout.rows(split))
    else:
        require_planned(layout.source, split, _add_rows(data, layout.segments(split)))
    _refuse_useless(data)
    if split == "train" and config.data.shuffle_labels:
        # Its own stream: a control with another train.seed deals the same labels, so replicates learn one task.
        data.clips.deal_labels(generator("shuffle_labels").permutation(len(data)).tolist())
    return data


def _add_rows(data: DataSet, rows: Iterable[Segment | Problem]) -> Listing:
    listing = Listing()
    for row in rows:
        if isinstance(row, Problem):
            data.problems.add(row)
        else:
            data.clips.append(row)
            listing.add(row)
    return listing


def _refuse_useless(data: DataSet) -> None:
    """A row without a file is normal, since no mirror has them all; rows that are wrong are not."""
    wrong = data.problems.counts.total() - data.problems.counts["no file"]
    if not len(data) or wrong > len(data) + data.problems.counts["no file"]:
        named = "; ".join(problem.message for problem in data.problems.named[:3])
        what = "no usable row" if not len(data) else "more wrong rows than right ones"
        raise DataError(f"{data.source.url} has {what} in its {data.split} split ({data.problems}): {named}")
