"""From factors to points: which changes to the baseline a sweep tries, in a stable order.

A point is what was asked for; `configure` makes a config of it: ties follow, the match is solved for.
"""

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.plan.changes import apply, dotted, level_text, nested_value
from orchestrator.plan.counts import flops, parameters
from orchestrator.plan.levels import level_at, levels
from orchestrator.plan.space import Space, type_of
from orchestrator.plan.vary import Adaptive, Grid, LeaveOneOut, Listed, Match, OneFactor, Sampled, Tie, Vary
from perceiver.config import RunConfig, all_keys
from perceiver.errors import ConfigError, ConfigMistake


class NoMatch(Exception):
    """Raised when no value of the solved key keeps the baseline's cost."""


@dataclass(frozen=True)
class Point:
    """Changes to the baseline, the place in the sweep file that asks for them, and the name it gives them."""

    changes: dict[str, Any]
    place: tuple[str | int, ...]
    name: str | None = None


def points(vary: Vary, baseline: RunConfig) -> Iterator[Point]:
    """What the sweep asks for besides the baseline; some may repeat it or each other. Random draws never end."""
    match vary:
        case OneFactor():
            yield from _one_factor(vary, Space(baseline, vary.factors, vary.where))
        case LeaveOneOut():
            for name, off in vary.components.items():
                named = isinstance(off, Mapping) and name not in all_keys()
                yield Point(
                    dotted(off if named else {name: off}), ("vary", "components", name), name if named else None
                )
        case Grid():
            for chosen in every_point(Space(baseline, vary.factors, vary.where)):
                yield Point(chosen, ("vary", "factors"))
        case Listed():
            for index, point in enumerate(vary.points):
                changes = {key: value for key, value in point.items() if key != "name"}
                yield Point(changes, ("vary", "points", index), point.get("name"))
        case Sampled():
            space = Space(baseline, vary.factors, vary.where)
            for unit in _unit_points(vary.by, len(vary.factors), vary.seed):
                yield Point(drawn(space, unit), ("vary", "factors"))
        case Adaptive():
            return  # proposed one by one while the sweep runs


def drawn(space: Space, unit: Sequence[float]) -> dict[str, Any]:
    """The point of the space at `unit`, one number in [0, 1) per factor."""
    at = dict(zip(space.factors, unit, strict=True))
    chosen: dict[str, Any] = {}
    for key in space.ordered():
        if space.is_active(key, chosen):
            chosen[key] = level_at(space.factors[key], at[key], whole=type_of(key) is int)
    return chosen


def every_point(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination of levels that exists, the last factor's changing first."""
    yield from _combinations(space, space.ordered(), {})


def configure(vary: Vary, baseline: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The config of a point.

    Raises:
        ConfigError: the configuration can't be run.
        NoMatch: nothing keeps the baseline's cost.
    """
    asked = dotted(changes)
    followers = {
        key: _followed(key, tie, baseline, asked[tie.follows])
        for key, tie in vary.ties.items()
        if tie.follows in asked and asked[tie.follows] != nested_value(baseline, tie.follows)
    }
    config = apply(baseline, asked | followers)
    return config if vary.match is None else _solved(vary.match, baseline, config)


def _one_factor(vary: OneFactor, space: Space) -> Iterator[Point]:
    needs = {key: space.requirements(key) or {} for key in vary.factors}
    for key, factor in vary.factors.items():
        for index, level in enumerate(factor):
            yield Point(needs[key] | {key: level}, ("vary", "factors", key, index))
    pairs = itertools.combinations(vary.factors, 2) if vary.pairs is True else vary.pairs or ()
    for first, second in pairs:
        for one, other in itertools.product(vary.factors[first], vary.factors[second]):
            chosen = needs[first] | needs[second] | {first: one, second: other}
            if space.is_active(first, chosen) and space.is_active(second, chosen):
                yield Point(chosen, ("vary", "pairs"))


def _combinations(space: Space, keys: Sequence[str], chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not keys:
        yield chosen
    elif not space.is_active(keys[0], chosen):
        yield from _combinations(space, keys[1:], chosen)
    else:
        for level in levels(space.factors[keys[0]], whole=type_of(keys[0]) is int):
            yield from _combinations(space, keys[1:], chosen | {keys[0]: level})


def _unit_points(by: str, dimensions: int, seed: int) -> Iterator[list[float]]:
    """Points of the unit cube without end; Sobol's are shifted at random, which keeps their evenness."""
    generator = random.Random(seed)
    if by == "random":
        while True:
            yield [generator.random() for _ in range(dimensions)]
    from scipy.stats.qmc import Sobol  # heavy, and only this strategy needs it

    shift = [generator.random() for _ in range(dimensions)]
    sequence = Sobol(dimensions, scramble=False)
    while True:
        (point,) = sequence.random(1)
        yield [(float(value) + offset) % 1.0 for value, offset in zip(point, shift, strict=True)]


def _followed(key: str, tie: Tie, baseline: RunConfig, level: Any) -> Any:
    if tie.levels is not None:
        return tie.levels.get(level_text(level), nested_value(baseline, key))
    if tie.power is None:
        return level
    own, lead = nested_value(baseline, key), nested_value(baseline, tie.follows)
    try:
        value = own * (level / lead) ** tie.power
        return round(value) if type_of(key) is int else float(f"{value:.6g}")
    except (TypeError, ValueError, ArithmeticError):  # null, a ratio to zero, the root of something negative
        told = f"can't follow {tie.follows}={level_text(level)} to the power {tie.power:g}"
        raise ConfigError([ConfigMistake(key, f"{told} from {level_text(own)} at {level_text(lead)}")]) from None


def _solved(match: Match, baseline: RunConfig, config: RunConfig) -> RunConfig:
    """The config with `match.solve` such that its cost is nearest to the baseline's.

    Costs are closed forms, so every value is tried; only those that are near enough are checked to be valid.
    """
    cost = flops if match.keep == "flops" else parameters
    goal = cost(baseline.model)
    path = match.solve.split(".")[1:]
    costs = {value: cost(_unchecked(config.model, path, value)) for value in _whole_numbers(match.solve)}
    by_distance = sorted(costs, key=lambda value: abs(costs[value] - goal))
    for value in by_distance:
        if abs(costs[value] - goal) > match.within * goal:
            break
        try:
            return apply(config, {match.solve: value})
        except ConfigError:
            continue
    nearest = f"the nearest, {by_distance[0]}, is {costs[by_distance[0]] / goal - 1:+.1%} off"
    raise NoMatch(f"no {match.solve} keeps the baseline's {match.keep} within {match.within:.0%}: {nearest}")


def _whole_numbers(key: str) -> range:
    """The values that a key allows, up to some bound that no model reaches."""
    low, high = 1, 4096
    for bound in all_keys()[key].metadata:
        low, high = getattr(bound, "ge", low), getattr(bound, "le", high)
    return range(low, high + 1)


def _unchecked(part: Any, path: Sequence[str], value: int) -> Any:
    """A copy of a part of a config with one value changed; nothing is validated, which makes it quick."""
    first, *rest = path
    return part.model_copy(update={first: _unchecked(getattr(part, first), rest, value) if rest else value})
