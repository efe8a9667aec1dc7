"""Checkpoints between a worker's disk and storage. What one holds: perceiver/state.py.

The manifest is uploaded last, so a directory without a valid one is what a died upload left and counts for nothing.
"""

import json
import posixpath
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.errors import Unreachable
from orchestrator.track.storage import filesystem

_MANIFEST = "MANIFEST.json"


def upload(folder: Path, url: str) -> None:
    """Copies a finished checkpoint folder to storage, the manifest last.

    Raises:
        Unreachable: storage can't be written.
    """
    fs, path = filesystem(url)
    names = [*json.loads((folder / _MANIFEST).read_text())["files"], _MANIFEST]
    try:
        if fs.exists(path):
            fs.rm(path, recursive=True)  # what a died upload left
        fs.makedirs(path, exist_ok=True)
        for name in names:
            fs.put_file(str(folder / name), f"{path}/{name}")
    except Exception as error:
        raise Unreachable(f"checkpoint {url} can't be written: {error}") from error


def complete(url: str) -> Iterator[str]:
    """URLs of the complete checkpoints below the folder of checkpoints, the newest first."""
    fs, _ = filesystem(url)
    for path in _complete(fs, url):
        yield fs.unstrip_protocol(path)


def download(url: str, folder: Path) -> Path:
    """Copies a checkpoint to a local folder, which is emptied first; its hashes are verified by who loads it."""
    fs, path = filesystem(url)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        for name in [*_manifest(fs, path)["files"], _MANIFEST]:
            fs.get_file(f"{path}/{name}", str(folder / name))
    except Exception as error:
        raise Unreachable(f"checkpoint {url} can't be read: {error}") from error
    return folder


def prune(url: str, keep: int) -> None:
    """Removes all but the newest `keep` complete checkpoints, and what died uploads left behind them."""
    fs, _ = filesystem(url)
    kept = list(_complete(fs, url))[:keep]
    for path in _directories(fs, url):
        if len(kept) == keep and path < kept[-1]:
            fs.rm(path, recursive=True)


def _complete(fs: Any, url: str) -> Iterator[str]:
    """Paths of complete checkpoints, the newest first."""
    for path in reversed(_directories(fs, url)):
        files = _manifest(fs, path).get("files", {})
        if files and all(_size(fs, f"{path}/{name}") == entry["size"] for name, entry in files.items()):
            yield path


def _directories(fs: Any, url: str) -> list[str]:
    """Directories of checkpoints, oldest first; the names are padded numbers of clips."""
    _, path = filesystem(url)
    try:
        fs.invalidate_cache(path)
        entries = fs.ls(path, detail=True)
    except FileNotFoundError:
        return []
    except Exception as error:
        raise Unreachable(f"{url} can't be listed: {error}") from error
    names = [entry["name"].rstrip("/") for entry in entries if entry["type"] == "directory"]
    return sorted(name for name in names if posixpath.basename(name).isdigit())


def _manifest(fs: Any, path: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(fs.cat_file(f"{path}/{_MANIFEST}"))
    except (FileNotFoundError, ValueError):
        return {}
    return content


def _size(fs: Any, path: str) -> int | None:
    try:
        size: int = fs.size(path)
    except FileNotFoundError:
        return None
    return size
