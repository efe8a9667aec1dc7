"""Which proposals of a search are run with all seeds before the board ranks: its leaders. Pure."""

import math
from collections.abc import Mapping, Sequence

from orchestrator.plan.spec import Score


def choose_leaders(
    finished: Mapping[str, Sequence[float]],
    stopped: Mapping[str, tuple[int, Sequence[float]]],
    scores: Sequence[Score],
    count: int,
) -> list[str]:
    """The best trials, best first.

    Finished ones are ordered by the score. With several scores the Pareto front comes first (those that no other one
    beats in every score), then the front of the rest, and so on; within a front the first score decides. Where too few
    have finished, those that were stopped early make up the number: the farthest first, then by score.

    Args:
        finished: trial -> its scores, of trials that came to their end.
        stopped: trial -> evaluation at which it was stopped, and its scores there.
        scores: what the scores are, and which end of them is better.
        count: how many are wanted.
    """
    better = {trial: _gains(values, scores) for trial, values in finished.items() if _usable(values)}
    leaders: list[str] = []
    while better and len(leaders) < count:
        front = [trial for trial in better if not any(_dominates(other, better[trial]) for other in better.values())]
        leaders += sorted(front, key=lambda trial: better[trial], reverse=True)
        better = {trial: gains for trial, gains in better.items() if trial not in front}
    partial = {trial: (at, _gains(values, scores)) for trial, (at, values) in stopped.items() if _usable(values)}
    leaders += sorted(partial, key=lambda trial: partial[trial], reverse=True)
    return leaders[:count]


def _usable(values: Sequence[float]) -> bool:
    return bool(values) and all(map(math.isfinite, values))


def _gains(values: Sequence[float], scores: Sequence[Score]) -> tuple[float, ...]:
    """The scores turned so that more is better."""
    return tuple(value if score.goal == "maximize" else -value for value, score in zip(values, scores, strict=True))


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether one is at least as good everywhere and better somewhere."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)
