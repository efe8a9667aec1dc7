"""Checks a data set before anything is trained on it: which rows have a file, and what every file really holds.

    report = check(DataSource("s3://bucket/audioset"))
    report.flaws, report.unreadable, report.rows["train"], report.to_json()

Every file is decoded from beginning to end, since damage in the middle shows nowhere else. What was found is kept in
the user's cache folder, so a check that was interrupted goes on where it stopped, the next one reads only what has
changed, and a plan knows of it. A folder without segment lists is checked file by file, and told what it looks like.
"""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from perceiver.data.audioset import DataSource
from perceiver.data.check_lists import read_lists
from perceiver.data.check_report import Report
from perceiver.data.files import File
from perceiver.data.flaws import flaws_of_files
from perceiver.data.probe import probe
from perceiver.data.row_parts import flaws_of_parts
from perceiver.data.verdicts import FileReport, Verdicts

_KEPT_EVERY = 1.0
"""Seconds between two times that what was found is written down."""

Run = Callable[[Callable[[File], FileReport], Iterable[File]], Iterable[FileReport]]
Progress = Callable[[int, int], None]


def check(
    source: DataSource,
    progress: Progress | None = None,
    *,
    journal: str | Path | None = None,
    again: bool = False,
    run: Run = map,
) -> Report:
    """Reads the lists, then every file that is not known. `progress(done, total)` counts files.

    `journal` is a folder that keeps what was found, in place of the user's cache folder; with `again` everything is
    read anew. `run` is `map` or something like it that spreads the work, in any order.

    Raises:
        DataError: the folder is not there or can't be listed.
    """
    report = Report(source.url)
    files, layout, left_open = read_lists(report, source)
    verdicts = Verdicts(None if journal is None else Path(journal))
    known = {} if again else verdicts.known(files)
    report.files = list(known.values())
    if progress is not None:
        progress(len(known), len(files))
    left = [file for file in files if file.path not in known]
    with closing(_remembered(verdicts, left, run)) as reports:  # so that what came before a Ctrl-C is written down
        for found in reports:
            report.files.append(found)
            if progress is not None:
                progress(len(report.files), len(files))
    report.files.sort(key=lambda file: file.path)
    report.flaws += flaws_of_files(report.files)
    if layout is not None and left_open:
        seconds = {file.path: file.seconds for file in report.files if not file.reason}
        report.flaws += flaws_of_parts(layout, left_open, seconds)
    return report


def _remembered(verdicts: Verdicts, files: Sequence[File], run: Run) -> Generator[FileReport]:
    """The reports of files, kept as they come; also those that came before a Ctrl-C."""
    by_path = {file.path: file for file in files}
    fresh: dict[File, FileReport] = {}
    written = time.monotonic()
    try:
        for found in run(probe, files):
            fresh[by_path[found.path]] = found
            if time.monotonic() - written > _KEPT_EVERY:
                verdicts.remember(fresh)
                fresh, written = {}, time.monotonic()
            yield found
    finally:
        verdicts.remember(fresh)
