"""What a sweep file may say under `vary:`, one class per way of combining factors.

The classes only hold what was written and check its form; `combine.py` makes configurations of it.
"""

import math
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema, model_validator

from perceiver.wording import shown

Key = Annotated[str, Field(min_length=1, description="A dotted key of the configuration.")]
Count = Annotated[int, Field(ge=1)]
Pair = Annotated[list[Key], Field(min_length=2, max_length=2)]


def _list(value: Any) -> Any:
    if _is_from_wandb(value):
        ours = _in_our_form(value)
        if ours.startswith("{"):
            ours = f"the levels as a list, or by: random with {ours}"
        raise ValueError(f"{shown(value)} is W&B's form; write {ours}")
    return value


def _is_from_wandb(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.keys() & {"min", "max", "values", "value", "distribution"})


def _in_our_form(value: dict[str, Any]) -> str:
    """What means the same here, as YAML."""
    if "values" in value:
        return shown(value["values"])
    if "value" in value:
        return shown([value["value"]])
    parts = {"low": value.get("min", value.get("low", "...")), "high": value.get("max", value.get("high", "..."))}
    parts |= {"scale": "log"} if "log" in str(value.get("distribution")) else {}
    parts |= {"step": value["q"]} if "q" in value else {}
    return "{" + ", ".join(f"{key}: {each}" for key, each in parts.items()) + "}"


Levels = Annotated[list[Any], BeforeValidator(_list), Field(min_length=1)]


class Part(BaseModel):
    """A part of a sweep or site file: frozen, strict about types, unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {shown(value)}")
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {shown(value)}")
    return value


def exact(number: float) -> Fraction:
    """The decimal number that a file has: 0.1, not the binary fraction nearest to it."""
    return Fraction(str(number))


Number = Annotated[int | float, BeforeValidator(_number), WithJsonSchema({"type": "number"})]


class Range(Part):
    """Levels between two numbers, both included."""

    low: Number
    """Least level."""
    high: Number
    """Greatest level."""
    scale: Literal["linear", "log"] = "linear"
    """log: every doubling is as likely as the next."""
    step: Number | None = None
    """Levels are low, low + step, low + 2 steps, ... (linear only)."""

    @model_validator(mode="before")
    @classmethod
    def _is_ours(cls, value: Any) -> Any:
        if _is_from_wandb(value):
            raise ValueError(f"{shown(value)} is W&B's form; write {_in_our_form(value)}")
        return value

    @model_validator(mode="after")
    def _is_a_range(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"a log scale can't reach down to {self.low}: low must be above 0")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step {self.step} is not above 0")
        if self.step is not None and self.scale == "log":
            raise ValueError("step needs a linear scale; for a log scale list the levels")
        if self.step is not None and exact(self.step) > exact(self.high) - exact(self.low):
            raise ValueError(f"step {self.step} is more than high - low, {self.high - self.low:g}")
        return self


def _form(value: Any) -> str:
    return "range" if isinstance(value, dict | Range) else "levels"


def one_or_many(value: Any) -> str:
    """Which of two forms a value has: a list, or one of what the list would hold."""
    return "many" if isinstance(value, list | tuple) else "one"


Factor = Annotated[Annotated[Levels, Tag("levels")] | Annotated[Range, Tag("range")], Discriminator(_form)]


class Condition(Part):
    """A factor that exists only when other keys have some of their levels; elsewhere it keeps the baseline's value."""

    factor: Key
    """The factor that is conditional."""
    when: Annotated[dict[Key, Any], Field(min_length=1)]
    """Key -> the level, or list of levels, that it needs to have; all of them together."""


class Tie(Part):
    """A key that follows a factor wherever that differs from the baseline."""

    follows: Key
    """The factor that leads."""
    power: float | None = None
    """The baseline's value times (level / baseline's level) to this power: 1 keeps a ratio, 0.5 its root."""
    levels: dict[str, Any] | None = None
    """A table: the leader's level -> this key's value."""

    @model_validator(mode="after")
    def _follows_one_way(self) -> "Tie":
        if self.power is not None and self.levels is not None:
            raise ValueError(
                "power and levels are two ways to follow: give one of them, or none to take the same level"
            )
        return self


class Match(Part):
    """A key that is solved for, so that every trial costs what the baseline costs."""

    keep: Literal["flops", "parameters"]
    """What stays as in the baseline."""
    solve: Key
    """The key, a whole number, that makes up for the factors."""
    within: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """Largest relative difference."""


class _Combined(Part):
    where: list[Condition] = Field(default_factory=list)
    """Conditions: factors that exist only with some levels of others."""
    ties: dict[Key, Tie] = Field(default_factory=dict)
    """Keys that follow a factor."""
    match: Match | None = None
    """Hold compute or size at the baseline's by solving for one more key."""


class OneFactor(_Combined):
    """The baseline, then each factor alone through its other levels."""

    by: Literal["one-factor"]
    factors: Annotated[dict[Key, Levels], Field(min_length=1)]
    """Dotted key -> levels; the baseline's own level may be among them or not."""
    pairs: Annotated[Annotated[bool, Tag("one")] | Annotated[list[Pair], Tag("many")], Discriminator(one_or_many)] = (
        False
    )
    """Also vary two factors together: true for all pairs, or a list of pairs."""


class LeaveOneOut(_Combined):
    """The baseline, then the baseline without each component in turn."""

    by: Literal["leave-one-out"]
    components: Annotated[dict[str, Any], Field(min_length=1)]
    """Dotted key -> its value when left out; or any name -> a mapping of several such keys."""


class Grid(_Combined):
    """The baseline and every combination of levels."""

    by: Literal["grid"]
    factors: Annotated[dict[Key, Levels], Field(min_length=1)]
    """Dotted key -> levels."""


class Listed(_Combined):
    """The baseline and the points that are written down."""

    by: Literal["list"]
    points: Annotated[list[dict[Key, Any]], Field(min_length=1)]
    """Each a mapping of changes to the baseline. `name`, where given, is what the board calls the point."""


class Sampled(_Combined):
    """The baseline and points drawn from the factors' levels and ranges before anything runs."""

    by: Literal["random", "sobol"]
    trials: Count
    """Points to draw, the baseline not counted."""
    factors: Annotated[dict[Key, Factor], Field(min_length=1)]
    """Dotted key -> levels or a range."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the drawing."""


class Adaptive(_Combined):
    """The baseline and points that a sampler of Optuna proposes from the results so far."""

    by: Literal["tpe", "gp", "nsga2"]
    trials: Count
    """Points to propose, the baseline not counted."""
    factors: Annotated[dict[Key, Factor], Field(min_length=1)]
    """Dotted key -> levels or a range."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the sampler."""
    startup: Annotated[int, Field(ge=1)] = 10
    """Points drawn at random before the sampler learns."""


Vary = Annotated[OneFactor | LeaveOneOut | Grid | Listed | Sampled | Adaptive, Field(discriminator="by")]
