"""Adaptive search: Optuna's samplers behind ask and tell. Runs on: the driver. Knows neither Ray nor MLflow.

    study = Study(sweep)
    proposal = study.ask()                                   # None when the space is used up
    study.tell(proposal.number, [(1, 0.2), (2, 0.4)], "finished")

A study is a list of what was proposed and what came of it, and the next proposal is a function of that list and of the
sweep's seed: a study that a later process fills with `restore` goes on as the first would have. What Ray's OptunaSearch
gets wrong (facts/ray.md, 2) is right here: a trial that was stopped early is pruned, with its intermediate values; one
that failed, or ended with NaN, has failed; several scores work.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.errors import OrchestratorError
from orchestrator.plan.identity import canonical
from orchestrator.plan.levels import level_near
from orchestrator.plan.named import proposable
from orchestrator.plan.planner import Proposal, name_point
from orchestrator.plan.space import Space, type_of
from orchestrator.plan.spec import Sweep
from orchestrator.plan.untried import untried
from orchestrator.plan.vary import Adaptive, Range
from perceiver.config import RunConfig

Ended = Literal["finished", "stopped", "failed"]
History = Sequence[tuple[int, float | Sequence[float]]]
"""(evaluation, score or scores) of a trial; the last one counts."""

_TRIES = 200
"""Proposals that can't run, are too large or were made before, after which the space counts as used up."""
_MOST_STEPS = 1_000_000
"""Optuna refuses its own levels where they are very many more steps from zero: it draws those without steps."""
_GENERATION = "NSGAIISampler:generation"
"""Where NSGA-II looks for a trial's generation."""


@dataclass(frozen=True)
class _Record:
    """A point, and what Optuna is told of it."""

    changes: dict[str, Any]
    state: TrialState = TrialState.RUNNING
    values: list[float] | None = None
    intermediate: dict[int, float] = field(default_factory=dict)


