"""How long files are, as their readers will have it: opened side by side, and kept until they change."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from perceiver.data.cache import FileIndex
from perceiver.data.content import Listed
from perceiver.data.files import File
from perceiver.errors import ClipError

KIND = "seconds 1"
"""What lengths are called in the index; the number is raised when `Media` measures other ones."""
_SIDE_BY_SIDE = 16


def lengths_of(paths: Iterable[str], files: Sequence[File]) -> dict[str, float]:
    """Path -> seconds, of the clips among these files that can be read.

    Raises:
        StorageError: storage can't give one now.
    """
    index, listed = FileIndex(), Listed(files)
    wanted = {path: listed.as_one(path) for path in paths}
    known = {path: float(seconds) for path, seconds in index.known(KIND, wanted.values()).items()}
    left = [file for path, file in wanted.items() if path not in known]
    with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="read-lengths") as pool:
        read = dict(zip(left, pool.map(_seconds, left), strict=True))
    found = {file: seconds for file, seconds in read.items() if seconds is not None}
    index.remember(KIND, {file: repr(seconds) for file, seconds in found.items()})
    return known | {file.path: seconds for file, seconds in found.items()}


def _seconds(file: File) -> float | None:
    """None where the file can't be read."""
    from perceiver.data.clips import DEADLINE
    from perceiver.data.stored import open_clip

    try:
        with open_clip(file.path, DEADLINE) as media:
            return media.duration
    except ClipError:
        return None
