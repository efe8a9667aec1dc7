"""Spreads work on files over processes of this machine. Runs on: the driver, and one process for each of its cores.

Damaged media can kill the process that reads them: such a file is tried once more alone, and then said to do so.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from perceiver.data.files import File
from perceiver.data.verdicts import FileReport

Work = Callable[[File], FileReport]

_AT_ONCE = 16
"""Files of a task where there are thousands: handing over takes about as long as looking into a small file."""
_MANY = 2_000
_WAITING = 4
"""Tasks of each process that wait for it."""
KILLS = "kills its reader"
"""The reason of a file that ends the process that reads it."""


def spread(work: Work, wanted: Iterable[File], cores: int) -> Iterator[FileReport]:
    """The work's report of each file, in any order; no process is left when the iterator is closed."""
    files: Sequence[File] = list(wanted)
    size = _AT_ONCE if len(files) > _MANY else 1
    left: list[Sequence[File]] = [files[begin : begin + size] for begin in range(0, len(files), size)][::-1]
    while left:
        suspects: list[Sequence[File]] = []
        with _processes(min(cores, len(left))) as pool:
            yield from _until_broken(pool, work, left, cores * _WAITING, suspects)
        for file in (file for task in suspects for file in task):
            yield _alone(work, file)


def _until_broken(
    pool: ProcessPoolExecutor, work: Work, left: list[Sequence[File]], most: int, suspects: list[Sequence[File]]
) -> Iterator[FileReport]:
    """Reports of what is left, until a process dies: then what was being read is among the suspects."""
    running: dict[Future[list[FileReport]], Sequence[File]] = {}
    try:
        while left or running:
            while left and len(running) < most:
                running[pool.submit(_each, work, left[-1])] = left[-1]
                left.pop()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                reports = future.result()
                del running[future]
                yield from reports
    except BrokenProcessPool:
        for future, task in running.items():
            if future.done() and future.exception() is None:
                yield from future.result()
            else:
                suspects.append(task)


def _alone(work: Work, file: File) -> FileReport:
    with _processes(1) as pool:
        try:
            return pool.submit(work, file).result()
        except BrokenProcessPool:
            return FileReport(file.path, file.size, reason=KILLS, message=f"{file.path} ends the process that reads it")


def _each(work: Work, files: Sequence[File]) -> list[FileReport]:
    return [work(file) for file in files]


@contextmanager
def _processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """New processes, which share nothing with this one and leave Ctrl-C to it; ended with the block."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_ignore_interrupts)
    try:
        yield pool
    finally:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()  # a file may take two minutes
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
