"""Segment lists and a label list for a folder of somebody's own clips, so that it becomes a data set.

    lists = make_lists("mine", Options(eval_share=0.2))         # reads names, tables and headers; writes nothing
    lists.rows, lists.assumed, lists.left_out
    write_lists(lists)

    train_segments.csv, eval_segments.csv     a row a segment: path below the folder, start, end, classes
    class_labels_indices.csv                  where the folder has none

A folder that has segment lists keeps them and gets what is missing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from perceiver.data.files import File, join, list_files, write_bytes
from perceiver.data.lists import Row as ListedRow
from perceiver.data.lists import Table
from perceiver.data.names import segment_lists
from perceiver.data.own_classes import find_classes, listed_classes
from perceiver.data.own_clips import find_clips
from perceiver.data.own_items import Found, media_of
from perceiver.data.own_rows import Row, segments_of
from perceiver.data.own_splits import split_rows
from perceiver.data.own_tables import Columns
from perceiver.data.own_texts import labels_text, segments_text
from perceiver.data.probe import measure
from perceiver.data.segments import LABELS_FILE, ClassLabel, Problems, Split
from perceiver.data.table_columns import labels_of
from perceiver.data.verdicts import FileReport
from perceiver.errors import DataError

SPLITS: tuple[Split, ...] = ("train", "eval")

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
    lists = _lists_of(url, files, options, progress, run)
    for file in files:
        if file.inner in lists.texts:
            raise DataError(
                f"{file.path} exists already and is no list that can be used; nothing is overwritten: move it"
            )
    return lists


def _lists_of(
    url: str, files: Sequence[File], options: Options, progress: Callable[[int, int], None], run: Run
) -> OwnLists:
    there = [file for split in SPLITS for file in segment_lists(files, split)[0]]
    if all(segment_lists(files, split)[0] for split in SPLITS):
        return _completed(url, files, there)
    if there:
        raise DataError(_half(url, there[0]))
    found = find_clips(files, options.columns)
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


def _completed(url: str, files: Sequence[File], there: Sequence[File]) -> OwnLists:
    """A folder in AudioSet's layout: its lists stay, and where it has no label list it gets one of the classes used."""
    lists = OwnLists(url, "AudioSet's layout", ["the segment lists that are there are kept"], Problems())
    lists.classes = listed_classes(url)
    if not lists.classes:
        rows = (row for file in there for _, row in Table.read(file.path).rows() if isinstance(row, ListedRow))
        used = {label for row in rows for cell in row.labels for label in labels_of(cell, ",")}
        lists.classes = [ClassLabel(label, label) for label in sorted(used)]
        lists.texts[LABELS_FILE] = labels_text(lists.classes)
        lists.assumed.append(f"classes are called as in the rows; AudioSet's {LABELS_FILE} would have their names")
    return lists


def _half(url: str, there: File) -> str:
    """What to say where one list exists and the other does not: rows can't be taken out of it for the other."""
    return (
        f"{there.path} exists already, and the other split has no list. Nothing is overwritten: give it another name, "
        f"from which both lists are made:  mv {there.path} {join(url, 'clips.csv')}"
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
    lists.rows = split_rows(
        rows, options.eval_share, options.seed, options.group_pattern, options.eval_split, lists.assumed
    )
    labels = {label for row in rows for label in row.labels}
    lists.classes, mids, there = find_classes(lists.url, labels, files)
    if there:
        lists.assumed.append(f"the classes are those of the {LABELS_FILE} that is there")
    else:
        lists.texts[LABELS_FILE] = labels_text(lists.classes)
    for split in SPLITS:
        lists.texts[f"{split}_segments.csv"] = segments_text(lists.rows[split], mids)
