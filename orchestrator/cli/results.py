"""Verbs that read what sweeps found, and promote it."""

from pathlib import Path

import click

from orchestrator.cli.options import json_option, read_changes, set_option, site_option, this_command
from orchestrator.cli.sweeps import make_display
from orchestrator.console import note, print_json
from orchestrator.errors import Interrupted


@click.command()
@click.argument("sweep", required=False)
@site_option
@click.option("--figure", type=click.Path(path_type=Path), help="Also draw the board to a .png, .svg or .pdf file.")
@json_option
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


@click.command()
@click.argument("selections", nargs=-1, required=True, metavar="SWEEP[:CONFIGURATION]...")
@site_option
@json_option
def compare(selections: tuple[str, ...], site: str | None, as_json: bool) -> None:
    """Compare configurations, of one sweep or several, with the first; a sweep alone stands for its winner."""
    from orchestrator.plan.site import load_site
    from orchestrator.rank.compare import compare as compare_configurations
    from orchestrator.rank.compare import print_comparison

    compared = compare_configurations(selections, load_site(site))
    print_json(compared.to_json()) if as_json else print_comparison(compared)


@click.command()
@click.argument("sweep")
@site_option
@click.option("--output", type=click.Path(path_type=Path), help="Default: SWEEP.html")
def report(sweep: str, site: str | None, output: Path | None) -> None:
    """Write the board of SWEEP as one HTML page that needs nothing else."""
    from orchestrator.plan.site import load_site
    from orchestrator.rank.board import board as read_board
    from orchestrator.rank.page import write_page

    path = output or Path(f"{sweep}.html")
    write_page(read_board(sweep, load_site(site)), path)
    print(f"Written to {path}")


@click.command()
@click.argument("sweep")
@site_option
@set_option
@click.option("--configuration", help="Promote this one instead of the best.")
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Replicates of the final run.")
@click.option("--model", help="Name of the registered model. Default: perceiver-<data set>.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@json_option
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
        return yes or click.confirm("Go on?", default=False, err=True)

    try:
        promotion = promote_winner(
            sweep,
            site,
            configuration=configuration,
            changes=read_changes(changes),
            seeds=seeds,
            model=model,
            confirm=confirm,
            display=lambda planned: make_display(planned, as_json),
        )
    except Interrupted:
        raise Interrupted(f"Saved. Continue with:  {this_command()}") from None
    print_json(promotion.to_json()) if as_json else print_promotion(promotion)


@click.command()
@click.argument("model")
@site_option
@click.option("--to", "number", help="Number of a version. Default: the champion before.")
@json_option
def rollback(model: str, site: str | None, number: str | None, as_json: bool) -> None:
    """Give the alias `champion` of MODEL back to the version before."""
    from orchestrator.plan.site import load_site
    from orchestrator.track.registry import Registry

    old, new = Registry(load_site(site).tracking).rollback(model, number)
    if as_json:
        print_json({"model": model, "from": old.number, "to": new.number, "source": new.source})
    else:
        print(f"{model}: champion v{old.number} -> v{new.number} ({new.source})")
