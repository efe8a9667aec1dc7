"""The verb that measures a site."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.options import at, json_option, read_changes, set_option, site_option
from orchestrator.console import console, note, print_json, print_next, print_table
from orchestrator.errors import Interrupted


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@site_option
@set_option
@click.option(
    "--minutes", type=click.FloatRange(min=0.01, max=1440), default=4.0, show_default=True, help="Of training."
)
@json_option
def calibrate(file: Path, site: str | None, changes: tuple[str, ...], minutes: float, as_json: bool) -> None:
    """Measure speed and memory of FILE's baseline here, for later plans. Records nothing."""
    from orchestrator.cli.sweeps import read_sweep
    from orchestrator.plan.calibration import save_calibration
    from orchestrator.plan.site import load_site
    from orchestrator.run.calibrate import calibrate as measure

    where = load_site(site)
    sweep = read_sweep(file, where, read_changes(changes))
    try:
        with _bar(minutes) as watch:
            measured = measure(sweep, where, minutes, watch)
    except KeyboardInterrupt:
        raise Interrupted("Stopped; nothing was stored.") from None
    path = save_calibration(where.name, measured)
    if as_json:
        print_json({"site": where.name, "profile": str(path), "calibration": measured.model_dump(mode="json")})
        return
    print(f"{sweep.name}   its baseline on one worker of {where.name}, {measured.minutes:.2g} min of training")
    print_table(*measured.table())
    if where.workers > 1:
        print(f"  a trial here has {where.workers} workers: what they exchange is not in it")
    print(f"Kept in {path}")
    print_next(f"sweep plan {file}{at(site)}")


@contextmanager
def _bar(minutes: float) -> Iterator[Any]:
    """A bar on standard error, a line for each phase where that is no terminal; the worker's marks move it."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from orchestrator.run.worker import Mark

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    out, began, phase = console(stderr=True), time.monotonic(), ""
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
        task = progress.add_task("waiting for a worker", total=None)

        def watch(mark: Mark | None) -> None:
            nonlocal phase
            if mark is not None:
                total = 60 * minutes if mark.phase == "training" else None
                progress.update(task, description=mark.phase, total=total, completed=min(mark.seconds, total or 0))
                if phase != mark.phase and not out.is_terminal:
                    note(f"  {mark.phase}")
                phase = mark.phase
            elif not phase and time.monotonic() - began > 60 + 60 * minutes:
                note("No step is done yet: the site has no room now, or a step takes that long. Ctrl-C ends it.")
                phase = "late"

        yield watch
