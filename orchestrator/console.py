"""What every verb prints with: tables, next commands, notes. Plain text when piped, colour only to support words.

On a narrow terminal a table folds long names in its first column, then drops right-most columns; piped it has all.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_PIPED_WIDTH = 10_000
_LEAST_NAME = 36
"""Columns that names in a table have, at least, before they are folded at spaces."""


@dataclass(frozen=True)
class Column:
    """Heading and alignment of a table's column."""

    title: str
    right: bool = False


def console(stderr: bool = False) -> Console:
    """A console on standard output (or error) as it is now; NO_COLOR is respected."""
    file = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else _PIPED_WIDTH
    return Console(file=file, width=width, highlight=False, soft_wrap=not file.isatty(), emoji=False)


def print_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows of plain strings below their headings, indented by two."""
    out = console()
    widths = [max([len(column.title), *(len(row[index]) for row in rows)]) for index, column in enumerate(columns)]
    if sum(widths) + 2 * len(widths) > out.width:
        widths[0] = min(widths[0], max(_LEAST_NAME, out.width // 2))
    shown = _columns_that_fit(widths, out.width)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, column in enumerate(columns[:shown]):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(
            escape(column.title),
            justify=justify,
            no_wrap=index > 0,
            overflow="fold",
            width=widths[0] if index == 0 else None,
        )
    for row in rows:
        table.add_row(*(escape(cell) for cell in row[:shown]))
    with out.capture() as captured:
        out.print(table, soft_wrap=False)
    for line in captured.get().splitlines():
        print(f"  {line.rstrip()}")


def print_json(data: Any) -> None:
    """Prints one JSON document; what JSON has no form for becomes a string, NaN becomes null."""
    print(json.dumps(_plain(data), indent=2, allow_nan=False, default=str))


def print_next(*commands: str) -> None:
    """Prints the commands that a user would want now."""
    for number, command in enumerate(commands):
        print(f"{'Next:' if number == 0 else '     '}  {command}")


def note(message: str) -> None:
    """Prints a line for a person, on standard error, so that standard output stays a result."""
    console(stderr=True).print(message, markup=False)


def quiet_libraries() -> None:
    """Turns off banners and progress of libraries that this process and its children load."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


_QUIET = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def _columns_that_fit(widths: Sequence[int], width: int) -> int:
    used = 2
    for index, needed in enumerate(widths):
        used += 2 + needed
        if used > width and index > 1:
            return index
    return len(widths)


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, float) and (data != data or data in (float("inf"), float("-inf"))):
        return None
    return data
