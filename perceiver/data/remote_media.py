"""Media files and clips of shards on remote storage, fetched in as few requests as their sizes allow."""

import io
from typing import BinaryIO

from perceiver.data.files import FileRange, filesystem_of, read_range
from perceiver.data.retries import with_retries
from perceiver.errors import DataError, StorageError

_HEAD = 4 * 2**20
"""Bytes that are asked for of a remote file whose size is not known; ten seconds of video are one or two million."""
_WHOLE = 32 * 2**20
"""Bytes up to which a remote file is fetched whole."""


def head_size(url: str) -> int:
    """Bytes that `read_head` gives at most."""
    where = FileRange.parse(url)
    return where.length if where else _HEAD


def read_head(url: str) -> bytes:
    """Of a remote shard exactly the named range, of another remote file its beginning, in one request.

    Raises:
        DataError: the server gives no parts of files.
        FileNotFoundError, StorageError: as `read_range` does.
    """
    where = FileRange.parse(url) or FileRange(url, 0, _HEAD)
    data = read_range(where.path, where.start, where.start + where.length)
    if len(data) > where.length and where.path != url:
        raise DataError(f"{where.path}: its server gives no parts of files, which shards need")
    return data


def is_whole(url: str, head: bytes) -> bool:
    """Whether what `read_head` gave is all that there is."""
    return FileRange.parse(url) is not None or len(head) != _HEAD  # a server may give more than it was asked for


def open_media(url: str, head: bytes) -> BinaryIO:
    """A remote file that begins with what `read_head` gave: whole where it is small, in blocks where it is large.

    Raises:
        FileNotFoundError, StorageError: as `read_range` does.
    """
    if is_whole(url, head):
        return io.BytesIO(head)
    filesystem, path = filesystem_of(url)
    size = with_retries(lambda: int(filesystem.size(path) or 0), url)
    if size > _WHOLE:
        return _Steady(with_retries(lambda: filesystem.open(path, "rb"), url), url)
    return io.BytesIO(head + read_range(url, len(head), size) if size > len(head) else head)


class _Steady:
    """A large remote file, read in blocks, each asked for again where storage fails. What PyAV needs of a file.

    `failure` is what storage failed with at last: FFmpeg may take it for the end of the file.
    """

    def __init__(self, file: BinaryIO, url: str) -> None:
        self._file, self._url = file, url
        self.failure: StorageError | None = None
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        position = self._file.tell()

        def read() -> bytes:
            self._file.seek(position)
            return self._file.read(size)

        try:
            return with_retries(read, self._url)
        except StorageError as error:
            self.failure = error
            raise
