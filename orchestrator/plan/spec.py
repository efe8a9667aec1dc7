"""A sweep file: one question as YAML in, a checked `Sweep` out, or all of the file's mistakes at once.

    sweep = load_sweep("sweeps/video_dropout.yaml")
    sweep.baseline.train.video_dropout        # 0.3

`SweepFile` is the file's form (and the source of its JSON Schema), `Sweep` is what it means: the base is read, the
changes are in it, every factor and level is one that the configuration has. `planner.py` makes trials of it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from orchestrator.errors import Mistake, SpecError
from orchestrator.plan import document as files
from orchestrator.plan.bases import load_base
from orchestrator.plan.changes import apply
from orchestrator.plan.check import check
from orchestrator.plan.document import Document
from orchestrator.plan.form import examine, overridden
from orchestrator.plan.quantity import Quantity
from orchestrator.plan.vary import Part, Vary, one_or_many
from perceiver.config import RunConfig, completed
from perceiver.wording import shown

_NAME = re.compile(r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$")

Promoted = Callable[[str], RunConfig]


class Score(Part):
    """The metric that ranks."""

    metric: str = "eval/mAP"
    """Name of a metric, such as eval/mAP, eval/AUC, eval/loss, cost/gpu_hours."""
    goal: Literal["maximize", "minimize"] = "maximize"
    """Which end is better."""


class Limits(Part):
    """What no trial, or the whole sweep, may exceed; a plan beyond them is infeasible."""

    parameters: Quantity | None = None
    """Parameters of a model: 150M."""
    flops: Quantity | None = None
    """FLOPs of one clip's forward pass: 200G."""
    memory_per_gpu: Quantity | None = None
    """Estimated peak memory of one worker: 70GiB."""
    gpu_hours: Quantity | None = None
    """GPU-hours of all trials together."""
    dollars: Quantity | None = None
    """Dollars of all trials together."""


class StopEarly(Part):
    """Ends trials that fall behind. The unit is evaluations: a trial has `eval.times` of them."""

    rule: Literal["asha", "hyperband", "median"]
    """asha and hyperband compare at rungs and keep the best; median stops what is below the others' median."""
    grace: Annotated[int, Field(ge=1)] = 1
    """Evaluations that every trial may make."""
    reduction: Annotated[int, Field(ge=2, le=16)] = 3
    """One in so many goes on from a rung to the next; rungs lie at grace x reduction^n."""


def _seeds(value: Any) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= 1000:
            raise ValueError(f"expected 1 to 1000 seeds, got {value}")
        return tuple(range(value))
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"expected a whole number or a list of them, got {shown(value)}")
    for seed in value:
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
            raise ValueError(f"expected a list of whole numbers from 0 to 2147483647, got {shown(seed)} in it")
    if len(set(value)) < len(value):
        raise ValueError(f"a seed is in the list twice: {shown(list(value))}")
    return tuple(value)


_SEEDS_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 1000},
        {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True},
    ]
}


def _name(value: Any) -> Any:
    if isinstance(value, str) and not _NAME.match(value):
        fitting = re.sub(r"[^a-z0-9_]+", "-", value.lower()).strip("-_")[:64]
        hint = f". Perhaps: {fitting}" if fitting else ""
        raise ValueError(f"expected up to 64 small letters, digits, - and _, got {shown(value)}{hint}")
    return value


