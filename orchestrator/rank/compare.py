"""Compares configurations, of one sweep or of several, with the first that is named.

    print_comparison(compare(["video-dropout:train.video_dropout=0.1", "table3:baseline", "lamb"]))

A selection is `sweep:configuration`, or a sweep alone for its winner. The result is a board whose baseline is the first
selection; each row's notes say in which keys of the config it differs from that.
"""

import difflib
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.console import print_next
from orchestrator.errors import UsageError
from orchestrator.plan.site import Site, load_site
from orchestrator.rank.board import Board, make_board, score_of
from orchestrator.rank.report import print_rows
from orchestrator.rank.wording import heading
from orchestrator.track.names import Tag
from orchestrator.track.reader import read_runs
from orchestrator.track.records import RunRecord, SweepRuns

_NOT_A_DIFFERENCE = {"train.seed"}


def compare(selections: Sequence[str], site: Site | str | None = None) -> Board:
    """A board of the selected configurations, the first being what the others are compared with.

    Raises:
        UsageError: fewer than two selections, an unknown sweep or configuration, or scores of different metrics.
        Unreachable: the tracker can't be read.
    """
    if len(set(selections)) < 2:
        raise UsageError("compare needs two selections or more, such as: video-dropout:baseline lamb:baseline")
    where = site if isinstance(site, Site) else load_site(site)
    names = dict.fromkeys(selection.partition(":")[0] for selection in selections)
    sweeps = {name: read_runs(where.tracking, name) for name in names}
    scores = {name: score_of(runs) for name, runs in sweeps.items()}
    first, *others = scores.items()
    for name, score in others:
        if score != first[1]:
            raise UsageError(f"{name} is ranked by {_said(score)}, {first[0]} by {_said(first[1])}: not comparable")
    selected = dict(_select(selection, sweeps, where.tracking) for selection in selections)
    if len(selected) < 2:
        raise UsageError(f"Every selection is {next(iter(selected))}: compare needs two configurations or more")
    runs = [run for place, (label, group) in enumerate(selected.items()) for run in _relabelled(group, label, place)]
    board = make_board("comparison", f"Compared with {next(iter(selected))}", where.tracking, first[1], runs)
    rows = [replace(row, notes=(*row.notes, *_differences(row.configuration, selected))) for row in board.rows]
    return replace(board, rows=tuple(rows))


def print_comparison(board: Board) -> None:
    """The compared configurations with their differences to the first."""
    direction = "" if board.goal == "maximize" else ", lower is better"
    print(f"{board.question} (here: the baseline)   {heading(board.metric)}{direction}, 95 % intervals\n")
    print_rows(board)
    print_next("sweep board")


def _select(selection: str, sweeps: dict[str, SweepRuns], tracking: str) -> tuple[str, list[RunRecord]]:
    """A selection in full, `sweep:configuration`, and its runs."""
    sweep, _, configuration = selection.partition(":")
    runs = sweeps[sweep]
    configuration = configuration or _winner(sweep, runs, tracking)
    chosen = [run for run in runs.trials if run.tags.get(Tag.CONFIGURATION) == configuration]
    if not chosen:
        known = {run.tags.get(Tag.CONFIGURATION, "") for run in runs.trials}
        nearest = difflib.get_close_matches(configuration, known, n=1, cutoff=0.0)
        hint = f" Nearest: {sweep}:{nearest[0]}" if nearest else ""
        raise UsageError(f"{sweep} has no configuration {configuration}.{hint}")
    return f"{sweep}:{configuration}", chosen


def _winner(sweep: str, runs: SweepRuns, tracking: str) -> str:
    winner = make_board(sweep, "", tracking, score_of(runs), runs.trials).winner()
    if winner.row is None:
        raise UsageError(f"{sweep} has no winner to compare. {winner} Name a configuration: {sweep}:baseline")
    return winner.row.configuration


def _relabelled(runs: Sequence[RunRecord], label: str, place: int) -> list[RunRecord]:
    tags = {str(Tag.CONFIGURATION): label, str(Tag.ROLE): "trial" if place else "baseline"}
    return [replace(run, tags=run.tags | tags) for run in runs]


def _differences(label: str, selected: dict[str, list[RunRecord]]) -> list[str]:
    """A note of the keys whose values differ from the first selection's, seeds aside."""
    reference = next(iter(selected.values()))[0].params
    own = selected[label][0].params
    keys = sorted((own.keys() | reference.keys()) - _NOT_A_DIFFERENCE)
    changes = [
        f"{key} {_plain(own.get(key))}, not {_plain(reference.get(key))}"
        for key in keys
        if own.get(key) != reference.get(key)
    ]
    return [f"has {'; '.join(changes)}"] if changes else []


def _plain(value: str | None) -> str:
    return "absent" if value is None else value.strip('"')


def _said(score: dict[str, str]) -> str:
    return f"{score['metric']} ({score['goal']})"
