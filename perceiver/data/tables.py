"""Any table of clips that people keep: CSVs of all delimiters, with a header or without, and what their columns hold.

    table = read_table("mine/labels.csv", is_file=names.__contains__)
    table.roles                                             # {"file": 0, "labels": 2, "split": 1}

A column's role is read off its heading, else off its values: names of files, numbers, words for a split.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from perceiver.data.files import read_bytes
from perceiver.data.table_columns import is_header, means_file, roles_of
from perceiver.errors import DataError

DELIMITERS = (",", ";", "\t", "|")
SUFFIXES = (".csv", ".tsv", ".txt")
_SAMPLE = 200
"""Rows from which delimiter and columns are guessed."""


@dataclass(frozen=True)
class Table:
    """A table's rows, each with the number of its line; `header` is None where the first row is one like the others.

    `roles`: what a column holds -> its number; empty where no column names files, so that it is no table of clips.
    """

    path: str
    delimiter: str
    header: list[str] | None
    rows: list[tuple[int, list[str]]]
    roles: Mapping[str, int]

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def says_file(self) -> bool:
        """Whether the files' column is called so; beside such tables others only happen to have such names."""
        return "file" in self.roles and means_file(self.heading(self.roles["file"]))

    def heading(self, index: int) -> str:
        """What a message calls a column."""
        return self.header[index] if self.header and index < len(self.header) else f"column {index + 1}"


def read_table(path: str, is_file: Callable[[str], bool]) -> Table:
    """A table of UTF-8, UTF-16 or, for want of better, Windows-1252 text; `is_file` knows the names of files.

    Empty lines and lines of # are left out.

    Raises:
        DataError: it is no text.
    """
    text = _text(path)
    delimiter = _delimiter(text)
    rows = _parsed(text, delimiter)
    header = None
    if rows and is_header(rows[0][1], rows[1:_SAMPLE], is_file):
        header, rows = rows[0][1], rows[1:]
    return Table(path, delimiter, header, rows, roles_of(header or [], rows[:_SAMPLE], is_file))


def _text(path: str) -> str:
    data = read_bytes(path)
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise DataError(f"{path} is no text")


def _delimiter(text: str) -> str:
    """The one that gives most rows the same number of columns, and more than one."""
    head = "\n".join([line for line in text.splitlines() if line.strip() and not line.startswith("#")][:_SAMPLE])

    def steadiness(delimiter: str) -> tuple[float, int]:
        counts = Counter(len(cells) for _, cells in _parsed(head, delimiter))
        columns, rows = counts.most_common(1)[0] if counts else (0, 0)
        return (rows / counts.total(), columns) if columns > 1 else (0.0, 0)

    return max(DELIMITERS, key=steadiness)


def _parsed(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """Line number and cells of each row. Each line is read alone, so a quote that is never closed spoils one row."""
    rows = []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
            except csv.Error:  # a field too long to be one
                cells = [line[:80]]
            rows.append((number, [cell.strip() for cell in cells]))
    return rows
