"""Checks a data set: every row, and every file from beginning to end. Runs on: the driver, and every CPU of Ray."""

from functools import partial
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchestrator.console import Column, console, print_table
from orchestrator.plan.site import Site
from orchestrator.run.cluster import connected
from perceiver.data.audioset import DataSource
from perceiver.data.check import Report, check

_FILES_PER_TASK = 4
_NAMED = 20


def data_source(place: str, labels: str | None, site: Site) -> DataSource:
    """The data set of that name at the site, or else the folder or URL."""
    if place in site.data:
        return DataSource(**site.data_source(place))
    return DataSource(place, labels)


def check_on_ray(source: DataSource, site: Site, journal: str | None) -> Report:
    """The check's report; with a journal, a check that was interrupted goes on where it stopped.

    Raises:
        DataError: the folder is not there, or has segment CSVs and no label list.
        Unreachable: no Ray cluster at the site.
    """
    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with connected(site), Progress(*columns, console=console(stderr=True), transient=True) as bar:
        from ray.util.multiprocessing import Pool

        task = bar.add_task("files", total=None)
        pool = Pool()
        try:
            return check(
                source,
                lambda done, total: bar.update(task, completed=done, total=total),
                journal=journal,
                run=partial(pool.imap_unordered, chunksize=_FILES_PER_TASK),
            )
        finally:
            pool.terminate()  # type: ignore[no-untyped-call]


def print_report(report: Report) -> None:
    """Rows and files as tables, then what can't be read and why."""
    bad = len(report.unreadable)
    print(f"{report.url}   {len(report.files)} files, {bad} unreadable, {report.unused} that no row names")
    if report.rows:
        columns = [Column("split"), Column("rows", True), Column("classes", True), Column("rows that can't be used")]
        print_table(columns, [_split_row(report, split) for split in report.rows])
    found = {name: _shown(value) for name, value in report.summary().items() if value and name != "files"}
    print_table([Column("files"), Column("")], list(found.items()))
    if report.unreadable:
        rows = [(file.reason or "", file.message) for file in report.unreadable[:_NAMED]]
        print_table([Column("unreadable"), Column("")], rows)
        if len(report.unreadable) > _NAMED:
            print(f"  and {len(report.unreadable) - _NAMED} more: see --json")


def _split_row(report: Report, split: str) -> tuple[str, str, str, str]:
    classes = sum(count > 0 for count in report.label_counts[split].values())
    return split, f"{report.rows[split]:,}", str(classes), str(report.problems[split])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_number(count)}" for key, count in value.items())
    return _number(value)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
