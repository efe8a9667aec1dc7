"""What a few replicates can tell: means with intervals, differences with p values, and what would have been seen.

Sweeps have 2 to 5 seeds, so everything rests on Student's t distribution and not on the normal one: an interval reaches
12.7 standard errors with two seeds, 4.3 with three, 2.8 with five. Scores are taken to be normal over seeds; that is
all. Standard deviations are not pooled over configurations, since nothing says that they are equal.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from orchestrator.rank.student import shift_seen, t_quantile, t_tail

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE
POWER = 0.8
_ROUNDING = 1e-12
"""A spread below this share of the scores' size is rounding."""


@dataclass(frozen=True)
class Estimate:
    """Mean of a configuration over its seeds. With one seed there is a mean and nothing else."""

    n: int
    mean: float
    spread: float | None
    """Standard deviation over seeds."""
    half_width: float | None
    """Of the 95 % interval of the mean; None without any spread to take it from."""


@dataclass(frozen=True)
class Difference:
    """A configuration's mean minus the baseline's, with the 95 % interval and the two-sided p value of no difference.

    The interval and p are for this comparison alone; `holm` corrects the p values of a board.
    """

    value: float
    method: str
    """paired, welch, or a reason why there is no test: `one seed`, `no spread`."""
    low: float | None = None
    high: float | None = None
    p: float | None = None
    standard_error: float | None = None
    degrees: float | None = None


def estimate(scores: Sequence[float]) -> Estimate:
    """Mean, spread and interval of finite scores, at least one."""
    n, mean = len(scores), fmean(scores)
    if n == 1:
        return Estimate(n, mean, None, None)
    spread = math.sqrt(_variance(scores))
    if _is_rounding(spread, scores):
        return Estimate(n, mean, 0.0, None)
    return Estimate(n, mean, spread, t_quantile(ALPHA / 2, n - 1) * spread / math.sqrt(n))


def difference(scores: Mapping[int, float], baseline: Mapping[int, float]) -> Difference:
    """Compares seed -> score of two configurations.

    With the same seeds, by the paired t test: a seed fixes initial weights and the order of data, so part of the noise
    is common and cancels; the test is exact whether it does or not. With other seeds, by Welch's t test, which does
    not take the variances for equal. The rule depends on the seeds alone and never on the scores, so that the kinder
    test can't be picked.
    """
    value = fmean(scores.values()) - fmean(baseline.values())
    paired = scores.keys() == baseline.keys()
    if min(len(scores), len(baseline)) < 2:
        return Difference(value, "one seed")
    if paired:
        degrees: float = len(scores) - 1
        error = math.sqrt(_variance([scores[seed] - baseline[seed] for seed in scores]) / len(scores))
    else:
        error, degrees = _welch(list(scores.values()), list(baseline.values()))
    if _is_rounding(error, [*scores.values(), *baseline.values()]):
        return Difference(value, "no spread")
    half_width = t_quantile(ALPHA / 2, degrees) * error
    return Difference(
        value=value,
        method="paired" if paired else "welch",
        low=value - half_width,
        high=value + half_width,
        p=min(1.0, 2 * t_tail(abs(value) / error, degrees)),
        standard_error=error,
        degrees=degrees,
    )


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) step-down correction: the chance of any false alarm on the board stays below 5 %.

    None (not tested) stays None and does not count as a comparison.
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for done, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - done)))
        corrected[index] = largest
    return corrected


def detectable(differences: Sequence[Difference]) -> float | None:
    """The true difference that a typical one of these comparisons would have shown with 80 % power, None untested.

    At the level that the board's smallest p value has to pass, ALPHA / comparisons, with their mean standard error.
    """
    tested = [item for item in differences if item.standard_error is not None and item.degrees is not None]
    if not tested:
        return None
    error = math.sqrt(fmean([item.standard_error**2 for item in tested if item.standard_error is not None]))
    degrees = median([item.degrees for item in tested if item.degrees is not None])
    return error * shift_seen(t_quantile(ALPHA / len(tested) / 2, degrees), degrees, POWER)


def _variance(scores: Sequence[float]) -> float:
    """Sample variance; the standard library's is exact and 20 times slower, which a board of 10,000 trials feels."""
    mean = fmean(scores)
    return math.fsum((score - mean) ** 2 for score in scores) / (len(scores) - 1)


def _welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch-Satterthwaite)."""
    parts = [(_variance(scores) / len(scores), len(scores) - 1) for scores in (first, second)]
    total = sum(part for part, _ in parts)
    if total == 0:
        return 0.0, 1.0
    return math.sqrt(total), total**2 / sum(part**2 / degrees for part, degrees in parts)


def _is_rounding(spread: float, scores: Sequence[float]) -> bool:
    return spread <= _ROUNDING * max(abs(score) for score in scores)
