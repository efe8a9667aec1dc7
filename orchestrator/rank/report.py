"""Prints a board and the list of sweeps."""

import time
from collections.abc import Sequence
from dataclasses import asdict

from orchestrator.console import Column, print_json, print_next, print_table
from orchestrator.rank.board import Board
from orchestrator.rank.rows import Row
from orchestrator.rank.statistics import CONFIDENCE
from orchestrator.rank.unranked import unranked_tables
from orchestrator.rank.wording import heading, hours, p_value, score_format
from orchestrator.track.records import SweepSummary

SHOWN = 30
"""Rows printed of a long board."""
_MODALITIES = {"eval/mAP_audio_only": "audio only", "eval/mAP_video_only": "video only"}


def print_board(board: Board, limit: int = SHOWN) -> None:
    """The leaderboard with what it rests on, the notes, the final runs, and the next commands."""
    print(header(board))
    if board.question:
        print(board.question)
    print()
    print_rows(board, limit)
    if board.finals:
        print("\n  final runs")
        print_table(*finals_table(board))
    print()
    print(board.winner())
    print_next(*_next(board))


def print_rows(board: Board, limit: int = SHOWN) -> None:
    """The table of configurations and its footnotes."""
    rows = chosen(board, limit)
    columns, cells = table(board, rows)
    print_table(columns, cells)
    left_out = len(board.rows) - len(rows)
    if left_out:
        print(f"  ... {left_out:,} more configurations: sweep board {board.sweep} --json has them all")
    for line in footnotes(board, rows):
        print(f"  {line}")
    for title, columns, cells in unranked_tables(board, limit):
        print(f"\n  {title}")
        print_table(columns, cells)


def print_sweeps(sweeps: Sequence[SweepSummary], as_json: bool = False) -> None:
    """All sweeps, the one that changed last first."""
    if as_json:
        print_json([asdict(line) for line in sweeps])
        return
    if not sweeps:
        print("No sweep has run here yet.")
        print_next("sweep plan sweeps/smoke.yaml", "sweep run sweeps/smoke.yaml")
        return
    columns = [Column("sweep"), Column("finished", right=True), Column("stopped", right=True)]
    columns += [Column("running", right=True), Column("failed", right=True), Column("last change"), Column("question")]
    cells = [
        [
            line.sweep,
            f"{line.finished} of {line.trials}",
            str(line.stopped),
            str(line.running),
            str(line.failed),
            _when(line),
            line.question,
        ]
        for line in sweeps
    ]
    print_table(columns, cells)
    print_next(f"sweep board {sweeps[0].sweep}")


def header(board: Board) -> str:
    baseline = board.baseline
    reference = "no baseline"
    if baseline is not None:
        absent = "without a score" if board.has_no_score else "not finished"
        shown = board.format.value(baseline.estimate.mean) if baseline.estimate else absent
        reference = f"baseline {shown}"
    direction = "" if board.goal == "maximize" else ", lower is better"
    counts = {len(row.scores) for row in board.ranked}
    over = f"mean of {counts.pop()} seeds" if len(counts) == 1 else "mean over seeds"
    over = over.replace("mean of 1 seeds", "one seed")
    if not any(row.estimate for row in board.ranked):
        over = "no score" if board.has_no_score else "no result yet"
    interval = f", {CONFIDENCE:.0%} interval".replace("%", " %") if _has_intervals(board) else ""
    finished = f"{board.finished} of {board.trials} trials finished"
    finished += f", {board.stopped_trials} stopped early" if board.stopped_trials else ""
    return f"{board.sweep}   {board.metric}{direction}, {over}{interval}   {finished}   {reference}"


def _has_intervals(board: Board) -> bool:
    return any(row.estimate and row.estimate.half_width is not None for row in board.rows)


def chosen(board: Board, limit: int) -> list[Row]:
    """The first rows, and the baseline wherever it is."""
    return [row for place, row in enumerate(board.rows) if place < limit or row.is_baseline]


