"""Files on this machine or at any fsspec URL: list a folder, read a file, try again when storage fails now and then.

Plain paths never import fsspec, so that a plan over a local folder starts at once.
"""

import errno
import io
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote

from perceiver.data.folders import pages_below, walk
from perceiver.errors import DataError, PerceiverError, StorageError

T = TypeVar("T")

_FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PerceiverError)
_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts: long enough for a busy server, short enough that a dead one is reported within ten."""

_HEAD = 4 * 2**20
"""Bytes that are asked for of a remote file whose size is not known; ten seconds of video are one or two million."""
_WHOLE = 32 * 2**20
"""Bytes up to which a remote file is fetched whole."""

_CHAIN = re.compile(r"::[A-Za-z][A-Za-z0-9+.-]*://")
"""What tells fsspec's chains (simplecache::s3://...) from a name that holds two colons."""

PART = ".part"
"""Ends the name of a file that is being written; a process that was killed may leave one."""


@dataclass(frozen=True, slots=True)
class File:
    """A file's path or URL, and its size in bytes."""

    path: str
    size: int
    stamp: str = ""
    """Another one once the file has changed: its times of change, or what a server tags it with; empty where storage
    gives neither. Another copy of the same content has another one."""
    root: int = 0
    """Characters of the path that name the folder which was listed."""

    @property
    def name(self) -> str:
        """As whoever made the file named it."""
        return _unquoted(self.path, self.path.rfind("/") + 1)

    @property
    def inner(self) -> str:
        """Where it lies in the folder that was listed, such as clips/a.mp4."""
        return _unquoted(self.path, self.root)


@dataclass(frozen=True, slots=True)
class FilePair:
    """A clip in two files, pictures and sound, written `<pictures> +sound <sound>`.

    The second counts where the first has no sound of its own.
    """

    pictures: str
    sound: str

    def __str__(self) -> str:
        return f"{self.pictures} +sound {self.sound}"

    @classmethod
    def parse(cls, path: str) -> "FilePair | None":
        """What such a path names; None for any other."""
        pictures, pair, sound = path.partition(" +sound ")
        return cls(pictures, sound) if pair else None


def files_of(path: str) -> tuple[str, ...]:
    """The one or two files that a clip's path names."""
    pair = FilePair.parse(path)
    return (pair.pictures, pair.sound) if pair else (path,)


@dataclass(frozen=True, slots=True)
class FileRange:
    """Consecutive bytes of a shard, written `<path>.tar#<start>+<length>`."""

    path: str
    start: int
    length: int

    def __str__(self) -> str:
        return f"{self.path}#{self.start}+{self.length}"

    @classmethod
    def parse(cls, path: str) -> "FileRange | None":
        """What such a path names; None for any other."""
        found = re.fullmatch(r"(.+\.tar)#(\d+)\+(\d+)", path)
        return cls(found[1], int(found[2]), int(found[3])) if found else None


def is_local(url: str) -> bool:
    """Whether this is a path or file:// URL of this machine."""
    return "://" not in url or url.startswith("file://")


def is_web(url: str) -> bool:
    """Whether this is an http or https URL: there names are quoted, and folders are pages of links."""
    return url.startswith(("http://", "https://"))


def local_path(url: str) -> str:
    """The plain path of a local URL, where names are quoted as on the web."""
    return unquote(url.removeprefix("file://").removeprefix("localhost")) if url.startswith("file://") else url


def name_of(url: str) -> str:
    """The last part of a path or URL, as whoever made the file named it: web servers quote names."""
    if pair := FilePair.parse(url):
        return str(FilePair(name_of(pair.pictures), name_of(pair.sound)))
    return _unquoted(url, url.rfind("/") + 1)


def _unquoted(url: str, start: int) -> str:
    return unquote(url[start:]) if is_web(url) else url[start:]


def join(folder: str, *names: str) -> str:
    """The path or URL of something below a folder."""
    return "/".join([folder.rstrip("/"), *names])


def parent(url: str) -> str:
    """The folder that holds this one."""
    return os.path.dirname(os.path.abspath(local_path(url))) if is_local(url) else url.rstrip("/").rsplit("/", 1)[0]


def list_files(folder: str) -> list[File]:
    """The files below a folder, at any depth, sorted by path; none that is hidden or lies in a hidden folder.

    Raises:
        DataError: the folder is not there or can't be listed.
    """
    listed = [file for file in find_files(folder) if not file.inner.startswith(".") and "/." not in file.inner]
    if not listed:
        raise DataError(f"{folder} is not there or holds no file")
    return listed


def find_files(folder: str) -> list[File]:
    """All files below a folder as `list_files` has them; none where it is not there."""
    if not is_local(folder):
        return sorted(with_retries(lambda: list(_find(folder)), folder), key=lambda file: file.path)
    root = local_path(folder).rstrip("/") or "/"
    found = walk(root)
    return sorted((File(path, *about, len(root.rstrip("/")) + 1) for path, about in found), key=lambda file: file.path)


