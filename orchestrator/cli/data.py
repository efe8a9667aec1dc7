"""Verbs that look after data sets."""

import click

from orchestrator.cli.options import at, json_option, site_option, this_command
from orchestrator.console import print_json, print_next
from orchestrator.errors import Interrupted


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


@data.command()
@click.argument("source")
@click.argument("dest")
@site_option
@click.option("--labels", help="The label list, where it lies apart from SOURCE.")
@click.option(
    "--pixels",
    type=click.IntRange(8, 1024),
    default=224,
    show_default=True,
    help="The largest model.inputs.video.size that the set shall serve.",
)
@json_option
def ingest(source: str, dest: str, site: str | None, labels: str | None, pixels: int, as_json: bool) -> None:
    """Write the clips of SOURCE to DEST, once for all sweeps, as shards that are cheap to read at random.

    SOURCE is a folder, a URL, or the name of a data set at the site; DEST an empty folder or URL, which a site file
    then names. Safe to run again, also after a crash or Ctrl-C: what is finished is kept.
    """
    from orchestrator.plan.site import load_site
    from orchestrator.run.data_check import data_source
    from orchestrator.run.ingest import ingest_on_ray, print_ingested

    where = load_site(site)
    try:
        ingested = ingest_on_ray(data_source(source, labels, where), dest, pixels, where)
    except Interrupted as error:
        raise Interrupted(f"{error} Continue with:  {this_command()}") from None
    if as_json:
        print_json(ingested.to_json())
        return
    print_ingested(ingested)
    print_next(
        f"sweep data check {dest}{at(site)}", f"sweep plan FILE --site SITE    # with data: {{NAME: {dest}}} in it"
    )
