"""Tables of what a board does not rank: proposals that are no leaders, and trials that were stopped early."""

from orchestrator.console import Column
from orchestrator.rank.board import Board
from orchestrator.rank.rows import Row
from orchestrator.rank.wording import heading

Table = tuple[str, list[Column], list[list[str]]]
"""Title, columns, cells."""


def unranked_tables(board: Board, limit: int) -> list[Table]:
    """A table each, with at most `limit` rows; none where there is nothing."""
    tables = [_searched(board, limit)] if board.searched else []
    return tables + ([_stopped(board, limit)] if board.stopped else [])


def _searched(board: Board, limit: int) -> Table:
    score = heading(board.metric)
    columns = [Column("configuration"), Column(score, right=True), Column("seeds", right=True), Column("")]
    cells = [
        [
            board.label(row),
            board.format.value(row.estimate.mean) if row.estimate else "-",
            f"{row.begun} of {row.planned}",
            "; ".join(row.notes),
        ]
        for row in board.searched[:limit]
    ]
    return f"proposed by the search, and no leaders: too few seeds to be ranked{_more(board.searched, limit)}", *_lean(
        columns, cells
    )


def _stopped(board: Board, limit: int) -> Table:
    columns = [Column("configuration"), Column("seed", right=True), Column(heading(board.metric), right=True)]
    columns += [Column("stopped by"), Column("")]
    cells = [
        [
            board.label(row),
            str(seed),
            "-" if stop.score is None else board.format.value(stop.score),
            stop.where,
            _finished(board, row),
        ]
        for row in board.stopped[:limit]
        for seed, stop in row.stopped.items()
    ]
    return f"stopped early, with the score there: not ranked{_more(board.stopped, limit)}", *_lean(columns, cells)


def _finished(board: Board, row: Row) -> str:
    """Seeds that the rule left: which they are depends on their scores, so a mean of them says nothing."""
    shown = ", ".join(f"{board.format.value(score)} (seed {seed})" for seed, score in row.scores.items())
    return f"finished: {shown}" if shown else ""


def _lean(columns: list[Column], cells: list[list[str]]) -> tuple[list[Column], list[list[str]]]:
    """Without the last column where it is empty."""
    if any(row[-1] for row in cells):
        return columns, cells
    return columns[:-1], [row[:-1] for row in cells]


def _more(rows: tuple[Row, ...], limit: int) -> str:
    return f" ({limit} of {len(rows)} are shown)" if len(rows) > limit else ""
