"""Waits for storage that can't give something now, so that what a trial computes does not depend on its bad minutes."""

import logging
import os
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from perceiver.errors import StorageError

T = TypeVar("T")

PATIENCE = 600.0
"""Seconds that a clip is waited for; a key of the site will say so (`storage_patience`), until then the environment."""
LONGEST = 60.0
"""Seconds between two attempts, at last: they begin with one and double."""


def patiently(read: Callable[[float], T], deadline: float, given_up: threading.Event) -> T:
    """What `read` gives, asked again where storage fails: each time with twice the deadline, for what comes slowly.

    Raises:
        StorageError: storage gave nothing for as long as one waits, or nobody waits any more.
    """
    patience = float(os.environ.get("PERCEIVER_STORAGE_PATIENCE", PATIENCE))
    ends = time.monotonic() + patience
    for attempt in count():
        try:
            return read(deadline * 2**attempt)
        except StorageError as error:
            left = ends - time.monotonic()
            if attempt == 0:
                logging.getLogger(__name__).warning("%s; waiting for up to %.0f s", error, patience)
            if left <= 0 or given_up.wait(min(2.0**attempt, LONGEST, left)):
                raise StorageError(f"{error}; it was waited for {patience - left:.0f} s", error.status) from error
    raise AssertionError("unreachable")
