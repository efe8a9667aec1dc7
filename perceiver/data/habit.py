"""Which part of a file a row names, where the file's name does not say it: the set's habit and the file's own length.

A file named by its id alone is the whole video, in which the row's start and end are found, or it was cut and is the
segment. One file can't always tell: a video of 15.2 s may hold all of row 5-15, or be cut at keyframes, with 5 s to
spare. So a set has a habit, found once where a sweep is planned, over a sample of its files; it belongs to the set's
digest, workers are given it, and only the tests and people who train by hand do without. Imports nothing heavy.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

Habit = Literal["", "whole", "cut", "mixed"]
"""Of the files named by their id alone: whole videos, cut segments, some of each; empty: not known, or no matter."""
Part = Literal["whole", "cut"]

_MOST_EXTRA = 10.0
"""Seconds that a cut file may hold beyond its segment, and not more than the segment itself: a cut without encoding
begins at a keyframe, of which x264 and YouTube have one in ten seconds at least."""
_LEAST = 0.5
"""Share of its segment that a cut file holds at least; what is shorter is no evidence of a cut."""
_FITS = 1.0
"""Seconds by which lengths may differ that mean the same: lists hold rounded ones, encoders add and drop frames."""
_SAMPLED = 200
_AGREED = 0.95
"""Share of the files that have to agree for a habit."""


def part_of(start: float, end: float, duration: float, habit: Habit = "") -> Part | None:
    """Whether a file of so many seconds is the whole video or the cut segment; None: the row begins behind its end.

    row       file    habit             part
    20-27     26.6    any               whole   much longer than the segment, so not cut; it keeps 20 to 26.6
    290-300   299.7   any               whole
    20-30     10.3    not whole         cut     as long as the segment, and a whole video would end before the row
    20-30     10.3    whole             None
    2-12      10.04   not whole         cut     as long as the segment; a whole video would end 2 s before the row does
    5-15      15.2    cut               cut     ambiguous: 5 s to spare, or the whole video
    5-15      15.2    not cut           whole
    2-12      12.0    not cut           whole   ambiguous likewise
    8-18      15.0    not known, mixed  whole   3 s short of the row's end, 5 s longer than the segment
    100-110   2.0     cut               cut     what is left of it
    100-110   2.0     not cut           None    nothing like the segment's length
    400-410   300.0   any               None

    Of a row that starts at 0 both are the same.
    """
    told = evidence(start, end, duration)
    if start == 0 or (told == "whole" and duration > start):
        return "whole"
    if duration <= start:
        is_cut = told != "whole" if habit == "cut" else told == "cut" and habit != "whole"
        return "cut" if is_cut else None
    if habit in ("whole", "cut"):
        return habit
    return told or ("whole" if _short_of_whole(end, duration) <= _off_cut(start, end, duration) else "cut")


def evidence(start: float, end: float, duration: float) -> Part | Literal[""]:
    """What the file's length says by itself; nothing where both are possible."""
    length = end - start
    if duration > length + min(_MOST_EXTRA, length):
        return "whole"
    if duration <= start:
        return "cut" if duration >= _LEAST * length else ""
    return "cut" if _off_cut(start, end, duration) <= _FITS < _short_of_whole(end, duration) else ""


def is_ambiguous(start: float, end: float, duration: float, habit: Habit) -> bool:
    """Whether the habit, or nothing but the smaller distance, decided against or without the file's evidence."""
    part = part_of(start, end, duration, habit)
    if start == 0 or part is None or part == evidence(start, end, duration):
        return False
    short, off = _short_of_whole(end, duration), _off_cut(start, end, duration)
    mine, other = (short, off) if part == "whole" else (off, short)
    return part != habit or not mine <= _FITS < other


def ambiguity(name: str, start: float, end: float, duration: float, habit: Habit) -> str:
    """What to tell of an ambiguous row: its file, both readings, and which one is taken."""
    part = part_of(start, end, duration, habit)
    why = "most files of the set are" if part == habit else "its length is nearer to that"
    row = f"row {start:g}-{end:g}"
    return f"{name} lasts {duration:.2f} s, may be the whole video or cut to {row}, and is taken as {part}, since {why}"


def _short_of_whole(end: float, duration: float) -> float:
    """Seconds that a whole video lacks of the row's end."""
    return max(0.0, end - duration)


def _off_cut(start: float, end: float, duration: float) -> float:
    """Seconds by which the file's length differs from the segment's."""
    return abs(duration - (end - start))


@dataclass(frozen=True)
class SampledRow:
    """A row whose file's name does not say which part it is."""

    id: str
    start: float
    end: float
    path: str


@dataclass(frozen=True)
class Habits:
    """A set's habit, and what it rests on."""

    habit: Habit = ""
    whole: int = 0
    """Files of the sample whose length says so."""
    cut: int = 0
    sampled: int = 0
    ambiguous: int = 0
    """Rows of the sample that stay ambiguous with this habit."""
    example: str = ""
    """What to tell of one of them."""

    def __str__(self) -> str:
        """A line for people; empty where there is nothing to tell."""
        if self.habit != "mixed" and not self.ambiguous:
            return ""
        files = f"of {self.sampled} files looked at, {self.whole} are whole videos, {self.cut} cut segments"
        doubts = f"; {self.ambiguous} could be either: {self.example}" if self.ambiguous else ""
        return files + doubts


class Sample:
    """Rows that start later than 0, drawn by the hash of their ids, so that every machine draws the same."""

    def __init__(self) -> None:
        self._drawn: list[tuple[int, str, SampledRow]] = []
        self._ids: set[str] = set()

    def add(self, row: SampledRow) -> None:
        """Offers a row; of several of one id the first stays."""
        if row.start == 0 or row.id in self._ids:
            return
        number = int.from_bytes(blake2b(row.id.encode(), digest_size=8).digest(), "big")
        heapq.heappush(self._drawn, (-number, row.id, row))
        self._ids.add(row.id)
        if len(self._drawn) > _SAMPLED:
            self._ids.discard(heapq.heappop(self._drawn)[1])

    @property
    def rows(self) -> list[SampledRow]:
        """What was drawn, in the order of the ids."""
        return sorted((row for *_, row in self._drawn), key=lambda row: row.id)


def find_habit(rows: Iterable[SampledRow], durations: Callable[[str], float | None]) -> Habits:
    """The habit of these rows' files; `durations` gives a file's seconds by its path, None where it can't be read."""
    lengths = [(row, seconds) for row in rows if (seconds := durations(row.path)) is not None]
    votes = Counter(_vote(row, seconds) for row, seconds in lengths)
    habit = _agreed(votes["whole"], votes["cut"])
    doubts = [
        ambiguity(row.path.rsplit("/", 1)[-1], row.start, row.end, seconds, habit)
        for row, seconds in lengths
        if is_ambiguous(row.start, row.end, seconds, habit)
    ]
    return Habits(habit, votes["whole"], votes["cut"], len(lengths), len(doubts), doubts[0] if doubts else "")


def _vote(row: SampledRow, seconds: float) -> Part | Literal[""]:
    """What a file says of its set: less readily than of itself, since a whole video may lack all of a wrong row."""
    told = evidence(row.start, row.end, seconds)
    if told == "cut":
        return "cut" if _off_cut(row.start, row.end, seconds) <= _FITS else ""
    return told if seconds > row.start else ""


def _agreed(whole: int, cut: int) -> Habit:
    if not whole + cut:
        return ""
    share = whole / (whole + cut)
    return "whole" if share >= _AGREED else "cut" if share <= 1 - _AGREED else "mixed"