class Study:
    """One adaptive search."""

    def __init__(self, sweep: Sweep, fits: Callable[[RunConfig], bool] = lambda config: True) -> None:
        """`fits`: whether a config can be run here, beyond the sweep's own limits on models."""
        if not isinstance(sweep.vary, Adaptive):
            raise OrchestratorError(f"sweep {sweep.name} is {sweep.vary.by}: there is nothing to search")
        self.sweep, self.vary = sweep, sweep.vary
        self.space = Space(sweep.baseline, sweep.vary.factors, sweep.vary.where)
        self._fits = fits
        self._known: list[_Record] = []
        self._proposed: list[_Record] = []
        self._tried = {canonical(name_point(sweep, {})[2])}
        optuna.logging.set_verbosity(optuna.logging.ERROR)

    def ask(self) -> Proposal | None:
        """The next point; None when no new one is found."""
        few = untried(self.sweep, self._tried, self._fits)
        missed = next(few, None) if few is not None else None
        if few is not None and missed is None:
            return None
        refused: list[_Record] = []
        for attempt in range(_TRIES):
            changes = self._draw(attempt, refused)
            if (config := proposable(self.sweep, changes, self._tried, self._fits)) is not None:
                return self._note(changes, canonical(config))
            refused.append(_Record(changes))
        return None if missed is None else self._note(missed[0], canonical(missed[1]))  # what chance did not find

    def tell(self, number: int, history: History, ended: Ended) -> None:
        """What became of a proposal.

        Raises:
            OrchestratorError: the number was not asked for, or told before.
        """
        if not 0 <= number < len(self._proposed) or self._proposed[number].state != TrialState.RUNNING:
            raise OrchestratorError(f"proposal {number} of {self.sweep.name} was not asked for, or told before")
        self._proposed[number] = _told(self._proposed[number].changes, history, ended, len(self.sweep.scores))

    def restore(self, changes: Mapping[str, Any]) -> Proposal:
        """Puts in a proposal that an earlier process made, in the order of their numbers; `tell` says what came of it.

        Raises:
            ConfigError: it can't be run with this sweep.
        """
        return self._note(dict(changes), canonical(name_point(self.sweep, changes)[2]))

    def learn(self, changes: Mapping[str, Any], values: Sequence[float]) -> bool:
        """Takes in a result that this search did not propose, such as the baseline's.

        Whether it did: it has to lie in the space, and a point's first result counts.
        """
        point = self.space.point(changes)
        if point is None or not all(map(math.isfinite, values)) or any(point == known.changes for known in self._known):
            return False
        self._known.append(_Record(point, TrialState.COMPLETE, list(values)))
        return True

    def _note(self, changes: dict[str, Any], name: str) -> Proposal:
        self._tried.add(name)
        self._proposed.append(_Record(changes))
        return Proposal(len(self._proposed) - 1, changes)

    def _draw(self, attempt: int, refused: Sequence[_Record]) -> dict[str, Any]:
        """What the sampler proposes after all that is on record.

        What was refused just now is shown as running, from which TPE keeps away: it would insist on a level that it
        has never seen. From half of the tries on, points are drawn at random.
        """
        number = len(self._proposed)
        seed = ((self.vary.seed * 1_000_003 + number) * 1_009 + attempt) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GP and group are experimental; a step need not lead to `high` exactly
            directions = [score.goal for score in self.sweep.scores]
            sampler = _sampler(self.vary, seed) if attempt < _TRIES // 2 else optuna.samplers.RandomSampler(seed)
            study = optuna.create_study(directions=directions, sampler=sampler)
            study.add_trials(list(self._frozen(refused)))
            trial = study.ask()
            chosen: dict[str, Any] = {}
            for key in self.space.ordered():
                if self.space.is_active(key, chosen):
                    chosen[key] = self._suggest(trial, key)
        return chosen

    def _suggest(self, trial: optuna.Trial, key: str) -> Any:
        """A level. Those of a list are drawn by their place in it."""
        factor, distribution = self.space.factors[key], self._distribution(key)
        if not isinstance(factor, Range):
            return factor[trial.suggest_categorical(key, range(len(factor)))]
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        whole = isinstance(distribution, IntDistribution)
        suggest: Callable[..., float] = trial.suggest_int if whole else trial.suggest_float
        ends = (distribution.low, distribution.high)
        return level_near(factor, suggest(key, *ends, step=distribution.step, log=distribution.log), whole)

    def _frozen(self, refused: Sequence[_Record]) -> Iterator[FrozenTrial]:
        """The records as Optuna has them."""
        size, completed = max(2, self.vary.startup), 0
        for index, record in enumerate([*self._known, *self._proposed, *refused]):
            generation = completed // size  # of results, as Optuna counts: one without two parents ends in an error
            if index >= len(self._known):
                completed += record.state == TrialState.COMPLETE
            yield create_trial(
                state=record.state,
                params={key: self._place(key, level) for key, level in record.changes.items()},
                distributions={key: self._distribution(key) for key in record.changes},
                values=record.values,
                intermediate_values=record.intermediate,
                system_attrs={_GENERATION: generation} if self.vary.by == "nsga2" else {},
            )

    def _distribution(self, key: str) -> BaseDistribution:
        factor = self.space.factors[key]
        if not isinstance(factor, Range):
            return CategoricalDistribution(range(len(factor)))
        log = factor.scale == "log"
        if type_of(key) is int:
            return IntDistribution(int(factor.low), int(factor.high), log, int(factor.step or 1))
        fine = factor.step is not None and max(abs(factor.low), abs(factor.high)) > _MOST_STEPS * factor.step
        step = None if fine else factor.step
        return FloatDistribution(float(factor.low), float(factor.high), log, step)

    def _place(self, key: str, level: Any) -> Any:
        factor = self.space.factors[key]
        if isinstance(factor, Range):
            return level_near(factor, level, whole=type_of(key) is int)
        return list(factor).index(level)


def _told(changes: dict[str, Any], history: History, ended: Ended, scores: int) -> _Record:
    """A failure, or a score that is not finite, has no value; intermediate values exist for a single score."""
    record = _Record(changes, TrialState.FAIL)
    rows = [(step, [value] if isinstance(value, int | float) else list(value)) for step, value in history]
    last = rows[-1][1] if rows else []
    if ended == "failed" or len(last) != scores or not all(map(math.isfinite, last)):
        return record
    values = [float(value) for value in last]
    state = TrialState.PRUNED if ended == "stopped" else TrialState.COMPLETE
    if scores > 1:  # intermediate values are for one score, and a part of a trial would look cheap beside whole ones
        return replace(record, state=state, values=None if ended == "stopped" else values)
    intermediate = {step: float(row[0]) for step, row in rows if math.isfinite(row[0])}
    return replace(record, state=state, values=values, intermediate=intermediate)


def _sampler(vary: Adaptive, seed: int) -> optuna.samplers.BaseSampler:
    if vary.by == "gp":
        return optuna.samplers.GPSampler(n_startup_trials=vary.startup, seed=seed)
    if vary.by == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=max(2, vary.startup), seed=seed)
    # With constant_liar running trials count as bad ones, so that trials side by side spread out.
    return optuna.samplers.TPESampler(
        n_startup_trials=vary.startup, multivariate=True, group=True, constant_liar=True, seed=seed
    )
