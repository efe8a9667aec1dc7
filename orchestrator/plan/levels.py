"""The levels of a factor: which numbers a range holds, and the level that a drawn number means.

Every sampler draws in its own way, and all of them end here: whoever drew it, a level lies within its range, is
written with the digits that its file would give it, and is one that `Space.point` finds again.
"""

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from orchestrator.plan.vary import Range, exact

_DIGITS = 4
"""Significant digits of a level between two numbers."""
_FEWEST, _PLENTY = 100, 1_000
"""A range in which so few digits leave fewer levels than the first has as many digits as leave it the second."""


def level_at(factor: Sequence[Any] | Range, unit: float, whole: bool) -> Any:
    """The level at `unit` in [0, 1) of a list or range."""
    if not isinstance(factor, Range):
        return factor[int(unit * len(factor))]
    low, high = factor.low, factor.high
    if factor.step is not None:
        return _stepped(factor, int(unit * (last_step(factor) + 1)), whole)
    if factor.scale == "log" and whole:
        return level_near(factor, math.exp(math.log(low - 0.5) + unit * math.log((high + 0.5) / (low - 0.5))), whole)
    if factor.scale == "log":
        return level_near(factor, low * (high / low) ** unit, whole)
    return level_near(factor, low + int(unit * (high - low + 1)) if whole else low + unit * (high - low), whole)


def level_near(factor: Range, number: float, whole: bool) -> int | float:
    """The level that a sampler's number means: the nearest one.

    With a step exactly low + k * step, as decimals; else with 4 significant digits, or more in a narrow range, such as
    0.999 to 0.99999.
    """
    if factor.step is not None:
        return _stepped(factor, round((number - factor.low) / factor.step), whole)
    if whole:
        return min(max(round(number), math.ceil(factor.low)), math.floor(factor.high))
    rounded = float(f"{number:.{_digits(factor)}g}")
    return float(min(max(rounded, factor.low), factor.high))


def last_step(factor: Range) -> int:
    """The greatest k of a range's levels low + k * step."""
    return int((exact(factor.high) - exact(factor.low)) // exact(factor.step or 1))


def count_levels(factor: Sequence[Any] | Range, whole: bool) -> float:
    """How many levels a factor has; infinity for a range that reaches zero without a step."""
    if not isinstance(factor, Range):
        return len(factor)
    if factor.step is not None:
        return last_step(factor) + 1
    if whole:
        return math.floor(factor.high) - math.ceil(factor.low) + 1
    if factor.low <= 0 <= factor.high:
        return math.inf
    return len(_between(factor, _digits(factor))) + 2


def levels(factor: Sequence[Any] | Range, whole: bool) -> Iterator[Any]:
    """Every level of a factor that has a finite number of them; a range's from low to high."""
    if not isinstance(factor, Range):
        yield from factor
    elif factor.step is not None:
        yield from (_stepped(factor, k, whole) for k in range(last_step(factor) + 1))
    elif whole:
        yield from range(math.ceil(factor.low), math.floor(factor.high) + 1)
    else:
        digits = _digits(factor)
        sign = 1 if factor.low > 0 else -1
        inside = (sign * _number(place, digits) for place in _between(factor, digits)[::sign])
        yield from dict.fromkeys([float(factor.low), *inside, float(factor.high)])


def _stepped(factor: Range, k: int, whole: bool) -> int | float:
    level = exact(factor.low) + min(max(k, 0), last_step(factor)) * exact(factor.step or 1)
    return round(level) if whole else float(level)


def _digits(factor: Range) -> int:
    if factor.low <= 0 <= factor.high or len(_between(factor, _DIGITS)) >= _FEWEST:
        return _DIGITS
    enough = (digits for digits in range(_DIGITS, 17) if len(_between(factor, digits)) >= _PLENTY)
    return next(enough, 17)


def _between(factor: Range, digits: int) -> range:
    """The places of the numbers of so many significant digits within a range on one side of zero."""
    near, far = sorted((abs(exact(factor.low)), abs(exact(factor.high))))
    return range(math.ceil(_place(near, digits)), math.floor(_place(far, digits)) + 1)


def _place(number: Fraction, digits: int) -> Fraction:
    """Where a number stands among all those of so many significant digits, which have whole places in a row."""
    power = Decimal(str(float(number))).adjusted()
    before: int = power * 9 * 10 ** (digits - 1)
    return before + number / _spacing(power, digits)


def _number(place: int, digits: int) -> float:
    """The number that stands there."""
    power, rest = divmod(place - 10 ** (digits - 1), 9 * 10 ** (digits - 1))
    return float((rest + 10 ** (digits - 1)) * _spacing(power, digits))


def _spacing(power: int, digits: int) -> Fraction:
    """How far numbers of so many significant digits, the first of which is worth 10^power, lie apart."""
    return Fraction(f"1e{power - digits + 1}")
