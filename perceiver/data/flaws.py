"""What is wrong with a data set that a user would want to know: each kind with examples and its cure.

flaws = [*flaws_of_files(reports), *flaws_of_rows("train", rows, problems)]
flaws[0].kind, flaws[0].count, flaws[0].examples, flaws[0].cure
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from perceiver.data.audioset import Problems
from perceiver.data.segments import CURES, NO_FILE
from perceiver.data.verdicts import FileReport

EXAMPLES = 3
"""Places that are told of each kind."""
_ENOUGH = 0.5
"""Share of a split's rows that have a file, below which something else is wrong than that videos were taken offline."""


@dataclass(frozen=True)
class Flaw:
    """One kind of flaw: how often it was found, the first places (file, line, value) as sentences, what to do."""

    kind: str
    count: int
    examples: Sequence[str]
    cure: str


_AGAIN = "fetch the file again, or delete it: its row is then one without a file"
_FILE_CURES = {
    "missing": "the file went away while the check ran: check again",
    "forbidden": "give yourself the right to read it (chmod u+r, or the bucket's policy)",
    "empty": _AGAIN,
    "not media": "delete it, or give it the suffix of what it is",
    "truncated": _AGAIN,
    "damaged": _AGAIN,
    "absurd header": _AGAIN,
    "no streams": "delete it, or convert it:  ffmpeg -i FILE -c:v libx264 -c:a aac NEW.mp4",
    "too slow": "check again when the machine or the storage is less busy; else convert the file",
    "storage": "see that the storage answers, then check again: nothing is said about these files",
    "kills its reader": "delete it: reading it ends the process that reads",
}
"""What to do about a file, by why it can't be read."""
NORMAL = ("joined row", "pictures and sound")
"""What may be noted of a row that is read, and is nothing wrong."""


def flaws_of_files(reports: Iterable[FileReport]) -> Iterator[Flaw]:
    """A flaw for each reason that files can't be read for, the commonest first."""
    by_reason: dict[str, list[FileReport]] = defaultdict(list)
    for report in reports:
        if report.reason:
            by_reason[report.reason].append(report)
    for reason, found in sorted(by_reason.items(), key=lambda pair: -len(pair[1])):
        examples = [report.message for report in found[:EXAMPLES]]
        yield Flaw(f"file {reason}", len(found), examples, _FILE_CURES.get(reason, _AGAIN))


def flaws_of_rows(split: str, rows: int, problems: Problems) -> Iterator[Flaw]:
    """A flaw for each reason that rows of a split can't be used for, or may be meant otherwise.

    Rows without a file are one only where most have none.
    """
    for reason, count in [*problems.counts.most_common(), *problems.notes.most_common()]:
        examples = [problem.message for problem in problems.examples(reason, EXAMPLES)]
        cure = CURES.get(reason, "mend the row")
        if reason == NO_FILE and rows < _ENOUGH * (rows + count):
            yield Flaw(f"{split} keeps {rows:,} of {rows + count:,} rows", count, examples, cure)
        elif reason not in (NO_FILE, *NORMAL):
            yield Flaw(f"{split}: {reason}", count, examples, cure)


def flaws_of_classes(label_counts: Mapping[str, Mapping[str, int]]) -> Iterator[Flaw]:
    """Classes that the evaluation asks for and no training clip has."""
    train, evaluation = label_counts.get("train"), label_counts.get("eval")
    if not train or not evaluation or not any(train.values()):
        return
    lone = [name for name, count in evaluation.items() if count and not train.get(name)]
    if lone:
        examples = [f"{name}: {evaluation[name]:,} evaluation clips" for name in lone[:EXAMPLES]]
        cure = "add training clips of them, or take them out of the evaluation"
        yield Flaw("class that only the evaluation has", len(lone), examples, cure)
