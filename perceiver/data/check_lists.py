"""The lists of a data set as a check sees them: rows of each split, classes, and what is wrong with the lists."""

from collections import Counter
from collections.abc import Sequence

from perceiver.data.audioset import LABELS_FILE, MEDIA_SUFFIXES, DataSource, Layout, Problems, Segment, Split
from perceiver.data.check_report import NOT_NAMED, Report
from perceiver.data.files import File, list_files
from perceiver.data.flaws import Flaw, flaws_of_classes, flaws_of_rows
from perceiver.data.own_clips import find_clips
from perceiver.data.shards import SPLITS, ShardedLayout, open_layout, read_shards
from perceiver.errors import DataError


def read_lists(report: Report, source: DataSource) -> list[File]:
    """Fills in what the lists say and what is wrong with them; gives the files to look into, by path.

    Raises:
        DataError: the folder is not there or can't be listed; an ingested set that is damaged or not complete.
    """
    if (shards := read_shards(source.url)) is not None:
        layout = open_layout(source)
        named = {path: file for split in SPLITS for path, file in _read_split(report, layout, split).items()}
        return [File(file.path, file.size, shards.digest) for file in named.values()]
    listed = list_files(source.url)
    media = [file for file in listed if file.name.lower().endswith(MEDIA_SUFFIXES)]
    if not any(file.name.endswith("_segments.csv") for file in listed):
        report.flaws.append(_unlisted(source, listed, media))
        named = {file.path: file for file in media}
    else:
        named = _read_set(report, source, listed, media)
    report.others = {file.path: _what(file) for file in listed if file.path not in named}
    return sorted(named.values(), key=lambda file: file.path)


def _read_set(report: Report, source: DataSource, listed: Sequence[File], media: Sequence[File]) -> dict[str, File]:
    """The files that rows name; all media files where the rows can't be read."""
    by_path = {file.path: file for file in media}
    try:
        layout = Layout(source)
    except DataError as error:
        cure = f"put AudioSet's {LABELS_FILE} into the folder, or make one:  sweep data init {source.url}"
        report.flaws.append(Flaw("label list", 1, [str(error)], cure))
        return by_path
    named: dict[str, File] = {}
    for split in SPLITS:
        if any(file.name.endswith(f"{split}_segments.csv") for file in listed):
            found = _read_split(report, layout, split)
            named |= {path: by_path.get(path, file) for path, file in found.items()}
        else:
            report.flaws.append(_no_list(source.url, split, listed))
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
        report.flaws.append(
            Flaw("empty list", 1, [f"{split}_segments.csv has no row"], "write the split's rows into it")
        )
    report.flaws += flaws_of_rows(split, rows, problems)
    return files


def _unlisted(source: DataSource, listed: Sequence[File], media: Sequence[File]) -> Flaw:
    """A folder without segment lists: what it looks like, and what makes lists of that."""
    found = find_clips(source.url, listed)
    if found is None:
        looks = f"{len(media):,} media files, and neither a folder per class nor a table that names them"
        cure = "put each file into a folder that is called as its class, or write a table of files and labels"
    else:
        looks, cure = f"it looks like {found.form}", "make lists of that"
    return Flaw(
        "no segment lists",
        1,
        [f"{source.url} has no train_segments.csv and no eval_segments.csv: {looks}"],
        f"{cure}:  sweep data init {source.url}",
    )


def _no_list(url: str, split: Split, listed: Sequence[File]) -> Flaw:
    there = next(file for file in listed if file.name.endswith("_segments.csv"))
    example = f"{url} has {there.name}, but no {split}_segments.csv"
    cure = f"write one, or make both of all rows:  mv {there.path} {url.rstrip('/')}/clips.csv; sweep data init {url}"
    return Flaw(f"no {'training' if split == 'train' else 'evaluation'} list", 1, [example], cure)


def _what(file: File) -> str:
    """What a file is that was not looked into."""
    if file.name.lower().endswith(MEDIA_SUFFIXES):
        return NOT_NAMED
    if file.name.endswith("_segments.csv"):
        return "segment list"
    return "label list" if file.name == LABELS_FILE else "no media"
