"""A plan as people and programs read it: every configuration, what it costs, where its trials stand, the totals."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from orchestrator.console import Column, print_table
from orchestrator.plan.estimate import Cost, Totals
from orchestrator.plan.quantity import gibibytes, short
from orchestrator.plan.trials import Configuration, Plan, PlanDiff, TrialState, done
from perceiver.config import dump

States = Mapping[str, TrialState]
_NAMED = 20
"""Configurations that a list of changes names."""


def print_plan(plan: Plan, states: States | None = None, diff: PlanDiff | None = None) -> None:
    """Prints the question, a row for each configuration, the totals, and what the figures rest on.

    `diff`: what differs from the plan that was run before.
    """
    states = states or {}
    for line in heading(plan):
        print(line)
    print()
    gpu = "GPU" if plan.site.resources.gpus else "worker"
    columns = [
        Column("configuration"),
        Column("seeds", right=True),
        Column("params", right=True),
        Column("GFLOP/clip", right=True),
        Column(f"memory/{gpu}", right=True),
        Column(f"{gpu}-hours", right=True),
        Column("$", right=True),
        Column("state"),
    ]
    print_table(columns, [_row(each, states) for each in plan.configurations])
    print()
    for line in [*summary(plan, states), *(changes_since(diff) if diff else ())]:
        print(f"  {line}")


def heading(plan: Plan) -> list[str]:
    """The sweep and its question; the baseline, the score, the data."""
    sweep = plan.sweep
    better = "higher" if sweep.score.goal == "maximize" else "lower"
    name = sweep.baseline.data.set
    description = plan.data.descriptions.get(name)
    seen = (
        f"{description.train_clips:,} + {description.eval_clips:,} clips, digest {description.digest[:8]}"
        if description
        else "not seen from here"
    )
    return [
        f"{sweep.name}   {sweep.question}".rstrip(),
        f"baseline {sweep.base}   score {sweep.score.metric} ({better} is better)   data {name} {seen}",
        *plan.data.told(),
    ]


def summary(plan: Plan, states: States) -> list[str]:
    """Totals of what is left, what they are estimated from, and every limit that the plan breaks."""
    lines = ["     ".join([_trial_counts(plan, states), *_prices(plan, plan.left(states))]), plan.totals.basis]
    if plan.to_propose:
        lines.append(_to_propose(plan))
    lines += plan.fewer_proposals()
    return lines + [f"! {problem}" for problem in [*plan.data.problems.values(), *plan.problems(done(states))]]


def _prices(plan: Plan, left: Totals) -> list[str]:
    """What the trials that are left cost, as far as it is known."""
    if not left.trials:
        return []
    parts = []
    if left.gpu_hours is not None:
        parts.append(f"{_hours(left.gpu_hours)} {'GPU' if plan.site.resources.gpus else 'worker'}-hours")
    if left.dollars is not None:
        parts.append(f"${left.dollars:,.0f}")
    if left.seconds is not None:
        trials = "1 trial" if left.side_by_side == 1 else f"{left.side_by_side} trials"
        parts.append(f"{_duration(left.seconds)} at {trials} side by side")
    return [*parts, f"{gibibytes(left.storage)} of checkpoints"]


def _to_propose(plan: Plan) -> str:
    """What a search will add, and what that costs if it costs what the baseline does."""
    sweep, hours = plan.sweep, plan.configurations[0].cost.gpu_hours
    trials, line = plan.to_propose, f"and {plan.to_propose} configurations that {plan.sweep.vary.by} proposes"
    if more := len(sweep.seeds) - 1:
        trials += sweep.replicate_top * more
        line += f", with one seed each; then the best {sweep.replicate_top} with all {len(sweep.seeds)} seeds"
    return line if hours is None else f"{line}: {_hours(hours * trials)} hours more if they cost what the baseline does"


def changes_since(diff: PlanDiff) -> list[str]:
    """What an edited file adds and drops."""
    counts = f"{len(diff.added):,} added, {len(diff.kept):,} kept, {len(diff.dropped):,} dropped"
    lines = [f"trials since the last run of this sweep: {counts}"]
    lines += [f"  + {name}" for name in shortened(diff.added)]
    lines += [f"  - {name}" for name in shortened(diff.dropped)]
    return lines + (["dropped trials keep their results, off the board"] if diff.dropped else [])


def shortened(trials: Mapping[str, str]) -> list[str]:
    """Names of trials, replicates in one line; of very many the first."""
    seeds: dict[str, list[str]] = {}
    for name in trials.values():
        configuration, seed = name.rsplit(" seed ", 1)
        seeds.setdefault(configuration, []).append(seed)
    names = [
        f"{configuration}  seed{'s' if len(each) > 1 else ''} {', '.join(each)}"
        for configuration, each in seeds.items()
    ]
    return names if len(names) <= _NAMED else [*names[:_NAMED], f"and {len(names) - _NAMED:,} more configurations"]


def plan_as_json(plan: Plan, states: States, diff: PlanDiff | None = None) -> dict[str, Any]:
    """The plan as plain data: trials, configurations, totals."""
    return {
        "sweep": plan.sweep.name,
        "question": plan.sweep.question,
        "source": plan.sweep.source,
        "site": plan.site.name,
        "score": plan.sweep.score.model_dump(),
        "code_digest": plan.code_digest,
        "data": {name: asdict(seen) for name, seen in plan.data.descriptions.items()},
        "trials": [
            {
                "id": trial.id,
                "identity": trial.identity,
                "configuration": trial.configuration,
                "role": trial.role,
                "factors": trial.factors,
                "seed": trial.seed,
                "state": str(states.get(trial.id, "new")),
                "progress": states[trial.id].progress if trial.id in states else 0.0,
                "config": dump(trial.config),
            }
            for trial in plan.trials
        ],
        "configurations": [
            {
                "configuration": each.label,
                "changes": each.changes,
                "trials": [trial.id for trial in each.trials],
                "cost": asdict(each.cost),
            }
            for each in plan.configurations
        ],
        "totals": asdict(plan.totals) | {"to_propose": plan.to_propose},
        "left": asdict(plan.left(states)),
        "diff": None if diff is None else asdict(diff),
        "unseen_data": dict(plan.data.problems),
        "beyond_limits": plan.problems(done(states)),
    }


def _row(each: Configuration, states: States) -> list[str]:
    count = len(each.trials)
    return [
        each.label,
        str(count),
        short(each.cost.parameters, digits=4),
        _gigaflops(each.cost.flops),
        gibibytes(each.cost.memory),
        *_money(each.cost, count),
        _state(each, states),
    ]


def _gigaflops(flops: int) -> str:
    return f"{flops / 1e9:,.1f}" if flops >= 10e9 else f"{flops / 1e9:.2g}"


def _money(cost: Cost, count: int) -> list[str]:
    hours = "-" if cost.gpu_hours is None else _hours(cost.gpu_hours * count)
    dollars = "-" if cost.dollars is None else f"{cost.dollars * count:,.0f}"
    return [hours, dollars]


def _state(each: Configuration, states: States) -> str:
    counts = Counter(str(states.get(trial.id, "new")) for trial in each.trials)
    if len(counts) == 1:
        (text,) = counts
        return text if text == "new" or len(each.trials) == 1 else f"{text} ({len(each.trials)})"
    return ", ".join(f"{count} {text}" for text, count in counts.items())


def _trial_counts(plan: Plan, states: States) -> str:
    there = done(states)
    begun = [
        trial for trial in plan.trials if trial.id in states and trial.id not in there and states[trial.id].progress > 0
    ]
    left = len(plan.trials) - len(there) - len(begun)
    total = f"{len(plan.trials):,} trial{'s' if len(plan.trials) != 1 else ''}"
    parts = [f"{left:,} to run"] if left or not plan.trials else []
    parts += [f"{len(begun):,} to finish"] if begun else []
    parts += [f"{len(there):,} already there"] if there else []
    return f"{total}: {', '.join(parts)}" if begun or there else total


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.0f} h" if seconds < 72 * 3600 else f"{seconds / 86400:,.0f} days"
