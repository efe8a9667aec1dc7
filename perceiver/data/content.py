"""What is in a file, as a hash that is the same on disk, over http and on object storage: of its size, and of sampled
bytes of its head, its tail and two places between.

Whole files would be surer, and at 1.7 million of them a day's reading. A change that touches none of the sampled bytes
and keeps the size is not seen; encoders, cutters and filters of sound change bytes everywhere.

A listing tells which files have changed since they were looked into (see `cache`), so only the first pass is long.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import TypeVar

from perceiver.data.cache import FileIndex
from perceiver.data.files import File, files_of, is_local, local_path, look_up, read_range
from perceiver.data.retries import with_retries
from perceiver.data.segments import Segment, Split
from perceiver.errors import DataError

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with the files done and all files."""

KIND = "content-1"
"""Of the values in the index; raise the number where the same file gets another hash."""
_WHOLE, _PIECE = 512 * 1024, 64 * 1024
"""Bytes up to which a file is read whole, in one request; above, bytes of each of four pieces."""
_REQUESTS = 32
"""Files that are read side by side."""
_CHUNK, _TASK = 4_096, 8
"""Files that are looked up at once, whose hashes are kept at once; and files of one thread's task."""


def pieces(size: int) -> list[tuple[int, int]]:
    """First byte and end of what is read of a file."""
    if size <= _WHOLE:
        return [(0, size)]
    last = size - _PIECE
    return [(at, at + _PIECE) for at in (0, last // 3, 2 * last // 3, last)]


def content_of(file: File) -> str:
    """sha256 (hex) of the file's size and sampled bytes.

    Raises:
        StorageError: storage can't give it now.
        DataError: it went away after it was listed.
    """
    sha = sha256(b"%d\n" % file.size)
    try:
        for data in _read_local(file) if is_local(file.path) else _read_remote(file):
            sha.update(data)
    except FileNotFoundError:
        raise DataError(f"{file.path} went away while the data set was read; look again when it is at rest") from None
    return sha.hexdigest()


def with_contents(
    rows: Iterable[tuple[Split, Segment]], files: Sequence[File], progress: Progress | None = None
) -> Iterator[tuple[Split, Segment, str]]:
    """Each row with the content of its clip, in one file or two of `files`. Interrupted, the next call goes on.

    Raises:
        StorageError, DataError: as `content_of`.
    """
    listed, done = Listed(files), 0
    with closing(_Looker()) as looker:
        for chunk in _batches(rows, _CHUNK):
            contents: dict[str, str] = {}
            for found in looker.look_into({file.path: file for _, row in chunk for file in listed.of(row.path)}):
                contents |= found
                done += len(found)
                if progress is not None:
                    progress(min(done, len(files)), len(files))
            for split, row in chunk:
                yield split, row, "+".join(contents[file.path] for file in listed.of(row.path))


class Listed:
    """The files of a listing by their paths."""

    def __init__(self, files: Sequence[File]) -> None:
        self._files = {file.path: file for file in files}

    def of(self, path: str) -> list[File]:
        """The file of a clip, or both."""
        return [self._files[each] for each in ((path,) if path in self._files else files_of(path))]

    def as_one(self, path: str) -> File:
        """A clip as a file of both sizes and stamps."""
        files = self.of(path)
        stamps = [file.stamp for file in files]
        return File(path, sum(file.size for file in files), " ".join(stamps) if all(stamps) else "")


class _Looker:
    """Looks into files side by side; what the index knows is not read again."""

    def __init__(self) -> None:
        self._index = FileIndex()
        self._unstamped: dict[str, str] = {}
        """Contents that the index can't keep, by path."""
        self._pool = ThreadPoolExecutor(_REQUESTS, thread_name_prefix="look-into-files")

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def look_into(self, files: Mapping[str, File]) -> Iterator[dict[str, str]]:
        """The contents of these files, by path, as they are found."""
        seen = {path: self._unstamped[path] for path in files if path in self._unstamped}
        yield seen
        told = [
            file
            for some in self._side_by_side(_told, [files[path] for path in files if path not in seen])
            for file in some
        ]
        known = self._index.known(KIND, told)
        yield known
        new: dict[File, str] = {}
        try:
            for found in self._side_by_side(_contents_of, [file for file in told if file.path not in known]):
                new |= found
                yield {file.path: content for file, content in found.items()}
        finally:
            self._index.remember(KIND, new)
            self._unstamped |= {file.path: content for file, content in new.items() if not file.stamp}

    def _side_by_side(self, call: Callable[[list[File]], T], files: list[File]) -> Iterator[T]:
        return self._pool.map(call, _batches(files, _TASK))


def _told(files: list[File]) -> list[File]:
    return list(map(sized, files))


def sized(file: File) -> File:
    """The file with its size and stamp, also where a listing (http) has neither.

    Raises:
        DataError: it is listed, but not there, as a link of a web server's that leads nowhere.
        StorageError: storage failed on every attempt.
    """
    if file.stamp or file.size or is_local(file.path):
        return file
    try:
        return look_up(file.path)
    except FileNotFoundError:
        raise DataError(f"{file.path} is listed, but not there: take its name or link out of the folder") from None


def _contents_of(files: list[File]) -> dict[File, str]:
    return {file: content_of(file) for file in files}


def _read_local(file: File) -> Iterator[bytes]:
    """A named pipe would be waited for without end: what is no regular file has no content."""
    opened = with_retries(lambda: os.open(local_path(file.path), os.O_RDONLY | os.O_NONBLOCK), file.path)
    try:
        if stat.S_ISREG(os.fstat(opened).st_mode):
            for start, end in pieces(file.size):
                yield with_retries(partial(os.pread, opened, end - start, start), file.path)
    finally:
        os.close(opened)


def _read_remote(file: File) -> Iterator[bytes]:
    for start, end in pieces(file.size) if file.size else ():
        data = read_range(file.path, start, end)
        # A server that gives no parts sends everything.
        yield data if len(data) <= end - start else data[start:end]


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])