def table(board: Board, rows: Sequence[Row]) -> tuple[list[Column], list[list[str]]]:
    """Columns and cells; a column that would be empty is left out."""
    columns = [Column("#", right=True), Column("configuration"), Column(""), Column(heading(board.metric))]
    cells = [
        [
            str(row.rank or "-"),
            board.label(row) + (" *" if row.notes else ""),
            "=" if _ties(board, row) else "",
            _mean(board, row),
        ]
        for row in rows
    ]
    optional = [
        (
            Column("seeds"),
            [f"{len(row.scores)} of {row.planned}" if not row.complete else str(row.planned) for row in rows],
        ),
        (Column("vs baseline"), [board.format.difference(row.difference) if row.difference else "-" for row in rows]),
        (Column("p (Holm)"), [p_value(row.p) for row in rows]),
        *(
            (Column(title), [_metric(row, key) for row in rows])
            for key, title in _MODALITIES.items()
            if key != board.metric
        ),
        (Column(board.hours_are, right=True), [_hours(board, row) for row in rows]),
        (Column("spread"), [_spread(board, row) for row in rows]),
    ]
    for column, values in optional:
        worth = len(set(values)) > 1 if column.title == "seeds" else any(value not in ("", "-") for value in values)
        if worth:
            columns.append(column)
            for line, value in zip(cells, values, strict=True):
                line.append(value)
    return columns, cells


def _ties(board: Board, row: Row) -> bool:
    return board.is_tie(row) and any(other.p is not None for other in board.rows)


def _mean(board: Board, row: Row) -> str:
    return board.format.mean(row.estimate) if row.estimate else "-"


def _spread(board: Board, row: Row) -> str:
    return board.format.value(row.estimate.spread) if row.estimate and row.estimate.spread is not None else "-"


def _metric(row: Row, key: str) -> str:
    if key not in row.metrics:
        return "-"
    return score_format(key, []).value(row.metrics[key])


def _hours(board: Board, row: Row) -> str:
    key = "cost/gpu_hours" if board.hours_are == "GPU-h" else "cost/hours"
    return hours(row.metrics[key]) if row.metrics.get(key) else "-"


def footnotes(board: Board, rows: Sequence[Row]) -> list[str]:
    """What the marks mean, what the test was, and every note with the configurations that it is about."""
    lines = []
    tested = [row for row in board.rows if row.difference and row.difference.p is not None]
    if any(board.is_tie(row) for row in tested):
        lines.append("= cannot be told apart from the baseline" + _power(board, tested))
    elif tested:
        lines.append("every configuration can be told apart from the baseline" + _power(board, tested))
    if tested:
        lines.append(_method(tested))
    untested = [row for row in board.rows if row.difference and row.difference.method == "one seed"]
    if untested and not tested:
        lines.append("one seed: no interval and no test can be given; `seeds: 3` in the sweep file allows both")
    notes: dict[str, list[str]] = {}
    for row in rows:
        for text in row.notes:
            notes.setdefault(text, []).append(board.label(row))
    lines += [f"* {_named(names)}: {text}" for text, names in notes.items()]
    if board.is_search and any(len(row.scores) > 1 for row in board.ranked if not row.is_baseline):
        lines.append(
            "the search chose its leaders by their first seed, which counts here: means are a little optimistic"
        )
    if board.hours:
        lines.append(f"{board.hours_are} are per trial; all trials together: {hours(board.hours)}")
    return lines


def _power(board: Board, tested: Sequence[Row]) -> str:
    if board.detectable is None:
        return ""
    seeds = {len(row.scores) for row in tested}
    who = f"{seeds.pop()} seeds" if len(seeds) == 1 else "these seeds"
    return f"; {who} could have shown a difference of {board.format.value(board.detectable)}"


def _method(tested: Sequence[Row]) -> str:
    methods = {row.difference.method for row in tested if row.difference}
    name = {"paired": "paired by seed", "welch": "Welch's t test (other seeds than the baseline)"}
    how = name[methods.pop()] if len(methods) == 1 else "paired by seed, Welch's t test where the seeds differ"
    comparisons = f"{len(tested)} comparison{'s' if len(tested) != 1 else ''}"
    return f"differences {how}; p corrected for {comparisons}, intervals are not"


def _named(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} configurations ({names[0]}, ...)"


def finals_table(board: Board) -> tuple[list[Column], list[list[str]]]:
    """Columns and cells of the final runs."""
    columns = [Column("configuration"), Column(heading(board.metric)), Column("seeds", right=True), Column("notes")]
    cells = [[row.configuration, _mean(board, row), str(len(row.scores)), "; ".join(row.notes)] for row in board.finals]
    return columns, cells


def _next(board: Board) -> list[str]:
    if board.finished + board.stopped_trials < board.trials:
        return [f"sweep status {board.sweep}"]
    return [] if board.has_no_score else [f"sweep promote {board.sweep}"]


def _when(line: SweepSummary) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(line.changed / 1000)) if line.changed else "-"
