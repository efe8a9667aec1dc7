"""Reads tables as people have them: AudioSet's own, Excel's, an annotation tool's. A line is a row, whatever it holds.

    table = Table.read("/data/mine/train_segments.csv")
    for line, row in table.rows():     # Row(id, start, end, labels), or the RowError that says what is wrong with it

Between columns stand commas, semicolons or tabs, as the first lines have it. Lines that begin with # are remarks. A
line of column names, with or without #, may put the columns into another order. UTF-8, or UTF-16 with its mark. A quote
that is not closed, bytes that are no text, a field without end: each costs its own line and nothing else.
"""

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from perceiver.data.files import name_of, read_bytes
from perceiver.data.segments import RowError

PICTURE_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob",
                    ".3gp", ".3g2", ".flv", ".f4v", ".wmv", ".asf", ".ogv", ".mxf")  # fmt: skip
SOUND_SUFFIXES = (".wav", ".w64", ".flac", ".aif", ".aiff", ".caf", ".au", ".m4a", ".mka", ".opus", ".mp3", ".ogg",
                  ".oga", ".aac", ".ac3", ".mp2", ".wma", ".amr")  # fmt: skip
"""Of files without pictures; what keeps the sound as it was comes first."""
MEDIA_SUFFIXES = PICTURE_SUFFIXES + SOUND_SUFFIXES

_SEPARATORS = (",", "\t", ";")
_LOOKED_AT = 20
"""Rows from which the separator is told."""
_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_START = "start|begin|onset|from"
_END = "end|stop|until"
_SECONDS = "(?:_?(?:time|s|secs?|seconds?))*"
_CLIP = "yt|youtube|video|clip|segment|file"
_FORMS = {
    "start": (rf"^(?:t_?|time_)?(?:{_START}){_SECONDS}$", rf"(?:^|_)(?:{_START}){_SECONDS}(?:_|$)"),
    "end": (rf"^(?:t_?|time_)?(?:{_END}|to){_SECONDS}$", rf"(?:^|_)(?:{_END}){_SECONDS}(?:_|$)", "offset"),
    "labels": (
        "^(?:(?:positive|event)_)?labels?$|^mids?$",
        "^(?:class|classes|category|categories|events?|tags?)$",
        "label|(?:^|_)(?:mids?(?:_|$)|class|categor|event|tags?(?:_|$))",
    ),
    "id": (
        rf"^(?:(?:{_CLIP})_?)?(?:id|file|name|path)$|^(?:{_CLIP})$",
        rf"(?:^|_)(?:{_CLIP}|path)",
        "(?:^|_)id(?:_|$)|file|name",
    ),
}
_COLUMNS = {column: [re.compile(form) for form in forms] for column, forms in _FORMS.items()}
"""What columns are called, the surest first: whole headings go before their parts. Times are told most surely."""
_PUBLISHED = re.compile(r'([A-Za-z0-9_-]+), (\d+\.\d+), (\d+\.\d+), "(/[a-z0-9_/,]+)"', re.ASCII)


class _Columns(NamedTuple):
    """Where the fields of a row stand. Labels that someone's tool left unquoted are further fields behind the last."""

    id: int = 0
    start: int = 1
    end: int = 2
    labels: slice = slice(3, None)


class Row(NamedTuple):
    """A row of a segment list; the labels are what its fields say, cut at no comma yet."""

    id: str
    start: float
    end: float
    labels: list[str]
    named: bool = False
    """The list names a file, by a suffix or a folder; the id is without the suffix."""


@dataclass(frozen=True)
class Table:
    """A table's file name and its text; bytes that are no UTF-8 stand in it as lone surrogates."""

    name: str
    text: str

    @classmethod
    def read(cls, path: str) -> "Table":
        """Raises:
        FileNotFoundError, NotADirectoryError: at once.
        StorageError: storage failed on every attempt, or refused.
        """
        return cls.of(name_of(path), read_bytes(path))

    @classmethod
    def of(cls, name: str, data: bytes) -> "Table":
        """The table that a file of these bytes is."""
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return cls(name, data.decode("utf-16", errors="replace"))
        return cls(name, data.decode("utf-8-sig", errors="surrogateescape"))

    def lines(self) -> Iterator[tuple[int, str]]:
        """Number and text of each line that is neither empty nor a remark."""
        for number, found in enumerate(_LINE.finditer(self.text), 1):
            text = found[1].strip()
            if text and not text.startswith("#"):
                yield number, found[1].strip(" ")  # a tab at the front is an empty field

    def rows(self) -> Iterator[tuple[int, Row | RowError]]:
        """Line number of each row of a segment list, and the row, or why it can't be used."""
        separator = self.separator()
        columns, heading = self._columns(separator)
        published = separator == "," and columns[:3] == _Columns()[:3] and columns.labels.start == 3
        for number, line in self.lines():
            if number != heading:
                try:
                    yield number, (published and _published_row(line)) or _row(line, separator, columns)
                except RowError as error:
                    yield number, error

    def separator(self) -> str:
        """What most of the first rows are cut by into numbers and words."""
        first = [line for _, line in islice(self.lines(), _LOOKED_AT)]
        return max(_SEPARATORS, key=lambda separator: sum(_has_numbers(line, separator) for line in first))

    def _columns(self, separator: str) -> tuple[_Columns, int]:
        """Where the columns stand, and the number of the line that says so where it is no remark."""
        number, first = next(self.lines(), (0, ""))
        if not _has_numbers(first, separator):
            headings = _headings(first, separator)
            named = _named(headings)
            if len(named) >= 2:
                return _columns_of(headings, named), number
        for remark in islice(_LINE.finditer(self.text), max(number - 1, 0)):
            headings = _headings(remark[1].strip().lstrip("# "), separator)
            named = _named(headings)
            if len(named) == len(_COLUMNS):
                return _columns_of(headings, named), 0
        return _Columns(), 0


