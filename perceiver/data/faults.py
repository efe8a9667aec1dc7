"""Whose fault it is that a clip can't be read: the file's, which is a `ClipError`, or storage's, a `StorageError`.

Only what is wrong in the file is bad for good. A mount that went away, a right that is lacking, and bytes that come too
slowly say nothing of the file: whoever needs the clip waits for it (see `patience`).
"""

import errno
import os

from perceiver.data.files import FileRange, folder_is_there, is_local, local_path
from perceiver.errors import ClipError, StorageError

_BLOCK = 2**20


def missing(path: str) -> ClipError | StorageError:
    """Why a file is not there: it alone is gone, or with it all of its folder, as where a mount point is empty."""
    where = FileRange.parse(path)
    if folder_is_there(where.path if where else path):
        return ClipError("missing", f"{path} is not there")
    return StorageError(f"{path} is not there, nor is anything else in its folder", errno.ENOENT)


def late(path: str, seconds: float, worked: float) -> ClipError | StorageError:
    """Why a file was not read within its time, of which this thread worked so many seconds on it."""
    if worked > seconds / 2:
        return ClipError("too slow", f"{path} was not read within {seconds:g} s")
    return StorageError(f"{path} did not come within {seconds:g} s", errno.ETIMEDOUT)


def require_given(path: str, last: int | None = None) -> None:
    """Reads a local file, or its last bytes: FFmpeg takes what storage does not give for an early end, or for damage.

    Raises:
        StorageError: storage does not give them.
    """
    if not is_local(path):
        return  # its bytes came before, or told themselves that they did not
    try:
        with open(local_path(path), "rb", buffering=0) as file:
            file.seek(0 if last is None else max(0, file.seek(0, os.SEEK_END) - last))
            while file.read(_BLOCK):
                pass
    except FileNotFoundError:
        if isinstance(error := missing(path), StorageError):
            raise error from None
    except OSError as error:
        raise withheld(path, error) from error


def withheld(path: str, error: OSError) -> StorageError:
    """What storage says where it does not give a file of this machine."""
    return StorageError(f"{path} can't be read: {os.strerror(error.errno or errno.EIO)}", error.errno)
