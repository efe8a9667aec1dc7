"""The space that factors span: what type a key has, which factors exist together. `levels.py` draws levels."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Union, get_args, get_origin

from orchestrator.plan.levels import level_at as level_at
from orchestrator.plan.levels import level_near
from orchestrator.plan.vary import Condition, Range
from perceiver.config import RunConfig, Section, all_keys, flatten

Factors = Mapping[str, Sequence[Any] | Range]


_UNCHANGED = object()


def type_of(key: str) -> Any:
    """The type of a key's values, null aside: int, float, bool, str, tuple, or a Section for a part."""
    annotation = all_keys()[key].annotation
    while get_origin(annotation) in (Union, UnionType) or hasattr(annotation, "__metadata__"):
        options = [option for option in get_args(annotation) if option is not type(None)]
        annotation = options[0]
    if get_origin(annotation) is tuple:
        return tuple
    return annotation if isinstance(annotation, type) else type(get_args(annotation)[0])  # a Literal's choices


def is_part(key: str) -> bool:
    """Whether the key is a part with keys of its own."""
    kind = type_of(key)
    return isinstance(kind, type) and issubclass(kind, Section)


@dataclass(frozen=True)
class Space:
    """Factors with the conditions under which they exist, seen from a baseline."""

    baseline: RunConfig
    factors: Factors
    where: Sequence[Condition] = ()
    values: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", flatten(self.baseline))

    def value(self, key: str, chosen: Mapping[str, Any]) -> Any:
        """The level that a key has in a point; `{}` stands for a part that is there."""
        return chosen[key] if key in chosen else self.values.get(key, {})

    def needs(self, key: str) -> dict[str, list[Any]]:
        """The conditions of a factor: other key -> levels that it may have."""
        return {
            other: _levels(levels)
            for condition in self.where
            if condition.factor == key
            for other, levels in condition.when.items()
        }

    def is_active(self, key: str, chosen: Mapping[str, Any]) -> bool:
        """Whether the factor exists in a point: its conditions hold, and no part around it is switched off."""
        parts = key.split(".")
        around = [".".join(parts[:count]) for count in range(1, len(parts))]
        if any(part in chosen and chosen[part] is None for part in around):
            return False
        return all(
            self.value(other, chosen) in levels and (other not in self.factors or self.is_active(other, chosen))
            for other, levels in self.needs(key).items()
        )

    def point(self, changes: Mapping[str, Any]) -> dict[str, Any] | None:
        """The levels that the existing factors have under these changes to the baseline.

        None outside the space: a level that its factor lacks, or a change to another key.
        """
        chosen = {key: self.value(key, changes) for key in self.factors}
        point = {key: level for key, level in chosen.items() if self.is_active(key, chosen)}
        inside = all(_holds(self.factors[key], level) for key, level in point.items())
        return point if inside and not set(changes) - set(point) else None

    def point_of(self, config: RunConfig) -> dict[str, Any] | None:
        """The point that a config has; None outside the space. Keys that are no factors are not looked at."""
        there = flatten(config)
        parts = {key[:at] for key in there for at, letter in enumerate(key) if letter == "."}
        levels = {key: there.get(key, {}) for key in self.factors if key in there or key in parts}
        return self.point({key: level for key, level in levels.items() if level != self.value(key, {})})

    def requirements(self, key: str) -> dict[str, Any] | None:
        """The fewest changes to the baseline under which the factor exists; None if its conditions never hold together.

        Only levels that a condition names can matter, so all choices of those are tried.
        """
        others = [other for other in self._before(key) if other in self.factors]
        options = [[_UNCHANGED, *self._named(other)] for other in others]
        choices = sorted(
            (
                {other: level for other, level in zip(others, levels, strict=True) if level is not _UNCHANGED}
                for levels in itertools.product(*options)
            ),
            key=len,
        )
        return next((chosen for chosen in choices if self.is_active(key, chosen)), None)

    def _before(self, key: str, path: tuple[str, ...] = ()) -> list[str]:
        """The keys that the conditions of a factor name, and theirs in turn."""
        own = [other for other in self.needs(key) if other not in path]
        return list(dict.fromkeys([further for other in own for further in self._before(other, (*path, key))] + own))

    def _named(self, key: str) -> list[Any]:
        """The factor's levels that any condition names."""
        factor, named = self.factors[key], [level for each in self.where for level in _levels(each.when.get(key, []))]
        if isinstance(factor, Range):
            return [level for level in named if isinstance(level, int | float) and factor.low <= level <= factor.high]
        return [level for level in factor if level in named]

    def ordered(self) -> list[str]:
        """The factors with each after those that its conditions name, else as written; a cycle keeps its order."""
        done: list[str] = []

        def add(key: str, path: tuple[str, ...]) -> None:
            for other in self.needs(key):
                if other in self.factors and other not in (*path, *done):
                    add(other, (*path, other))
            if key not in done:
                done.append(key)

        for key in self.factors:
            add(key, (key,))
        return done

    def cycle(self, key: str, path: tuple[str, ...] = ()) -> tuple[str, ...] | None:
        """The way along conditions from a factor back to itself, where there is one."""
        if key in path:
            return (*path, key) if key == path[0] else None
        found = (self.cycle(other, (*path, key)) for other in self.needs(key))
        return next((way for way in found if way), None)


def _levels(levels: Any) -> list[Any]:
    return levels if isinstance(levels, list) else [levels]


def _holds(factor: Sequence[Any] | Range, level: Any) -> bool:
    """Whether a factor has the level."""
    if not isinstance(factor, Range):
        return level in factor
    if not isinstance(level, int | float) or not factor.low <= level <= factor.high:
        return False
    if factor.step is None:
        return True
    nearest = level_near(factor, level, whole=False)
    return bool(level == nearest or abs(level - nearest) < 1e-6 * factor.step)
