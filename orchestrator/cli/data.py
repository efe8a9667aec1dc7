"""Verbs that look after data sets."""

import click

from orchestrator.cli.options import json_option, site_option
from orchestrator.console import print_json


@click.group()
def data() -> None:
    """Look after data sets."""


@data.command()
@click.argument("place")
@site_option
@click.option("--labels", help="The label list, where it lies apart from the folder.")
@click.option("--journal", help="A file that remembers what was read; left to itself, one below runs/ until the end.")
@json_option
@click.pass_context
def check(
    context: click.Context, place: str, site: str | None, labels: str | None, journal: str | None, as_json: bool
) -> None:
    """Read every row and every file of PLACE: a folder, a URL, or the name of a data set at the site.

    Exit code 3 where a file can't be read or a row is wrong; rows without a file are normal. Interrupted, the same
    command goes on where it stopped.
    """
    from orchestrator.plan.site import load_site
    from orchestrator.run.data_check import check_on_ray, data_source, print_report

    where = load_site(site)
    report = check_on_ray(data_source(place, labels, where), where, journal)
    print_json(report.to_json()) if as_json else print_report(report)
    context.exit(3 if report.flawed else 0)
