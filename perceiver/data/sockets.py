"""Unix sockets, whatever TMPDIR is: a path of theirs has room for 107 bytes, and a Slurm job's TMPDIR may have more."""

import os
import tempfile
from contextlib import suppress
from multiprocessing import util

_ROOM = len("/pymp-abcdefgh/listener-abcdefgh")
_LONGEST = 103
"""Bytes of a socket's path, on macOS; Linux has 107."""


def have_short_sockets() -> None:
    """Gives multiprocessing, here and in its children, a folder with a short path; all else stays in TMPDIR."""
    former = tempfile.gettempdir()
    if len(os.fsencode(former)) + _ROOM <= _LONGEST:
        return
    tempfile.tempdir = "/tmp"
    with suppress(OSError):  # it is no worse then than before
        util.get_temp_dir()  # chosen once for the life of a process, and passed on
    tempfile.tempdir = former