def look_up(url: str) -> File:
    """A remote file as the storage tells of it alone: a listing over http has neither sizes nor stamps.

    Raises:
        FileNotFoundError: at once.
        StorageError: storage failed on every attempt.
    """

    def ask() -> File:
        filesystem, path = _filesystem(url)
        about = filesystem.info(path)
        return File(url, int(about.get("size") or 0), _stamp(about))

    return with_retries(ask, url)


def read_bytes(url: str) -> bytes:
    """The whole of a file.

    Raises:
        FileNotFoundError: at once.
        StorageError: storage failed on every attempt, or refused.
    """

    def read() -> bytes:
        if is_local(url):
            with open(local_path(url), "rb") as file:
                return file.read()
        filesystem, path = _filesystem(url)
        return bytes(filesystem.cat_file(path))

    return with_retries(read, url)


def read_range(url: str, start: int, end: int) -> bytes:
    """Some bytes of a file, fewer where it ends before.

    Raises:
        FileNotFoundError: at once.
        StorageError: storage failed on every attempt, or refused.
    """

    def read() -> bytes:
        if is_local(url):
            with open(local_path(url), "rb") as file:
                file.seek(start)
                return file.read(end - start)
        filesystem, path = _filesystem(url)
        try:
            return bytes(filesystem.cat_file(path, start=start, end=end))
        except Exception as error:
            if status_of(error) != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            return b""

    return with_retries(read, url)


@contextmanager
def writing(url: str) -> Iterator[str]:
    """Path of a local file to write, which becomes `url` as a whole once the block has ended without an error.

    Raises:
        DataError: there can be no such file.
        StorageError: storage does not take it.
    """
    target = local_path(url) if is_local(url) else None
    folder = os.path.dirname(os.path.abspath(target)) if target else None
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder or tempfile.gettempdir(), f".{secrets.token_hex(8)}{PART}")
        # not mkstemp, which hides its files from others: a set is as open as the umask says
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o666 if target else 0o600))
        try:
            yield path
            if target:
                os.replace(path, target)
            else:
                with_retries(lambda: _put(path, url), url)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(path)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(f"{url} can't be written: {error}") from error
    except OSError as error:
        raise StorageError(f"{url} can't be written: {error}", error.errno) from error


def write_bytes(url: str, data: bytes) -> None:
    """Writes a file as a whole.

    Raises:
        DataError, StorageError: see `writing`.
    """
    with writing(url) as path, open(path, "wb") as file:
        file.write(data)


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
    filesystem, path = _filesystem(url)
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


def with_retries(call: Callable[[], T], what: str) -> T:
    """The call's result, after up to five more attempts where storage fails in a way that may pass soon.

    Raises:
        FileNotFoundError: at once.
        StorageError: it never succeeded, or storage refused; the last failure is its cause.
    """
    for wait in (*_WAITS, None):
        try:
            return call()
        except _FINAL:
            raise
        except Exception as error:  # each storage library has its own tree of errors
            status, said = status_of(error), str(error) or repr(error)
            if isinstance(error, PermissionError) or status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise StorageError(f"{what} is refused: {said}", status or errno.EACCES) from error
            if wait is None:
                message = f"{what}: storage failed {len(_WAITS) + 1} times, at last with: {said}"
                raise StorageError(message, status) from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status that a storage library's error tells, or else its errno."""
    number = None
    while error is not None:
        response = getattr(error, "response", None)
        of_s3 = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
        for status in (of_s3, getattr(error, "status", None), getattr(response, "status_code", None)):
            if isinstance(status, int):
                return status
        number = number or getattr(error, "errno", None)
        error = error.__cause__
    return number


def folder_is_there(url: str) -> bool:
    """Whether the folder of a file can be reached and holds anything."""
    folder = parent(url)
    if is_local(url):
        try:
            with os.scandir(folder) as entries:
                return any(True for _ in entries)
        except OSError:
            return False
    filesystem, path = _filesystem(folder)
    return bool(filesystem.exists(path))


def _find(url: str) -> Iterator[File]:
    filesystem, path = _filesystem(url)
    filesystem.invalidate_cache()  # another process may have written since
    root = len(filesystem.unstrip_protocol(path).rstrip("/")) + 1
    found = pages_below(filesystem, path) if is_web(url) else filesystem.find(path, detail=True)
    for name, info in found.items():
        if not name.endswith("/"):  # some clients of object storage make empty objects for folders
            yield File(filesystem.unstrip_protocol(name), int(info.get("size") or 0), _stamp(info), root)


_TAGS = ("etag", "lastmodified", "last_modified", "last-modified", "mtime", "updated", "generation", "content-md5")


def _stamp(info: Mapping[str, Any]) -> str:
    """What a storage says of a file that changes with it; each has its own words for that."""
    return " ".join(str(value) for key, value in sorted(info.items()) if key.lower() in _TAGS and value)


def _put(path: str, url: str) -> None:
    filesystem, target = _filesystem(url)
    filesystem.put_file(path, target)


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        import fsspec

        url = url.replace("#", "%23") if is_web(url) else url  # files have no fragments
        if "::" not in url or _CHAIN.search(url):
            return fsspec.core.url_to_fs(url)
        filesystem = fsspec.core.url_to_fs(url.partition("::")[0])[0]
        return filesystem, filesystem._strip_protocol(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"{url} can't be opened: {error}") from error
