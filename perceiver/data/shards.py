"""An ingested data set: clips in tar shards that are cheap to read at random, and an index that opens at once.

    shards.json                    what the set is: form, digest, clips, shards; `complete` once everything is there
    index.npz                      for each row its id, times, labels, and where in which shard its clip lies
    class_labels_indices.csv       the label list
    left_out.csv                   rows without a file, rows that can't be used, clips that can't be read, and why
    train-000000.tar, ...          WebDataset's convention, `<key>.json`, `.h264`, `.wav` (see `stored`); eval-...
    train-000000.json, ...         what is in each shard; written after it, so a shard without is none

`tar` and the webdataset package read the shards as well. Opening a set reads three files, whatever its size: an index
of 1.7 million rows is 20 MB and opens in 0.3 s (as JSON lines: 105 MB, 6.5 s). A clip is one range of bytes.
Imports nothing heavy: a plan reads `shards.json` through this module.
"""

import hashlib
import io
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, overload

from perceiver.data.audioset import LABELS_FILE, ClassLabel, DataSource, Layout, Problem, Segment, Split, read_classes
from perceiver.data.files import FileRange, join, read_bytes
from perceiver.errors import DataError, StorageError

SHARDS_FILE, INDEX_FILE, LEFT_OUT_FILE = "shards.json", "index.npz", "left_out.csv"
FORMAT = "perceiver shards"
VERSION = 1
"""Raise when the same clip is stored differently."""
READER = 2
"""Raise when the same file is read differently, and add to `_WRONG`. A set that names none is of reader 1."""
_WRONG = {
    1: "stereo sound in it is 3 dB loud and clipped, surround sound worse, and a row that ends behind its "
    "video is another part of it"
}
SPLITS: tuple[Split, ...] = ("train", "eval")


@dataclass(frozen=True)
class Form:
    """How clips are stored. `pixels` is the largest model.inputs.video.size that the set serves.

    Training pictures are whole, squashed to a square with the margin that augmentation crops (256 x 256 for 224);
    evaluation's are the middle square. Smaller sizes are scaled from these. Training without augmentation crops the
    squashed pictures, which costs wide ones sharpness.
    """

    pixels: int = 224
    fps: int = 25
    rate: int = 48_000


@dataclass(frozen=True)
class Shards:
    """What shards.json says. `shards` maps a split to the names of its tar files, in order."""

    form: Form
    complete: bool = False
    digest: str = ""
    """sha256 of the label list, and of each clip's row and bytes."""
    source: str = ""
    """sha256 of the rows, file names and sizes that it was made from."""
    content: str = ""
    """sha256 of the contents of these files; empty in sets of issue 4, which did not keep it."""
    clips: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Reason -> rows, the commonest first."""
    classes: int = 0
    shards: Mapping[str, Sequence[str]] = field(default_factory=dict)
    index: str = ""
    """sha256 of index.npz."""
    size: int = 0
    """Bytes of all shards."""
    reader: int = READER
    """Of the program that read the clips, or a later one that found that it would read them alike."""

    def to_json(self) -> bytes:
        """The text of shards.json."""
        return (json.dumps({"format": FORMAT, "version": VERSION} | asdict(self), indent=2) + "\n").encode()


def read_shards(url: str) -> Shards | None:
    """What lies at a URL; None where it is no ingested set, be it complete or not.

    Raises:
        DataError: it was made by another version of this program, or shards.json is damaged.
        StorageError: storage does not answer.
    """
    try:
        text = read_bytes(join(url, SHARDS_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except StorageError as error:
        if error.is_refusal:
            return None  # storage may also say "forbidden" of what is not there
        raise
    try:
        about = json.loads(text)
        if about.pop("format") != FORMAT:
            return None
        if (version := about.pop("version")) != VERSION:
            raise DataError(f"{url} holds shards of version {version}, this program reads {VERSION}: ingest it again")
        return Shards(**{"reader": 1} | about | {"form": Form(**about["form"])})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{join(url, SHARDS_FILE)} is damaged: {error!r}") from None


def require_complete(url: str, shards: Shards) -> None:
    """Raises DataError for a set that was not ingested to its end."""
    if not shards.complete:
        raise DataError(f"{url} was not ingested to its end: run the same `sweep data ingest` again")


def misread(shards: Shards) -> str:
    """What is wrong with a set because of the reader that made it; empty where that was this one."""
    if shards.reader > READER:
        return "was made by a newer reader than this program has"
    return f"was made by an older reader: {_WRONG[shards.reader]}" if shards.reader < READER else ""


def cure_of_misread(url: str, shards: Shards) -> str:
    """What to do about such a set."""
    if shards.reader > READER:
        return "update this program"
    kept = "to the same place first, where a set whose clips are read alike is kept, with its digest"
    return f"ingest again, {kept}:  sweep data ingest SOURCE {url}"


def require_current(url: str, shards: Shards) -> None:
    """Raises DataError for a set that another reader made, unless both read alike what is in it."""
    if wrong := misread(shards):
        raise DataError(f"{url} {wrong}; {cure_of_misread(url, shards)}")


def open_layout(source: DataSource) -> "Layout | ShardedLayout":
    """The rows of a data set, be it in AudioSet's layout or ingested.

    Raises:
        DataError: nothing there, no label list, or a set that was not ingested to its end.
    """
    shards = read_shards(source.url)
    return Layout(source) if shards is None else ShardedLayout(source, shards)


class ShardedLayout:
    """The rows of an ingested set; the counterpart of `Layout`.

    Raises:
        DataError: not ingested to its end, or its index is damaged.
    """

    def __init__(self, source: DataSource, shards: Shards) -> None:
        require_complete(source.url, shards)
        self.source, self.shards = source, shards
        self.classes: list[ClassLabel] = read_classes(DataSource(source.url, join(source.url, LABELS_FILE)))

    def require_planned(self) -> None:
        """Raises DataError where another set lies here than the one that was planned with."""
        planned = self.source.planned
        if planned is not None and planned.digest != self.shards.digest:
            raise DataError(
                f"{self.source.url} is not the data set that was planned with: its digest was {planned.digest[:8]}, "
                f"and is {self.shards.digest[:8]} here. Plan again"
            )

    def require_pixels(self, size: int) -> None:
        """Raises DataError where a model wants larger pictures than the set holds."""
        if size > self.shards.form.pixels:
            raise DataError(
                f"{self.source.url} was ingested for pictures of up to {self.shards.form.pixels} pixels, but "
                f"model.inputs.video.size is {size}: ingest its source elsewhere with --pixels {size}"
            )

    def rows(self, split: Split) -> "IndexRows":
        """The split's rows in columns."""
        return IndexRows.load(self._index, split, [join(self.source.url, name) for name in self.shards.shards[split]])

    def segments(self, split: Split) -> Iterator[Segment | Problem]:
        """The split's rows, in the order of the source's. What was left out is told in left_out.csv only."""
        rows = self.rows(split)
        for number, (clip, place) in enumerate(zip(rows.ids, rows.places, strict=True)):
            size = rows.places.lengths[number]
            yield Segment(clip, rows.starts[number], rows.ends[number], rows.labels_of(number), place, size, True)

    @cached_property
    def _index(self) -> bytes:
        data = read_bytes(join(self.source.url, INDEX_FILE))
        if hashlib.sha256(data).hexdigest() != self.shards.index:
            raise DataError(f"{join(self.source.url, INDEX_FILE)} is not the index that {SHARDS_FILE} names")
        return data


