"""AudioSet's files as published: segment CSVs, the label list, and the clips that belong to the rows.

    class_labels_indices.csv       index,mid,display_name          (in the folder, in its parent, or named apart)
    train_segments.csv             YTID, start_seconds, end_seconds, "mid,mid"     after three lines of #
    eval_segments.csv              the published names balanced_train_segments.csv and unbalanced_train_segments.csv
                                   also do; see `names` for others
    clips/<YTID>.mp4               anywhere below the folder; see `clip_files` for other names

Rows of one clip and time are one segment with the labels of all. A row that can't be used is a `Problem`, counted by
reason and named, never a crash: a wrong one, one without a file, a training row that is in the evaluation too. Imports
nothing heavy: a plan reads through this module.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from perceiver.data.clip_files import ClipFiles
from perceiver.data.files import File, list_files
from perceiver.data.label_list import LabelIndex, read_classes
from perceiver.data.lists import MEDIA_SUFFIXES, Row, Table
from perceiver.data.names import are_published, segment_lists
from perceiver.data.segments import (
    LABELS_FILE,
    ClassLabel,
    DataSource,
    Problem,
    Problems,
    RowError,
    Segment,
    Split,
)
from perceiver.errors import DataError

__all__ = [
    "LABELS_FILE",
    "MEDIA_SUFFIXES",
    "ClassLabel",
    "DataSource",
    "Layout",
    "Problem",
    "Problems",
    "Segment",
    "Split",
    "read_classes",
]

Key = tuple[str, float, float]
"""Id, start and end of a row."""


class Layout:
    """The files of a data set, from one listing: its CSVs, and its clips by the stem of their names.

    Raises:
        DataError: nothing there, or no label list; the message names the places.
    """

    def __init__(self, source: DataSource) -> None:
        self.source = source
        self.files = list_files(source.url)
        self.classes = read_classes(source)
        self.clips = ClipFiles(source.url, self.files, lambda: self._numbered, lambda: self._late)
        self._labels = LabelIndex(self.classes)
        self._found: dict[Split, tuple[list[File], list[File]]] = {}

    def segment_files(self, split: Split) -> list[File]:
        """The CSVs of a split, sorted by name.

        Raises:
            DataError: there is none; names what was looked for and what is there. Or more than one of the evaluation.
        """
        found, _ = self._lists(split)
        if not found:
            tables = [file.inner for file in self.files if file.name.lower().endswith((".csv", ".tsv"))]
            named = ", ".join(sorted(tables)) or "none"
            raise DataError(f"{self.source.url} has no {split}_segments.csv; CSV files there: {named}")
        return found

    def segments(self, split: Split) -> Iterator[Segment | Problem]:
        """The rows of a split in the order of its CSVs, each with its clip's file, or what is wrong with it.

        A training row that overlaps a row of the evaluation is wrong: what a model was trained on can't measure it.
        """
        lists = self.segment_files(split)
        yield from self._notes(split, lists)
        held_out = self._scans["eval"].times if split == "train" else {}
        again, joined = self._scans[split].again, dict[Key, set[int]]()
        for file in lists:
            name = file.inner
            for line, row in self._tables[file.path].rows():
                where = f"{name} line {line}"
                try:
                    if isinstance(row, RowError):
                        raise row
                    yield from self._segment(where, row, again, joined, held_out)
                except RowError as error:
                    yield Problem(where, error.reason, f"{where}: {error}")

    def _segment(
        self,
        where: str,
        row: Row,
        again: Mapping[Key, list[str]],
        joined: dict[Key, set[int]],
        held_out: Mapping[str, list[tuple[float, float]]],
    ) -> Iterator[Segment | Problem]:
        """The segment of a row, at the first of the rows that it is joined from, and what is to be known of it."""
        clip, start, end, fields, named = row
        more = again.get(row[:3], [])
        labels = self._labels.numbers(clip, [*fields, *more])
        for first, last in held_out.get(clip, ()):
            if start < last and first < end:
                raise RowError("in eval too", f"{clip} at {start:g} s overlaps the evaluation's at {first:g} s")
        if row[:3] in joined:
            yield self._joined(where, row, joined[row[:3]])
            return
        found = self.clips.find(clip, start, end, named)
        if more:
            joined[row[:3]] = set(self._labels.numbers(clip, fields))
        if found.note is not None:
            reason, message = found.note
            yield Problem(where, reason, f"{where}: {message}", used=True)
        yield Segment(clip, start, end, labels, found.path, found.size, found.trimmed)

    def _joined(self, where: str, row: Row, before: set[int]) -> Problem:
        """What a row is that names the clip and time of an earlier one."""
        labels = set(self._labels.numbers(row.id, row.labels))
        what = f"{where}: {row.id} at {row.start:g} s"
        if labels <= before:
            return Problem(where, "duplicate row", f"{what} was listed before")
        before |= labels
        return Problem(where, "joined row", f"{what} gives labels to the clip of an earlier row", used=True)

    def _notes(self, split: Split, lists: list[File]) -> Iterator[Problem]:
        """Lists that are not used, and used ones that somebody may not have meant."""
        for file in self._lists(split)[1]:
            used = " and ".join(each.inner for each in lists)
            yield Problem(file.inner, "list not used", f"{file.inner} is not used beside {used}", used=True)
        if len(lists) > 1 and not are_published(lists):
            for file in lists:
                yield Problem(
                    file.inner, "one of several lists", f"{file.inner} is one of {len(lists)} lists", used=True
                )

    def _lists(self, split: Split) -> tuple[list[File], list[File]]:
        """See `segment_lists`; looked for once, since two million files are."""
        if split not in self._found:
            self._found[split] = segment_lists(self.files, split)
        return self._found[split]

    @cached_property
    def _tables(self) -> dict[str, Table]:
        lists = [file for split in _SPLITS for file in self._lists(split)[0]]
        return {file.path: Table.read(file.path) for file in lists}

    @cached_property
    def _scans(self) -> dict[Split, "_Scan"]:
        return {split: self._scan(split) for split in _SPLITS}

    @cached_property
    def _numbered(self) -> Collection[str]:
        """Ids of all lists that end in a number."""
        return {clip for scan in self._scans.values() for clip in scan.numbered}

    @cached_property
    def _late(self) -> Collection[str]:
        """See `ClipFiles`."""
        return {name for scan in self._scans.values() for name in scan.late}

    def _scan(self, split: Split) -> "_Scan":
        scan, seen = _Scan(), set[Key]()
        for file in self._lists(split)[0]:
            for _, row in self._tables[file.path].rows():
                if isinstance(row, Row):
                    scan.add(row, seen, with_times=split == "eval")
        return scan


_SPLITS: tuple[Split, ...] = ("train", "eval")
_NUMBERED = re.compile(r".*_\d+(?:\.\d+)?")


@dataclass
class _Scan:
    """What has to be known of a split's rows before the first of them is read. Rows that are wrong tell nothing."""

    again: dict[Key, list[str]] = field(default_factory=dict)
    """Labels of the rows that come again, from the second time on."""
    numbered: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Where segments lie in their sources, by id."""

    def add(self, row: Row, seen: set[Key], *, with_times: bool) -> None:
        key = row[:3]
        if key in seen:
            self.again.setdefault(key, []).extend(row.labels)
            return
        seen.add(key)
        if with_times:
            self.times.setdefault(row.id, []).append((row.start, row.end))
        if _NUMBERED.fullmatch(row.id):
            self.numbered.add(row.id)
        if row.start >= 1000 and row.start % 1 == 0:
            self.late.add(f"{row.id}_{row.start:.0f}")
