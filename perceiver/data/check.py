"""Checks a data set before anything is trained on it: which rows have a file, and what every file really holds.

    report = check(DataSource("s3://bucket/audioset"), journal="check.jsonl")
    report.unreadable, report.rows["train"], report.to_json()

Every file is decoded from beginning to end, since damage in the middle shows nowhere else. With a journal a check that
was interrupted goes on where it stopped. A folder without segment CSVs is checked file by file.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from perceiver.data.audioset import MEDIA_SUFFIXES, DataSource, Layout, Problems, Segment, Split
from perceiver.data.files import File, list_files
from perceiver.data.shards import SPLITS, ShardedLayout, open_layout, read_shards
from perceiver.errors import ClipError

DEADLINE = 120.0
"""Seconds that decoding one file may take."""
_EARLY = 1.0
"""Seconds by which a stream may end before its header says."""
_PASSING = ("missing", "forbidden", "storage", "too slow")
"""Reasons that another time may not hold."""

Run = Callable[[Callable[[File], "FileReport"], Iterable[File]], Iterable["FileReport"]]


@dataclass(frozen=True)
class FileReport:
    """What a file holds, or why it can't be read (`reason`, a word or two, and `message`)."""

    path: str
    size: int
    seconds: float = 0.0
    video: str | None = None
    """Codec of the best video stream, such as h264."""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    """Pictures per second, counted."""
    audio: str | None = None
    """Codec of the best audio stream."""
    rate: int = 0
    channels: int = 0
    reason: str | None = None
    message: str = ""


@dataclass
class Report:
    """What a check found. `rows` and `label_counts` are by split and empty for a plain folder."""

    url: str
    files: list[FileReport] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    """Rows that can be used and have a file."""
    problems: dict[str, Problems] = field(default_factory=dict)
    """Rows that can't be used."""
    label_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Name of each class -> rows that can be used and have it."""
    unused: int = 0
    """Media files that no row names."""

    @property
    def unreadable(self) -> list[FileReport]:
        """Files that can't be read from beginning to end."""
        return [file for file in self.files if file.reason]

    @property
    def flawed(self) -> bool:
        """Whether a file can't be read or a row is wrong; no mirror has a file for every row."""
        wrong = sum(found.counts.total() - found.counts["no file"] for found in self.problems.values())
        return bool(self.unreadable or wrong)

    def summary(self) -> dict[str, Any]:
        """Counts over the readable files: streams, seconds, rates and sizes, the commonest first."""
        good = [file for file in self.files if not file.reason]
        lengths = sorted(file.seconds for file in good)
        return {
            "files": len(self.files),
            "unreadable": dict(Counter(file.reason for file in self.unreadable).most_common()),
            "no sound": sum(file.audio is None for file in good),
            "no picture": sum(file.video is None for file in good),
            "seconds": {"least": lengths[0], "median": median(lengths), "most": lengths[-1]} if lengths else {},
            "frame rates": _counted(f"{file.fps:.4g}" for file in good if file.video),
            "sizes": _counted(f"{file.width}x{file.height}" for file in good if file.video),
            "video codecs": _counted(file.video for file in good if file.video),
            "sample rates": _counted(str(file.rate) for file in good if file.audio),
            "channels": _counted(str(file.channels) for file in good if file.audio),
            "audio codecs": _counted(file.audio for file in good if file.audio),
        }

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data; of the files, those that can't be read."""
        problems = {
            split: {"counts": dict(found.counts), "named": [problem._asdict() for problem in found.named]}
            for split, found in self.problems.items()
        }
        return {
            "url": self.url,
            "rows": self.rows,
            "problems": problems,
            "label_counts": self.label_counts,
            "unused": self.unused,
            "summary": self.summary(),
            "unreadable": [asdict(file) for file in self.unreadable],
        }


def check(
    source: DataSource,
    progress: Callable[[int, int], None] | None = None,
    *,
    journal: str | Path | None = None,
    run: Run = map,
) -> Report:
    """Reads the CSVs, then every file. `progress(done, total)` counts files.

    `journal` names a local file that remembers what was read, by path and size. `run` is `map` or something like it
    that spreads the work, in any order: `pool.imap_unordered` of multiprocessing or of Ray.

    Raises:
        DataError: the folder is not there, or has segment CSVs and no label list.
    """
    report, files = _read_tables(source)
    known = _read_journal(journal)
    report.files = [known[file.path] for file in files if _is_known(known, file)]
    left = [file for file in files if not _is_known(known, file)]
    with _appending(journal) as remember:
        for found in run(probe, left):
            remember(found)
            report.files.append(found)
            if progress is not None:
                progress(len(report.files), len(files))
    report.files.sort(key=lambda file: file.path)
    return report


