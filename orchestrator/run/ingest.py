"""Ingests a data set on Ray Data, one task a shard. Runs on: the driver, and every CPU of Ray."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from orchestrator.console import Column, console, print_table
from orchestrator.errors import Interrupted
from orchestrator.plan.site import Site, absolute
from orchestrator.run.cluster import connected
from perceiver.data.audioset import DataSource
from perceiver.data.ingest import Ingested, ingest
from perceiver.data.packing import ShardRecord, ShardTask
from perceiver.data.shards import LEFT_OUT_FILE, Form

_RETRIES = 2
"""Times that a shard is begun again after its worker died, before its clips are taken one by one."""


def ingest_on_ray(source: DataSource, dest: str, pixels: int, site: Site) -> Ingested:
    """The complete set; see `perceiver.data.ingest.ingest`. Ray is started only where something is missing.

    Raises:
        DataError: the source can't be read, the destination can't be used, or storage failed.
        Interrupted: after a Ctrl-C; finished shards are kept.
        Unreachable: no Ray cluster at the site.
    """
    columns = (TextColumn("clips"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    done, total = 0, 0
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("clips", total=None)

        def show(*counts: int) -> None:
            nonlocal done, total
            done, total = counts
            bar.update(task, description="clips", completed=done, total=total)

        def look(*counts: int) -> None:
            bar.update(task, description="files looked into", completed=counts[0], total=counts[1])

        try:
            source, dest = replace(source, url=absolute(source.url)), absolute(dest)  # workers have other folders
            return ingest(source, dest, Form(pixels), show, looking=look, run=lambda *work: _on_site(site, *work))
        except KeyboardInterrupt:
            raise Interrupted(f"{done} of {total} clips are in finished shards, which are kept.") from None


def print_ingested(ingested: Ingested) -> None:
    """What the set holds, what was left out and why, and how much this run had to do."""
    shards = ingested.shards
    clips = " + ".join(f"{count:,}" for count in shards.clips.values())
    size = f"{shards.size / 2**30:,.1f} GiB" if shards.size >= 2**30 else f"{shards.size / 2**20:,.0f} MiB"
    print(f"{ingested.url}   {clips} clips, {size}, digest {shards.digest[:8]}")
    if ingested.written:
        print(f"{ingested.written} shards written, {ingested.kept} were there already.")
    else:
        print(f"Complete already: all {ingested.kept} shards are there, nothing was done.")
    if ingested.renewed:
        print("It was made by an older reader. This one reads each of its clips alike: it is kept.")
    if ingested.compared != "contents":
        print(
            "  It was made by an older version, which kept no contents: its source has the same rows, file names and "
            "sizes, and whether the files hold the same is not known. To be sure, ingest to another place."
        )
    if shards.left_out:
        rows = [(reason, f"{count:,}") for reason, count in shards.left_out.items()]
        print_table([Column("left out"), Column("rows", right=True)], rows)
        print(f"  each with its reason in {LEFT_OUT_FILE}")


def _on_site(site: Site, call: Callable[[ShardTask], ShardRecord], tasks: Iterable[ShardTask]) -> Iterator[ShardRecord]:
    """The records of all tasks, in any order. A task whose workers keep dying is done again, clip by clip."""
    left = {(task.split, task.number): task for task in tasks}
    if not left:
        return
    with connected(site):
        for careful in (False, True):
            for record in _on_ray(call, [replace(task, careful=careful) for task in left.values()]):
                del left[record.split, record.number]
                yield record
    for task in left.values():
        yield ShardRecord(task.split, task.number, "", failure=f"{task.name}: every worker that wrote it died")


def _on_ray(call: Callable[[ShardTask], ShardRecord], tasks: list[ShardTask]) -> Iterator[ShardRecord]:
    """The records of those tasks whose workers live to their end."""
    import ray.data

    if not tasks:
        return

    def work(row: dict[str, Any]) -> dict[str, Any]:
        return {"record": call(ShardTask.parse(row["task"])).to_text()}

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    rows = ray.data.from_items([{"task": task.to_text()} for task in tasks], override_num_blocks=len(tasks))
    with warnings.catch_warnings():
        # From Ray 2.60 on this way is to go, and there is no other yet: by default Ray tries without end.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        packed = rows.map(work, num_cpus=1, max_retries=_RETRIES)
    for row in packed.iter_rows():
        record = ShardRecord.parse(row["record"])
        assert record is not None
        yield record
