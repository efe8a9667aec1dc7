"""From a sweep to its trials: every configuration, each with its seeds, ids and identities. Nothing is started.

    plan = plan_sweep(load_sweep("sweeps/smoke.yaml"), load_site("local"))
    [trial.id for trial in plan.trials]

A plan is a pure function of the sweep, the data and the code: planning again gives the same trials in the same order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.errors import Mistake, SpecError, UsageError
from orchestrator.plan.changes import BASELINE, SEED, difference, label
from orchestrator.plan.combine import NoMatch, Point, configure, points
from orchestrator.plan.data import DataSeen, look_at
from orchestrator.plan.estimate import Estimator
from orchestrator.plan.identity import ID_LENGTH, canonical, code_digest, config_digest, identity
from orchestrator.plan.limits import oversized
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Sweep
from orchestrator.plan.trials import Configuration as Configuration
from orchestrator.plan.trials import Plan as Plan
from orchestrator.plan.trials import PlanDiff as PlanDiff
from orchestrator.plan.trials import Proposal as Proposal
from orchestrator.plan.trials import Trial as Trial
from orchestrator.plan.trials import TrialState as TrialState
from orchestrator.plan.vary import Adaptive, Sampled
from perceiver.config import RunConfig
from perceiver.errors import ConfigError

MANY_TRIALS = 100_000
_DRAWS_PER_TRIAL = 100

Named = tuple[str, dict[str, Any], RunConfig]
"""A configuration's label, what differs from the baseline, and its config."""


def plan_sweep(sweep: Sweep, site: Site | None = None, allow_many: bool = False) -> Plan:
    """The plan of a sweep at a site.

    Raises:
        SpecError: combinations that can't be run, or a match that has no solution; all of them.
        UsageError: more than 100,000 trials and not `allow_many`.
    """
    where, named = site or Site(), _distinct(sweep, allow_many)
    searched = sweep.vary.factors.get("data.set", ()) if isinstance(sweep.vary, Adaptive) else ()
    sets = {config.data.set for _, _, config in named} | {str(level) for level in searched}
    maker = _Maker(sweep, where, look_at(where, sets))
    return maker.plan(tuple(maker.configuration(each, sweep.seeds) for each in named))


def extend_plan(plan: Plan, proposals: Sequence[tuple[Proposal, Sequence[int]]]) -> Plan:
    """The plan of an adaptive sweep with what its sampler has proposed, each with its seeds.

    Proposals that are the same configuration have their seeds together. What of the sweep's trials is left to propose
    is counted down.

    Raises:
        ConfigError: a proposal can't be run.
        NoMatch: a proposal can't keep the baseline's cost.
    """
    if not proposals:
        return plan
    found = {canonical(each.config): each for each in plan.configurations}
    maker = _Maker(plan.sweep, plan.site, plan.data, (trial for each in found.values() for trial in each.trials))
    for proposal, seeds in proposals:
        named = name_point(plan.sweep, proposal.changes)
        before = found.get(canonical(named[2]))
        wanted = [*(trial.seed for trial in before.trials), *seeds] if before else seeds
        found[canonical(named[2])] = maker.configuration(named, tuple(dict.fromkeys(wanted)), proposal)
    return maker.plan(tuple(found.values()))


def name_point(sweep: Sweep, changes: Mapping[str, Any], name: str | None = None) -> Named:
    """The configuration of a point.

    Raises:
        ConfigError: it can't be run.
        NoMatch: nothing keeps the baseline's cost.
    """
    baseline = with_seed(sweep.baseline, 0)
    config = with_seed(configure(sweep.vary, baseline, changes), 0)
    differing = difference(baseline, config)
    return name or label(differing, getattr(sweep.vary, "factors", {})), differing, config


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    """The config with a replicate's seed; no other key can be wrong, so nothing is checked again."""
    return config.model_copy(update={"train": config.train.model_copy(update={SEED.split(".")[1]: seed})})


class _Maker:
    """Makes a plan's parts: configurations with their trials and costs."""

    def __init__(self, sweep: Sweep, site: Site, data: DataSeen, there: Iterable[Trial] = ()) -> None:
        self.sweep, self.site, self.data = sweep, site, data
        self.code = code_digest()
        self.estimator, self.ids = Estimator(site, data), _Ids()
        for trial in there:
            self.ids.taken[trial.id] = config_digest(trial.config)

    def configuration(self, named: Named, seeds: Sequence[int], proposal: Proposal | None = None) -> Configuration:
        """A configuration with a trial for each seed."""
        name, changes, config = named
        trials = tuple(self._trial(named, seed, proposal) for seed in seeds)
        return Configuration(name, changes, config, trials, self.estimator.cost(config))

    def plan(self, configurations: tuple[Configuration, ...]) -> Plan:
        """The plan of these configurations."""
        vary = self.sweep.vary
        to_propose = max(0, vary.trials - (len(configurations) - 1)) if isinstance(vary, Adaptive) else 0
        totals = self.estimator.totals((each.cost, len(each.trials)) for each in configurations)
        return Plan(self.sweep, self.site, configurations, self.code, self.data, totals, to_propose)

    def _trial(self, named: Named, seed: int, proposal: Proposal | None) -> Trial:
        name, changes, config = named
        seen = self.data.digest(config.data.set)
        seeded = with_seed(config, seed)
        digest = config_digest(seeded)
        return Trial(
            id=self.ids.short(digest),
            identity=identity(digest, seen, self.code) if seen else None,
            configuration=name,
            factors=changes,
            seed=seed,
            role="baseline" if name == BASELINE else "trial",
            config=seeded,
            data_digest=seen,
            proposal=proposal,
        )


class _Ids:
    """Short ids: 8 hex digits, more where two would be the same."""

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}

    def short(self, digest: str) -> str:
        length = ID_LENGTH
        while self.taken.setdefault(digest[:length], digest) != digest:
            length += 1
        return digest[:length]


def _distinct(sweep: Sweep, allow_many: bool) -> list[Named]:
    """Every configuration once, the baseline first."""
    baseline = with_seed(sweep.baseline, 0)
    found: dict[str, Named] = {canonical(baseline): (BASELINE, {}, baseline)}
    mistakes: list[Mistake] = []
    sampled = sweep.vary if isinstance(sweep.vary, Sampled) else None
    for point in _asked(sweep):
        if sampled and len(found) > sampled.trials:
            break
        try:
            each = name_point(sweep, point.changes, point.name)
        except (ConfigError, NoMatch) as error:
            if not sampled:
                mistakes.append(_cannot_run(sweep, point, error))
            continue
        if sampled and oversized(each[2].model, sweep.limits):
            continue
        found.setdefault(canonical(each[2]), each)
        if len(found) * len(sweep.seeds) > MANY_TRIALS and not allow_many:
            raise UsageError(f"{sweep.source} asks for more than {MANY_TRIALS:,} trials. If you mean it, add --yes")
    if sampled and len(found) <= sampled.trials:
        message = f"vary.trials: {sampled.trials} asked for, but only {len(found) - 1} different ones were found"
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