def split_line(line: str, separator: str) -> list[str]:
    """The fields of a line.

    Raises:
        RowError: bytes that are no text, a quote that is not closed, a field too long to be one.
    """
    if not line.isascii():
        _require_text(line)
    if '"' not in line:
        return [field.strip() for field in line.split(separator)]
    if line.count('"') % 2:
        raise RowError("malformed row", f"a quote is not closed: {_shortened(line)}")
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except (csv.Error, StopIteration) as error:
        raise RowError("malformed row", f"{error}: {_shortened(line)}") from None


def _published_row(line: str) -> Row | None:
    """A row just as AudioSet publishes them, which are two million; None for any other, however right it is."""
    found = _PUBLISHED.fullmatch(line)
    if found is None:
        return None
    begins, ends = float(found[2]), float(found[3])
    return Row(found[1], begins, ends, [found[4]]) if begins < ends else None


def _row(line: str, separator: str, columns: _Columns) -> Row:
    fields = split_line(line, separator)
    try:
        name, start, end = fields[columns.id], fields[columns.start], fields[columns.end]
        (clip, named), begins, ends = _clip(name), _seconds(start, separator), _seconds(end, separator)
    except (IndexError, ValueError):
        expected = "expected YTID, start, end, labels"
        raise RowError("malformed row", f"{expected}, got {_shortened(line)}") from None
    labels = [label.strip() for label in fields[columns.labels]]
    if not any(label.strip(",") for label in labels):
        raise RowError("no label", f"{clip} has no label")
    if not 0 <= begins < ends < float("inf"):
        raise RowError("bad times", f"{clip} starts at {begins:g} s and ends at {ends:g} s; expected 0 <= start < end")
    return Row(clip, begins, ends, labels, named)


def composed(name: str) -> str:
    """A name in the one form of its letters that all share; Macs decompose those of file names."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _clip(name: str) -> tuple[str, bool]:
    """An id, composed and without a suffix, and whether the name was a file's."""
    plain = name.strip().removeprefix("./")
    if plain[-5:].lower().endswith(MEDIA_SUFFIXES):
        plain = plain.rpartition(".")[0]
    if not plain or "\0" in plain:
        raise ValueError(name)
    return composed(plain), plain != name.strip() or "/" in plain


def _seconds(field: str, separator: str) -> float:
    """Where commas do not stand between columns, they may be decimal."""
    if "_" in field:  # Python would take 1_0 for ten
        raise ValueError(field)
    return float(field if separator == "," else field.replace(",", "."))


def _has_numbers(line: str, separator: str) -> bool:
    """Whether a line, cut there, has an id and two numbers."""
    try:
        fields = split_line(line, separator)
    except RowError:
        return False
    return len(fields) > 2 and sum(_is_number(field, separator) for field in fields) >= 2


def _is_number(field: str, separator: str) -> bool:
    try:
        _seconds(field, separator)
    except ValueError:
        return False
    return True


def _headings(line: str, separator: str) -> list[str]:
    """The words of each column's name: start_time of `Start Time`, `startTime` and `start-time`."""
    try:
        names = split_line(line, separator)
    except RowError:
        return []
    return [re.sub(r"[\W_]+|(?<=[a-z])(?=[A-Z])", "_", name).strip("_").casefold() for name in names]


def _named(headings: Sequence[str]) -> dict[str, int]:
    """Which of the columns stand where."""
    found: dict[str, int] = {}
    for column, forms in _COLUMNS.items():
        fitting = (
            at for form in forms for at, name in enumerate(headings) if at not in found.values() and form.search(name)
        )
        if (at := next(fitting, None)) is not None:
            found[column] = at
    return found


def _columns_of(headings: Sequence[str], named: Mapping[str, int]) -> _Columns:
    """The columns that are named, else as published. Labels go on as far as no other heading says what stands there."""
    columns = _Columns()
    if len(named) == len(_COLUMNS):
        columns = _Columns(named["id"], named["start"], named["end"], slice(named["labels"], None))
    first = columns.labels.start
    like = [name.rstrip("_0123456789") for name in headings]  # label_1, label_2
    others = (at for at in range(first + 1, len(like)) if like[at] not in ("", like[first]))
    return columns._replace(labels=slice(first, next(others, None)))


def _require_text(line: str) -> None:
    try:
        line.encode()
    except UnicodeEncodeError:
        raise RowError("malformed row", f"bytes that are not UTF-8: {_shortened(line)}") from None


def _shortened(line: str) -> str:
    return ascii(line if len(line) <= 80 else f"{line[:77]}...") if not line.isprintable() else repr(line[:80])
