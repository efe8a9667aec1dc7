"""Clips of a folder that has no segment lists yet, and what was found out about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from perceiver.data.files import File
from perceiver.data.lists import MEDIA_SUFFIXES
from perceiver.data.segments import Problems


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
