"""Which part of its file each row reads, once the files' lengths are known: rows behind the end, and rows in doubt.

A file named by its id alone is the whole video or the cut segment (see `habit`); a row is told where the file's length
leaves it open, or does not reach the row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from perceiver.data.audioset import Layout, Segment, Split
from perceiver.data.digest import habits_of
from perceiver.data.flaws import EXAMPLES, Flaw
from perceiver.data.habit import ambiguity, is_ambiguous, part_of
from perceiver.data.lists import Row, Table
from perceiver.data.names import segment_lists


@dataclass
class _Told:
    """How many rows have something in common, and what is said of the first of them, by split, id and start."""

    count: int = 0
    first: dict[tuple[Split, str, float], str] = field(default_factory=dict)

    def add(self, split: Split, row: Segment, message: str) -> None:
        self.count += 1
        if len(self.first) < EXAMPLES:
            self.first[split, row.id, row.start] = message


def flaws_of_parts(layout: Layout, splits: Sequence[Split], seconds: Mapping[str, float]) -> Iterator[Flaw]:
    """Rows that begin behind their file's end, and rows of which it is not clear what they read.

    `seconds` has the lengths of the files that can be read, by path.
    """
    habit = habits_of(layout, (row for split in splits for row in layout.segments(split))).habit
    behind, doubtful = _Told(), _Told()
    for split in splits:
        for row in layout.segments(split):
            if not isinstance(row, Segment) or row.trimmed or not row.start or row.path not in seconds:
                continue
            length, name = seconds[row.path], row.path.rsplit("/", 1)[-1]
            if part_of(row.start, row.end, length, habit) is None:
                behind.add(split, row, f"row {row.start:g}-{row.end:g}, but {name} lasts {length:.2f} s")
            elif is_ambiguous(row.start, row.end, length, habit):
                doubtful.add(split, row, ambiguity(name, row.start, row.end, length, habit))
    if behind.count:
        cure = "write the times that the file has, or take the row out: it is counted as a bad clip"
        yield Flaw("row begins behind its file's end", behind.count, _examples(layout, behind), cure)
    if doubtful.count:
        cure = "give cut files the name <YTID>_<start>, so that nothing is left open"
        yield Flaw("whole video or cut segment", doubtful.count, _examples(layout, doubtful), cure)


def _examples(layout: Layout, told: _Told) -> list[str]:
    """What is said of rows, each with its list and line."""
    return [f"{_line_of(layout, *place)}: {message}" for place, message in told.first.items()]


def _line_of(layout: Layout, split: Split, clip: str, start: float) -> str:
    for file in segment_lists(layout.files, split)[0]:
        for line, row in Table.read(file.path).rows():
            if isinstance(row, Row) and (row.id, row.start) == (clip, start):
                return f"{file.inner} line {line}"
    return clip
