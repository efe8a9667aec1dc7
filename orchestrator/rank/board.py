"""The leaderboard of a sweep: reads MLflow, starts nothing.

    ranked = board("video-dropout")
    for row in ranked.rows:
        print(row.rank, row.configuration, row.estimate)
    ranked.winner().row

Replicates are averaged, every configuration is compared with the baseline, and the p values are corrected for the
number of comparisons. Trials that failed, still run, or have other data or metrics than the baseline are named and
left out, never mixed in.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orchestrator.plan.site import Site, load_site
from orchestrator.rank.rows import Row, make_rows
from orchestrator.rank.statistics import ALPHA, POWER, Difference, detectable, difference, holm
from orchestrator.rank.winner import Winner, choose_winner
from orchestrator.rank.wording import ScoreFormat, score_format
from orchestrator.track.connection import without_password
from orchestrator.track.names import Tag
from orchestrator.track.reader import read_by_id, read_runs
from orchestrator.track.records import RunRecord, SweepRuns

DEFAULT_SCORE = {"metric": "eval/mAP", "goal": "maximize"}


@dataclass(frozen=True)
class Board:
    """A sweep's configurations, best first, and its final runs."""

    sweep: str
    question: str
    tracking: str
    metric: str
    """The score that ranks."""
    goal: str
    """maximize or minimize."""
    rows: tuple[Row, ...]
    """Ranked rows first, then those of which no trial counts yet."""
    searched: tuple[Row, ...]
    """What a search proposed and did not choose as a leader, best first: fewer seeds than the others, so no rank."""
    stopped: tuple[Row, ...]
    """Configurations with trials that were stopped early, the farthest first: less budget than the others, so no rank.
    """
    finals: tuple[Row, ...]
    """Final runs of promoted configurations: longer, so never ranked among the trials."""
    is_search: bool
    """Whether a sampler proposed the configurations, and chose leaders among them."""
    trials: int
    finished: int
    stopped_trials: int
    hours: float
    """GPU-hours of all trials; hours where no GPU was used."""
    hours_are: str
    """`GPU-h` or `hours`."""
    detectable: float | None
    """The difference that a typical comparison here would have shown with 80 % power."""
    baseline_levels: dict[str, str]
    """The baseline's values of the factors that vary."""

    @property
    def baseline(self) -> Row | None:
        """The baseline's row."""
        return next((row for row in self.rows if row.is_baseline), None)

    @property
    def ranked(self) -> list[Row]:
        """The rows that have a rank."""
        return [row for row in self.rows if row.rank is not None]

    @property
    def format(self) -> ScoreFormat:
        """How this board's scores are written."""
        return score_format(self.metric, [row.estimate for row in (*self.rows, *self.finals) if row.estimate])

    def label(self, row: Row) -> str:
        """The configuration's name; the baseline's shows its levels of the factors that vary, `baseline (0.3)`."""
        levels = ", ".join(self.baseline_levels.values())
        return (
            f"{row.configuration} ({levels})"
            if row.is_baseline and 0 < len(self.baseline_levels) <= 3
            else row.configuration
        )

    def is_tie(self, row: Row) -> bool:
        """Whether the test can't tell the row from the baseline; the baseline ties with itself."""
        return row.is_baseline or (row.p is not None and row.p >= ALPHA)

    @property
    def has_no_score(self) -> bool:
        """Whether every trial has ended and none of them with a score that could rank it."""
        ended = self.trials and self.finished + self.stopped_trials == self.trials
        return bool(ended) and not any(row.scores for row in (*self.rows, *self.searched))

    def winner(self) -> Winner:
        """The best configuration of which every seed counts, and how sure that is."""
        if self.has_no_score:
            return Winner(
                None, (f"No trial has ended with a value of {self.metric} that could rank it.", *_undefined(self))
            )
        if self.searched and all(row.is_baseline for row in self.ranked):
            return Winner(None, ("No leader of the search has all its seeds yet.",))
        winner = choose_winner(self.ranked, self.format, self.detectable)
        if not self.stopped:
            return winner
        more = f"{len(self.stopped)} more {'was' if len(self.stopped) == 1 else 'were'} stopped early: not ranked."
        return replace(winner, reasons=(*winner.reasons, more))

    def to_json(self) -> dict[str, Any]:
        """The board as plain data; scores are as recorded (mAP as a fraction)."""
        winner = self.winner()
        return {
            "sweep": self.sweep,
            "question": self.question,
            "tracking": without_password(self.tracking),
            "score": {"metric": self.metric, "goal": self.goal},
            "trials": {"planned": self.trials, "finished": self.finished, "stopped": self.stopped_trials},
            "hours": {"total": self.hours, "unit": self.hours_are},
            "test": {"alpha": ALPHA, "correction": "holm", "power": POWER, "detectable_difference": self.detectable},
            "rows": [_row_json(row) for row in self.rows],
            "searched": [_row_json(row) for row in self.searched],
            "stopped": [_row_json(row) for row in self.stopped],
            "finals": [_row_json(row) for row in self.finals],
            "winner": {
                "configuration": winner.row.configuration if winner.row else None,
                "beats_baseline": winner.beats_baseline,
                "reasons": list(winner.reasons),
            },
        }


