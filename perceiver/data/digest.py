"""What a data set is, for plans and identities: a digest, and how many clips it has. Imports nothing heavy.

The digest covers what a trial computes with: the label list's machine ids, for each row that has a file its id, times,
labels and the content of its file (size and sampled bytes, see `content`), and the set's habit (see `habit`). Where
the set lies, what its files are called but for whether they were cut, and files that no row names do not change it.
The first look at a set reads of every file; later ones cost a listing, and reading what has changed.

An ingested set has a digest of its own, which covers every byte of its clips; a synthetic set that of its recipe.
Digests of folders from before contents and habits counted (issue 5) are others; those of the other two are the same.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from perceiver.data.audioset import DataSource, Layout, Problem, Problems, Segment, Split
from perceiver.data.content import Listed, Progress, with_contents
from perceiver.data.habit import Habits, Sample, SampledRow, find_habit
from perceiver.data.lengths import lengths_of
from perceiver.data.listing import Listing, text_of
from perceiver.data.recipe import CLASSES
from perceiver.data.segments import Planned
from perceiver.data.shards import SPLITS, read_shards, require_complete, require_current
from perceiver.data.verdicts import Known, known_of


@dataclass(frozen=True)
class DataDescription:
    """Digest (sha256, hex), clips of each split that have a file, classes of the label list.

    What is wrong with rows, or to be known of them, is no part of what the set is: two descriptions may be equal
    without it.
    """

    digest: str
    train_clips: int
    eval_clips: int
    classes: int
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict, compare=False)
    """Split -> reason -> rows that can't be used."""
    told: tuple[str, ...] = field(default=(), compare=False)
    """A line for the rows of each split that can't be used, and one for what is to be known of others."""
    habits: Habits = field(default_factory=Habits)
    """Whether its files are whole videos or cut segments, where their names don't say it, and how sure that is."""
    listing: Mapping[str, str] = field(default_factory=dict)
    """Split -> what workers compare; see `listing`."""
    known: Known = field(default_factory=Known, compare=False)
    """What `sweep data check` found in its files, as far as they have not changed since."""

    @property
    def planned(self) -> Planned:
        """What workers are given."""
        return Planned(self.digest, self.habits.habit, self.listing)


def describe(source: DataSource, progress: Progress | None = None) -> DataDescription:
    """Reads the CSVs, one listing, and of each file that has changed some bytes; of an ingested set its shards.json.

    Raises:
        DataError: the set is not there, not in AudioSet's layout, not ingested to its end, or ingested by an older
            reader.
        StorageError: storage does not give it now.
    """
    if source.recipe is not None:
        recipe = source.recipe
        return DataDescription(recipe.digest(), recipe.train_clips, recipe.eval_clips, len(CLASSES))
    if (shards := read_shards(source.url)) is not None:
        require_complete(source.url, shards)
        require_current(source.url, shards)
        clips, rows = shards.clips, ", ".join(f"{count:,} {reason}" for reason, count in shards.left_out.items())
        told = (f"rows left out when it was ingested: {rows}",) if rows else ()
        return DataDescription(shards.digest, clips["train"], clips["eval"], shards.classes, told=told)
    return _describe(Layout(source), progress)


def data_digest(source: DataSource) -> str:
    """sha256 (hex) of the data set; see `describe`."""
    return describe(source).digest


def habits_of(layout: Layout, rows: Iterable[Segment | Problem]) -> Habits:
    """The habit of a set's files, over a sample of these rows; some 200 files are opened, once."""
    sample = Sample()
    for row in rows:
        if isinstance(row, Segment):
            _offer(sample, row)
    return _habits(sample, layout)


def _describe(layout: Layout, progress: Progress | None) -> DataDescription:
    sha, sample, paths = hashlib.sha256(), Sample(), set[str]()
    problems, listings = ({split: kind() for split in SPLITS} for kind in (Problems, Listing))
    for label in layout.classes:
        sha.update(f"class {label.mid}\n".encode())
    for split, row, content in with_contents(_usable(layout, problems), layout.files, progress):
        listings[split].add(row)
        paths.add(row.path)
        _offer(sample, row)
        sha.update(f"{split} {text_of(row)}{content}\n".encode())
    listed = Listed(layout.files)
    known = known_of(listed.as_one(path) for path in paths)
    habits = _habits(sample, layout)
    sha.update(f"habit {habits.habit}\n".encode())
    train, evaluation = (listings[split].rows for split in SPLITS)
    left_out = {split: dict(found.counts) for split, found in problems.items() if found.counts}
    told = [f"{split} rows {line}" for split, found in problems.items() for line in found.told()]
    told += [f"whole videos or cut: {habits}"] if str(habits) else []
    told += [str(known)] if str(known) else []
    listing = {split: str(listing) for split, listing in listings.items()}
    return DataDescription(
        sha.hexdigest(), train, evaluation, len(layout.classes), left_out, tuple(told), habits, listing, known
    )


def _usable(layout: Layout, problems: Mapping[Split, Problems]) -> Iterator[tuple[Split, Segment]]:
    """The rows of both splits that can be used; the others become problems."""
    for split in SPLITS:
        for row in layout.segments(split):
            if isinstance(row, Segment):
                yield split, row
            else:
                problems[split].add(row)


def _offer(sample: Sample, row: Segment) -> None:
    if not row.trimmed:
        sample.add(SampledRow(row.id, row.start, row.end, row.path))


def _habits(sample: Sample, layout: Layout) -> Habits:
    rows = sample.rows
    return find_habit(rows, lengths_of([row.path for row in rows], layout.files).get)
