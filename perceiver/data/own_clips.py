"""Clips of a folder that has no segment lists yet: which files, with which labels, by a table or by their folders.

    found = find_clips("mine", list_files("mine"))
    found.form, found.items, found.assumed, found.left_out

A folder per class (dog/001.mp4), also below train/ and test/, or a table that has a column with the files' names and
one with labels; AudioSet's own CSVs are such tables. Whatever had to be guessed is said in `assumed`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from perceiver.data.file_names import FileNames, Match
from perceiver.data.files import File
from perceiver.data.lists import MEDIA_SUFFIXES
from perceiver.data.segments import LABELS_FILE, Problem, Problems
from perceiver.data.tables import SUFFIXES, Table, labels_of, read_table, seconds_of, split_of
from perceiver.errors import DataError

_TABLE_BYTES = 512 * 2**20
_NO_CLASSES = {"audio", "audios", "video", "videos", "clips", "wav", "wavs", "mp4", "media", "sound", "sounds", "data"}
"""Folders that say how clips are stored, not what they are."""


@dataclass(frozen=True)
class Item:
    """A clip to be listed. `file` is its path below the folder; times are seconds, None where nothing is said."""

    file: File
    labels: tuple[str, ...]
    start: float | None = None
    end: float | None = None
    split: str = ""
    """The user's own word: train, test, a number of a fold; empty where nothing is said."""
    group: str = ""
    where: str = ""


@dataclass(frozen=True)
class Columns:
    """What a user says of a table's columns, in place of a guess."""

    file: str | None = None
    labels: str | None = None
    separator: str | None = None


@dataclass
class Found:
    """Clips of a folder. `form` says what it looks like; `assumed` what was guessed, and how to say it otherwise."""

    form: str
    items: list[Item] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    left_out: Problems = field(default_factory=Problems)


def media_of(files: Sequence[File]) -> list[File]:
    """The files whose names end as media do."""
    return [file for file in files if file.name.lower().endswith(MEDIA_SUFFIXES)]


def find_clips(url: str, files: Sequence[File], columns: Columns | None = None) -> Found | None:
    """The clips of a folder's files; None where neither tables nor folders say what they are.

    Raises:
        DataError: a column that the user names is not there.
    """
    names = FileNames(url, media_of(files))
    tables = _tables(files, names)
    if tables:
        return _from_tables(tables, names, columns or Columns())
    return _from_folders(names)


def _tables(files: Sequence[File], names: FileNames) -> list[Table]:
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


def _from_tables(tables: Sequence[Table], names: FileNames, columns: Columns) -> Found:
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


def _from_folders(names: FileNames) -> Found | None:
    """Clips whose folder is their class: the first below that of the split, or below the one that holds all."""
    paths = {path: path.split("/") for path in names.paths}
    depth = _shared_depth(list(paths.values()))
    tops = {parts[depth] for parts in paths.values() if len(parts) > depth + 1}
    splits = bool(tops) and all(split_of(top) for top in tops)
    at = depth + splits
    classes = Counter(parts[at] for parts in paths.values() if len(parts) > at + 1)
    if len(classes) < 2 or all(name.casefold() in _NO_CLASSES for name in classes):
        return None
    found = Found(
        f"a folder per class ({len(classes)}, such as {', '.join(repr(name) for name in sorted(classes)[:3])})"
    )
    found.assumed.append("each file has one label, the name of its folder")
    if splits:
        found.assumed.append(f"the split is that of the folders {', '.join(sorted(tops))}")
    for path, parts in paths.items():
        if len(parts) <= at + 1:
            found.left_out.add(Problem(path, "in no class's folder", f"{path} lies in no class's folder"))
        elif names.paths[path] in names.beside:
            found.left_out.add(
                Problem(path, "beside pictures", f"{path} is the sound of the file with pictures beside it")
            )
        else:
            split = parts[depth] if splits else ""
            found.items.append(Item(names.paths[path], (parts[at],), split=split, where=path))
    return found


def _shared_depth(paths: Sequence[Sequence[str]]) -> int:
    """How many folders hold all files, so that they are no classes."""
    depth = 0
    while paths and all(len(parts) > depth + 2 and parts[depth] == paths[0][depth] for parts in paths):
        depth += 1
    return depth
