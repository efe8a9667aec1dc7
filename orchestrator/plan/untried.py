"""What a search has left to propose. The plan counts it and the search ends by it, so that both say the same."""

import bisect
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from orchestrator.plan.combine import every_point
from orchestrator.plan.estimate import Cost, Estimator
from orchestrator.plan.identity import canonical
from orchestrator.plan.levels import count_levels
from orchestrator.plan.limits import altogether, beyond
from orchestrator.plan.named import Fits, proposable
from orchestrator.plan.space import Space, type_of
from orchestrator.plan.spec import Sweep
from orchestrator.plan.vary import Adaptive
from perceiver.config import RunConfig

_FEW = 1_000
"""Points of a space that are looked at one by one; in a larger one, chance finds as many as anybody asks for."""


def untried(sweep: Sweep, tried: Collection[str], fits: Fits) -> Iterator[tuple[dict[str, Any], RunConfig]] | None:
    """The points that the sweep's search may still propose, with their configs, in a stable order; None where the
    space has very many.

    `tried`: canonical configs; those that are added while the points are asked for count.
    """
    assert isinstance(sweep.vary, Adaptive)
    space = Space(sweep.baseline, sweep.vary.factors, sweep.vary.where)
    counts = (min(count_levels(levels, type_of(key) is int), _FEW + 1) for key, levels in space.factors.items())
    if math.prod(counts) > _FEW:
        return None
    every = ((changes, proposable(sweep, changes, tried, fits)) for changes in every_point(space))
    return ((changes, config) for changes, config in every if config is not None)


def affordable(sweep: Sweep, estimator: Estimator, spent: Sequence[Cost]) -> Fits:
    """Whether a proposal is within every limit, beside trials that cost what is `spent` and the leaders' replicates,
    which are taken to cost what the first trial, the baseline's, does.
    """
    replicates = [spent[0]] * (sweep.replicate_top * (len(sweep.seeds) - 1))

    def fits(config: RunConfig) -> bool:
        cost = estimator.cost(config)
        together = altogether([*spent, *replicates, cost], sweep.limits)
        return not [*beyond(cost, sweep.limits, estimator.site), *together]

    return fits


def count_untried(sweep: Sweep, estimator: Estimator, configs: Sequence[RunConfig], spent: Sequence[Cost]) -> int:
    """How many points the search will still propose: as many as it is asked for, or as there are within the limits.

    `configs` are the baseline's and those that were proposed, `spent` is what each of their trials costs. In a space of
    very many points it is known only where these cost what the baseline does.
    """
    wanted = max(0, sweep.vary.trials - (len(configs) - 1)) if isinstance(sweep.vary, Adaptive) else 0
    if not wanted:
        return 0
    tried, costs = {canonical(config) for config in configs}, list(spent)
    left = untried(sweep, tried, affordable(sweep, estimator, costs))
    if left is None:
        return _count_affordable(sweep, estimator, configs[0], costs, wanted)
    for found, (_, config) in enumerate(left, 1):
        if found == wanted:
            return wanted
        tried.add(canonical(config))
        costs.append(estimator.cost(config))
    return len(tried) - len(configs)


def _count_affordable(sweep: Sweep, estimator: Estimator, baseline: RunConfig, costs: list[Cost], wanted: int) -> int:
    def is_too_many(count: int) -> bool:
        return not affordable(sweep, estimator, costs + [costs[0]] * (count - 1))(baseline)

    return bisect.bisect_left(range(1, wanted + 1), True, key=is_too_many)
