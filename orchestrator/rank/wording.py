"""Numbers as people read them: percent for mAP, the decimals that the spread deserves, p values, hours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from orchestrator.rank.statistics import Difference, Estimate


@dataclass(frozen=True)
class ScoreFormat:
    """How values of a metric are written: mAP in percent with one decimal like the paper, others as the spread asks."""

    factor: float
    decimals: int

    def value(self, value: float) -> str:
        """43.6"""
        return _without_minus_zero(f"{value * self.factor:.{self.decimals}f}")

    def signed(self, value: float) -> str:
        """+0.4"""
        return _without_minus_zero(f"{value * self.factor:+.{self.decimals}f}")

    def mean(self, estimate: Estimate) -> str:
        """43.6 +-0.2; the mean alone where there is no interval."""
        shown = self.value(estimate.mean)
        return shown if estimate.half_width is None else f"{shown} +-{self.value(estimate.half_width)}"

    def difference(self, difference: Difference) -> str:
        """+0.4 [+0.1, +0.7]"""
        shown = self.signed(difference.value)
        if difference.low is None or difference.high is None:
            return shown
        return f"{shown} [{self.signed(difference.low)}, {self.signed(difference.high)}]"


def score_format(metric: str, estimates: Sequence[Estimate]) -> ScoreFormat:
    """The format of a metric, given what is to be shown."""
    if is_percent(metric):
        return ScoreFormat(100.0, 1)
    spreads = [estimate.spread for estimate in estimates if estimate.spread]
    sizes = [abs(estimate.mean) / 1000 for estimate in estimates if estimate.mean]
    step = median(spreads or sizes or [0.001])
    return ScoreFormat(1.0, min(6, max(0, 1 - math.floor(math.log10(step)))))


def is_percent(metric: str) -> bool:
    """Whether the metric is a share that the field writes in percent."""
    return "mAP" in metric


def heading(metric: str) -> str:
    """`mAP` for `eval/mAP`."""
    return metric.rpartition("/")[2]


def p_value(p: float | None) -> str:
    """0.21, 0.03, 0.004, <0.001"""
    if p is None:
        return "-"
    if p < 0.001:
        return "<0.001"
    return f"{p:.2f}" if p >= 0.1 else f"{p:.1g}" if p < 0.01 else f"{p:.2g}"


def hours(value: float) -> str:
    """1,014 or 6.3 or 0.012"""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _without_minus_zero(text: str) -> str:
    return text.replace("-", "", 1) if float(text) == 0 else text
