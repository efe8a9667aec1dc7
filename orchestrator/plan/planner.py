"""From a sweep to its trials: every configuration, each with its seeds, ids and identities. Nothing is started.

    plan = plan_sweep(load_sweep("sweeps/smoke.yaml"), load_site("local"))
    [trial.id for trial in plan.trials]

A plan is a pure function of the sweep, the data and the code: planning again gives the same trials in the same order.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from orchestrator.errors import Mistake, SpecError, UsageError
from orchestrator.plan.changes import BASELINE, label
from orchestrator.plan.combine import NoMatch, Point, points
from orchestrator.plan.data import DataSeen, look_at
from orchestrator.plan.estimate import Estimator
from orchestrator.plan.identity import ID_LENGTH, canonical, code_digest, config_digest, identity
from orchestrator.plan.limits import beyond
from orchestrator.plan.named import Named as Named
from orchestrator.plan.named import name_point as name_point
from orchestrator.plan.named import with_seed as with_seed
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Sweep
from orchestrator.plan.trials import Configuration as Configuration
from orchestrator.plan.trials import Plan as Plan
from orchestrator.plan.trials import PlanDiff as PlanDiff
from orchestrator.plan.trials import Proposal as Proposal
from orchestrator.plan.trials import Trial as Trial
from orchestrator.plan.trials import TrialState as TrialState
from orchestrator.plan.trials import done as done
from orchestrator.plan.untried import count_untried
from orchestrator.plan.vary import Adaptive, Sampled
from perceiver.config import RunConfig, flatten
from perceiver.errors import ConfigError

MANY_TRIALS = 100_000
_DRAWS_PER_TRIAL = 100


def plan_sweep(sweep: Sweep, site: Site | None = None, allow_many: bool = False) -> Plan:
    """The plan of a sweep at a site.

    Raises:
        SpecError: combinations that can't be run, or a match that has no solution; all of them.
        UsageError: more than 100,000 trials and not `allow_many`.
    """
    where = site or Site()
    named = _distinct(sweep, where, allow_many)
    searched = sweep.vary.factors.get("data.set", ()) if isinstance(sweep.vary, Adaptive) else ()
    sets = {config.data.set for _, _, config in named} | {str(level) for level in searched}
    data = look_at(where, sets)
    if sweep.baseline.model.classes is None:
        sweep = sweep.completed(data.classes)
        named = _distinct(sweep, where, allow_many)  # what costs as much as the baseline hangs on its classes
    maker = _Maker(sweep, where, data)
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
        spent = [each.cost for each in configurations for _ in each.trials]
        to_propose = count_untried(self.sweep, self.estimator, [each.config for each in configurations], spent)
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


def _distinct(sweep: Sweep, site: Site, allow_many: bool) -> list[Named]:
    """Every configuration once, the baseline first."""
    if not allow_many:
        _refuse_many(sweep)
    baseline = with_seed(sweep.baseline, 0)
    found: dict[str, Named] = {canonical(baseline): (BASELINE, {}, baseline)}
    draws = _Draws(sweep, site) if isinstance(sweep.vary, Sampled) else None
    mistakes: list[Mistake] = []
    for point in draws.until(found) if draws else points(sweep.vary, sweep.baseline):
        try:
            each = name_point(sweep, point.changes, point.name)
        except (ConfigError, NoMatch) as error:
            if not draws:
                mistakes.append(_cannot_run(sweep, point, error))
            continue
        if draws and draws.too_large(each[2]):
            continue
        same = found.setdefault(canonical(each[2]), each)
        if point.name is not None and same[0] != point.name:
            message = f"{point.name} is the same configuration as {same[0]}; leave one of them out"
            mistakes.append(sweep.document.mistake(point.place, message))
    if draws and len(found) <= draws.wanted:
        mistakes.append(sweep.document.mistake(("vary", "trials"), draws.too_few(len(found) - 1)))
    if mistakes:
        raise SpecError(sweep.source, mistakes)
    return list(found.values())


def _refuse_many(sweep: Sweep) -> None:
    """Raises UsageError for more than 100,000 trials; counts points, which is quick, and makes no config."""
    before, most = flatten(sweep.baseline), MANY_TRIALS // len(sweep.seeds)
    if isinstance(sweep.vary, Sampled | Adaptive):
        many = sweep.vary.trials >= (MANY_TRIALS if isinstance(sweep.vary, Adaptive) else most)
    else:
        seen: set[Any] = set()
        for point in points(sweep.vary, sweep.baseline):
            seen.add(frozenset((key, str(level)) for key, level in point.changes.items() if before.get(key) != level))
            if len(seen) > most:
                break
        many = len(seen) > most
    if many:
        raise UsageError(f"{sweep.source} asks for more than {MANY_TRIALS:,} trials. If so meant, add --confirm many")


class _Draws:
    """The draws of a random sweep: as many as a patient person would wait for, less those beyond the limits."""

    def __init__(self, sweep: Sweep, site: Site) -> None:
        assert isinstance(sweep.vary, Sampled)
        self.wanted = sweep.vary.trials
        self._sweep, self._site, self._estimator = sweep, site, Estimator(site, DataSeen())
        self._too_large = 0

    def until(self, found: Mapping[str, Any]) -> Iterator[Point]:
        """Points until enough configurations are found beside the baseline."""
        for point in islice(points(self._sweep.vary, self._sweep.baseline), _DRAWS_PER_TRIAL * self.wanted):
            if len(found) > self.wanted:
                return
            yield point

    def too_large(self, config: RunConfig) -> bool:
        """Whether a drawn config lies beyond the limits of a single trial: it is drawn again."""
        beyond_limits = any(beyond(self._estimator.cost(config), self._sweep.limits, self._site))
        self._too_large += beyond_limits
        return beyond_limits

    def too_few(self, count: int) -> str:
        """What to say when there were not enough."""
        limits = f"; {self._too_large:,} draws lay beyond the limits" if self._too_large else ""
        different = "1 different one was" if count == 1 else f"{count} different ones were"
        return f"vary.trials: {self.wanted} asked for, but only {different} found{limits}"


def _cannot_run(sweep: Sweep, point: Point, error: Exception) -> Mistake:
    name = point.name or label(point.changes)
    return sweep.document.mistake(point.place, f"{name}: {'; '.join(str(error).splitlines())}")
