"""What a plan is: trials, configurations, totals; its frozen form beside the results, and what changed since.

`planner.py` makes plans.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.errors import InfeasiblePlan
from orchestrator.plan.data import DataSeen
from orchestrator.plan.estimate import Cost, Estimator, Totals
from orchestrator.plan.limits import altogether, beyond
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Sweep
from orchestrator.plan.vary import Adaptive
from perceiver.config import RunConfig, dump


class TrialState(Protocol):
    """Where a trial stands, from the ledger; its text is what a plan shows."""

    @property
    def state(self) -> str:
        """new, unfinished, finished, stopped or reusable."""

    @property
    def progress(self) -> float:
        """Share that is done and saved."""


@dataclass(frozen=True)
class Proposal:
    """A point that a search wants to try: its number in the search, and the levels of the factors that exist there."""

    number: int
    changes: dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One configuration with one seed."""

    id: str
    """Short hash of the config with its seed."""
    identity: str | None
    """Hash of everything that determines the result; None where the data can't be seen from here."""
    configuration: str
    """The configuration's label; replicates share it."""
    factors: dict[str, Any]
    """What differs from the baseline: dotted key -> level."""
    seed: int
    role: str
    """baseline or trial."""
    config: RunConfig
    data_digest: str | None
    proposal: Proposal | None = None
    """What an adaptive sweep's sampler proposed; None for trials that were listed."""


@dataclass(frozen=True)
class Configuration:
    """Trials that differ only in their seed."""

    label: str
    changes: dict[str, Any]
    config: RunConfig
    trials: tuple[Trial, ...]
    cost: Cost
    """Of one of its trials."""


@dataclass(frozen=True)
class Plan:
    """Everything that a sweep will run."""

    sweep: Sweep
    site: Site
    configurations: tuple[Configuration, ...]
    code_digest: str
    data: DataSeen
    totals: Totals
    to_propose: int = 0
    """Configurations that an adaptive sampler will still propose."""
    trials: tuple[Trial, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trials", tuple(trial for each in self.configurations for trial in each.trials))

    @property
    def data_digest(self) -> str | None:
        """The digest of the baseline's data set; None where it can't be seen from here."""
        return self.data.digest(self.sweep.baseline.data.set)

    def fewer_proposals(self) -> list[str]:
        """What to say where a search will find fewer points than it is asked for."""
        if not isinstance(self.sweep.vary, Adaptive):
            return []
        asked, found = self.sweep.vary.trials, len(self.configurations) - 1 + self.to_propose
        line = f"{asked - found} of {asked} proposals are not made: no other point can be run within the limits"
        return [line] if found < asked else []

    def left(self, states: Mapping[str, TrialState]) -> Totals:
        """What is left to pay: trials that are there cost nothing more, and one that was begun its rest."""
        shares = {key: 1 - state.progress for key, state in states.items() if state.state == "unfinished"}
        shares |= dict.fromkeys(done(states), 0.0)
        each = ((each.cost, shares.get(trial.id, 1.0)) for each in self.configurations for trial in each.trials)
        return Estimator(self.site, self.data).totals(each)

    def competes(self, trial: Trial) -> bool:
        """Whether `stop_early` compares the trial with others.

        In an adaptive sweep only trials with the first seed, which every proposal has: a leader's replicates would
        count several times.
        """
        return not isinstance(self.sweep.vary, Adaptive) or trial.seed == self.sweep.seeds[0]

    def may_stop(self, trial: Trial) -> bool:
        """Whether `stop_early` may end the trial: not the baseline, which all others are measured by, nor what is run
        to measure a leader or a winner."""
        return self.sweep.stop_early is not None and trial.role == "trial" and self.competes(trial)

    def problems(self, done: Collection[str] = ()) -> list[str]:
        """Every limit that the plan breaks; trials whose ids are in `done` cost nothing more."""
        limits = self.sweep.limits
        found = [
            f"{each.label}: {problem}"
            for each in self.configurations
            if any(trial.id not in done for trial in each.trials)
            for problem in beyond(each.cost, limits, self.site)
        ]
        left = (each.cost for each in self.configurations for trial in each.trials if trial.id not in done)
        return found + list(altogether(left, limits))

    def require_feasible(self, done: Collection[str] = ()) -> None:
        """Raises InfeasiblePlan, with every limit that the plan breaks."""
        if found := self.problems(done):
            lines = "\n  ".join(found)
            raise InfeasiblePlan(f"{self.sweep.name} is beyond its limits; nothing was started.\n  {lines}")

    def to_json(self, states: Mapping[str, TrialState] | None = None, diff: "PlanDiff | None" = None) -> dict[str, Any]:
        """The plan as one JSON object, with where its trials stand, and what is new since an earlier plan."""
        from orchestrator.plan.report import plan_as_json

        return plan_as_json(self, states or {}, diff)

    def freeze(self) -> dict[str, Any]:
        """The plan as it is kept beside the results, `sweep.json`: trial -> identity, and what makes its config."""
        return {
            "sweep": self.sweep.name,
            "question": self.sweep.question,
            "baseline": dump(self.sweep.baseline),
            "code_digest": self.code_digest,
            "trials": {
                trial.id: {
                    "identity": trial.identity,
                    "configuration": trial.configuration,
                    "role": trial.role,
                    "factors": trial.factors,
                    "seed": trial.seed,
                    "data_digest": trial.data_digest,
                }
                for trial in self.trials
            },
        }

    def diff(self, frozen: Mapping[str, Any]) -> "PlanDiff":
        """What is new, kept and gone since a frozen plan."""
        before = {key: f"{old['configuration']} seed {old['seed']}" for key, old in frozen.get("trials", {}).items()}
        now = {trial.id: f"{trial.configuration} seed {trial.seed}" for trial in self.trials}
        return PlanDiff(
            added={key: name for key, name in now.items() if key not in before},
            kept={key: name for key, name in now.items() if key in before},
            dropped={key: name for key, name in before.items() if key not in now},
        )


def done(states: Mapping[str, TrialState]) -> frozenset[str]:
    """Ids of the trials whose results are there; one that was stopped early is a result."""
    there = ("finished", "reusable", "stopped")
    return frozenset(key for key, state in states.items() if state.state in there)


@dataclass(frozen=True)
class PlanDiff:
    """Trial id -> `configuration seed n`, since an earlier plan. Dropped trials keep their results."""

    added: dict[str, str]
    kept: dict[str, str]
    dropped: dict[str, str]

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.dropped)
