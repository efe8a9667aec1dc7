"""What a data set is, for plans and identities: a digest, and how many clips it has. Imports nothing heavy.

The digest covers what a trial can see: the label list, and for each row that has a file its id, times, labels and the
file's name and size. Where the set lies, and files that no row names, do not change it. An ingested set has a digest of
its own: it also covers the bytes of its clips.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from perceiver.data.audioset import DataSource, Layout, Problems, Segment, Split
from perceiver.data.files import name_of
from perceiver.data.recipe import CLASSES
from perceiver.data.shards import read_shards, require_complete, require_current


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


def describe(source: DataSource) -> DataDescription:
    """Reads the CSVs and one listing, no clip; of an ingested set just what its shards.json says.

    Raises:
        DataError: the set is not there, not in AudioSet's layout, not ingested to its end, or ingested by an older
            reader.
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
    layout = Layout(source)
    sha = hashlib.sha256()
    for label in layout.classes:
        sha.update(f"class {label.mid}\n".encode())
    problems: dict[Split, Problems] = {"train": Problems(), "eval": Problems()}
    train, evaluation = (_add_split(sha, layout, split, found) for split, found in problems.items())
    left_out = {split: dict(found.counts) for split, found in problems.items() if found.counts}
    told = tuple(f"{split} rows: {line}" for split, found in problems.items() for line in found.told())
    return DataDescription(sha.hexdigest(), train, evaluation, len(layout.classes), left_out, told)


def data_digest(source: DataSource) -> str:
    """sha256 (hex) of the data set; see `describe`."""
    return describe(source).digest


def _add_split(sha: "hashlib._Hash", layout: Layout, split: Split, problems: Problems) -> int:
    clips = 0
    for row in layout.segments(split):
        if isinstance(row, Segment):
            clips += 1
            name = name_of(row.path)
            sha.update(f"{split} {row.id} {row.start!r} {row.end!r} {row.labels} {name} {row.size}\n".encode())
        else:
            problems.add(row)
    return clips
