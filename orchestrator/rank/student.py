"""Student's t distribution, central and not.

Own code since importing scipy.special takes 0.3 s, which is more than the whole of `sweep board` may take; tested
against scipy over the range that sweeps reach.
"""

import math
from functools import lru_cache
from statistics import NormalDist


def t_tail(t: float, degrees: float) -> float:
    """P(T > t) for t >= 0 of Student's t distribution."""
    return 0.5 * _incomplete_beta(degrees / 2, 0.5, t * t, degrees)


@lru_cache(maxsize=1024)
def t_quantile(tail: float, degrees: float) -> float:
    """The t with P(T > t) = tail, for 0 < tail < 0.5.

    Newton's method from the normal quantile: it lies to the left, where the tail is convex, so that the steps never
    overshoot.
    """
    t = NormalDist().inv_cdf(1 - tail)
    for _ in range(200):
        step = (t_tail(t, degrees) - tail) / _density(t, degrees)
        t += step
        if abs(step) < 1e-13 * t:
            break
    return t


def _density(t: float, degrees: float) -> float:
    scale = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - math.log(degrees * math.pi) / 2
    return math.exp(scale - (degrees + 1) / 2 * math.log1p(t * t / degrees))


def _incomplete_beta(a: float, b: float, square: float, degrees: float) -> float:
    """Regularised incomplete beta I_x(a, b) at x = degrees / (degrees + square), from the end that does not cancel."""
    x, rest = degrees / (degrees + square), square / (degrees + square)
    if rest == 0:
        return 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _continued_fraction(a, b, x) / a
    return 1 - math.exp(log_front) * _continued_fraction(b, a, rest) / b


def _continued_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by the modified Lentz method."""
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for numerator in (even, odd):
            d = 1 / ((1 + numerator * d) or tiny)
            c = (1 + numerator / c) or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def shift_seen(threshold: float, degrees: float, power: float) -> float:
    """The shift, in standard errors, with which a t statistic exceeds the threshold with chance `power`."""
    low, high = 0.0, 4 * threshold + 4
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance_above(threshold, middle, degrees) < power else (low, middle)
    return high


def _chance_above(threshold: float, shift: float, degrees: float, points: int = 300) -> float:
    """P((Z + shift) / S > threshold) for a normal Z and S = sqrt(chi squared / degrees): the noncentral t distribution.

    Midpoint rule over the density of S.
    """
    normal, step = NormalDist(), (1 + 6 / math.sqrt(degrees)) / points
    log_scale = math.log(2) + degrees / 2 * math.log(degrees / 2) - math.lgamma(degrees / 2)
    spreads = [(index + 0.5) * step for index in range(points)]
    densities = [math.exp(log_scale + (degrees - 1) * math.log(s) - degrees * s * s / 2) for s in spreads]
    return step * sum(d * normal.cdf(shift - threshold * s) for s, d in zip(spreads, densities, strict=True))
