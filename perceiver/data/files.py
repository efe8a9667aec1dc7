"""Files on this machine or at any fsspec URL: list a folder, read and write a file.

Plain paths never import fsspec, so that a plan over a local folder starts at once.
"""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from perceiver.data.folders import pages_below, walk
from perceiver.data.retries import status_of, with_retries
from perceiver.errors import DataError, StorageError

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
    """A clip in two files, pictures and sound; the second counts where the first has no sound of its own.

    Written with a NUL between the two, which no file's name holds, and shown as `<pictures> +sound <sound>`.
    """

    pictures: str
    sound: str

    def __str__(self) -> str:
        return f"{self.pictures}\0{self.sound}"

    @classmethod
    def parse(cls, path: str) -> "FilePair | None":
        """What such a path names; None for any other."""
        pictures, pair, sound = path.partition("\0")
        return cls(pictures, sound) if pair else None


def files_of(path: str) -> tuple[str, ...]:
    """The one or two files that a clip's path names."""
    pair = FilePair.parse(path)
    return (pair.pictures, pair.sound) if pair else (path,)


def shown(path: str) -> str:
    """A clip's path for people."""
    return " +sound ".join(files_of(path))


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
        return f"{name_of(pair.pictures)} +sound {name_of(pair.sound)}"
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
        filesystem, path = filesystem_of(url)
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
        filesystem, path = filesystem_of(url)
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
        filesystem, path = filesystem_of(url)
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


def folder_is_there(url: str) -> bool:
    """Whether the folder of a file can be reached and holds anything."""
    folder = parent(url)
    if is_local(url):
        try:
            with os.scandir(folder) as entries:
                return any(True for _ in entries)
        except OSError:
            return False
    filesystem, path = filesystem_of(folder)
    return bool(filesystem.exists(path))


def _find(url: str) -> Iterator[File]:
    filesystem, path = filesystem_of(url)
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
    filesystem, target = filesystem_of(url)
    filesystem.put_file(path, target)


def filesystem_of(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL, and the path within it.

    Raises:
        DataError: the protocol is unknown, or its package is missing.
    """
    try:
        import fsspec

        url = url.replace("#", "%23") if is_web(url) else url  # files have no fragments
        if "::" not in url or _CHAIN.search(url):
            return fsspec.core.url_to_fs(url)
        filesystem = fsspec.core.url_to_fs(url.partition("::")[0])[0]
        return filesystem, filesystem._strip_protocol(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"{url} can't be opened: {error}") from error
