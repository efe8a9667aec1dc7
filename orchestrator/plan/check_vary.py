"""Every mistake under `vary:` beyond its form: keys, levels, points, conditions, ties."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.plan.changes import BASELINE, SEED, apply, dotted, level_text, nested_value
from orchestrator.plan.document import KeyPath
from orchestrator.plan.findings import Findings
from orchestrator.plan.space import Space, is_part, type_of
from orchestrator.plan.vary import Grid, LeaveOneOut, Listed, Match, OneFactor, Range, Tie, Vary
from perceiver.config import RunConfig, all_keys, flatten, is_speed_only, nearest_key
from perceiver.errors import ConfigError
from perceiver.wording import nearest, shown


def check_names(findings: Findings, vary: Vary) -> None:
    """The factors are keys of the configuration: all that can be said without a baseline."""
    for key in getattr(vary, "factors", {}):
        _is_factor(findings, key, ("vary", "factors", key), "vary.factors")


def check_vary(findings: Findings, vary: Vary, baseline: RunConfig) -> None:
    """Factors, points or components are ones that the configuration has."""
    if isinstance(vary, Listed):
        _check_points(findings, vary, baseline)
        leaders = {key for point in vary.points for key in dotted(point)}
    elif isinstance(vary, LeaveOneOut):
        _check_components(findings, vary, baseline)
        leaders = {key for name, off in vary.components.items() for key in dotted({name: off})}
    else:
        for key, factor in vary.factors.items():
            _check_factor(findings, key, factor, baseline, finite=isinstance(vary, OneFactor | Grid))
        leaders = set(vary.factors)
        _check_overlaps(findings, vary.factors)
        _check_conditions(findings, Space(baseline, vary.factors, vary.where))
    if vary.where and isinstance(vary, Listed | LeaveOneOut):
        findings.say(("vary", "where"), f"vary.where: by: {vary.by} has no factors that could be conditional")
    if isinstance(vary, OneFactor):
        _check_pairs(findings, vary)
    for key, tie in vary.ties.items():
        _check_tie(findings, key, tie, leaders, baseline)
        _check_table(findings, key, tie, getattr(vary, "factors", {}).get(tie.follows))
    if vary.match is not None:
        _check_match(findings, vary.match, leaders, baseline)


def _check_factor(
    findings: Findings, key: str, factor: Sequence[Any] | Range, baseline: RunConfig, finite: bool
) -> None:
    path = ("vary", "factors", key)
    if not _is_factor(findings, key, path, "vary.factors"):
        return
    if absent := _absent_around(key, baseline):
        findings.say(path, f"{key}: the baseline has no {absent}; vary that, or set it first (set: {{{absent}: {{}}}})")
    if isinstance(factor, Range):
        _check_range(findings, key, factor, baseline)
        return
    seen: list[Any] = []
    for index, level in enumerate(factor):
        value = _level(findings, key, level, baseline, (*path, index))
        if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in seen):
            findings.say((*path, index), f"{key}: {level_text(value)} is in the list twice")
        seen.append(value)
    if finite and seen == [nested_value(baseline, key)]:
        findings.say(
            path, f"{key}: {level_text(seen[0])} is the baseline's own level, and there is no other to compare"
        )


def _check_range(findings: Findings, key: str, factor: Range, baseline: RunConfig) -> None:
    kind = type_of(key)
    if kind not in (int, float):
        findings.say(("vary", "factors", key), f"{key}: a range needs a key that holds a number; list the levels")
        return
    for end in ("low", "high"):
        _level(findings, key, getattr(factor, end), baseline, ("vary", "factors", key, end))
    if kind is int and isinstance(factor.step, float):
        findings.say(("vary", "factors", key, "step"), f"{key}: step {factor.step} is no whole number")


def _level(findings: Findings, key: str, level: Any, baseline: RunConfig, path: KeyPath) -> Any:
    """The level as the configuration holds it; rules between several keys are left to whole configurations."""
    try:
        return nested_value(apply(baseline, {key: level}), key)
    except ConfigError as error:
        for mistake in error.mistakes:
            if mistake.key.startswith(key):
                findings.say(path, str(mistake))
        return level


def _check_overlaps(findings: Findings, factors: Mapping[str, Sequence[Any] | Range]) -> None:
    """A part with a level of several keys varies each of them; a factor of its own may not do so again."""
    for part, levels in factors.items():
        inside = {key for level in levels if isinstance(level, Mapping) for key in dotted({part: level})}
        for other in factors:
            if other != part and any(_overlap(key, other) for key in inside):
                findings.say(("vary", "factors", other), f"{other} is varied twice: here, and by the levels of {part}")


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _check_points(findings: Findings, vary: Listed, baseline: RunConfig) -> None:
    names = [point["name"] for point in vary.points if "name" in point]
    for index, point in enumerate(vary.points):
        path = ("vary", "points", index)
        changes = {key: value for key, value in point.items() if key != "name"}
        if not changes:
            findings.say(path, f"vary.points.{index}: this point changes nothing; the baseline is always there")
        findings.changed(baseline, changes, path)
        name = point.get("name", "")
        if not isinstance(name, str) or len(name) > 250 or "\n" in name:
            findings.say((*path, "name"), f"vary.points.{index}.name: expected a line of text, got {shown(name)}")
        elif name == BASELINE:
            findings.say((*path, "name"), f"vary.points.{index}.name: {name} is the name of the baseline itself")
        elif name and names.count(name) > 1:
            findings.say((*path, "name"), f"vary.points.{index}.name: {name} is the name of two points")


def _check_components(findings: Findings, vary: LeaveOneOut, baseline: RunConfig) -> None:
    for name, off in vary.components.items():
        path = ("vary", "components", name)
        changes = dotted(off if isinstance(off, Mapping) and name not in all_keys() else {name: off})
        before = len(findings.mistakes)
        if findings.changed(baseline, changes, path) == baseline and len(findings.mistakes) == before:
            findings.say(path, f"vary.components: {name} is already left out of the baseline")


def _check_conditions(findings: Findings, space: Space) -> None:
    for index, condition in enumerate(space.where):
        path, before = ("vary", "where", index), len(findings.mistakes)
        if condition.factor not in space.factors:
            close = nearest(condition.factor, space.factors)
            findings.say(path, f"vary.where: {condition.factor} is none of the factors. Nearest: {close}")
        elif way := space.cycle(condition.factor):
            findings.say(path, f"vary.where: a circle that can never hold: {' needs '.join(way)}")
        for key, levels in condition.when.items():
            _check_reachable(
                findings, space, key, levels if isinstance(levels, list) else [levels], (*path, "when", key)
            )
        if len(findings.mistakes) == before and space.requirements(condition.factor) is None:
            findings.say(
                path, f"vary.where: can never hold: the conditions of {condition.factor} contradict each other"
            )


def _check_reachable(findings: Findings, space: Space, key: str, levels: list[Any], path: KeyPath) -> None:
    if key not in all_keys():
        close = nearest_key(key)
        findings.say(path, f"vary.where: {key} is not a key of the configuration. Nearest: {close}")
        return
    factor = space.factors.get(key, ())
    if isinstance(factor, Range):
        if not any(isinstance(level, int | float) and factor.low <= level <= factor.high for level in levels):
            findings.say(path, f"vary.where: can never hold: {key} lies from {factor.low} to {factor.high}")
        return
    possible = [*factor, space.value(key, {})]
    if not any(level in possible for level in levels):
        have = ", ".join(dict.fromkeys(level_text(level) for level in possible))
        findings.say(path, f"vary.where: can never hold: {key} is only ever {have}")


def _check_pairs(findings: Findings, vary: OneFactor) -> None:
    for index, pair in enumerate(vary.pairs if isinstance(vary.pairs, list) else []):
        for name in pair:
            if name not in vary.factors:
                close = nearest(name, vary.factors)
                findings.say(("vary", "pairs", index), f"vary.pairs: {name} is none of the factors. Nearest: {close}")
        if pair[0] == pair[1]:
            findings.say(("vary", "pairs", index), f"vary.pairs: {pair[0]} is paired with itself")


def _check_tie(findings: Findings, key: str, tie: Tie, leaders: set[str], baseline: RunConfig) -> None:
    path = ("vary", "ties", key)
    if not _is_factor(findings, key, path, "vary.ties"):
        return
    if key in leaders:
        findings.say(path, f"vary.ties: {key} is a factor and can't follow one as well")
    if tie.follows not in leaders:
        close = nearest(tie.follows, leaders)
        findings.say((*path, "follows"), f"vary.ties: {tie.follows} is none of the factors. Nearest: {close}")
    elif tie.power is not None and not {type_of(key), type_of(tie.follows)} <= {int, float}:
        findings.say((*path, "power"), f"vary.ties: a power needs numbers, and {key} or {tie.follows} is none")
    elif tie.power is not None:
        for each in (key, tie.follows):
            if not (value := nested_value(baseline, each)):
                findings.say(
                    path, f"vary.ties: {each} is {level_text(value)} in the baseline, and a power needs a start"
                )


def _check_table(findings: Findings, key: str, tie: Tie, levels: Sequence[Any] | Range | None) -> None:
    if tie.levels is None or levels is None or isinstance(levels, Range):
        return
    known = [level_text(level) for level in levels]
    for level in tie.levels:
        if level not in known:
            findings.say(
                ("vary", "ties", key, "levels", level),
                f"vary.ties: {level} is no level of {tie.follows}. Its levels: {', '.join(known)}",
            )


def _check_match(findings: Findings, match: Match, leaders: set[str], baseline: RunConfig) -> None:
    path = ("vary", "match", "solve")
    if not _is_factor(findings, match.solve, path, "vary.match.solve"):
        return
    if match.solve in leaders:
        findings.say(path, f"vary.match.solve: {match.solve} is a factor and can't be solved for")
    elif not match.solve.startswith("model.") or type_of(match.solve) is not int:
        findings.say(path, f"vary.match.solve: {match.solve} is no whole number of the model")
    elif absent := _absent_around(match.solve, baseline):
        findings.say(path, f"vary.match.solve: {match.solve}: the baseline has no {absent}")


def _is_factor(findings: Findings, key: str, path: KeyPath, name: str) -> bool:
    if key not in all_keys():
        findings.say(path, f"{name}: {key} is not a key of the configuration. Nearest: {nearest_key(key)}")
    elif key == SEED:
        findings.say(path, f"{name}: {SEED} is given by `seeds:` of the sweep")
    elif not is_part(key) and is_speed_only(key):
        findings.say(path, f"{name}: {key} changes speed and not results, so its trials would be the same; use set:")
    else:
        return True
    return False


def _absent_around(key: str, baseline: RunConfig) -> str | None:
    """The part around `key` that the baseline lacks."""
    absent = [name for name, value in flatten(baseline).items() if value is None]
    return next((name for name in absent if key.startswith(f"{name}.")), None)
