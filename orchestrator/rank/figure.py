"""The board as a picture, for people who would rather look: every seed, the means, their intervals, the baseline."""

import textwrap
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UsageError
from orchestrator.rank.board import Board
from orchestrator.rank.rows import Row
from orchestrator.rank.wording import heading, is_percent, p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
LIMIT = 40
"""Configurations drawn of a long board."""
_TOLD_APART, _TIE, _SEED = "#1f5fa8", "#6f7680", "#a9b0b9"


def draw_board(board: Board, path: Path) -> None:
    """Draws the ranked configurations to a .png, .svg or .pdf file.

    Raises:
        UsageError: another kind of file, a folder that isn't there, or nothing to draw yet.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: a figure is a file that ends in {', '.join(FORMATS)}")
    if not board.ranked:
        raise UsageError(f"{board.sweep} has no finished trial to draw yet")
    try:
        _save(board, path, path.suffix.lower()[1:])
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}") from error


def figure_svg(board: Board) -> str:
    """The figure as an <svg> element, to stand in a page."""
    drawn = StringIO()
    _save(board, drawn, "svg")
    return drawn.getvalue()[drawn.getvalue().index("<svg") :]


def _save(board: Board, target: Path | StringIO, kind: str) -> None:
    """Text in an SVG stays text, so that it can be searched; the same board gives the same file."""
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": board.sweep}):
        make_figure(board).savefig(target, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else None)


def make_figure(board: Board, limit: int = LIMIT) -> "Figure":
    """The matplotlib figure: a row per configuration, best on top, its difference to the baseline beside it."""
    from matplotlib.figure import Figure

    rows = [row for place, row in enumerate(board.ranked) if place < limit or row.is_baseline]
    figure = Figure(figsize=(9, 1.5 + 0.36 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    _draw_baseline(axes, board)
    for place, row in enumerate(rows):
        _draw_row(axes, board, row, place)
    _label(figure, axes, board, rows)
    return figure


def _draw_baseline(axes: "Axes", board: Board) -> None:
    """The baseline's mean as a line through all rows, its interval as a band."""
    baseline = board.baseline
    if baseline is None or baseline.estimate is None:
        return
    factor, estimate = board.format.factor, baseline.estimate
    axes.axvline(estimate.mean * factor, color=_TIE, linewidth=1, linestyle="--", zorder=1)
    if estimate.half_width is not None:
        low, high = estimate.mean - estimate.half_width, estimate.mean + estimate.half_width
        axes.axvspan(low * factor, high * factor, color=_TIE, alpha=0.1, linewidth=0, zorder=0)


def _draw_row(axes: "Axes", board: Board, row: Row, place: int) -> None:
    assert row.estimate is not None
    factor, colour = board.format.factor, _TOLD_APART if row.p is not None and not board.is_tie(row) else _TIE
    scores = [score * factor for score in row.scores.values()]
    axes.plot(scores, [place] * len(scores), "|", color=_SEED, markersize=9, zorder=2)
    width = None if row.estimate.half_width is None else row.estimate.half_width * factor
    mean, fill = row.estimate.mean * factor, colour if row.complete else "white"
    axes.errorbar(mean, place, xerr=width, fmt="o", color=colour, markerfacecolor=fill, markersize=6, zorder=3)


def _label(figure: "Figure", axes: "Axes", board: Board, rows: list[Row]) -> None:
    axes.set_yticks(range(len(rows)), [board.label(row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(_axis_title(board))
    axes.set_xlim(*_limits(board, rows))
    figure.suptitle(textwrap.fill(board.question or board.sweep, 95), x=0.01, ha="left", fontsize=12)
    axes.grid(axis="x", color="#e4e7eb", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(rows)), [_difference(board, row) for row in rows])
    beside.tick_params(length=0)
    beside.spines["right"].set_visible(False)


def _limits(board: Board, rows: list[Row]) -> tuple[float, float]:
    """All seeds with room around them; an interval of two seeds is 18 times as wide as they are, and runs off."""
    scores = [score * board.format.factor for row in rows for score in row.scores.values()]
    room = 0.5 * (max(scores) - min(scores)) or 0.05 * abs(scores[0]) or 1.0
    ends = [
        (row.estimate.mean + sign * (row.estimate.half_width or 0)) * board.format.factor
        for row in rows
        if row.estimate
        for sign in (-1, 1)
    ]
    low, high = max(min(ends), min(scores) - room), min(max(ends), max(scores) + room)
    margin = 0.05 * (high - low) or room
    return low - margin, high + margin


def _axis_title(board: Board) -> str:
    unit = " in percent" if is_percent(board.metric) else ""
    direction = "" if board.goal == "maximize" else ", lower is better"
    legend = "| seed;  o mean with 95 % interval (hollow: seeds are missing);  dashed: baseline"
    return f"{heading(board.metric)}{unit}{direction}\n{legend}"


def _difference(board: Board, row: Row) -> str:
    if row.difference is None:
        return ""
    return board.format.signed(row.difference.value) + (f"   p {p_value(row.p)}" if row.p is not None else "")
