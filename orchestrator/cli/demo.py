"""The main job on synthetic clips."""

import shlex
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.options import site_option
from orchestrator.cli.results import board, promote
from orchestrator.cli.sweeps import plan, run
from orchestrator.console import print_next


@click.command()
@site_option
def demo(site: str | None) -> None:
    """Run the whole job on synthetic clips: plan, run, board, promote."""
    from orchestrator.plan.bases import SHIPPED
    from orchestrator.plan.site import load_site
    from orchestrator.track.sqlite import for_mlflow

    file = SHIPPED.parent / "smoke.yaml"
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    context = click.get_current_context()
    for command, verb, arguments in steps(shown):
        click.secho(f"\n$ {command}", bold=True)
        context.invoke(verb, site=site, **arguments)
    tracking = shlex.quote(for_mlflow(load_site(site).tracking))
    print_next(
        f"mlflow ui --backend-store-uri {tracking}    # the runs in a browser",
        "sweep run sweeps/four_questions.yaml    # the project's four questions at laptop size",
        "sweep report smoke    # the board as one page",
    )


def steps(file: Path) -> list[tuple[str, click.Command, dict[str, Any]]]:
    """Each command as a user would type it, its verb, and what that is given."""
    again = frozenset({"older-code", "name"})  # whatever an earlier demo left
    return [
        (f"sweep plan {file}", plan, {"file": file}),
        (f"sweep run {file}", run, {"file": file, "confirm": again}),
        ("sweep board smoke", board, {"sweep": "smoke"}),
        ("sweep promote smoke --yes", promote, {"sweep": "smoke", "yes": True}),
    ]
