"""Storage is asked again when it fails now and then; what it says at last becomes a `StorageError`."""

import errno
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from perceiver.errors import PerceiverError, StorageError

T = TypeVar("T")

_FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PerceiverError)
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, errno.ENOENT, errno.ENOTDIR)
_WAITS = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts: long enough for a busy server, short enough that a dead one is reported within ten."""


def with_retries(call: Callable[[], T], what: str) -> T:
    """The call's result, after up to five more attempts where storage fails in a way that may pass soon.

    Raises:
        FileNotFoundError: at once.
        StorageError: it never succeeded, or storage refused; the last failure is its cause.
    """
    for wait in (*_WAITS, None):
        try:
            return call()
        except Exception as error:  # each storage library has its own tree of errors
            if isinstance(error, _FINAL) and not _may_pass(error):
                raise
            status, said = status_of(error), str(error) or repr(error)
            if isinstance(error, PermissionError) or status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise StorageError(f"{what} is refused: {said}", status or errno.EACCES) from error
            if wait is None:
                message = f"{what}: storage failed {len(_WAITS) + 1} times, at last with: {said}"
                raise StorageError(message, status) from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def _may_pass(error: Exception) -> bool:
    """Whether "not found" was said of a file because its server failed: fsspec says it over http of every failure."""
    cause, status = error.__cause__, status_of(error.__cause__)
    if not isinstance(error, FileNotFoundError) or cause is None:
        return False
    if status is None:
        return isinstance(cause, TimeoutError | ConnectionError) or type(cause).__module__.startswith("aiohttp")
    return status not in _GONE


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
