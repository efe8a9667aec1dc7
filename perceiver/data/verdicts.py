"""What is known of a data set's files: what each holds, or why it can't be read, until it changes.

`sweep data check` reads files to their end and remembers here what it found, in the user's cache folder; a plan asks
without opening one. Imports nothing heavy.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from perceiver.data.cache import FileIndex
from perceiver.data.files import File

KIND = "verdict 1"
"""What verdicts are called in the index; the number is raised when the reader finds other things."""
PASSING = ("missing", "forbidden", "storage", "too slow")
"""Reasons that another time may not hold."""


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

    @property
    def verdict(self) -> str:
        """One word or two: good, or why it can't be read."""
        return self.reason or "good"


class Verdicts:
    """The reports that are kept in a folder, by default the user's cache folder."""

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._index = FileIndex(folder)

    def known(self, files: Iterable[File]) -> dict[str, FileReport]:
        """Path -> report, of the files that have not changed since; what failed for a reason that may pass is not."""
        by_path = {file.path: file for file in files}
        reports = {}
        for path, text in self._index.known(KIND, by_path.values()).items():
            try:
                report = FileReport(**json.loads(text) | {"path": path, "size": by_path[path].size})
            except (TypeError, ValueError):
                continue
            reports[path] = report
        return reports

    def remember(self, found: Mapping[File, FileReport]) -> None:
        """Keeps reports for the next time."""
        lasting = {file: report for file, report in found.items() if report.reason not in PASSING}
        self._index.remember(KIND, {file: _text(report) for file, report in lasting.items()})


@dataclass(frozen=True)
class Known:
    """What was found out about some files: how many are known, how many of these have each modality, which are bad."""

    files: int = 0
    known: int = 0
    video: int = 0
    audio: int = 0
    unreadable: tuple[FileReport, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Why files can't be read -> how many, the commonest first."""

    def __str__(self) -> str:
        """A line for people; empty where there is nothing to tell."""
        if not self.unreadable:
            return ""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        return f"files that can't be read, says `sweep data check`: {reasons} ({self.unreadable[0].message})"

    def lacks(self, modality: str) -> bool:
        """Whether every file is known and none that can be read has this modality, "video" or "audio"."""
        return self.known == self.files > len(self.unreadable) and not getattr(self, modality)


def known_of(files: Iterable[File], folder: Path | None = None) -> Known:
    """What `sweep data check` found in files that have not changed since; no file is opened."""
    files = list(files)
    reports = Verdicts(folder).known(files).values()
    good = [report for report in reports if not report.reason]
    unreadable = tuple(sorted((report for report in reports if report.reason), key=lambda report: report.path))
    return Known(
        len(files),
        len(reports),
        sum(report.video is not None for report in good),
        sum(report.audio is not None for report in good),
        unreadable,
        dict(Counter(report.verdict for report in unreadable).most_common()),
    )


def _text(report: FileReport) -> str:
    """The report without what the index knows, and without what is at its default."""
    kept = {name: value for name, value in asdict(report).items() if value not in (None, 0, 0.0, "")}
    return json.dumps({name: value for name, value in kept.items() if name not in ("path", "size")})
