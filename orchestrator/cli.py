"""The command `sweep VERB`. Heavy libraries are loaded only inside the verbs that need them.

Exit codes: 0 done, 1 error, 2 wrong usage or an invalid file, 3 finished but some trials failed, 4 budget spent,
5 plan infeasible, 75 tracker, storage or cluster unreachable, 130 interrupted with state saved.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from orchestrator.console import note, print_json, print_next, quiet_libraries
from orchestrator.errors import Interrupted, OrchestratorError, TrialsFailed, UsageError
from perceiver.config import YamlLoader
from perceiver.errors import PerceiverError


class _Verbs(click.Group):
    """Turns errors raised on purpose into one message and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (OrchestratorError, PerceiverError) as error:
            note(str(error))
            sys.exit(getattr(error, "exit_code", 1))
        except KeyboardInterrupt:
            note("Stopped at once. Everything that was saved is there; the same command goes on from it.")
            sys.exit(130)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="perceiver-sweeps", prog_name="sweep")
def main() -> None:
    """Plans, runs, tracks and ranks sweeps of the audio+video Perceiver: one YAML file, one question."""
    quiet_libraries()


_Command = Callable[..., None]


def _site(command: _Command) -> _Command:
    return click.option("--site", help="Name of cluster/sites/NAME.yaml, or a path. Default: this machine.")(command)


def _json(command: _Command) -> _Command:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def _set(command: _Command) -> _Command:
    option = click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a key; never stored.")
    return option(command)


def _older(command: _Command) -> _Command:
    return click.option("--accept-older-code", is_flag=True, help="Keep results that older code computed; marked.")(
        command
    )


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@_site
@_set
@_older
@_json
def plan(file: Path, site: str | None, changes: tuple[str, ...], accept_older_code: bool, as_json: bool) -> None:
    """Print every trial of FILE, its cost, and what is already there. Starts nothing."""
    from orchestrator.plan.report import done, print_plan
    from orchestrator.track.ledger import take_stock

    planned = _plan(file, site, changes)
    stock = take_stock(planned, accept_older_code)
    if as_json:
        print_json(planned.to_json(stock))
    else:
        print_plan(planned, stock)
        print_next(f"sweep run {file}" + (f" --site {site}" if site else ""))
    planned.require_feasible(done(stock))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@_site
@_older
@click.option("--yes", is_flag=True, help="Compute again what older code computed; allow very many trials.")
@_json
def run(file: Path, site: str | None, accept_older_code: bool, yes: bool, as_json: bool) -> None:
    """Run what is missing of FILE. Safe to run again, also after a crash or Ctrl-C."""
    from orchestrator.run.driver import OlderCode, run_plan

    planned = _plan(file, site)
    again = f"sweep run {file}" + (f" --site {site}" if site else "")
    older_code: OlderCode = "keep" if accept_older_code else "compute" if yes else "ask"
    outcome = run_plan(planned, _display(planned, as_json), older_code=older_code)
    if as_json:
        print_json(vars(outcome) | {"complete": outcome.complete})
    _conclude(outcome, planned.sweep.name, again, quiet=as_json)


@main.command()
@click.argument("sweep", required=False)
@_site
@_json
def status(sweep: str | None, site: str | None, as_json: bool) -> None:
    """Show where each trial of SWEEP stands (all sweeps without a name)."""
    from orchestrator.plan.site import load_site
    from orchestrator.run.status import print_status, read_status

    found = read_status(load_site(site), sweep)
    print_json(found.to_json()) if as_json else print_status(found)


@main.command()
@click.argument("sweep")
@_site
def stop(sweep: str, site: str | None) -> None:
    """Ask the driver of SWEEP, wherever it runs, to save and stop."""
    from orchestrator.plan.site import load_site
    from orchestrator.run.status import request_stop

    holder = request_stop(load_site(site), sweep)
    print(f"{sweep}: process {holder['pid']} on {holder['host']} was asked to save and stop.")
    print_next(f"sweep status {sweep}")


