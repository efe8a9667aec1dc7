"""Verbs that look after data sets."""

import shlex

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
@click.option("--journal", metavar="FOLDER", help="Keeps what was read there, not in your cache folder.")
@click.option("--again", is_flag=True, help="Read all files anew, also those that have not changed since.")
@json_option
@click.pass_context
def check(
    context: click.Context,
    place: str,
    site: str | None,
    labels: str | None,
    journal: str | None,
    again: bool,
    as_json: bool,
) -> None:
    """Read every row and every file of PLACE: a folder, a URL, or the name of a data set at the site.

    Tells what is wrong, with examples and what to do; then the exit code is 3. Rows without a file are normal, while a
    split keeps half of its rows. Interrupted, the same command goes on where it stopped; files that have not changed
    since are not read a second time.
    """
    from orchestrator.plan.site import load_site
    from orchestrator.run.data_check import check_set, data_source, print_report

    where = load_site(site)
    report = check_set(data_source(place, labels, where), where, journal, again)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report)
        commands = {flaw.cure.rpartition(":  ")[2]: None for flaw in report.flaws if ":  sweep " in flaw.cure}
        proposed = [f"sweep data ingest {place} DEST{at(site)}", "sweep plan FILE --site SITE"]
        print_next(*commands or ([] if report.flaws else proposed))
    context.exit(3 if report.flawed else 0)


@data.command()
@click.argument("folder")
@click.option("--name", help="What sweep files call the set. Default: the folder's name.")
@click.option("--eval-share", type=click.FloatRange(0.01, 0.9), default=0.2, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws another evaluation.")
@click.option("--eval-split", multiple=True, metavar="NAME", help="A word or fold that is the evaluation; repeatable.")
@click.option("--group-pattern", metavar="REGEX", help="Finds in a path what files that belong together share.")
@click.option(
    "--piece",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    help="Seconds of the pieces that files of more than three of them are cut into; 0 leaves files whole.",
)
@click.option("--file-column", metavar="NAME", help="The table's column with the files.")
@click.option("--labels-column", metavar="NAME", help="The table's column with the labels.")
@click.option("--label-separator", metavar="TEXT", help="What stands between several labels of a clip.")
@json_option
def init(
    folder: str,
    name: str | None,
    eval_share: float,
    seed: int,
    eval_split: tuple[str, ...],
    group_pattern: str | None,
    piece: float,
    file_column: str | None,
    labels_column: str | None,
    label_separator: str | None,
    as_json: bool,
) -> None:
    """Make a data set of FOLDER: write its segment lists, its label list and a site file to start from.

    FOLDER has a folder per class, or a table (.csv, .tsv, .txt) with a column of files and one of labels, or AudioSet's
    lists. What was assumed is said, with the option that changes it. Nothing is ever overwritten.
    """
    from orchestrator.run.data_init import init_set, print_initialised, sweep_keys
    from perceiver.data.own_lists import Options
    from perceiver.data.own_tables import Columns

    columns = Columns(file_column, labels_column, label_separator)
    done = init_set(folder, Options(eval_share, seed, group_pattern, eval_split, piece, columns), name)
    if as_json:
        print_json(done.to_json())
        return
    print_initialised(done)
    print_next(
        f"sweep data check {shlex.quote(folder)}",
        f"sweep plan FILE --site {shlex.quote(done.site_file)}    # with {sweep_keys(done)} in FILE",
    )


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
