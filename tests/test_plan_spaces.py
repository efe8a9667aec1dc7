"""Any space: conditions, ties and drawings give the trials that a plain reading of the file gives, and no others."""

import itertools
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import SpecError, UsageError
from orchestrator.plan.planner import Plan, plan_sweep
from orchestrator.plan.site import Site
from orchestrator.plan.spec import parse_sweep
from perceiver.config import dump, flatten, parse

LEVELS: dict[str, list[Any]] = {
    "train.optimizer": ["adamw", "lamb"],
    "train.video_dropout": [0.3, 0.0, 0.5],
    "train.spec_augment": [False, True],
    "train.mixup": [0.0, 0.5, 1.0],
}
"""Factors of `tiny`, its own level first; each may depend on those before it."""
BASELINE = {key: levels[0] for key, levels in LEVELS.items()}


def plan_of(vary: dict[str, Any], site: Site | None = None, **changes: Any) -> Plan:
    text = yaml.safe_dump({"sweep": "mine", "base": "tiny", "vary": vary} | changes, sort_keys=False)
    return plan_sweep(parse_sweep(text, "mine.yaml"), site)


def mistakes_of(vary: dict[str, Any], **changes: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        plan_of(vary, **changes)
    return [mistake.message for mistake in caught.value.mistakes]


@st.composite
def conditions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to one condition for a factor, on a level or two of one before it."""
    found = []
    for number, key in enumerate(LEVELS):
        if number and draw(st.booleans()):
            other = draw(st.sampled_from(list(LEVELS)[:number]))
            wanted = draw(st.lists(st.sampled_from(LEVELS[other]), min_size=1, max_size=2, unique=True))
            found.append({"factor": key, "when": {other: wanted}})
    return found


def by_hand(where: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Every configuration of a conditional grid, as a plain reading gives them."""
    found = set()
    for levels in itertools.product(*LEVELS.values()):
        point, exists = dict(zip(LEVELS, levels, strict=True)), dict.fromkeys(LEVELS, True)
        for condition in where:  # in the order of their factors
            key, ((other, wanted),) = condition["factor"], condition["when"].items()
            exists[key] = exists[other] and point[other] in wanted
            point[key] = point[key] if exists[key] else BASELINE[key]
        found.add(tuple(point.values()))
    return found


def configurations(plan: Plan) -> list[tuple[Any, ...]]:
    return [tuple(flatten(each.config)[key] for key in LEVELS) for each in plan.configurations]


@settings(max_examples=40, deadline=None)
@given(conditions())
def test_a_conditional_grid_has_every_combination_that_exists_once(where: list[dict[str, Any]]) -> None:
    found = configurations(plan_of({"by": "grid", "factors": LEVELS, "where": where}))
    assert len(found) == len(set(found))
    assert set(found) == by_hand(where) | {tuple(BASELINE.values())}


@settings(max_examples=25, deadline=None)
@given(conditions(), st.sampled_from(["random", "sobol", "one-factor"]), st.booleans())
def test_whatever_is_drawn_or_paired_exists(where: list[dict[str, Any]], by: str, pairs: bool) -> None:
    more: dict[str, Any] = {"pairs": pairs} if by == "one-factor" else {"trials": 3}
    plan = plan_of({"by": by, "factors": LEVELS, "where": where} | more)
    found = configurations(plan)
    assert found[0] == tuple(BASELINE.values())
    assert len(found) == len(set(found))
    assert set(found) <= by_hand(where) | {tuple(BASELINE.values())}
    assert all(parse(dump(trial.config)) == trial.config for trial in plan.trials)
    if by == "one-factor":
        assert {level for point in found for level in point} == {x for levels in LEVELS.values() for x in levels}


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from(list(LEVELS)), st.integers(1, 2), min_size=1), st.integers(1, 3))
def test_leave_one_out_has_the_baseline_and_each_component_reset(chosen: dict[str, int], seeds: int) -> None:
    components = {key: LEVELS[key][min(number, len(LEVELS[key]) - 1)] for key, number in chosen.items()}
    plan = plan_of({"by": "leave-one-out", "components": components}, seeds=seeds)
    assert [each.changes for each in plan.configurations] == [{}, *({key: off} for key, off in components.items())]
    assert len(plan.trials) == (1 + len(components)) * seeds


