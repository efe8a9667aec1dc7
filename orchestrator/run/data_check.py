"""Checks a data set: every row, and every file from beginning to end.

Runs on: the driver's cores; of a joined cluster, where there is much to do, on every CPU.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from orchestrator.console import Column, print_table
from orchestrator.errors import Interrupted
from orchestrator.plan.machine import cores
from orchestrator.plan.site import Site, absolute
from orchestrator.progress import Ticker
from orchestrator.run.file_pool import Work, spread
from perceiver.data.audioset import DataSource
from perceiver.data.check import check
from perceiver.data.check_report import Report
from perceiver.data.files import File
from perceiver.data.flaws import NORMAL
from perceiver.data.verdicts import FileReport

_FILES_PER_TASK = 4
_WORTH_A_CLUSTER = 500
"""Files from which a joined cluster is asked; fewer are read here before it has answered."""


def data_source(place: str, labels: str | None, site: Site) -> DataSource:
    """The data set of that name at the site, or else the folder or URL."""
    if place in site.data:
        return DataSource(**site.data_source(place))
    return DataSource(place, labels)


def check_set(source: DataSource, site: Site, journal: str | None = None, again: bool = False) -> Report:
    """The check's report. A check that was interrupted goes on where it stopped.

    Raises:
        DataError: the folder is not there or can't be listed.
        Unreachable: no Ray cluster at the site.
        Interrupted: by Ctrl-C; tells how far it came.
    """
    source = replace(source, url=absolute(source.url))  # workers have other folders
    with Ticker(f"listing {source.url} and reading its lists", "files") as ticker:
        try:
            return check(source, ticker.show, journal=journal, again=again, run=partial(_run, site))
        except KeyboardInterrupt:
            done = f"{ticker.done:,} of {ticker.total:,} files are known"
            raise Interrupted(f"Interrupted; {done}. The same command goes on from there.") from None


def _run(site: Site, work: Work, files: Iterable[File]) -> Iterator[FileReport]:
    """The work's reports, from this machine's cores, or from a joined cluster where there is much to do."""
    files = list(files)
    if site.ray_address == "local" or len(files) < _WORTH_A_CLUSTER:
        yield from spread(work, files, site.local_cpus or cores())
        return
    from ray.util.multiprocessing import Pool

    from orchestrator.run.cluster import connected

    with connected(site):
        pool = Pool()
        try:
            yield from pool.imap_unordered(work, files, chunksize=_FILES_PER_TASK)
        finally:
            pool.terminate()  # type: ignore[no-untyped-call]


def print_report(report: Report) -> None:
    """What is wrong and what to do about it, then rows, classes and files as tables."""
    bad = len(report.unreadable)
    files = f"{len(report.files):,} file{'s' if len(report.files) != 1 else ''}"
    print(f"{report.url}   {files}, {bad:,} unreadable, {report.unused:,} that no row names")
    for flaw in report.flaws:
        print(f"! {flaw.kind}: {flaw.count:,}" if flaw.count > 1 else f"! {flaw.kind}")
        for example in flaw.examples:
            print(f"    {example}")
        print(f"    -> {flaw.cure}")
    if not report.flaws:
        print("Nothing is wrong with it.")
    for split, problems in report.problems.items():
        for reason in (reason for reason in NORMAL if reason in problems.notes):
            print(f"  {split}: {problems.notes[reason]:,} {reason}, such as {problems.examples(reason, 1)[0].message}")
    _print_tables(report)


def _print_tables(report: Report) -> None:
    if report.rows:
        columns = [Column("split"), Column("rows", True), Column("rows that can't be used")]
        splits = [(split, f"{count:,}", str(report.problems[split])) for split, count in report.rows.items()]
        print_table(columns, splits)
        columns = [Column("clips of a class"), Column("classes", True), Column("without a clip", True)]
        columns += [Column("rarest"), Column("most frequent")]
        print_table(columns, [_label_row(split, counts) for split, counts in report.label_counts.items()])
    found = {name: _shown(value) for name, value in report.summary().items() if value and name != "files"}
    print_table([Column("files"), Column("")], list(found.items()))


def _label_row(split: str, counts: dict[str, int]) -> tuple[str, str, str, str, str]:
    """How many classes have clips, and which have the fewest and the most."""
    ordered = sorted(((count, name) for name, count in counts.items() if count), key=lambda pair: pair[0])
    few, many = (", ".join(f"{name}: {count:,}" for count, name in some) for some in (ordered[:3], ordered[:-4:-1]))
    return split, str(len(ordered)), str(len(counts) - len(ordered)), few, many


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_number(count)}" for key, count in value.items())
    return _number(value)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