def probe(file: File) -> FileReport:
    """Decodes a file to its end and says what it holds."""
    from perceiver.data.stored import open_clip

    report: dict[str, Any] = {"path": file.path, "size": file.size}
    try:
        with open_clip(file.path, DEADLINE) as media:
            report["seconds"] = round(media.duration, 3)
            ends = 0.0
            if media.video is not None:
                pictures, begins, ends = _decode(media, media.video)
                context = media.video.codec_context
                report |= {"video": context.name, "width": context.width, "height": context.height}
                report["fps"] = round((pictures - 1) / (ends - begins), 3) if ends > begins else 0.0
            if media.audio is not None:
                ends = max(ends, _decode(media, media.audio)[2])
                context = media.audio.codec_context
                report |= {"audio": context.name, "rate": context.sample_rate, "channels": context.channels}
            if ends < media.duration - _EARLY:  # containers such as Matroska tell no length of a stream
                raise _truncated(media, "all", ends)
    except ClipError as error:
        report |= {"reason": error.reason, "message": str(error)}
    return FileReport(**report)


def _decode(media: Any, stream: Any) -> tuple[int, float, float]:
    """Frames of a stream, and the seconds of the first and the last.

    Raises:
        ClipError: damage, or an end long before the one that the header claims.
    """
    count, first, last = 0, 0.0, 0.0
    for at, _ in media.frames(stream, 0.0):
        first, last, count = at if not count else first, at, count + 1
    if not count or (stream.duration and last < float(stream.duration * stream.time_base) - _EARLY):
        raise _truncated(media, stream.type, last)
    return count, first, last


def _truncated(media: Any, what: str, ends: float) -> ClipError:
    return ClipError(
        "truncated", f"{media.path}: {what} ends at {ends:.2f} s, its header claims {media.duration:.2f} s"
    )


def _read_tables(source: DataSource) -> tuple[Report, list[File]]:
    """The report's rows and labels, and the files to look into."""
    report = Report(source.url)
    if read_shards(source.url) is not None:
        layout = open_layout(source)
        clips = [_read_split(report, layout, split) for split in SPLITS]
        return report, [file for files in clips for file in files.values()]
    listed = list_files(source.url)
    media = [file for file in listed if file.name.lower().endswith(MEDIA_SUFFIXES)]
    tables = [file for file in listed if file.name.endswith("_segments.csv")]
    if not tables:
        return report, media
    layout = Layout(source)
    named: dict[str, File] = {}
    splits: tuple[Split, ...] = ("train", "eval")
    for split in splits:
        if any(file.name.endswith(f"{split}_segments.csv") for file in tables):
            named |= _read_split(report, layout, split)
    report.unused = len(media) - len(named)
    return report, sorted(named.values(), key=lambda file: file.path)


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
    return files


def _is_known(known: dict[str, FileReport], file: File) -> bool:
    """Whether a file was read before; what failed for a reason that may pass is tried again."""
    found = known.get(file.path)
    return found is not None and found.size == file.size and found.reason not in _PASSING


def _read_journal(journal: str | Path | None) -> dict[str, FileReport]:
    known: dict[str, FileReport] = {}
    if journal is not None and Path(journal).exists():
        for line in Path(journal).read_text().splitlines():
            try:
                report = FileReport(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the line that was being written when a check was stopped
            known[report.path] = report
    return known


@contextmanager
def _appending(journal: str | Path | None) -> Iterator[Callable[[FileReport], None]]:
    """A function that appends a report to the journal as a line, where there is one."""
    if journal is None:
        yield lambda report: None
        return
    with Path(journal).open("a") as file:

        def write(report: FileReport) -> None:
            file.write("\n" + json.dumps(asdict(report)))  # first: the last line may be half written
            file.flush()

        yield write


def _counted(values: Iterator[str | None]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}
