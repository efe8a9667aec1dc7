"""Small reads and writes on any fsspec URL, with errors in the user's words."""

import json
import os
import posixpath
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec

from orchestrator.errors import Unreachable

_EXCLUSIVE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""Storages that make a file only where there is none, also for one of several who ask at once."""
_SETTLE_SECONDS = 3.0
_FAILURES = (OSError, ValueError, ImportError, RuntimeError)


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL and the path within it.

    Raises:
        Unreachable: the protocol is unknown or its package is missing.
    """
    try:
        # fsspec does not decode the names in a file:// URL, as MLflow and everybody else does
        fs, path = fsspec.core.url_to_fs(unquote(url) if url.startswith("file://") else url)
    except _FAILURES as error:
        raise Unreachable(f"storage {url} can't be opened: {error}") from None
    return fs, path


def write_text(url: str, text: str) -> None:
    """Writes a small file whole: beside and renamed where files are local, one put on object storage."""
    fs, path = filesystem(url)
    try:
        fs.makedirs(posixpath.dirname(path), exist_ok=True)
        local = "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
        target = f"{path}.{secrets.token_hex(4)}.part" if local else path  # two may write it at once
        with fs.open(target, "wb") as file:
            file.write(text.encode())
        if local:
            Path(target).replace(path)
    except Exception as error:  # botocore and friends have trees of their own
        raise Unreachable(f"{url} can't be written: {error}") from error


def create_text(url: str, text: str) -> bool:
    """Writes a small file that was not there; False where one is, also where another process makes it at this moment.

    Local disks and the large object storages refuse the second of two. On others, what lies there some seconds later
    counts. The text has to be the writer's own, with a token in it.
    """
    fs, path = filesystem(url)
    protocols = {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
    try:
        fs.makedirs(posixpath.dirname(path), exist_ok=True)
        if "file" in protocols:
            return _link_new(path, text)
        if exists(url):
            return False
        with suppress(FileExistsError, OSError, ValueError):  # each storage says "it is there" in its own way
            fs.pipe_file(path, text.encode(), mode="create")
        if not protocols & _EXCLUSIVE:
            time.sleep(_SETTLE_SECONDS)
    except Exception as error:
        raise Unreachable(f"{url} can't be written: {error}") from error
    found = read_text(url)
    if found is None:
        raise Unreachable(f"{url} can't be written: it is not there afterwards")
    return found == text


def _link_new(path: str, text: str) -> bool:
    """A file appears with all of its text, where the disk knows links, or at least only once."""
    beside = Path(f"{path}.{secrets.token_hex(4)}.part")
    try:
        beside.write_text(text)
        try:
            os.link(beside, path)
        except FileExistsError:
            raise
        except OSError:
            with open(path, "x") as file:
                file.write(text)
    except FileExistsError:
        return False
    finally:
        beside.unlink(missing_ok=True)
    return True


def list_names(url: str) -> list[str]:
    """Names of what lies in a folder, asked anew; none where it is not there."""
    fs, path = filesystem(url)
    try:
        fs.invalidate_cache(path)
        return [posixpath.basename(str(name).rstrip("/")) for name in fs.ls(path, detail=False)]
    except FileNotFoundError:
        return []
    except Exception as error:
        raise Unreachable(f"{url} can't be listed: {error}") from error


def upload_files(files: Iterable[Path], url: str) -> None:
    """Copies local files into a folder on storage."""
    fs, path = filesystem(url)
    try:
        fs.makedirs(path, exist_ok=True)
        for file in files:
            fs.put_file(str(file), f"{path}/{file.name}")
    except Exception as error:
        raise Unreachable(f"{url} can't be written: {error}") from error


def copy_folder(source: str, target: str) -> None:
    """Copies every file below a folder on storage into another one there, a manifest behind the files that it names.

    A file that goes away meanwhile is left out.
    """
    fs, path = filesystem(source)
    _, into = filesystem(target)
    try:
        fs.invalidate_cache()
        for file in sorted(fs.find(path), key=lambda name: (posixpath.dirname(name), name.endswith("MANIFEST.json"))):
            copy = f"{into}{file.removeprefix(path)}"
            fs.makedirs(posixpath.dirname(copy), exist_ok=True)
            with suppress(FileNotFoundError):
                fs.cp_file(file, copy)
    except Exception as error:
        raise Unreachable(f"{source} can't be copied to {target}: {error}") from error


def read_text(url: str) -> str | None:
    """The text of a small file, None if there is none."""
    fs, path = filesystem(url)
    try:
        fs.invalidate_cache(posixpath.dirname(path))
        with fs.open(path, "rb") as file:
            content: bytes = file.read()
    except FileNotFoundError:
        return None
    except Exception as error:
        raise Unreachable(f"{url} can't be read: {error}") from error
    return content.decode(errors="replace")


def read_json(url: str) -> Any:
    """The JSON document in a small file, None if there is no file.

    Raises:
        Unreachable: what lies there is none, as after a crash of the machine.
    """
    text = read_text(url)
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise Unreachable(f"{url} is damaged ({error}): move it away, and it is written anew") from None


def exists(url: str) -> bool:
    """Whether there is a file, asked anew."""
    fs, path = filesystem(url)
    try:
        fs.invalidate_cache(posixpath.dirname(path))
        return bool(fs.exists(path))
    except Exception as error:
        raise Unreachable(f"{url} can't be reached: {error}") from error


def is_asked(url: str) -> bool:
    """Whether a file that asks for something is there; storage that is away for a moment asks for nothing."""
    try:
        return exists(url)
    except Unreachable:
        return False


def remove(url: str) -> None:
    """Removes a file; none is fine."""
    fs, path = filesystem(url)
    try:
        fs.rm(path)
    except FileNotFoundError:
        pass
    except Exception as error:
        raise Unreachable(f"{url} can't be removed: {error}") from error
