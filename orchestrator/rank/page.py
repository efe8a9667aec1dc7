"""A sweep's board as one HTML file that needs nothing else: to mail, to put into a wiki, to keep."""

import html
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from orchestrator.console import Column
from orchestrator.errors import UsageError
from orchestrator.rank.board import Board
from orchestrator.rank.figure import figure_svg
from orchestrator.rank.report import chosen, finals_table, footnotes, header, table
from orchestrator.rank.unranked import unranked_tables
from orchestrator.track.connection import without_password

LIMIT = 200
"""Configurations in the table of a long board."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #20262d; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin-bottom: 0 }
h2 { font-size: 1.1rem; margin-top: 2rem }
.verdict { background: #f0f4f9; border-left: 4px solid #1f5fa8; padding: .6rem 1rem; white-space: pre-line }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; white-space: nowrap; border-bottom: 1px solid #e4e7eb }
th.right, td.right { text-align: right }
svg { max-width: 100%; height: auto }
.small { color: #6f7680; font-size: .87rem; white-space: pre-wrap }
"""


def write_page(board: Board, path: Path) -> None:
    """Writes the page.

    Raises:
        UsageError: the file can't be written.
    """
    try:
        path.write_text(make_page(board, datetime.now()), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}") from error


def make_page(board: Board, written: datetime) -> str:
    """The page: verdict, picture (with the question), table, footnotes, final runs, and where all this comes from."""
    rows = chosen(board, LIMIT)
    parts = [
        f"<h1>{_text(board.sweep)}</h1>",
        f'<p class="small">{_text(header(board))}</p>',
        f'<p class="verdict">{_text(str(board.winner()))}</p>',
        figure_svg(board) if board.ranked else f"<p>{_text(board.question)}</p>",
        "<h2>Configurations</h2>",
        _table(*table(board, rows)),
        *_more(len(board.rows) - len(rows)),
        *(f'<div class="small">{_text(line)}</div>' for line in footnotes(board, rows)),
    ]
    for title, columns, cells in unranked_tables(board, LIMIT):
        parts += [f"<h2>{_text(title[0].upper() + title[1:])}</h2>", _table(columns, cells)]
    if board.finals:
        parts += ["<h2>Final runs</h2>", _table(*finals_table(board))]
    origin = (
        f"Read from {without_password(board.tracking)} on {written:%Y-%m-%d %H:%M}. Again: sweep report {board.sweep}"
    )
    parts.append(f'<p class="small">{_text(origin)}</p>')
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{_text(board.sweep)}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _table(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> str:
    sides = [' class="right"' if column.right else "" for column in columns]
    heads = "".join(f"<th{side}>{_text(column.title)}</th>" for column, side in zip(columns, sides, strict=True))
    lines = [
        "<tr>" + "".join(f"<td{side}>{_text(cell)}</td>" for cell, side in zip(row, sides, strict=True)) + "</tr>"
        for row in cells
    ]
    return f'<div class="scroll"><table>\n<tr>{heads}</tr>\n' + "\n".join(lines) + "\n</table></div>"


def _more(left_out: int) -> list[str]:
    return [f'<div class="small">... {left_out:,} more configurations</div>'] if left_out else []


def _text(text: str) -> str:
    return html.escape(text).replace("+-", "±")
