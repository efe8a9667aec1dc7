"""What a check of a data set found, as plain data."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from perceiver.data.audioset import Problems
from perceiver.data.files import shown
from perceiver.data.flaws import Flaw
from perceiver.data.verdicts import FileReport

NOT_NAMED = "not named by a row"
"""What a media file is that no row has."""


@dataclass
class Report:
    """What a check found. `rows` and `label_counts` are by split and empty for a plain folder."""

    url: str
    files: list[FileReport] = field(default_factory=list)
    """What was looked into: the files of rows, or all media files of a plain folder; by path."""
    rows: dict[str, int] = field(default_factory=dict)
    """Rows that can be used and have a file."""
    problems: dict[str, Problems] = field(default_factory=dict)
    """Rows that can't be used."""
    label_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Name of each class -> rows that can be used and have it."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Path of every other file -> what it is: segment list, label list, not named by a row, no media."""
    flaws: list[Flaw] = field(default_factory=list)
    """What is wrong, by kind."""

    @property
    def unused(self) -> int:
        """Media files that no row names."""
        return sum(what == NOT_NAMED for what in self.others.values())

    @property
    def unreadable(self) -> list[FileReport]:
        """Files that can't be read from beginning to end."""
        return [file for file in self.files if file.reason]

    @property
    def flawed(self) -> bool:
        """Whether something is wrong that a user would want to know; no mirror has a file for every row."""
        return bool(self.flaws)

    def summary(self) -> dict[str, Any]:
        """Counts over the readable files: streams, seconds, rates and sizes, the commonest first."""
        good = [file for file in self.files if not file.reason]
        lengths = sorted(file.seconds for file in good)
        return {
            "files": len(self.files),
            "unreadable": dict(Counter(file.verdict for file in self.unreadable).most_common()),
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
        """All of it as plain data; each file of the folder with its verdict."""
        problems = {
            split: {
                "counts": dict(found.counts),
                "named": [problem._asdict() for problem in found.named],
                "notes": dict(found.notes),
                "noted": [note._asdict() for note in found.noted],
            }
            for split, found in self.problems.items()
        }
        files = [asdict(file) | {"path": shown(file.path), "verdict": file.verdict} for file in self.files]
        return {
            "url": self.url,
            "flawed": self.flawed,
            "flaws": [asdict(flaw) for flaw in self.flaws],
            "rows": self.rows,
            "problems": problems,
            "label_counts": self.label_counts,
            "unused": self.unused,
            "summary": self.summary(),
            "unreadable": [file for file in files if file["reason"]],
            "files": files + [{"path": path, "verdict": what} for path, what in self.others.items()],
        }


def _counted(values: Iterable[str | None]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}
