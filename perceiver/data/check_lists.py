"""The lists of a data set as a check sees them: rows of each split, classes, and what is wrong with the lists."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from perceiver.data.audioset import LABELS_FILE, MEDIA_SUFFIXES, DataSource, Layout, Problems, Segment, Split
from perceiver.data.check_report import NOT_NAMED, Report
from perceiver.data.content import Listed
from perceiver.data.files import File, FilePair, is_local, list_files
from perceiver.data.flaws import Flaw, flaws_of_classes, flaws_of_rows
from perceiver.data.names import segment_lists
from perceiver.data.own_clips import find_clips
from perceiver.data.own_items import media_of
from perceiver.data.row_signs import LONGEST, signs_of
from perceiver.data.segments import NO_FILE
from perceiver.data.shards import SPLITS, ShardedLayout, cure_of_misread, misread, open_layout, read_shards
from perceiver.errors import DataError

_CALLED = {"train": "training", "eval": "evaluation"}


class SetFiles(NamedTuple):
    """The files to look into, by path; the layout that they were found by; the splits with rows of which the file's
    length has to tell what they read."""

    files: list[File]
    layout: Layout | None = None
    open: Sequence[Split] = ()


@dataclass
class SplitRows:
    """What the rows of a split have: files, by path; whether some are longer than an hour; whether it is open for some
    which part of their file they read."""

    files: dict[str, File] = field(default_factory=dict)
    long: bool = False
    open: bool = False

    def add(self, row: Segment) -> None:
        self.files[row.path] = File(row.path, row.size)
        self.long |= row.end - row.start > LONGEST
        self.open |= row.start > 0 and not row.trimmed


def read_lists(report: Report, source: DataSource) -> SetFiles:
    """Fills in what the lists say and what is wrong with them; gives the files to look into.

    Raises:
        DataError: the folder is not there or can't be listed; an ingested set that is damaged or not complete.
    """
    if (shards := read_shards(source.url)) is not None:
        stored = open_layout(source)
        if wrong := misread(shards):
            cure = cure_of_misread(source.url, shards)
            report.flaws.append(Flaw("another reader", 1, [f"{source.url} {wrong}"], cure))
        named = {path: file for split in SPLITS for path, file in _read_split(report, stored, split).files.items()}
        return SetFiles([File(file.path, file.size, shards.digest) for file in named.values()])
    listed = list_files(source.url)
    report.flaws += _missing_lists(source.url, listed)
    layout = None if all(_lacks(listed, split) for split in SPLITS) else _layout(report, source)
    rows = {split: SplitRows() for split in SPLITS}
    named = _read_splits(report, layout, rows) if layout else _each_once(media_of(listed))
    used = {part for path in named for part in _parts(path)}
    report.others = {file.path: _what(file) for file in listed if file.path not in used}
    left_open = [split for split, found in rows.items() if found.open]
    return SetFiles(sorted(named.values(), key=lambda file: file.path), layout, left_open)


def _each_once(media: Sequence[File]) -> dict[str, File]:
    """Files that no row names, by path; of those that links lead to, whatever the links are called, only the file."""
    found: dict[str, File] = {}
    for file in sorted(media, key=lambda file: (is_local(file.path) and os.path.islink(file.path), file.path)):
        found.setdefault(os.path.realpath(file.path) if is_local(file.path) else file.path, file)
    return {file.path: file for file in found.values()}


def _layout(report: Report, source: DataSource) -> Layout | None:
    """The set's layout; None where its rows can't be read, since it has no label list that can be used."""
    try:
        return Layout(source)
    except DataError as error:
        cure = f"put AudioSet's {LABELS_FILE} into the folder, or make one:  sweep data init {source.url}"
        report.flaws.append(Flaw("label list", 1, [str(error)], cure))
        return None


def _read_splits(report: Report, layout: Layout, rows: dict[Split, SplitRows]) -> dict[str, File]:
    """The files that rows name, by path, as they were listed."""
    named, listed = dict[str, File](), Listed(layout.files)
    for split in SPLITS:
        try:
            if not segment_lists(layout.files, split)[0]:
                continue
            rows[split] = _read_split(report, layout, split)
        except DataError as error:
            report.flaws.append(Flaw("lists", 1, [str(error)], "keep one list of the split in the folder"))
            continue
        named |= {path: listed.as_one(path) for path in rows[split].files}
        if rows[split].long or report.problems[split].counts[NO_FILE] > report.rows[split]:
            report.flaws += signs_of(layout, split)
    report.flaws += flaws_of_classes(report.label_counts)
    return named


def _read_split(report: Report, layout: Layout | ShardedLayout, split: Split) -> SplitRows:
    problems, counts, found, rows = Problems(), Counter[int](), SplitRows(), 0
    for row in layout.segments(split):
        if isinstance(row, Segment):
            rows += 1
            counts.update(row.labels)
            found.add(row)
        else:
            problems.add(row)
    report.rows[split], report.problems[split] = rows, problems
    report.label_counts[split] = {label.name: counts[number] for number, label in enumerate(layout.classes)}
    if not rows and not problems.counts:
        report.flaws.append(Flaw("empty list", 1, [f"the {_CALLED[split]} list has no row"], "write its rows into it"))
    report.flaws += flaws_of_rows(split, rows, problems)
    return found


def _missing_lists(url: str, listed: Sequence[File]) -> Iterator[Flaw]:
    """What a folder that lacks a list looks like, and what makes it."""
    lacking = [split for split in SPLITS if _lacks(listed, split)]
    if len(lacking) == len(SPLITS):
        found = find_clips(listed)
        if found is None:
            looks = f"{len(media_of(listed)):,} media files, and neither a folder per class nor a table that names them"
            cure = "put each file into a folder that is called as its class, or write a table of files and labels"
        else:
            looks, cure = f"it looks like {found.form}", "make lists of that"
        example = f"{url} has no train_segments.csv and no eval_segments.csv: {looks}"
        yield Flaw("no segment lists", 1, [example], f"{cure}:  sweep data init {url}")
        return
    for split in lacking:
        there = next(file for file in listed if file.name.lower().endswith("_segments.csv"))
        example = f"{url} has {there.inner}, but no {split}_segments.csv"
        make = f"mv {there.path} {url.rstrip('/')}/clips.csv; sweep data init {url}"
        yield Flaw(f"no {_CALLED[split]} list", 1, [example], f"write one, or make both lists of all rows:  {make}")


def _lacks(listed: Sequence[File], split: Split) -> bool:
    """Whether there is no list of a split; several of the evaluation are another flaw."""
    try:
        return not segment_lists(listed, split)[0]
    except DataError:
        return False


def _parts(path: str) -> list[str]:
    pair = FilePair.parse(path)
    return [pair.pictures, pair.sound] if pair else [path]


def _what(file: File) -> str:
    """What a file is that was not looked into."""
    if file.name.lower().endswith(MEDIA_SUFFIXES):
        return NOT_NAMED
    if file.name.lower().endswith("_segments.csv"):
        return "segment list"
    return "label list" if file.name == LABELS_FILE else "no media"
