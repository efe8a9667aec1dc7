"""Which configuration deserves a long final run, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.rank.rows import Row
from orchestrator.rank.statistics import ALPHA
from orchestrator.rank.wording import ScoreFormat, p_value


@dataclass(frozen=True)
class Winner:
    """The configuration to promote, and what speaks for and against it."""

    row: Row | None
    """None if no configuration has all its seeds."""
    reasons: tuple[str, ...]
    """Sentences: first the verdict, then what limits it."""
    beats_baseline: bool = False
    """Whether the corrected test says that it is better than the baseline."""

    def __str__(self) -> str:
        return "\n".join(self.reasons)


def choose_winner(ranked: Sequence[Row], scores: ScoreFormat, detectable: float | None) -> Winner:
    """The best of the ranked rows (best first) of which every planned seed counts."""
    best = next((row for row in ranked if row.complete), None)
    passed_over = [row for row in ranked if best is None or (row.rank or 0) < (best.rank or 0)]
    gaps = [
        f"{row.configuration} ranks higher, but only {len(row.scores)} of its {row.planned} seeds count."
        for row in passed_over[:3]
    ]
    if len(passed_over) > 3:
        gaps.append(f"So do {len(passed_over) - 3} more.")
    if best is None:
        return Winner(None, ("No configuration has all its seeds finished.",))
    beats = _leads(best, ranked) and best.p is not None and best.p < ALPHA
    return Winner(best, (_verdict(best, ranked, scores, detectable), *gaps), beats)


def _leads(best: Row, ranked: Sequence[Row]) -> bool:
    """Whether it ranks above the baseline, which may have unfinished seeds and so not be the winner itself."""
    return any(row.is_baseline and (row.rank or 0) > (best.rank or 0) for row in ranked)


def _verdict(best: Row, ranked: Sequence[Row], scores: ScoreFormat, detectable: float | None) -> str:
    """One sentence on how the best compares with the baseline."""
    name, seeds = best.configuration, _count(len(best.scores), "seed")
    if best.is_baseline:
        return f"The baseline is the best of {_count(len(ranked), 'configuration')} ({seeds})."
    if best.difference is None:
        return f"{name} is the best of {_count(len(ranked), 'configuration')} ({seeds}); no baseline has finished."
    lead = scores.difference(best.difference)
    if not _leads(best, ranked):
        return f"{name} is the best with all its seeds, but behind the baseline: {lead} ({seeds})."
    if best.p is None:
        return f"{name} is {lead} from the baseline; {_UNTESTED[best.difference.method]}."
    if best.p < ALPHA:
        return f"{name} beats the baseline by {lead} (p {p_value(best.p)}, {seeds})."
    power = f"; {seeds} could have shown {scores.value(detectable)}" if detectable is not None else ""
    return f"{name} is best, but can't be told apart from the baseline: {lead} (p {p_value(best.p)}{power})."


_UNTESTED = {
    "one seed": "with one seed nothing says whether that is chance",
    "no spread": "all seeds give the same, so nothing says what chance would do",
}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