def board(sweep: str, site: Site | str | None = None) -> Board:
    """The leaderboard of a sweep at a site (or its name; by default this machine).

    Raises:
        UsageError: no sweep has this name; names the nearest.
        Unreachable: the tracker can't be read.
    """
    where = site if isinstance(site, Site) else load_site(site)
    runs = read_runs(where.tracking, sweep, params=False)
    question = runs.parent.tags.get(Tag.QUESTION, "") if runs.parent else ""
    replicates = int(runs.parent.tags.get(Tag.REPLICATES, 1)) if runs.parent else 1
    return make_board(sweep, question, where.tracking, score_of(runs), runs.trials, runs.finals, replicates)


def make_board(
    sweep: str,
    question: str,
    tracking: str,
    score: dict[str, str],
    trials: Sequence[RunRecord],
    finals: Sequence[RunRecord] = (),
    replicates: int = 1,
) -> Board:
    """Ranks runs that were read already; `replicates` is how many seeds a search gives to what is ranked."""
    is_search = any(run.tags.get(Tag.PROPOSAL) for run in trials)
    made = make_rows(trials, score["metric"], replicates if is_search else 1)
    stopped, whole = [row for row in made if row.stopped], [row for row in made if not row.stopped]
    searched = [row for row in whole if row.begun < row.planned]
    rows = rank_rows([row for row in whole if row.begun >= row.planned], score["goal"])
    states = [run.status for run in trials]
    hours, hours_are = _hours(trials)
    return Board(
        sweep=sweep,
        question=question,
        tracking=tracking,
        metric=score["metric"],
        goal=score["goal"],
        rows=tuple(rows),
        searched=tuple(sorted(searched, key=lambda row: _place(row, score["goal"]))),
        stopped=tuple(sorted(stopped, key=lambda row: _farthest(row, score["goal"]))),
        finals=tuple(make_rows(finals, score["metric"])),
        is_search=is_search,
        trials=len(states),
        finished=states.count("FINISHED"),
        stopped_trials=sum(len(row.stopped) for row in stopped),
        hours=hours,
        hours_are=hours_are,
        detectable=detectable([row.difference for row in rows if row.difference]),
        baseline_levels=_baseline_levels(made, tracking),
    )


def score_of(runs: SweepRuns) -> dict[str, str]:
    """Metric and goal that rank a sweep, from its parent run."""
    tag = runs.parent.tags.get(Tag.SCORE) if runs.parent else None
    return DEFAULT_SCORE | (json.loads(tag) if tag else {})


def rank_rows(rows: Sequence[Row], goal: str) -> list[Row]:
    """Rows with their rank, their difference to the baseline and its corrected p value, best first."""
    baseline = next((row for row in rows if row.is_baseline), None)
    differences = [_difference(row, baseline) for row in rows]
    corrected = holm([item.p if item else None for item in differences])
    rows = [replace(row, difference=d, p=p) for row, d, p in zip(rows, differences, corrected, strict=True)]
    ranked = sorted((row for row in rows if row.estimate), key=lambda row: _place(row, goal))
    return [
        *(replace(row, rank=place) for place, row in enumerate(ranked, start=1)),
        *(row for row in rows if not row.estimate),
    ]


def _place(row: Row, goal: str) -> tuple[float, str]:
    """Sorts the best first, and what has no score last."""
    sign = -1 if goal == "maximize" else 1
    return (sign * row.estimate.mean if row.estimate else math.inf), row.configuration


def _farthest(row: Row, goal: str) -> tuple[float, float, str]:
    """Sorts what came farthest first, then by score."""
    sign = -1 if goal == "maximize" else 1
    fraction, score = max((seed.fraction, -sign * (seed.score or 0.0)) for seed in row.stopped.values())
    return -fraction, -score, row.configuration


def _difference(row: Row, baseline: Row | None) -> Difference | None:
    if baseline is None or row.is_baseline or not row.scores or not baseline.scores:
        return None
    return difference(row.scores, baseline.scores)


def _hours(trials: Sequence[RunRecord]) -> tuple[float, str]:
    """What the sweep has cost, failed trials included; results reused from another sweep cost nothing here."""
    own = [run for run in trials if Tag.REUSED_FROM not in run.tags]
    gpu = sum(run.metrics.get("cost/gpu_hours", 0.0) for run in own)
    if gpu or not any(run.metrics.get("cost/hours") for run in own):
        return gpu, "GPU-h"
    return sum(run.metrics.get("cost/hours", 0.0) for run in own), "hours"


def _baseline_levels(rows: Sequence[Row], tracking: str) -> dict[str, str]:
    """Factor -> the baseline's level, from the parameters of one of its runs."""
    baseline = next((row for row in rows if row.is_baseline and row.run_ids), None)
    varied = dict.fromkeys(key for row in rows for key in row.factors)
    if baseline is None or not varied:
        return {}
    (run,) = read_by_id(tracking, [next(iter(baseline.run_ids.values()))])
    return {key: run.params[key].strip('"') for key in varied if key in run.params}


def _row_json(row: Row) -> dict[str, Any]:
    return asdict(row) | {"complete": row.complete}


def _undefined(board: Board) -> list[str]:
    if board.metric not in ("eval/AUC", "eval/d_prime"):
        return []
    return [f"{board.metric} needs a class that some clips of the evaluation set have and others lack."]
