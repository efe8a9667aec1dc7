"""Every mistake that a sweep file can hold beyond its form: keys, levels, conditions, ties, scores."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.errors import Mistake
from orchestrator.plan.changes import SEED, apply, dotted, level_text, nested_value
from orchestrator.plan.document import Document
from orchestrator.plan.space import Space, is_part, type_of
from orchestrator.plan.vary import Grid, LeaveOneOut, Listed, Match, OneFactor, Range, Tie, Vary
from perceiver.config import RunConfig, all_keys, flatten, is_speed_only, nearest_key
from perceiver.errors import ConfigError
from perceiver.wording import nearest, shown

METRICS = (
    "eval/mAP",
    "eval/AUC",
    "eval/d_prime",
    "eval/loss",
    "eval/mAP_audio_only",
    "eval/mAP_video_only",
    "train/loss",
    "train/clips_per_second",
    "cost/gpu_hours",
    "cost/peak_memory_bytes",
    "cost/flops",
)
_BOTH_MODALITIES = ("eval/mAP_audio_only", "eval/mAP_video_only")


class Checker:
    """Collects `mistakes` while the parts of one sweep file are checked against its base."""

    def __init__(self, document: Document, base: RunConfig) -> None:
        self.document = document
        self.base = base
        self.mistakes: list[Mistake] = []

    def say(self, path: Sequence[str | int], message: str) -> None:
        """Notes a mistake at a path of the file."""
        self.mistakes.append(self.document.mistake(path, message))

    def changed(self, changes: Mapping[str, Any], path: tuple[str | int, ...]) -> RunConfig:
        """The base with changes; where they hold mistakes, those are noted and the base itself comes back."""
        name = ".".join(str(part) for part in path)
        if SEED in dotted(changes):
            self.say((*path, SEED), f"{name}: {SEED} is given by seeds: of the sweep")
        try:
            return apply(self.base, changes)
        except ConfigError as error:
            for mistake in error.mistakes:
                self.say(self._written(path, mistake.key), f"{name}: {mistake}")
            return self.base

    def check_score(self, scores: Sequence[Any], baseline: RunConfig) -> None:
        """The metrics exist, for this model too."""
        for score in scores:
            if score.metric not in METRICS:
                close = nearest(score.metric, METRICS)
                self.say(("score", "metric"), f"score.metric: {score.metric} is no metric. Nearest: {close}")
            elif score.metric in _BOTH_MODALITIES and len(baseline.model.inputs.modalities) < 2:
                self.say(("score", "metric"), f"score.metric: {score.metric} needs a baseline with audio and video")

    def check_final(self, final: Mapping[str, Any], baseline: RunConfig) -> None:
        """The changes of the final run fit the baseline."""
        self.base = baseline
        self.changed(final, ("final",))

    def check_stop_early(self, rule: Any, baseline: RunConfig) -> None:
        """There is an evaluation after the grace."""
        if rule is not None and rule.grace >= baseline.eval.times:
            self.say(
                ("stop_early", "grace"),
                f"stop_early.grace: {rule.grace} leaves nothing to stop: a trial has eval.times {baseline.eval.times}",
            )

    def check_vary(self, vary: Vary, baseline: RunConfig) -> None:
        """Factors, points or components are ones that the configuration has."""
        if isinstance(vary, Listed):
            self._check_points(vary, baseline)
            leaders = {key for point in vary.points for key in dotted(point)}
        elif isinstance(vary, LeaveOneOut):
            self._check_components(vary, baseline)
            leaders = {key for name, off in vary.components.items() for key in dotted({name: off})}
        else:
            for key, factor in vary.factors.items():
                self._check_factor(key, factor, baseline, finite=isinstance(vary, OneFactor | Grid))
            leaders = set(vary.factors)
            self._check_conditions(Space(baseline, vary.factors, vary.where))
        if vary.where and isinstance(vary, Listed | LeaveOneOut):
            self.say(("vary", "where"), f"vary.where: by: {vary.by} has no factors that could be conditional")
        if isinstance(vary, OneFactor):
            self._check_pairs(vary)
        for key, tie in vary.ties.items():
            self._check_tie(key, tie, leaders)
        if vary.match is not None:
            self._check_match(vary.match, leaders)

    def _check_factor(self, key: str, factor: Sequence[Any] | Range, baseline: RunConfig, finite: bool) -> None:
        path = ("vary", "factors", key)
        if not self._is_factor(key, path, "vary.factors"):
            return
        if absent := _absent_around(key, baseline):
            self.say(path, f"{key}: the baseline has no {absent}; vary that, or set it first (set: {{{absent}: {{}}}})")
        if isinstance(factor, Range):
            self._check_range(key, factor, baseline)
            return
        seen: list[Any] = []
        for index, level in enumerate(factor):
            value = self._level(key, level, baseline, (*path, index))
            if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in seen):
                self.say((*path, index), f"{key}: {level_text(value)} is in the list twice")
            seen.append(value)
        if finite and seen == [nested_value(baseline, key)]:
            self.say(
                path, f"{key}: {level_text(seen[0])} is the baseline's own level, and there is no other to compare"
            )

    def _check_range(self, key: str, factor: Range, baseline: RunConfig) -> None:
        kind = type_of(key)
        if kind not in (int, float):
            self.say(("vary", "factors", key), f"{key}: a range needs a key that holds a number; list the levels")
            return
        for end in ("low", "high"):
            self._level(key, getattr(factor, end), baseline, ("vary", "factors", key, end))
        if kind is int and isinstance(factor.step, float):
            self.say(("vary", "factors", key, "step"), f"{key}: step {factor.step} is no whole number")

    def _level(self, key: str, level: Any, baseline: RunConfig, path: tuple[str | int, ...]) -> Any:
        """The level as the configuration holds it; rules between several keys are left to whole configurations."""
        try:
            return nested_value(apply(baseline, {key: level}), key)
        except ConfigError as error:
            for mistake in error.mistakes:
                if mistake.key.startswith(key):
                    self.say(path, str(mistake))
            return level

    def _check_points(self, vary: Listed, baseline: RunConfig) -> None:
        self.base = baseline
        names = [point["name"] for point in vary.points if "name" in point]
        for index, point in enumerate(vary.points):
            path = ("vary", "points", index)
            changes = {key: value for key, value in point.items() if key != "name"}
            if not changes:
                self.say(path, f"vary.points.{index}: this point changes nothing; the baseline is always there")
            self.changed(changes, path)
            name = point.get("name", "")
            if not isinstance(name, str) or len(name) > 250 or "\n" in name:
                self.say((*path, "name"), f"vary.points.{index}.name: expected a line of text, got {shown(name)}")
            elif name and names.count(name) > 1:
                self.say((*path, "name"), f"vary.points.{index}.name: {name} is the name of two points")

    def _check_components(self, vary: LeaveOneOut, baseline: RunConfig) -> None:
        self.base = baseline
        for name, off in vary.components.items():
            path = ("vary", "components", name)
            changes = dotted(off if isinstance(off, Mapping) and name not in all_keys() else {name: off})
            before = len(self.mistakes)
            if self.changed(changes, path) == baseline and len(self.mistakes) == before:
                self.say(path, f"vary.components: {name} is already left out of the baseline")

    def _check_conditions(self, space: Space) -> None:
        for index, condition in enumerate(space.where):
            path = ("vary", "where", index)
            if condition.factor not in space.factors:
                close = nearest(condition.factor, space.factors)
                self.say(path, f"vary.where: {condition.factor} is none of the factors. Nearest: {close}")
            elif way := space.cycle(condition.factor):
                self.say(path, f"vary.where: a circle that can never hold: {' needs '.join(way)}")
            for key, levels in condition.when.items():
                self._check_reachable(
                    space, key, levels if isinstance(levels, list) else [levels], (*path, "when", key)
                )

    def _check_reachable(self, space: Space, key: str, levels: list[Any], path: tuple[str | int, ...]) -> None:
        if key not in all_keys():
            close = nearest_key(key)
            self.say(path, f"vary.where: {key} is not a key of the configuration. Nearest: {close}")
            return
        factor = space.factors.get(key, ())
        if isinstance(factor, Range):
            if not any(isinstance(level, int | float) and factor.low <= level <= factor.high for level in levels):
                self.say(path, f"vary.where: can never hold: {key} lies from {factor.low} to {factor.high}")
            return
        possible = [*factor, space.value(key, {})]
        if not any(level in possible for level in levels):
            have = ", ".join(dict.fromkeys(level_text(level) for level in possible))
            self.say(path, f"vary.where: can never hold: {key} is only ever {have}")

    def _check_pairs(self, vary: OneFactor) -> None:
        for index, pair in enumerate(vary.pairs if isinstance(vary.pairs, list) else []):
            for name in pair:
                if name not in vary.factors:
                    close = nearest(name, vary.factors)
                    self.say(("vary", "pairs", index), f"vary.pairs: {name} is none of the factors. Nearest: {close}")
            if pair[0] == pair[1]:
                self.say(("vary", "pairs", index), f"vary.pairs: {pair[0]} is paired with itself")

    def _check_tie(self, key: str, tie: Tie, leaders: set[str]) -> None:
        path = ("vary", "ties", key)
        if not self._is_factor(key, path, "vary.ties"):
            return
        if key in leaders:
            self.say(path, f"vary.ties: {key} is a factor and can't follow one as well")
        if tie.follows not in leaders:
            close = nearest(tie.follows, leaders)
            self.say((*path, "follows"), f"vary.ties: {tie.follows} is none of the factors. Nearest: {close}")
        elif tie.power is not None and not {type_of(key), type_of(tie.follows)} <= {int, float}:
            self.say((*path, "power"), f"vary.ties: a power needs numbers, and {key} or {tie.follows} is none")

    def _check_match(self, match: Match, leaders: set[str]) -> None:
        path = ("vary", "match", "solve")
        if not self._is_factor(match.solve, path, "vary.match.solve"):
            return
        if match.solve in leaders:
            self.say(path, f"vary.match.solve: {match.solve} is a factor and can't be solved for")
        elif not match.solve.startswith("model.") or type_of(match.solve) is not int:
            self.say(path, f"vary.match.solve: {match.solve} is no whole number of the model")

    def _is_factor(self, key: str, path: tuple[str | int, ...], name: str) -> bool:
        if key not in all_keys():
            self.say(path, f"{name}: {key} is not a key of the configuration. Nearest: {nearest_key(key)}")
        elif key == SEED:
            self.say(path, f"{name}: {SEED} is given by seeds: of the sweep")
        elif not is_part(key) and is_speed_only(key):
            self.say(path, f"{name}: {key} changes speed and not results, so its trials would be the same; use set:")
        else:
            return True
        return False

    def _written(self, path: tuple[str | int, ...], key: str) -> tuple[str | int, ...]:
        """The place of a dotted key below `path`, written dotted, nested, or part and part."""
        parts = key.split(".")
        for count in range(len(parts), 0, -1):
            deeper = (*path, ".".join(parts[:count]))
            if deeper in self.document.places:
                return self._written(deeper, ".".join(parts[count:])) if count < len(parts) else deeper
        return path


def _absent_around(key: str, baseline: RunConfig) -> str | None:
    """The part around `key` that the baseline lacks."""
    absent = [name for name, value in flatten(baseline).items() if value is None]
    return next((name for name in absent if key.startswith(f"{name}.")), None)
