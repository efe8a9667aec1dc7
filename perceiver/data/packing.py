"""Writes one shard: reads its clips, encodes them, packs them into a tar file. Runs on: the workers of an ingest."""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import NamedTuple

from perceiver.data.audioset import Segment, Split
from perceiver.data.clips import DEADLINE
from perceiver.data.dataset import Clip
from perceiver.data.encode import encode
from perceiver.data.files import join, name_of, shown, write_bytes, writing
from perceiver.data.habit import Habit
from perceiver.data.shards import READER, VERSION, Form
from perceiver.errors import ClipError, DataError, StorageError


@dataclass(frozen=True)
class ShardTask:
    """The rows that make one shard, and everything else that a worker needs to know."""

    dest: str
    split: Split
    number: int
    first: int
    """Place of the first row in its split."""
    form: Form
    rows: Sequence[Segment]
    mids: Sequence[str]
    """Machine id of each class of the set."""
    contents: Sequence[str] = ()
    """Of each row's file, see `content`; none where nobody has looked."""
    habit: Habit = ""
    """Of the source, see `habit`."""
    careful: bool = False
    """Encode each clip in a process of its own, since one of them has killed workers."""

    def to_text(self) -> str:
        """JSON, as it travels to a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "ShardTask":
        about = json.loads(text)
        return cls(**about | {"form": Form(**about["form"]), "rows": [Segment(*row) for row in about["rows"]]})

    @property
    def name(self) -> str:
        """Name of the tar file."""
        return f"{self.split}-{self.number:06d}.tar"

    @property
    def record(self) -> str:
        """URL of the file that says what is in the shard."""
        return join(self.dest, f"{self.split}-{self.number:06d}.json")

    def files(self) -> list[tuple[str, float, str, int, str]]:
        """Id and start of each row, and its file's name, size and content: what tells that a source has changed."""
        rows = zip(self.rows, self.contents or [""] * len(self.rows), strict=True)
        return [(row.id, row.start, name_of(row.path), row.size, content) for row, content in rows]

    def content(self) -> str:
        """sha256 of what the clips are made of: the files' contents, and which part of a file is the segment."""
        if not self.contents:
            return ""
        return hashlib.sha256(json.dumps([self.habit, *self.contents]).encode()).hexdigest()

    def key(self) -> str:
        """sha256 of all that determines the shard; not of where source and destination lie."""
        rows = [(*row._replace(path=name_of(row.path))[:-1], self.labels(row)) for row in self.rows]
        parts = [VERSION, asdict(self.form), self.split, self.number, self.first, rows]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def labels(self, row: Segment) -> list[str]:
        """Machine ids of a row's classes."""
        return [self.mids[label] for label in row.labels]


class Packed(NamedTuple):
    """A clip in its shard: its row in the task, its first byte, its length, and the sha256 of its members."""

    row: int
    offset: int
    length: int
    sha256: str


class LeftOut(NamedTuple):
    """A clip that can't be read: its row in the task, and why."""

    row: int
    reason: str
    message: str


@dataclass(frozen=True)
class ShardRecord:
    """What is in a finished shard, or (`failure`) why there is none."""

    split: Split
    number: int
    key: str
    size: int = 0
    """Bytes of the tar file."""
    clips: Sequence[Packed] = ()
    left_out: Sequence[LeftOut] = ()
    files: Sequence[tuple[str, float, str, int, str]] = ()
    """Of the task's rows; see `ShardTask.files`. Those of issue 4 lack the contents."""
    content: str = ""
    """See `ShardTask.content`; empty in records of issue 4."""
    failure: str = ""
    reader: int = READER
    """See `Shards.reader`."""

    def to_text(self) -> str:
        """JSON, as it lies beside the shard."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str | bytes) -> "ShardRecord | None":
        """The record in a file; None where it is half written or none at all."""
        try:
            about = json.loads(text)
            about["clips"] = [Packed(*clip) for clip in about["clips"]]
            about["left_out"] = [LeftOut(*clip) for clip in about["left_out"]]
            about["files"] = [tuple(file) for file in about["files"]]
            return cls(**{"reader": 1} | about)
        except (KeyError, TypeError, ValueError):
            return None


def write_shard(task: ShardTask) -> ShardRecord:
    """Writes the shard, then its record. Clips that can't be read are left out and told.

    A source or destination that can't be reached is no fault of a clip: then there is no shard, but a `failure`.
    """
    clips, left_out = list[Packed](), list[LeftOut]()
    try:
        with writing(join(task.dest, task.name)) as path:
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for row in range(len(task.rows)):
                    try:
                        clips.append(_pack(tar, task, row))
                    except ClipError as error:
                        left_out.append(LeftOut(row, error.reason, str(error)))
            size = os.path.getsize(path)
        told = task.files(), task.content()
        record = ShardRecord(task.split, task.number, task.key(), size, clips, left_out, *told)
        write_bytes(task.record, record.to_text().encode())
    except (DataError, StorageError) as error:
        return ShardRecord(task.split, task.number, task.key(), failure=str(error))
    return record


def members_of(task: ShardTask, number: int) -> dict[str, bytes]:
    """What a row's clip is stored as, see `encode`.

    Raises:
        ClipError: it can't be read.
    """
    row = task.rows[number]
    clip = Clip(row.id, row.path, row.start, row.end, row.trimmed, row.labels, task.habit)
    return (_encode_apart if task.careful else encode)(clip, task.split, task.form, task.labels(row))


def digest_of(members: Mapping[str, bytes]) -> str:
    """sha256 of a stored clip."""
    sha = hashlib.sha256()
    for suffix, data in members.items():
        sha.update(suffix.encode() + data)
    return sha.hexdigest()


def _pack(tar: tarfile.TarFile, task: ShardTask, row: int) -> Packed:
    members, id = members_of(task, row), task.rows[row].id
    key = f"{task.first + row:08d}-{re.sub('[^A-Za-z0-9_-]', '-', id)[:60]}"  # no dot: a suffix begins there
    first = tar.offset
    for suffix, data in members.items():
        about = tarfile.TarInfo(f"{key}.{suffix}")
        about.size = len(data)
        tar.addfile(about, io.BytesIO(data))
    return Packed(row, first, tar.offset - first, digest_of(members))


def _encode_apart(clip: Clip, split: Split, form: Form, labels: list[str]) -> dict[str, bytes]:
    """`encode` in a process that may die or hang. Whoever meets such a file once may pay the second that it takes.

    Raises:
        ClipError: also where the process died or had to be ended.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(encode, clip, split, form, labels).result(timeout=3 * DEADLINE)
        except BrokenProcessPool:
            raise ClipError("kills its reader", f"{shown(clip.path)}: the process that read it died") from None
        except TimeoutError:
            for process in list(pool._processes.values()):
                process.kill()
            raise ClipError("too slow", f"{shown(clip.path)} was not read within {3 * DEADLINE:g} s") from None
