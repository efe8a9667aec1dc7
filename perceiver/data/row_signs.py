"""Signs of why rows find no file or no time: another case of letters, milliseconds, names of another kind.

Looked for only where something is wrong; each sign is a flaw of its own, with what would be right.
"""

from collections.abc import Iterator
from typing import NamedTuple

from perceiver.data.audioset import Layout, Split
from perceiver.data.flaws import EXAMPLES, Flaw
from perceiver.data.lists import Row, Table
from perceiver.data.names import segment_lists
from perceiver.data.own_items import media_of

LONGEST = 3_600.0
"""Seconds of a segment, beyond which they are rather milliseconds."""


class _Place(NamedTuple):
    where: str
    row: Row


def signs_of(layout: Layout, split: Split) -> Iterator[Flaw]:
    """What the rows of a split have in common, where few of them have a file or their times are too long."""
    places = list(_places(layout, split))
    yield from _milliseconds(places)
    yield from _other_case(layout, places)


def _places(layout: Layout, split: Split) -> Iterator[_Place]:
    for file in segment_lists(layout.files, split)[0]:
        for line, row in Table.read(file.path).rows():
            if isinstance(row, Row):
                yield _Place(f"{file.inner} line {line}", row)


def _milliseconds(places: list[_Place]) -> Iterator[Flaw]:
    long = [place for place in places if place.row.end - place.row.start > LONGEST]
    if long and len(long) > 0.5 * len(places):
        examples = [
            f"{where}: {row.id} starts at {row.start:g} s and ends at {row.end:g} s" for where, row in long[:EXAMPLES]
        ]
        cure = f"write seconds: {long[0].row.start / 1000:g} and {long[0].row.end / 1000:g} in the first of these rows"
        yield Flaw("times look like milliseconds", len(long), examples, cure)


def _other_case(layout: Layout, places: list[_Place]) -> Iterator[Flaw]:
    stems = {file.name.rpartition(".")[0] for file in media_of(layout.files)}
    folded = {stem.casefold(): stem for stem in stems}
    found = [(where, row) for where, row in places if row.id not in stems and row.id.casefold() in folded]
    if found:
        examples = [f"{where}: {row.id}, but the file is called {folded[row.id.casefold()]}" for where, row in found]
        cure = "write the names as the files have them; capitals and small letters are different"
        yield Flaw("names differ in capitals", len(found), examples[:EXAMPLES], cure)
