"""Segment lists and a label list for a folder of somebody's own clips, so that it becomes a data set.

    lists = make_lists("mine", Options(eval_share=0.2))         # reads names, tables and headers; writes nothing
    lists.rows, lists.assumed, lists.left_out
    write_lists(lists)

    train_segments.csv, eval_segments.csv     a row a segment: path below the folder, start, end, classes
    class_labels_indices.csv                  where the folder has none

A folder that has segment lists keeps them and gets what is missing.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from perceiver.data.audioset import LABELS_FILE, ClassLabel, DataSource, Problems, read_classes
from perceiver.data.file_names import FileNames, below
from perceiver.data.files import File, join, list_files, write_bytes
from perceiver.data.own_clips import Columns, Found, find_clips, media_of
from perceiver.data.own_rows import Row, segments_of
from perceiver.data.own_splits import split_rows
from perceiver.data.probe import measure
from perceiver.data.tables import labels_of, read_table
from perceiver.data.verdicts import FileReport
from perceiver.errors import DataError

LISTS = ("train_segments.csv", "eval_segments.csv")

Run = Callable[[Callable[[File], FileReport], Sequence[File]], Iterable[FileReport]]


@dataclass(frozen=True)
class Options:
    """What a user may say in place of what is assumed."""

    eval_share: float = 0.2
    seed: int = 0
    group_pattern: str | None = None
    eval_split: tuple[str, ...] = ()
    """Words or folds of a split column that are the evaluation."""
    piece: float = 10.0
    """Seconds of the pieces of files that last longer than three of them; 0 leaves every file whole."""
    columns: Columns = field(default_factory=Columns)


@dataclass
class OwnLists:
    """Lists to be written, and what was assumed on the way."""

    url: str
    form: str
    assumed: list[str]
    left_out: Problems
    files: int = 0
    """Files that were looked into, and those of them with pictures and with sound."""
    pictures: int = 0
    sound: int = 0
    rows: dict[str, list[Row]] = field(default_factory=dict)
    classes: list[ClassLabel] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """Name of each file to write -> its text."""


def make_lists(
    url: str,
    options: Options,
    progress: Callable[[int, int], None] = lambda done, total: None,
    run: Run = map,
) -> OwnLists:
    """The lists of a folder that has none, or what its lists lack. `run` is `map` or something that spreads the work.

    Raises:
        DataError: the folder is not there, has one of the lists only, or nothing says what its clips are.
    """
    files = list_files(url)
    there = [name for name in LISTS if any(file.name.endswith(name) for file in files)]
    if len(there) == len(LISTS):
        return _completed(url, files)
    _refuse(url, files, there)
    found = find_clips(url, files, options.columns)
    if found is None or not found.items:
        raise DataError(_unknown(url, files, found))
    lists = OwnLists(url, found.form, found.assumed, found.left_out)
    reports = _measured(lists, {item.file: None for item in found.items}, progress, run)
    rows = segments_of(found.items, reports, options.piece, lists.assumed, lists.left_out)
    if not rows:
        raise DataError(f"{url}: no clip is left: {lists.left_out.named[0].message}")
    _write_down(lists, rows, options, files)
    return lists


def write_lists(lists: OwnLists) -> None:
    """Writes them.

    Raises:
        DataError: a file can't be written.
    """
    for name, text in lists.texts.items():
        write_bytes(join(lists.url, name), text.encode("utf-8", "surrogateescape"))


def _completed(url: str, files: Sequence[File]) -> OwnLists:
    """A folder in AudioSet's layout: its lists stay, and where it has no label list it gets one of the classes used."""
    lists = OwnLists(url, "AudioSet's layout", ["the segment lists that are there are kept"], Problems())
    try:
        lists.classes = read_classes(DataSource(url))
    except DataError:
        names = FileNames(url, media_of(files))
        tables = [read_table(file.path, names.__contains__) for file in files if file.name.endswith(LISTS)]
        used = {
            label for table in tables for _, cells in table.rows for cell in cells[3:] for label in labels_of(cell, ",")
        }
        lists.classes = [ClassLabel(label, label) for label in sorted(used)]
        lists.texts[LABELS_FILE] = _labels_text(lists.classes)
        lists.assumed.append(f"classes are called as in the rows; AudioSet's {LABELS_FILE} would have their names")
    return lists


