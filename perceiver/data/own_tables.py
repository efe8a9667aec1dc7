"""Clips of a folder by its tables: a column with the files' names, one with labels, perhaps times, a split, a group."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from perceiver.data.file_names import FileNames, Match
from perceiver.data.files import File
from perceiver.data.own_items import Found, Item
from perceiver.data.segments import LABELS_FILE, Problem
from perceiver.data.table_columns import labels_of, seconds_of, split_of
from perceiver.data.tables import SUFFIXES, Table, read_table
from perceiver.errors import DataError

_TABLE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Columns:
    """What a user says of a table's columns, in place of a guess."""

    file: str | None = None
    labels: str | None = None
    separator: str | None = None


def tables_of(files: Sequence[File], names: FileNames) -> list[Table]:
    """The tables that name files of the folder."""
    tables = []
    for file in files:
        if file.name.lower().endswith(SUFFIXES) and file.name != LABELS_FILE and 0 < file.size <= _TABLE_BYTES:
            try:
                table = read_table(file.path, names.__contains__)
            except DataError:
                continue
            if "file" in table.roles and (len(table.roles) > 1 or table.header):
                tables.append(table)
    return [table for table in tables if table.says_file] or tables


def from_tables(tables: Sequence[Table], names: FileNames, columns: Columns) -> Found:
    found = Found("a table of clips: " + ", ".join(table.name for table in tables))
    for table in tables:
        roles = _roles(table, columns)
        if "labels" not in roles:
            found.assumed.append(f"{table.name} has no column with labels and was passed over (--labels-column NAME)")
            continue
        shown = ", ".join(f"{role} in {table.heading(index)!r}" for role, index in roles.items())
        found.assumed.append(f"{table.name}: {shown} (--file-column, --labels-column)")
        separator = columns.separator or _separator(table, roles["labels"])
        _read_rows(table, roles, names, separator, found)
    found.items = list(_joined(found.items))
    several = next((item for item in found.items if len(item.labels) > 1), None)
    if several is not None:
        named = " and ".join(map(repr, several.labels[:3]))
        found.assumed.append(f"clips have several labels, such as {named} at {several.where} (--label-separator)")
    return found


def _roles(table: Table, columns: Columns) -> dict[str, int]:
    """The table's roles, with the columns that the user names in their place.

    Raises:
        DataError: it has no such column; names those that it has.
    """
    roles = dict(table.roles)
    for role, name in (("file", columns.file), ("labels", columns.labels)):
        if name is None:
            continue
        if name not in (table.header or []):
            raise DataError(
                f"{table.path} has no column {name!r}; it has {', '.join(table.header or []) or 'no header'}"
            )
        index = (table.header or []).index(name)
        roles = {other: at for other, at in roles.items() if at != index} | {role: index}
    return roles


def _read_rows(table: Table, roles: Mapping[str, int], names: FileNames, separator: str, found: Found) -> None:
    for line, cells in table.rows:
        where = f"{table.name} line {line}"
        value = {role: cells[index] if index < len(cells) else "" for role, index in roles.items()}
        spilled = cells[roles["labels"] + 1 :] if roles["labels"] == max(roles.values()) and not table.header else []
        labels = [label for cell in (value["labels"], *spilled) for label in labels_of(cell, separator)]
        times = [seconds_of(value[role]) if value.get(role) else None for role in ("start", "end")]
        match = names.find(value["file"], times[0], labels)
        if not labels:
            match = Match(None, reason="no label", message="has no label")
        if match.file is None:
            found.left_out.add(Problem(where, match.reason, f"{where}: {value['file']} {match.message}"))
            continue
        begin, end = (None, None) if match.cut else times
        split = value.get("split") or _split_of_name(table.name)
        found.items.append(Item(match.file, tuple(labels), begin, end, split, value.get("group", ""), where))


def _split_of_name(name: str) -> str:
    """The split that a table's name tells: train.csv, eval_segments.csv, meta_test.csv."""
    words = re.split(r"[^a-z]+", name.rpartition(".")[0].casefold())
    return next((word for word in words if split_of(word)), "")


def _separator(table: Table, column: int) -> str:
    """What stands between labels: ; or | or , where any cell has it. A comma and a space within
    names, such as `playing violin, fiddle`, are none: what stands beside them comes with nothing else."""
    cells = Counter(cells[column] for _, cells in table.rows if column < len(cells))
    mark = next((mark for mark in (";", "|", ",") if any(mark in cell for cell in cells)), ";")
    several = [cell for cell in cells if mark in cell]
    beside = Counter(label for cell in cells for label in labels_of(cell, mark))
    alone = all(", " in cell and all(beside[label] == 1 for label in labels_of(cell, mark)) for cell in several)
    repeated = sum(cells[cell] for cell in several) >= 2 * len(several) > 0
    return "\n" if mark == "," and alone and repeated else mark


def _joined(items: Sequence[Item]) -> Iterator[Item]:
    """One item a clip: rows of the same file and times have their labels put together."""
    labels: dict[tuple[object, ...], dict[str, None]] = {}
    first: dict[tuple[object, ...], Item] = {}
    for item in items:
        key = (item.file.path, item.start, item.end)
        first.setdefault(key, item)
        labels.setdefault(key, {}).update(dict.fromkeys(item.labels))
    for key, item in first.items():
        yield Item(item.file, tuple(labels[key]), item.start, item.end, item.split, item.group, item.where)
