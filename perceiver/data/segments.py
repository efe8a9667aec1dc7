"""What a data set is made of, as plain values: where it lies, its classes, its rows, and what is wrong with them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from perceiver.data.habit import Habit
from perceiver.data.recipe import Recipe

Split = Literal["train", "eval"]

LABELS_FILE = "class_labels_indices.csv"

NO_FILE = "no file"
"""The reason of rows without a file: no mirror of AudioSet has them all."""

CURES = {
    NO_FILE: "name each file <YTID>.mp4 or <YTID>_<start>.mp4, anywhere below the folder",
    "malformed row": 'write it as: YTID, start_seconds, end_seconds, "mid,mid"',
    "no label": "give the row a label, or delete it",
    "bad times": "write seconds, with 0 <= start < end",
    "unknown label": f"add the label to {LABELS_FILE}, or write the one that it has",
    "duplicate row": "delete one of the rows",
    "in eval too": "delete the row from the training list: what was learned from can't measure",
    "ambiguous file": "leave one of the files, or give the other a name that no row has",
    "one of several files": "delete the others, or move them out of the folder",
    "list not used": "move it out of the folder, or give it the name of one of AudioSet's lists",
    "one of several lists": "move out of the folder what is not meant",
}
"""What to do, for each reason of a `Problem` that is a flaw; the others are just to be known."""

_NAMED = 1_000
"""Problems of a reason that are kept with their rows; a mirror of AudioSet lacks 300,000 files, and counting those is
enough."""


@dataclass(frozen=True)
class Planned:
    """What was found out about a set where a sweep was planned, so that its workers need not look into every file."""

    digest: str
    habit: Habit = ""
    """Whether files are whole videos or cut segments, where their names don't say it; see `habit`."""
    listing: Mapping[str, str] = field(default_factory=dict)
    """Split -> its rows, and their files' names and sizes, as `Listing` has them; empty for a set that says itself
    what it is."""


@dataclass(frozen=True)
class DataSource:
    """Where a data set lies: a folder or fsspec URL, and its label list where that lies apart.

    With a recipe the folder is a synthetic set, made on first use. `planned` is what its plan has found out about it.
    """

    url: str
    labels: str | None = None
    recipe: Recipe | None = None
    planned: Planned | None = None

    def __post_init__(self) -> None:
        if isinstance(self.recipe, dict):  # a source travels to workers as plain data
            object.__setattr__(self, "recipe", Recipe(**self.recipe))
        if isinstance(self.planned, dict):
            object.__setattr__(self, "planned", Planned(**self.planned))


class ClassLabel(NamedTuple):
    """One class of the label list: its machine id and its name."""

    mid: str
    name: str


class Segment(NamedTuple):
    """A row that can be used: when the segment starts and ends in its source, its classes, and its clip's file."""

    id: str
    start: float
    end: float
    labels: tuple[int, ...]
    path: str
    size: int
    trimmed: bool
    """The file's name holds the start, so its own time begins with the segment."""


class Problem(NamedTuple):
    """A row that can't be used, or (`used`) what is to be known of one that is: its list and line, the reason, and the
    offending value; `CURES` says what would be right."""

    where: str
    reason: str
    message: str
    used: bool = False


class RowError(Exception):
    """Why a row can't be used; becomes a `Problem` where its list and line are known."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


@dataclass
class Problems:
    """Rows that can't be used: how many by reason, and the first of each by name. `notes`: the same of used ones."""

    counts: Counter[str] = field(default_factory=Counter)
    named: list[Problem] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    noted: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        counts, named = (self.notes, self.noted) if problem.used else (self.counts, self.named)
        counts[problem.reason] += 1
        if counts[problem.reason] <= _NAMED:
            named.append(problem)

    def examples(self, reason: str, count: int = 3) -> list[Problem]:
        """The first problems or notes of a reason."""
        return [each for each in (*self.named, *self.noted) if each.reason == reason][:count]

    def told(self) -> list[str]:
        """A line of counts for the rows that can't be used, and one for the notes, each with an example."""
        kinds = (("left out", self.counts, self.named), ("to know of", self.notes, self.noted))
        return [f"{kind}: {_line(counts, named)}" for kind, counts, named in kinds if named]

    def __str__(self) -> str:
        return _counted(self.counts)


def _line(counts: Counter[str], named: list[Problem]) -> str:
    """The example is of what is wrong, where something is: a missing file is nothing new."""
    example = next((each for each in named if each.reason != NO_FILE), named[0])
    return f"{_counted(counts)} ({example.message})"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