def test_conditions_that_contradict_each_other_are_told() -> None:
    kinds = {"model.inputs.audio.kind": ["mel", "raw"], "model.inputs.audio.segment": [64, 256], "train.mixup": [0.5]}
    where = [
        {"factor": "model.inputs.audio.segment", "when": {"model.inputs.audio.kind": "raw"}},
        {"factor": "train.mixup", "when": {"model.inputs.audio.segment": 64, "model.inputs.audio.kind": "mel"}},
    ]
    (found,) = mistakes_of({"by": "one-factor", "factors": kinds, "where": where})
    assert found == "vary.where: can never hold: the conditions of train.mixup contradict each other"


def test_a_factor_that_a_part_varies_as_well_is_varied_twice() -> None:
    factors = {"model.inputs": [{"video": {"bands": 3}}], "model.inputs.video.bands": [2, 8]}
    assert mistakes_of({"by": "grid", "factors": factors}) == [
        "model.inputs.video.bands is varied twice: here, and by the levels of model.inputs"
    ]


def test_a_named_point_that_is_another_one_is_told_and_not_swallowed() -> None:
    points = [{"name": "a", "train.lr": 0.1}, {"name": "b", "train.lr": 0.1}, {"name": "c", "train.mixup": 0}]
    assert mistakes_of({"by": "list", "points": points}) == [
        "b is the same configuration as a; leave one of them out",
        "c is the same configuration as baseline; leave one of them out",
    ]


@pytest.mark.parametrize(
    ("key", "tie", "words"),
    [
        ("train.lr", {"follows": "train.clip_norm", "power": 1.0}, "train.clip_norm=null: train.lr: can't follow"),
        ("train.mixup", {"follows": "train.batch_size", "power": 1.0}, "train.mixup is 0.0 in the baseline"),
        ("train.lr", {"follows": "train.audio_dropout", "power": 1.0}, "train.audio_dropout is 0.0 in the baseline"),
        ("train.lr", {"follows": "train.batch_size", "levels": {"25": 0.1}}, "25 is no level of train.batch_size"),
    ],
)
def test_ties_that_lead_nowhere_are_told(key: str, tie: dict[str, Any], words: str) -> None:
    factors = {"train.clip_norm": [None], "train.batch_size": [24], "train.audio_dropout": [0.1]}
    (found,) = mistakes_of({"by": "one-factor", "factors": factors, "ties": {key: tie}})
    assert words in found


LARGE = [number / 1000 for number in range(1, 201)]
LARGER = [number / 2000 for number in range(1, 401)]


@pytest.mark.parametrize(
    "vary",
    [
        {"by": "grid", "factors": dict.fromkeys(["train.lr", "train.video_dropout", "train.audio_dropout"], LARGE)},
        {"by": "one-factor", "pairs": True, "factors": dict.fromkeys(["train.lr", "train.video_dropout"], LARGER)},
        {"by": "random", "trials": 10**9, "factors": {"train.lr": {"low": 0.1, "high": 0.9}}},
        {"by": "tpe", "trials": 10**9, "factors": {"train.lr": {"low": 0.1, "high": 0.9}}},
    ],
)
def test_every_strategy_asks_before_100_000_trials(vary: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"more than 100,000 trials.*--confirm many"):
        plan_of(vary)


@pytest.mark.parametrize("where", ["limits", "site"])
def test_no_drawn_trial_needs_more_memory_than_there_is(where: str) -> None:
    vary = {
        "by": "random",
        "trials": 8,
        "factors": {"model.latent_channels": {"low": 64, "high": 2048, "step": 64}},
    }
    most = 1200 * 2**20
    limits = {"limits": {"memory_per_gpu": most}} if where == "limits" else {}
    site = Site(memory_per_gpu=float(most)) if where == "site" else Site()
    plan = plan_of(vary, site, **limits)
    assert len(plan.configurations) == 9 and not plan.problems()
    assert max(each.cost.memory for each in plan_of(vary).configurations) > most


def test_limits_that_leave_too_few_draws_are_named() -> None:
    vary = {"by": "sobol", "trials": 4, "factors": {"model.latent_channels": {"low": 256, "high": 2048, "step": 64}}}
    (found,) = mistakes_of(vary, limits={"parameters": "1M"})
    assert found == "vary.trials: 4 asked for, but only 0 different ones were found; 400 draws lay beyond the limits"
