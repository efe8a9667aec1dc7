"""Checks a data set: every row, and every file from beginning to end. Runs on: the driver, and every CPU of Ray."""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchestrator.console import Column, console, print_table
from orchestrator.errors import Interrupted
from orchestrator.plan.site import Site
from orchestrator.run.cluster import connected
from perceiver.data.audioset import DataSource
from perceiver.data.check import Report, check

_FILES_PER_TASK = 4
_NAMED = 20
_CHECKS = Path("runs/checks")


def data_source(place: str, labels: str | None, site: Site) -> DataSource:
    """The data set of that name at the site, or else the folder or URL."""
    if place in site.data:
        return DataSource(**site.data_source(place))
    return DataSource(place, labels)


def check_on_ray(source: DataSource, site: Site, journal: str | None) -> Report:
    """The check's report. A check that was interrupted goes on where it stopped, by its journal.

    Where none is named the journal lies below runs/ until the check is through, so that the next one reads all anew.

    Raises:
        DataError: the folder is not there, or has segment CSVs and no label list.
        Unreachable: no Ray cluster at the site.
        Interrupted: by Ctrl-C; tells how far it came.
    """
    kept = Path(journal or _CHECKS / f"{hashlib.sha256(source.url.encode()).hexdigest()[:12]}.jsonl")
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        report = _check(source, site, kept)
    except KeyboardInterrupt:
        read = sum(bool(line.strip()) for line in kept.open()) if kept.exists() else 0
        raise Interrupted(f"Interrupted; {read:,} files were read. The same command goes on from there.") from None
    if journal is None:
        kept.unlink(missing_ok=True)
    return report


def _check(source: DataSource, site: Site, journal: Path) -> Report:
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
        columns = [Column("split"), Column("rows", True), Column("rows that can't be used")]
        splits = [(split, f"{count:,}", str(report.problems[split])) for split, count in report.rows.items()]
        print_table(columns, splits)
        columns = [Column("clips of a class"), Column("classes", True), Column("without a clip", True)]
        columns += [Column("rarest"), Column("most frequent")]
        print_table(columns, [_label_row(split, counts) for split, counts in report.label_counts.items()])
    found = {name: _shown(value) for name, value in report.summary().items() if value and name != "files"}
    print_table([Column("files"), Column("")], list(found.items()))
    if report.unreadable:
        rows = [(file.reason or "", file.message) for file in report.unreadable[:_NAMED]]
        print_table([Column("unreadable"), Column("")], rows)
        if len(report.unreadable) > _NAMED:
            print(f"  and {len(report.unreadable) - _NAMED} more: see --json")


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
