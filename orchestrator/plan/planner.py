"""From a sweep to its trials: every configuration, each with its seeds, ids and identities. Nothing is started.

    plan = plan_sweep(load_sweep("sweeps/smoke.yaml"), load_site("local"))
    [trial.id for trial in plan.trials]

A plan is a pure function of the sweep, the data and the code: planning again gives the same trials in the same order.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from orchestrator.errors import InfeasiblePlan, Mistake, SpecError, UsageError
from orchestrator.plan.changes import BASELINE, SEED, difference, label
from orchestrator.plan.combine import NoMatch, Point, configure, points
from orchestrator.plan.data import DataSeen, look_at
from orchestrator.plan.estimate import Cost, Estimator, Totals
from orchestrator.plan.identity import ID_LENGTH, canonical, code_digest, config_digest, identity
from orchestrator.plan.limits import altogether, beyond, oversized
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Sweep
from orchestrator.plan.vary import Adaptive, Sampled
from perceiver.config import RunConfig, dump
from perceiver.errors import ConfigError

MANY_TRIALS = 100_000
_DRAWS_PER_TRIAL = 100


class TrialState(Protocol):
    """Where a trial stands, from the ledger; its text is what a plan shows."""

    @property
    def state(self) -> str:
        """new, unfinished, finished or reusable."""

    @property
    def progress(self) -> float:
        """Share that is done and saved."""


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

    def problems(self, done: Collection[str] = ()) -> list[str]:
        """Every limit that the plan breaks; trials whose ids are in `done` cost nothing more."""
        limits = self.sweep.limits
        found = [
            f"{each.label}: {problem}"
            for each in self.configurations
            for problem in beyond(each.cost, limits, self.site)
        ]
        left = (each.cost for each in self.configurations for trial in each.trials if trial.id not in done)
        return found + list(altogether(left, limits))

    def require_feasible(self, done: Collection[str] = ()) -> None:
        """Raises InfeasiblePlan, with every limit that the plan breaks."""
        if found := self.problems(done):
            lines = "\n  ".join(found)
            raise InfeasiblePlan(f"{self.sweep.name} is beyond its limits; nothing was started.\n  {lines}")

    def to_json(self, states: Mapping[str, TrialState] | None = None) -> dict[str, Any]:
        """The plan as one JSON object, with where its trials stand."""
        from orchestrator.plan.report import plan_as_json

        return plan_as_json(self, states or {})

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


@dataclass(frozen=True)
class PlanDiff:
    """Trial id -> `configuration seed n`, since an earlier plan. Dropped trials keep their results."""

    added: dict[str, str]
    kept: dict[str, str]
    dropped: dict[str, str]


def plan_sweep(sweep: Sweep, site: Site | None = None, allow_many: bool = False) -> Plan:
    """The plan of a sweep at a site.

    Raises:
        SpecError: combinations that can't be run, or a match that has no solution; all of them.
        UsageError: more than 100,000 trials and not `allow_many`.
    """
    site = site or Site()
    found = _distinct(sweep, allow_many)
    data = look_at(site, {config.data.set for _, _, config in found})
    code = code_digest()
    estimator = Estimator(site, data)
    ids = _Ids()
    configurations = []
    for name, changes, config in found:
        trials = []
        for seed in sweep.seeds if not isinstance(sweep.vary, Adaptive) or name == BASELINE else sweep.seeds[:1]:
            seeded = with_seed(config, seed)
            digest, seen = config_digest(seeded), data.digest(config.data.set)
            whole = identity(digest, seen, code) if seen else None
            role = "baseline" if name == BASELINE else "trial"
            trials.append(Trial(ids.short(digest), whole, name, changes, seed, role, seeded, seen))
        configurations.append(Configuration(name, changes, config, tuple(trials), estimator.cost(config)))
    to_propose = sweep.vary.trials if isinstance(sweep.vary, Adaptive) else 0
    totals = estimator.totals([(each.cost, len(each.trials)) for each in configurations])
    return Plan(sweep, site, tuple(configurations), code, data, totals, to_propose)


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The config with a replicate's seed; no other key can be wrong, so nothing is checked again."""
    return config.model_copy(update={"train": config.train.model_copy(update={SEED.split(".")[1]: seed})})


class _Ids:
    """Short ids: 8 hex digits, more where two would be the same."""

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}

    def short(self, digest: str) -> str:
        length = ID_LENGTH
        while self.taken.setdefault(digest[:length], digest) != digest:
            length += 1
        return digest[:length]


def _distinct(sweep: Sweep, allow_many: bool) -> list[tuple[str, dict[str, Any], RunConfig]]:
    """Label, changes and config of every configuration: the baseline first, each once."""
    baseline = with_seed(sweep.baseline, 0)
    found = {canonical(baseline): (BASELINE, dict[str, Any](), baseline)}
    mistakes: list[Mistake] = []
    order = getattr(sweep.vary, "factors", {})
    for point in _asked(sweep):
        try:
            config = with_seed(configure(sweep.vary, baseline, point.changes), 0)
        except (ConfigError, NoMatch) as error:
            if not isinstance(sweep.vary, Sampled):
                mistakes.append(_cannot_run(sweep, point, error))
            continue
        if isinstance(sweep.vary, Sampled) and oversized(config.model, sweep.limits):
            continue
        changes = difference(baseline, config)
        found.setdefault(canonical(config), (point.name or label(changes, order), changes, config))
        if len(found) * len(sweep.seeds) > MANY_TRIALS and not allow_many:
            raise UsageError(f"{sweep.source} asks for more than {MANY_TRIALS:,} trials. If you mean it, add --yes")
        if isinstance(sweep.vary, Sampled) and len(found) > sweep.vary.trials:
            break
    else:
        if isinstance(sweep.vary, Sampled):
            message = f"vary.trials: {sweep.vary.trials} asked for, but only {len(found) - 1} different ones were found"
            mistakes.append(sweep.document.mistake(("vary", "trials"), message))
    if mistakes:
        raise SpecError(sweep.source, mistakes)
    return list(found.values())


def _asked(sweep: Sweep) -> Iterator[Point]:
    """The sweep's points; of a drawing without end, as many as a patient person would wait for."""
    asked = points(sweep.vary, sweep.baseline)
    if isinstance(sweep.vary, Sampled):
        for _ in range(_DRAWS_PER_TRIAL * sweep.vary.trials):
            yield next(asked)
    else:
        yield from asked


def _cannot_run(sweep: Sweep, point: Point, error: Exception) -> Mistake:
    name = point.name or label(point.changes)
    return sweep.document.mistake(point.place, f"{name}: {'; '.join(str(error).splitlines())}")
