"""What an adaptive sweep has proposed so far, read back from its runs. Nothing is kept besides them.

A proposal stands as long as it fits the file: its levels lie in the factors, its model within the limits, and its runs
are of the baseline that the file has now. One that does not fit any more loses its place to a new one, and has it again
when the file is changed back.
"""

import json
from collections.abc import Iterable
from typing import Any

from orchestrator.plan.combine import NoMatch
from orchestrator.plan.identity import canonical, config_digest
from orchestrator.plan.limits import oversized
from orchestrator.plan.planner import Plan, Proposal, name_point, with_seed
from orchestrator.plan.space import Space
from orchestrator.plan.vary import Adaptive
from orchestrator.track.names import SUPERSEDED, Tag
from orchestrator.track.records import RunRecord
from perceiver.config import RunConfig
from perceiver.errors import ConfigError


def recorded_proposals(plan: Plan, runs: Iterable[RunRecord]) -> list[tuple[Proposal, list[int]]]:
    """The proposals that stand, in the order in which they were made and numbered anew, each with its seeds.

    At most as many as the file asks for; those that are on the board come first. A leader's replicates are among its
    seeds if they are wanted still or finished.
    """
    sweep = plan.sweep
    if not isinstance(sweep.vary, Adaptive):
        return []
    space = Space(sweep.baseline, sweep.vary.factors, sweep.vary.where)
    found: dict[str, tuple[dict[str, Any], set[int]]] = {}
    for run in sorted((run for run in runs if run.tags.get(Tag.PROPOSAL)), key=_place):
        point = space.point(json.loads(run.tags[Tag.PROPOSAL])["changes"])
        config = None if point is None else _config(plan, point)
        if point is None or config is None or not _made_with(run, config):
            continue
        _, seeds = found.setdefault(canonical(config), (point, set()))
        if run.seed in sweep.seeds and (run.status == "FINISHED" or run.role != SUPERSEDED):
            seeds.add(run.seed)
    standing = list(found.values())[: sweep.vary.trials]
    return [
        (Proposal(number, point), [seed for seed in sweep.seeds if seed == sweep.seeds[0] or seed in seeds])
        for number, (point, seeds) in enumerate(standing)
    ]


def _place(run: RunRecord) -> tuple[bool, int, int]:
    return run.role == SUPERSEDED, json.loads(run.tags[Tag.PROPOSAL])["number"], run.start_time or 0


def _config(plan: Plan, point: dict[str, Any]) -> RunConfig | None:
    """The point's config, if it is one that the search could propose today."""
    try:
        _, differing, config = name_point(plan.sweep, point)
    except (ConfigError, NoMatch):
        return None
    return config if differing and not oversized(config.model, plan.sweep.limits) else None


def _made_with(run: RunRecord, config: RunConfig) -> bool:
    return run.seed is not None and config_digest(with_seed(config, run.seed)).startswith(run.tags[Tag.TRIAL])
