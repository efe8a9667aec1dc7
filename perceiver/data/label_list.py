"""Reads the label list, and finds the classes that a row's labels name.

class_labels_indices.csv       index,mid,display_name      also without the line of names; separators as in `lists`
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from perceiver.data.files import join, parent
from perceiver.data.lists import Table, split_line
from perceiver.data.segments import LABELS_FILE, ClassLabel, DataSource, RowError
from perceiver.errors import DataError

_TABLES = (".csv", ".tsv", ".txt")
_COLUMNS = (
    re.compile(r"index|^id$|number|^no$", re.IGNORECASE),
    re.compile(r"\bmid\b|machine", re.IGNORECASE),
    re.compile(r"name|label|class", re.IGNORECASE),
)
"""What the columns index, mid and display_name are called."""


def read_classes(source: DataSource) -> list[ClassLabel]:
    """The label list in order of its index.

    Raises:
        DataError: not found (names the places looked in), or not a list with indices 0, 1, 2, ...
    """
    path, table = _labels_table(source)
    numbered = sorted(_numbered(path, table))
    numbers = [number for number, _ in numbered]
    if not numbers or numbers != list(range(len(numbers))):
        missing = next((f": {at} is missing" for at in range(len(numbers)) if at not in numbers), "")
        raise DataError(f"{path}: the indices of its {len(numbers)} classes are not 0, 1, 2, ... without gaps{missing}")
    doubled = [mid for mid, count in Counter(label.mid for _, label in numbered).items() if count > 1]
    if doubled:
        raise DataError(f"{path} lists {doubled[0]} more than once")
    return [label for _, label in numbered]


def _labels_table(source: DataSource) -> tuple[str, Table]:
    if source.labels is None:
        places = [join(source.url, LABELS_FILE), join(parent(source.url), LABELS_FILE)]
    else:
        places = [source.labels] if source.labels.endswith(_TABLES) else [join(source.labels, LABELS_FILE)]
    for place in places:
        try:
            return place, Table.read(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
    raise DataError(f"no label list at {' or '.join(places)}; the site may name one: labels: <folder or file>")


def _numbered(path: str, table: Table) -> Iterator[tuple[int, ClassLabel]]:
    columns: Sequence[int] = range(3)
    separator = max(",;\t", key=lambda each: next(table.lines(), (0, ""))[1].count(each))
    for place, (line, text) in enumerate(table.lines()):
        try:
            fields = split_line(text, separator)
            if place == 0 and not fields[0].isdecimal():
                columns = [next(at for at, name in enumerate(fields) if each.search(name)) for each in _COLUMNS]
                continue
            number, mid, name = (fields[column].strip() for column in columns)
            yield int(number), ClassLabel(mid, name)
        except (RowError, IndexError, ValueError, StopIteration) as error:
            why = f" ({error})" if isinstance(error, RowError) else ""
            raise DataError(
                f"{path} line {line} is no label list: expected columns index,mid,display_name with a number first, "
                f"got {text[:80]!r}{why}"
            ) from None


class LabelIndex:
    """Finds classes by what a row calls them: machine ids, or display names, which may hold commas themselves."""

    def __init__(self, classes: Sequence[ClassLabel]) -> None:
        self._mids = {label.mid: number for number, label in enumerate(classes)}
        names = Counter(_plain(label.name) for label in classes)
        self._names = {
            _plain(label.name): number
            for number, label in enumerate(classes)
            if names[_plain(label.name)] == 1  # a name that two classes share names neither
        }

    def numbers(self, clip: str, fields: Sequence[str]) -> tuple[int, ...]:
        """Indices of the classes, in the row's order, each once.

        Raises:
            RowError: a label that the list does not have.
        """
        parts = [part for field in fields for part in self._parts(field)]
        found: dict[int, None] = {}
        while parts:
            if not parts[0].strip():
                parts.pop(0)
                continue
            number, length = self._first(parts)
            if number is None:
                label = parts[0].strip()
                raise RowError("unknown label", f"{clip} has label {label[:80]}, which {LABELS_FILE} does not list")
            found[number] = None
            del parts[:length]
        return tuple(found)

    def _parts(self, field: str) -> list[str]:
        """What commas part, and semicolons or bars too unless a class has them in its name."""
        parts = field.split(",")
        if ";" not in field and "|" not in field:
            return parts
        known = (self._mids.get(part.strip(), self._names.get(_plain(part))) is not None for part in parts)
        return [
            piece
            for part, whole in zip(parts, known, strict=True)
            for piece in ([part] if whole else re.split("[;|]", part))
        ]

    def _first(self, parts: Sequence[str]) -> tuple[int | None, int]:
        """The class that the first parts name together, and how many they are; the longest name wins."""
        if (number := self._mids.get(parts[0].strip())) is not None:
            return number, 1
        for length in range(min(len(parts), 8), 0, -1):
            if (number := self._names.get(_plain(",".join(parts[:length])))) is not None:
                return number, length
        return None, 0


def _plain(name: str) -> str:
    """A display name without what people change in copying it: case, spaces around commas."""
    return re.sub(r"\s*,\s*", ",", name.strip()).casefold()
