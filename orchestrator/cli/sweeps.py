"""Verbs that plan and run sweeps, and look after them while they run."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.options import (
    at,
    confirm_option,
    json_option,
    no_reuse_option,
    older_option,
    read_changes,
    set_option,
    site_option,
    this_command,
)
from orchestrator.console import note, print_json, print_next
from orchestrator.errors import InfeasiblePlan, Interrupted, OrchestratorError, TrialsFailed, Unreachable


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@site_option
@set_option
@older_option
@no_reuse_option
@confirm_option("many")
@json_option
def plan(
    file: Path,
    site: str | None,
    changes: tuple[str, ...],
    accept_older_code: bool,
    no_reuse: Any,
    confirm: frozenset[str],
    as_json: bool,
) -> None:
    """Print every trial of FILE, its cost, and what is already there. Starts nothing."""
    from orchestrator.plan.report import print_plan
    from orchestrator.plan.trials import done
    from orchestrator.track.ledger import changes_since_last_run, take_stock
    from orchestrator.track.warm_start import gather_warm_start

    stock = take_stock(read_plan(file, site, changes, "many" in confirm), accept_older_code, no_reuse)
    planned, there = stock.plan, done(stock.entries)
    left = len(there) < len(planned.trials) or bool(planned.to_propose)
    notes, no_room = _ask_at_the_gate(planned) if left else ([], None)
    warm = gather_warm_start(planned)
    try:
        diff = changes_since_last_run(planned)
    except Unreachable as error:
        note(f"What has changed since the last run is not known: {error}")
        diff = None
    if as_json:
        more = {"warm_start": warm.notes, "notes": notes, "no_room": no_room and str(no_room)}
        print_json(planned.to_json(stock.entries, diff) | more)
    else:
        print_plan(planned, stock.entries, diff)
        for line in [*warm.notes, *notes, *([f"! {no_room}"] if no_room else [])]:
            print(f"  {line}")
        if not left:
            print_next(f"sweep board {planned.sweep.name}{at(site)}")
        elif not (planned.problems(there) or no_room):
            first = [f"put {', '.join(changes)} into {file}, then"] if changes else []
            where = ["on a machine that sees the data"] if planned.data.problems else []
            remark = f"    # {'; '.join([*first, *where])}" if first or where else ""
            print_next(f"sweep run {shlex.quote(str(file))}{at(site)}{_as_planned(stock, no_reuse, confirm)}{remark}")
    planned.require_feasible(there)
    if no_room:
        raise no_room


def _as_planned(stock: Any, no_reuse: str | None, confirm: frozenset[str]) -> str:
    """Options with which a run does what was planned, also where it would refuse without."""
    needed = {"older-code": stock.by_older_code, "name": stock.is_another_sweep, "many": "many" in confirm}
    consents = ",".join(name for name, is_needed in needed.items() if is_needed)
    options = {
        "--accept-older-code": stock.accept_older_code,
        f"--no-reuse {no_reuse}": no_reuse,
        f"--confirm {consents}": consents,
    }
    return "".join(f" {option}" for option, is_given in options.items() if is_given)


def _ask_at_the_gate(planned: Any) -> tuple[list[str], InfeasiblePlan | None]:
    """Lines on the plan, and what keeps its trials from ever having room; mistakes and what is away are raised."""
    from orchestrator.run.gate import ask_for_room, look

    notes = look(planned)
    try:
        return notes + ask_for_room(planned.site), None
    except InfeasiblePlan as error:
        return notes, error
    except Unreachable as error:
        if planned.site.ray_address != "auto":
            raise
        return [*notes, f"whether there is room is seen on the cluster's machines only: {error}"], None


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@site_option
@older_option
@no_reuse_option
@confirm_option("older-code", "name", "many")
@json_option
def run(
    file: Path, site: str | None, accept_older_code: bool, no_reuse: Any, confirm: frozenset[str], as_json: bool
) -> None:
    """Run what is missing of FILE. Safe to run again, also after a crash or Ctrl-C."""
    from orchestrator.run.driver import OlderCode, run_plan

    planned = read_plan(file, site, many="many" in confirm)
    for line in planned.data.told():
        note(line)
    older_code: OlderCode = "keep" if accept_older_code else "compute" if "older-code" in confirm else "ask"
    display = make_display(planned, as_json)
    outcome = run_plan(planned, display, older_code=older_code, no_reuse=no_reuse, replace="name" in confirm)
    if as_json:
        print_json(asdict(outcome) | {"complete": outcome.complete})
    _conclude(outcome, planned.sweep.name, site, quiet=as_json)


@click.command()
@click.argument("sweep", required=False)
@site_option
@json_option
def status(sweep: str | None, site: str | None, as_json: bool) -> None:
    """Show where each trial of SWEEP stands (all sweeps without a name)."""
    from orchestrator.plan.site import load_site
    from orchestrator.run.status import print_status, read_status

    found = read_status(load_site(site), sweep)
    print_json(found.to_json()) if as_json else print_status(found, at(site))


@click.command()
@click.argument("sweep")
@site_option
def stop(sweep: str, site: str | None) -> None:
    """Ask the driver of SWEEP, wherever it runs, to save and stop."""
    from orchestrator.plan.site import load_site
    from orchestrator.run.status import request_stop

    holder = request_stop(load_site(site), sweep)
    print(f"{sweep}: process {holder['pid']} on {holder['host']} was asked to save and stop.")
    print_next(f"sweep status {sweep}{at(site)}")


@click.command()
@click.argument("trial")
@site_option
def logs(trial: str, site: str | None) -> None:
    """Print what the worker of TRIAL did, and its traceback if it failed: a prefix of its id, or SWEEP:PREFIX."""
    from orchestrator.plan.site import load_site
    from orchestrator.run.status import read_logs

    print(read_logs(load_site(site), trial))


@click.command()
def schema() -> None:
    """Print the JSON Schema of sweep files, for editors."""
    from orchestrator.plan.schema import sweep_schema

    print_json(sweep_schema())


def read_plan(file: Path, site: str | None, changes: tuple[str, ...] = (), many: bool = False) -> Any:
    from orchestrator.plan.planner import plan_sweep
    from orchestrator.plan.site import load_site

    where = load_site(site)
    return plan_sweep(read_sweep(file, where, read_changes(changes)), where, allow_many=many)


def read_sweep(file: Path, site: Any, changes: dict[str, Any]) -> Any:
    from orchestrator.plan.spec import load_sweep

    return load_sweep(file, changes, resolve_promoted=_promoted(site))


def _promoted(site: Any) -> Callable[[str], Any]:
    def resolve(model: str) -> Any:
        from orchestrator.promote import champion_config

        return champion_config(model, site)

    return resolve


def make_display(planned: Any, as_json: bool) -> Any:
    from orchestrator.run.display import Lines, Screen, Silent

    if as_json:
        return Silent()
    return Screen(planned.sweep.score) if sys.stdout.isatty() else Lines(planned.sweep.score)


def _conclude(outcome: Any, sweep: str, site: str | None, quiet: bool) -> None:
    """Says how it ended and what to do next; the exit code says it to programs."""
    from orchestrator.run.outcome import failure_lines

    if outcome.interrupted:
        raise Interrupted(f"Saved. Continue with:  {this_command()}")
    if outcome.failed:
        look = f"Their tracebacks:  sweep logs {next(iter(outcome.failed))}{at(site)}"
        raise TrialsFailed("\n".join([*failure_lines(outcome), look]))
    if outcome.waiting:
        raise OrchestratorError(
            f"{len(outcome.waiting)} trials never came to their end. Continue with:  {this_command()}"
        )
    if not quiet:
        stopped = f"{len(outcome.stopped)} stopped early, " if outcome.stopped else ""
        print(f"{sweep}: {len(outcome.finished)} trials finished, {stopped}{len(outcome.already)} were there already.")
        print_next(f"sweep board {sweep}{at(site)}", f"sweep promote {sweep}{at(site)}")