class Places(Sequence[str]):
    """Paths of clips in shards, made when asked for: two million of them would fill the memory of every worker."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.shards, self.offsets, self.lengths = array("i"), array("q"), array("q")

    def __len__(self) -> int:
        return len(self.offsets)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return str(FileRange(self.names[self.shards[index]], self.offsets[index], self.lengths[index]))


class IndexRows:
    """Rows of a split in columns: what a `Clips` holds, for two million clips at once."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.ids: list[str] = []
        self.starts, self.ends = array("d"), array("d")
        self.places = Places(names)
        self.labels, self.label_ends = array("i"), array("q", [0])

    def append(self, id: str, start: float, end: float, labels: Sequence[int], place: tuple[int, int, int]) -> None:
        """Adds a row; `place` is the shard's number, the clip's first byte in it, and its length."""
        self.ids.append(id)
        self.starts.append(start)
        self.ends.append(end)
        self.labels.extend(labels)
        self.label_ends.append(len(self.labels))
        for column, value in zip((self.places.shards, self.places.offsets, self.places.lengths), place, strict=True):
            column.append(value)

    def labels_of(self, index: int) -> tuple[int, ...]:
        return tuple(self.labels[self.label_ends[index] : self.label_ends[index + 1]])

    def _columns(self) -> dict[str, "array[Any]"]:
        places = self.places
        return {
            "starts": self.starts,
            "ends": self.ends,
            "labels": self.labels,
            "label_ends": self.label_ends,
            "shards": places.shards,
            "offsets": places.offsets,
            "lengths": places.lengths,
        }

    @classmethod
    def load(cls, index: bytes, split: Split, names: Sequence[str]) -> "IndexRows":
        """The rows of a split out of an index.

        Raises:
            DataError: the index holds none.
        """
        import numpy as np

        rows = cls(names)
        try:
            with np.load(io.BytesIO(index), allow_pickle=False) as columns:
                text = columns[f"{split}_ids"].tobytes().decode()
                rows.ids = text.split("\0")[:-1]
                rows.label_ends.pop()
                for name, column in rows._columns().items():
                    column.frombytes(columns[f"{split}_{name}"].tobytes())
        except (KeyError, ValueError, OSError) as error:
            raise DataError(f"the index of the {split} split can't be read: {error!r}") from None
        return rows


def write_index(splits: Mapping[Split, IndexRows]) -> bytes:
    """The bytes of an index; the same for the same rows."""
    import numpy as np

    columns = {}
    for split, rows in splits.items():
        columns[f"{split}_ids"] = np.frombuffer("".join(f"{id}\0" for id in rows.ids).encode(), np.uint8)
        columns |= {f"{split}_{name}": np.asarray(column) for name, column in rows._columns().items()}
    file = io.BytesIO()
    np.savez_compressed(file, **columns)
    return file.getvalue()