@main.command()
@click.argument("sweep", required=False)
@_site
@click.option("--figure", type=click.Path(path_type=Path), help="Also draw the board to a .png, .svg or .pdf file.")
@_json
def board(sweep: str | None, site: str | None, figure: Path | None, as_json: bool) -> None:
    """Rank the configurations of SWEEP: mean, interval, difference to the baseline."""
    from orchestrator.plan.site import load_site
    from orchestrator.rank.board import board as read_board
    from orchestrator.rank.report import print_board, print_sweeps
    from orchestrator.track.reader import list_sweeps

    where = load_site(site)
    if sweep is None:
        print_sweeps(list_sweeps(where.tracking), as_json)
        return
    ranked = read_board(sweep, where)
    print_json(ranked.to_json()) if as_json else print_board(ranked)
    if figure is not None:
        from orchestrator.rank.figure import draw_board

        draw_board(ranked, figure)
        note(f"Drawn to {figure}")


@main.command()
@click.argument("sweep")
@_site
@_set
@click.option("--configuration", help="Promote this one instead of the best.")
@click.option("--seeds", type=int, default=1, show_default=True, help="Replicates of the final run.")
@click.option("--model", help="Name of the registered model. Default: perceiver-<data set>.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@_json
def promote(
    sweep: str,
    site: str | None,
    changes: tuple[str, ...],
    configuration: str | None,
    seeds: int,
    model: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Run the best configuration of SWEEP longer, register its checkpoint, make it champion if it is better."""
    from orchestrator.promote import Proposal, print_promotion
    from orchestrator.promote import promote as promote_winner

    def confirm(proposal: Proposal) -> bool:
        if not as_json:
            print(proposal)
        return yes or click.confirm("Go on?", default=False)

    promotion = promote_winner(
        sweep,
        site,
        configuration=configuration,
        changes=_changes(changes),
        seeds=seeds,
        model=model,
        confirm=confirm,
        display=lambda planned: _display(planned, as_json),
    )
    print_json(promotion.to_json()) if as_json else print_promotion(promotion)


@main.command()
@click.argument("model")
@_site
@click.option("--to", "number", help="Number of a version. Default: the champion before.")
@_json
def rollback(model: str, site: str | None, number: str | None, as_json: bool) -> None:
    """Give the alias `champion` of MODEL back to the version before."""
    from orchestrator.plan.site import load_site
    from orchestrator.track.registry import Registry

    old, new = Registry(load_site(site).tracking).rollback(model, number)
    if as_json:
        print_json({"model": model, "from": old.number, "to": new.number, "source": new.source})
    else:
        print(f"{model}: champion v{old.number} -> v{new.number} (score {new.score:.4g}), {new.source}")


@main.command()
@click.argument("trial")
@_site
def logs(trial: str, site: str | None) -> None:
    """Print what the worker of TRIAL did, and its traceback if it failed. A unique prefix of its id is enough."""
    from orchestrator.plan.site import load_site
    from orchestrator.run.status import read_logs

    print(read_logs(load_site(site), trial))


@main.command()
@click.argument("selections", nargs=-1, required=True, metavar="SWEEP[:CONFIGURATION]...")
@_site
@_json
def compare(selections: tuple[str, ...], site: str | None, as_json: bool) -> None:
    """Compare configurations, of one sweep or several, with the first; a sweep alone stands for its winner."""
    from orchestrator.plan.site import load_site
    from orchestrator.rank.compare import compare as compare_configurations
    from orchestrator.rank.compare import print_comparison

    compared = compare_configurations(selections, load_site(site))
    print_json(compared.to_json()) if as_json else print_comparison(compared)


@main.command()
@click.argument("sweep")
@_site
@click.option("--output", type=click.Path(path_type=Path), help="Default: SWEEP.html")
def report(sweep: str, site: str | None, output: Path | None) -> None:
    """Write the board of SWEEP as one HTML page that needs nothing else."""
    from orchestrator.plan.site import load_site
    from orchestrator.rank.board import board as read_board
    from orchestrator.rank.page import write_page

    path = output or Path(f"{sweep}.html")
    write_page(read_board(sweep, load_site(site)), path)
    print(f"Written to {path}")


@main.group()
def data() -> None:
    """Look after data sets."""


@data.command()
@click.argument("place")
@_site
@click.option("--labels", help="The label list, where it lies apart from the folder.")
@click.option("--journal", help="A file that remembers what was read, so that the check can be interrupted.")
@_json
def check(place: str, site: str | None, labels: str | None, journal: str | None, as_json: bool) -> None:
    """Read every row and every file of PLACE: a folder, a URL, or the name of a data set at the site."""
    from orchestrator.plan.site import load_site
    from orchestrator.run.data_check import check_on_ray, data_source, print_report

    where = load_site(site)
    report = check_on_ray(data_source(place, labels, where), where, journal)
    print_json(report.to_json()) if as_json else print_report(report)


@main.command()
@_site
def demo(site: str | None) -> None:
    """Run the whole job on synthetic clips: plan, run, board, promote."""
    from orchestrator.plan.bases import SHIPPED
    from orchestrator.plan.site import load_site

    file = SHIPPED.parent / "smoke.yaml"
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    context = click.get_current_context()
    steps: list[tuple[str, click.Command, dict[str, Any]]] = [
        (f"sweep plan {shown}", plan, {"file": shown}),
        (f"sweep run {shown}", run, {"file": shown, "yes": True}),
        ("sweep board smoke", board, {"sweep": "smoke"}),
        ("sweep promote smoke --yes", promote, {"sweep": "smoke", "yes": True}),
    ]
    for command, verb, arguments in steps:
        click.secho(f"\n$ {command}", bold=True)
        context.invoke(verb, site=site, **arguments)
    tracking = load_site(site).tracking
    print_next(
        f"mlflow ui --backend-store-uri {tracking}    # the runs in a browser",
        "sweep run sweeps/four_questions.yaml    # the project's four questions at laptop size",
        "sweep report smoke    # the board as one page",
    )


@main.command()
def schema() -> None:
    """Print the JSON Schema of sweep files, for editors."""
    from orchestrator.plan.schema import sweep_schema

    print_json(sweep_schema())


def _plan(file: Path, site: str | None, changes: tuple[str, ...] = ()) -> Any:
    from orchestrator.plan.planner import plan_sweep
    from orchestrator.plan.site import load_site
    from orchestrator.plan.spec import load_sweep

    where = load_site(site)
    return plan_sweep(load_sweep(file, _changes(changes), resolve_promoted=_promoted(where)), where)


def _promoted(site: Any) -> Callable[[str], Any]:
    def resolve(model: str) -> Any:
        from orchestrator.promote import champion_config

        return champion_config(model, site)

    return resolve


def _changes(pairs: tuple[str, ...]) -> dict[str, Any]:
    changes = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: expected KEY=VALUE, such as --set train.lr=0.001")
        changes[key.strip()] = yaml.load(value, Loader=YamlLoader)
    return changes


def _display(planned: Any, as_json: bool) -> Any:
    from orchestrator.run.display import Lines, Screen, Silent

    if as_json:
        return Silent()
    return Screen(planned.sweep.score) if sys.stdout.isatty() else Lines(planned.sweep.score)


def _conclude(outcome: Any, sweep: str, again: str, quiet: bool) -> None:
    """Says how it ended and what to do next; the exit code says it to programs."""
    if outcome.interrupted:
        raise Interrupted(f"Saved. Continue with:  {again}")
    if outcome.failed:
        lines = "\n".join(f"  {trial}  {error}" for trial, error in outcome.failed.items())
        raise TrialsFailed(
            f"{len(outcome.failed)} trials failed:\n{lines}\nTheir tracebacks are on their runs (error.txt)."
        )
    if not quiet:
        print(f"{sweep}: {len(outcome.finished)} trials finished, {len(outcome.already)} were there already.")
        print_next(f"sweep board {sweep}", f"sweep promote {sweep}")