class SweepFile(Part):
    """A sweep: one question, a baseline, the factors that vary, how they are combined, how many seeds."""

    sweep: Annotated[str, BeforeValidator(_name), WithJsonSchema({"type": "string", "pattern": _NAME.pattern})]
    """Its name: small letters, digits, - and _. The MLflow experiment and the folder on storage have it."""
    question: str = ""
    """What the sweep is to answer, in a sentence."""
    base: str
    """A name in sweeps/base, a path relative to this file, or promoted:<registered model>."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Changes to the base that make the baseline: dotted key -> value."""
    score: Annotated[
        Annotated[Score, Tag("one")] | Annotated[list[Score], Field(min_length=1), Tag("many")],
        Discriminator(one_or_many),
    ] = Score()
    """The metric that ranks; a list of them for nsga2, the first one ranks the board."""
    vary: Vary
    """The factors and how they are combined."""
    seeds: Annotated[tuple[int, ...], BeforeValidator(_seeds), WithJsonSchema(_SEEDS_SCHEMA)] = (0,)
    """How many replicates of each configuration (seeds 0, 1, ...), or the list of their seeds."""
    limits: Limits = Limits()
    """What trials may not exceed."""
    stop_early: StopEarly | None = None
    """A rule that ends trials which fall behind."""
    replicate_top: Annotated[int, Field(ge=1)] = 5
    """Adaptive search: each proposal runs with one seed; so many leaders then run with all of them."""
    warm_start: list[str] = Field(default_factory=list)
    """Adaptive search: names of earlier sweeps whose results start it."""
    final: dict[str, Any] = Field(default_factory=dict)
    """Changes that `sweep promote` makes to the winner for its final run, such as {train.epochs: 100}."""

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores, one or several."""
        return tuple(self.score) if isinstance(self.score, list) else (self.score,)


@dataclass(frozen=True)
class Sweep:
    """One question, checked and ready to plan."""

    name: str
    question: str
    base: str
    baseline: RunConfig
    scores: tuple[Score, ...]
    vary: Vary
    seeds: tuple[int, ...]
    limits: Limits
    stop_early: StopEarly | None
    replicate_top: int
    warm_start: tuple[str, ...]
    final: dict[str, Any]
    document: Document = field(repr=False, compare=False)
    classes: Mapping[str, int] = field(default_factory=dict)
    """Data set -> classes of its label list, where the baseline leaves `model.classes` open."""

    @property
    def score(self) -> Score:
        """The score that ranks."""
        return self.scores[0]

    @property
    def source(self) -> str:
        """The file that it came from."""
        return self.document.source

    def completed(self, classes: Mapping[str, int]) -> "Sweep":
        """The sweep with `model.classes` as the data sets' label lists have them, where it leaves them open."""
        if self.baseline.model.classes is not None:
            return self
        return replace(self, baseline=completed(self.baseline, classes.get(self.baseline.data.set)), classes=classes)

    def final_config(self, winner: RunConfig) -> RunConfig:
        """The config of the final run that a winner is promoted to.

        Raises:
            ConfigError: the changes of `final:` don't fit this winner.
        """
        return apply(winner, self.final)


def load_sweep(
    path: str | Path, overrides: Mapping[str, Any] | None = None, resolve_promoted: Promoted | None = None
) -> Sweep:
    """The sweep in a YAML file.

    Args:
        path: the file.
        overrides: `--set`: dotted keys of the configuration, or of the sweep file (`seeds`, `vary.trials`), tried in
            place of what the file says and never stored.
        resolve_promoted: the config of a registered model's champion, for `base: promoted:<model>`.

    Raises:
        SpecError: with every mistake in the file, each with its line.
    """
    return _sweep(files.read(path), overrides or {}, resolve_promoted)


def parse_sweep(text: str, source: str = "sweep", overrides: Mapping[str, Any] | None = None) -> Sweep:
    """The sweep in a YAML text; `source` names it in messages, and its folder is where relative bases start."""
    return _sweep(files.parse(text, source), overrides or {}, None)


def _sweep(document: Document, overrides: Mapping[str, Any], resolve_promoted: Promoted | None) -> Sweep:
    document = overridden(document, overrides, tuple(SweepFile.model_fields), into="set")
    form, mistakes = examine(document, SweepFile, stand_ins={"sweep": "unnamed", "base": ""})
    if form is None:
        raise SpecError(document.source, mistakes)
    base = _base(form.base, document, resolve_promoted, mistakes) if form.base else None
    baseline, found = check(document, form, base)
    if mistakes + found or base is None:
        raise SpecError(document.source, mistakes + found)
    return Sweep(
        name=form.sweep,
        question=form.question,
        base=form.base,
        baseline=baseline,
        scores=form.scores,
        vary=form.vary,
        seeds=form.seeds,
        limits=form.limits,
        stop_early=form.stop_early,
        replicate_top=form.replicate_top,
        warm_start=tuple(form.warm_start),
        final=form.final,
        document=document,
    )


def _base(
    name: str, document: Document, resolve_promoted: Promoted | None, mistakes: list[Mistake]
) -> RunConfig | None:
    """The base; None, with its mistakes noted, if it can't be used."""
    try:
        return load_base(name, document, resolve_promoted)
    except SpecError as error:
        mistakes += error.mistakes
        return None
