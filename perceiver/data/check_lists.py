"""The lists of a data set as a check sees them: rows of each split, classes, and what is wrong with the lists."""

from collections import Counter
from collections.abc import Iterator, Sequence

from perceiver.data.audioset import LABELS_FILE, MEDIA_SUFFIXES, DataSource, Layout, Problems, Segment, Split
from perceiver.data.check_report import NOT_NAMED, Report
from perceiver.data.files import File, FilePair, list_files
from perceiver.data.flaws import Flaw, flaws_of_classes, flaws_of_rows
from perceiver.data.names import segment_lists
from perceiver.data.own_clips import find_clips, media_of
from perceiver.data.row_signs import signs_of
from perceiver.data.shards import SPLITS, ShardedLayout, cure_of_misread, misread, open_layout, read_shards
from perceiver.errors import DataError

_CALLED = {"train": "training", "eval": "evaluation"}


def read_lists(report: Report, source: DataSource) -> list[File]:
    """Fills in what the lists say and what is wrong with them; gives the files to look into, by path.

    Raises:
        DataError: the folder is not there or can't be listed; an ingested set that is damaged or not complete.
    """
    if (shards := read_shards(source.url)) is not None:
        layout = open_layout(source)
        if wrong := misread(shards):
            cure = cure_of_misread(source.url, shards)
            report.flaws.append(Flaw("another reader", 1, [f"{source.url} {wrong}"], cure))
        named = {path: file for split in SPLITS for path, file in _read_split(report, layout, split).items()}
        return [File(file.path, file.size, shards.digest) for file in named.values()]
    listed = list_files(source.url)
    media = {file.path: file for file in media_of(listed)}
    report.flaws += _missing_lists(source.url, listed)
    named = media if _lacks_both(listed) else _read_set(report, source, media)
    used = {part for path in named for part in _parts(path)}
    report.others = {file.path: _what(file) for file in listed if file.path not in used}
    return sorted(named.values(), key=lambda file: file.path)


def _read_set(report: Report, source: DataSource, media: dict[str, File]) -> dict[str, File]:
    """The files that rows name; all media files where the rows can't be read."""
    try:
        layout = Layout(source)
    except DataError as error:
        cure = f"put AudioSet's {LABELS_FILE} into the folder, or make one:  sweep data init {source.url}"
        report.flaws.append(Flaw("label list", 1, [str(error)], cure))
        return media
    named: dict[str, File] = {}
    for split in SPLITS:
        try:
            if not segment_lists(layout.files, split)[0]:
                continue
            found = _read_split(report, layout, split)
        except DataError as error:
            report.flaws.append(Flaw("lists", 1, [str(error)], "keep one list of the split in the folder"))
            continue
        named |= {path: _stamped(file, media) for path, file in found.items()}
        report.flaws += signs_of(layout, split, report.rows[split], report.problems[split])
    report.flaws += flaws_of_classes(report.label_counts)
    return named


def _read_split(report: Report, layout: Layout | ShardedLayout, split: Split) -> dict[str, File]:
    problems, counts, files, rows = Problems(), Counter[int](), {}, 0
    for row in layout.segments(split):
        if isinstance(row, Segment):
            rows += 1
            counts.update(row.labels)
            files[row.path] = File(row.path, row.size)
        else:
            problems.add(row)
    report.rows[split], report.problems[split] = rows, problems
    report.label_counts[split] = {label.name: counts[number] for number, label in enumerate(layout.classes)}
    if not rows and not problems.counts:
        report.flaws.append(Flaw("empty list", 1, [f"the {_CALLED[split]} list has no row"], "write its rows into it"))
    report.flaws += flaws_of_rows(split, rows, problems)
    return files


def _missing_lists(url: str, listed: Sequence[File]) -> Iterator[Flaw]:
    """What a folder that lacks a list looks like, and what makes it."""
    if _lacks_both(listed):
        found = find_clips(url, listed)
        if found is None:
            looks = f"{len(media_of(listed)):,} media files, and neither a folder per class nor a table that names them"
            cure = "put each file into a folder that is called as its class, or write a table of files and labels"
        else:
            looks, cure = f"it looks like {found.form}", "make lists of that"
        example = f"{url} has no train_segments.csv and no eval_segments.csv: {looks}"
        yield Flaw("no segment lists", 1, [example], f"{cure}:  sweep data init {url}")
        return
    for split in (split for split in SPLITS if _lacks(listed, split)):
        there = next(file for file in listed if file.name.lower().endswith("_segments.csv"))
        example = f"{url} has {there.inner}, but no {split}_segments.csv"
        make = f"mv {there.path} {url.rstrip('/')}/clips.csv; sweep data init {url}"
        yield Flaw(f"no {_CALLED[split]} list", 1, [example], f"write one, or make both lists of all rows:  {make}")


def _lacks_both(listed: Sequence[File]) -> bool:
    return all(_lacks(listed, split) for split in SPLITS)


def _lacks(listed: Sequence[File], split: Split) -> bool:
    """Whether there is no list of a split; several of the evaluation are another flaw."""
    try:
        return not segment_lists(listed, split)[0]
    except DataError:
        return False


def _stamped(file: File, media: dict[str, File]) -> File:
    """A row's file as it was listed; one of two files has the stamps of both."""
    if file.path in media:
        return media[file.path]
    return File(file.path, file.size, " ".join(media[part].stamp for part in _parts(file.path) if part in media))


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
