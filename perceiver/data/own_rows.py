"""Which seconds of their files the rows of own clips are, from what tables say of times and headers of lengths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from perceiver.data.audioset import Problem, Problems
from perceiver.data.files import File
from perceiver.data.own_items import Item
from perceiver.data.verdicts import FileReport

_LONG = 3
"""A file that lasts more than this many pieces is cut."""
_SLACK = 0.5
"""Seconds by which a table's times may be off."""


@dataclass(frozen=True)
class Row:
    """A segment: seconds of its file, its labels, and what a table says of its split and group."""

    file: File
    start: float
    end: float
    labels: tuple[str, ...]
    split: str = ""
    group: str = ""


def segments_of(
    items: Sequence[Item], reports: Mapping[str, FileReport], piece: float, assumed: list[str], left_out: Problems
) -> list[Row]:
    """The rows of items whose files can be read; what was guessed is added to `assumed`, what is wrong to
    `left_out`."""
    items = list(_readable(items, reports, left_out))
    items = _times_understood(items, reports, assumed)
    rows = []
    for item in items:
        seconds = reports[item.file.path].seconds
        if (item.start or 0.0) >= seconds:
            message = f"{item.where}: starts at {item.start or 0.0:g} s, but {item.file.name} lasts {seconds:g} s"
            left_out.add(Problem(item.where, "starts behind its file's end", message))
        elif item.end is not None and item.end <= (item.start or 0.0):
            message = f"{item.where}: starts at {item.start or 0.0:g} s and ends at {item.end:g} s"
            left_out.add(Problem(item.where, "bad times", message))
        else:
            times = _pieces(item, seconds, piece)
            rows += [Row(item.file, *time, item.labels, item.split, item.group) for time in times]
    whole = sum(item.start is None and item.end is None for item in items)
    if whole:
        assumed.append(_whole(items, rows, piece))
    return rows


def _readable(items: Sequence[Item], reports: Mapping[str, FileReport], left_out: Problems) -> Iterator[Item]:
    for item in items:
        report = reports[item.file.path]
        if report.reason or report.seconds <= 0:
            left_out.add(
                Problem(item.where, report.reason or "no length", report.message or f"{report.path}: no length")
            )
        else:
            yield item


def _times_understood(items: list[Item], reports: Mapping[str, FileReport], assumed: list[str]) -> list[Item]:
    """Items with their times in seconds of their own files: a table may have milliseconds, or times of a source that
    the files were cut from."""
    timed = [item for item in items if item.start is not None and item.end is not None]
    lengths = {item: reports[item.file.path].seconds + _SLACK for item in timed}
    if not timed or sum(item.end <= lengths[item] for item in timed) > 0.5 * len(timed):
        return items
    if sum(item.end - item.start <= lengths[item] for item in timed) > 0.9 * len(timed):
        assumed.append("times are those of the recordings that the files were cut from: each file is read as a whole")
        return [replace(item, start=None, end=None) for item in items]
    if sum(item.end / 1000 <= lengths[item] for item in timed) > 0.9 * len(timed):
        assumed.append("times are milliseconds, since as seconds they lie behind the files' ends")
        return [_scaled(item, 1 / 1000) for item in items]
    return items


def _scaled(item: Item, factor: float) -> Item:
    start, end = (None if time is None else time * factor for time in (item.start, item.end))
    return replace(item, start=start, end=end)


def _pieces(item: Item, seconds: float, piece: float) -> list[tuple[float, float]]:
    """The times that an item says, else its whole file, in pieces where it is long."""
    if item.end is not None:
        return [(item.start or 0.0, min(item.end, seconds))]
    if item.start is not None:
        return [(item.start, min(item.start + (piece or seconds), seconds))]
    if not piece or seconds <= _LONG * piece:
        return [(0.0, seconds)]
    count = int(seconds / piece + 0.5)  # what is left of less than half a piece belongs to the last
    return [(number * piece, seconds if number == count - 1 else (number + 1) * piece) for number in range(count)]


def _whole(items: Sequence[Item], rows: Sequence[Row], piece: float) -> str:
    more = len(rows) - len(items)
    cut = f"; those of more than {_LONG * piece:g} s in pieces of {piece:g} s ({more:,} rows more)" if more else ""
    return f"a file is one segment from its beginning to its end{cut} (--piece SECONDS, 0 for whole files)"