def _refuse(url: str, files: Sequence[File], there: Sequence[str]) -> None:
    """Raises DataError where one list exists and the other does not: rows can't be taken out of it for the other."""
    if there:
        old = next(file.path for file in files if file.name.endswith(there[0]))
        other = next(name for name in LISTS if name not in there)
        new = join(url, "clips.csv" if there[0] == LISTS[0] else "eval.csv")
        raise DataError(
            f"{old} exists already, and there is no {other}. Nothing is overwritten: give it another name, from which "
            f"both lists are made:  mv {old} {new}"
        )


def _unknown(url: str, files: Sequence[File], found: Found | None) -> str:
    media = media_of(files)
    if not media:
        return f"{url} holds no media file (such as .mp4, .wav, .flac)"
    if found is not None and found.left_out.named:
        return f"{url} looks like {found.form}, but no row of it can be used: {found.left_out.named[0].message}"
    return (
        f"{url} has {len(media)} media files, but nothing says what they are: neither a folder per class (dog/1.wav), "
        "nor a table (.csv, .tsv, .txt) with a column of their names and one of labels"
    )


def _measured(
    lists: OwnLists, media: Mapping[File, None], progress: Callable[[int, int], None], run: Run
) -> dict[str, FileReport]:
    """What the headers say, by path."""
    reports: dict[str, FileReport] = {}
    progress(0, len(media))
    for report in run(measure, list(media)):
        reports[report.path] = report
        progress(len(reports), len(media))
    lists.files = len(reports)
    lists.pictures = sum(report.video is not None for report in reports.values())
    lists.sound = sum(report.audio is not None for report in reports.values())
    return reports


def _write_down(lists: OwnLists, rows: list[Row], options: Options, files: Sequence[File]) -> None:
    """The split, the classes and the lists' texts."""
    names = {row.file.path: below(lists.url, row.file.path) for row in rows}
    lists.rows = split_rows(
        rows, names, options.eval_share, options.seed, options.group_pattern, options.eval_split, lists.assumed
    )
    mids = _named_classes(lists, {label for row in rows for label in row.labels}, files)
    for name, split in zip(LISTS, ("train", "eval"), strict=True):
        lists.texts[name] = _segments_text([(names[row.file.path], row, mids) for row in lists.rows[split]])


def _named_classes(lists: OwnLists, labels: set[str], files: Sequence[File]) -> dict[str, str]:
    """Label -> the id that rows have for it. A label list that is there holds, else one is made.

    Raises:
        DataError: the folder's own label list does not have a label.
    """
    try:
        lists.classes = read_classes(DataSource(lists.url))
    except DataError:
        lists.classes = []
    known = {name: label.mid for label in lists.classes for name in (label.name.casefold(), label.mid.casefold())}
    unknown = sorted(label for label in labels if label.casefold() not in known)
    if lists.classes and not unknown:
        lists.assumed.append(f"the classes are those of the {LABELS_FILE} that is there")
        return {label: known[label.casefold()] for label in labels}
    if any(file.path == join(lists.url, LABELS_FILE) for file in files):
        raise DataError(
            f"{join(lists.url, LABELS_FILE)} does not list {unknown[0]!r}, which clips have; "
            "give it another name to have one made of the labels that there are"
        )
    mids: dict[str, str] = {}
    for label in sorted(labels):
        mid = re.sub(r'[\s,;"#]+', "_", label).strip("_") or "class"
        mids[label] = mid if mid not in mids.values() else f"{mid}_{len(mids)}"
    lists.classes = [ClassLabel(mid, label) for label, mid in mids.items()]
    lists.texts[LABELS_FILE] = _labels_text(lists.classes)
    return mids


def _segments_text(rows: Sequence[tuple[str, Row, Mapping[str, str]]]) -> str:
    """Rows as AudioSet publishes them; a file is named by its path below the folder."""
    labels = {label for _, row, _ in rows for label in row.labels}
    lines = [
        "# Segments csv made by `sweep data init`: each file is named by its path below this folder",
        f"# num_ytids={len({name for name, _, _ in rows})}, num_segs={len(rows)}, num_unique_labels={len(labels)}",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for name, row, mids in rows:
        classes = ",".join(dict.fromkeys(mids[label] for label in row.labels))
        lines.append(f'{_quoted(name)}, {row.start:.3f}, {row.end:.3f}, "{classes}"')
    return "\n".join([*lines, ""])


def _quoted(name: str) -> str:
    """A path as a CSV's cell; one that would begin a comment, or with a space, begins with ./ instead."""
    name = f"./{name}" if name[0] in "# " else name
    return '"' + name.replace('"', '""') + '"' if re.search(r'[,"]', name) else name


def _labels_text(classes: Sequence[ClassLabel]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "mid", "display_name"])
    writer.writerows((index, label.mid, label.name) for index, label in enumerate(classes))
    return text.getvalue()
