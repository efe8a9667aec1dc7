"""What a data set is, for plans and identities: a digest, and how many clips it has. Imports nothing heavy.

The digest covers what a trial can see: the label list, and for each row that has a file its id, times, labels and the
file's name and size. Where the set lies, and files that no row names, do not change it. An ingested set has a digest of
its own: it also covers the bytes of its clips.
"""

import hashlib
from dataclasses import dataclass

from perceiver.data.audioset import DataSource, Layout, Segment, Split
from perceiver.data.recipe import CLASSES
from perceiver.data.shards import read_shards, require_complete


@dataclass(frozen=True)
class DataDescription:
    """Digest (sha256, hex), clips of each split that have a file, classes of the label list."""

    digest: str
    train_clips: int
    eval_clips: int
    classes: int


def describe(source: DataSource) -> DataDescription:
    """Reads the CSVs and one listing, no clip; of an ingested set just what its shards.json says.

    Raises:
        DataError: the set is not there, not in AudioSet's layout, or not ingested to its end.
    """
    if source.recipe is not None:
        recipe = source.recipe
        return DataDescription(recipe.digest(), recipe.train_clips, recipe.eval_clips, len(CLASSES))
    if (shards := read_shards(source.url)) is not None:
        require_complete(source.url, shards)
        return DataDescription(shards.digest, shards.clips["train"], shards.clips["eval"], shards.classes)
    layout = Layout(source)
    sha = hashlib.sha256()
    for label in layout.classes:
        sha.update(f"class {label.mid}\n".encode())
    train, evaluation = (_add_split(sha, layout, split) for split in ("train", "eval"))
    return DataDescription(sha.hexdigest(), train, evaluation, len(layout.classes))


def data_digest(source: DataSource) -> str:
    """sha256 (hex) of the data set; see `describe`."""
    return describe(source).digest


def _add_split(sha: "hashlib._Hash", layout: Layout, split: Split) -> int:
    clips = 0
    for row in layout.segments(split):
        if isinstance(row, Segment):
            clips += 1
            name = row.path.rsplit("/", 1)[-1]
            sha.update(f"{split} {row.id} {row.start!r} {row.end!r} {row.labels} {name} {row.size}\n".encode())
    return clips
