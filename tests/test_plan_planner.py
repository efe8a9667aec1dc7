"""Plans: which configurations a sweep has, in which order, under which names and ids."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import InfeasiblePlan, SpecError, UsageError
from orchestrator.plan.planner import Plan, plan_sweep
from orchestrator.plan.site import Site
from orchestrator.plan.spec import parse_sweep
from perceiver.config import RunConfig, dump, parse, with_changes

LEVELS: dict[str, list[Any]] = {
    "train.video_dropout": [0.0, 0.1, 0.3, 0.5],
    "train.epochs": [10, 20.0, 40],
    "train.spec_augment": [True, False],
    "train.optimizer": ["lamb", "adamw"],
    "train.clip_norm": [None, 1.0, 10],
    "model.iterations": [1, 2, 3, 4],
    "model.inputs.audio.bands": [4, 8, 16],
    "train.mixup": [0, 0.5],
}
"""Factors whose levels go with each other and with the base `tiny`, in every combination."""


def plan_of(vary: dict[str, Any], allow_many: bool = False, **changes: Any) -> Plan:
    text = yaml.safe_dump({"sweep": "mine", "base": "tiny", "vary": vary} | changes, sort_keys=False)
    return plan_sweep(parse_sweep(text, "mine.yaml"), allow_many=allow_many)


def labels(plan: Plan) -> list[str]:
    return [each.label for each in plan.configurations]


@st.composite
def factors(draw: st.DrawFn) -> dict[str, list[Any]]:
    keys = draw(st.lists(st.sampled_from(sorted(LEVELS)), min_size=1, max_size=4, unique=True))
    return {key: draw(st.lists(st.sampled_from(LEVELS[key]), min_size=2, unique=True)) for key in keys}


def others(key: str, levels: list[Any]) -> int:
    """Levels of a factor besides the baseline's."""
    value: Any = dump(plan_of({"by": "grid", "factors": {"train.lr": [0.1]}}).sweep.baseline)
    for name in key.split("."):
        value = value[name]
    return len([level for level in levels if level != value])


@settings(max_examples=40, deadline=None)
@given(factors(), st.integers(1, 3))
def test_one_factor_has_the_baseline_once_and_each_other_level_once(spaces: dict[str, list[Any]], seeds: int) -> None:
    plan = plan_of({"by": "one-factor", "factors": spaces}, seeds=seeds)
    expected = 1 + sum(others(key, levels) for key, levels in spaces.items())
    assert len(plan.configurations) == expected
    assert len(plan.trials) == expected * seeds
    assert all(len(each.changes) <= 1 for each in plan.configurations)


@settings(max_examples=25, deadline=None)
@given(factors())
def test_pairs_add_every_combination_of_two_factors(spaces: dict[str, list[Any]]) -> None:
    plan = plan_of({"by": "one-factor", "factors": spaces, "pairs": True})
    counts = [others(key, levels) for key, levels in spaces.items()]
    pairs = sum(one * two for index, one in enumerate(counts) for two in counts[index + 1 :])
    assert len(plan.configurations) == 1 + sum(counts) + pairs


@settings(max_examples=25, deadline=None)
@given(factors())
def test_a_grid_has_every_combination_and_the_baseline(spaces: dict[str, list[Any]]) -> None:
    plan = plan_of({"by": "grid", "factors": spaces})
    product = 1
    for levels in spaces.values():
        product *= len(levels)
    holds_baseline = all(others(key, levels) < len(levels) for key, levels in spaces.items())
    assert len(plan.configurations) == product + (not holds_baseline)


@settings(max_examples=25, deadline=None)
@given(factors(), st.sampled_from(["one-factor", "grid"]))
def test_any_plan_is_unique_valid_stable_and_names_what_differs(spaces: dict[str, list[Any]], by: str) -> None:
    plan = plan_of({"by": by, "factors": spaces}, seeds=2)
    again = plan_of({"by": by, "factors": spaces}, seeds=2)
    assert plan.freeze() == again.freeze()
    assert labels(plan)[0] == "baseline"
    assert (
        len({trial.id for trial in plan.trials}) == len({trial.identity for trial in plan.trials}) == len(plan.trials)
    )
    assert len(set(labels(plan))) == len(plan.configurations)
    for trial in plan.trials:
        assert parse(dump(trial.config)) == trial.config
        assert with_changes(plan.sweep.baseline, trial.factors | {"train.seed": trial.seed}) == trial.config
        assert (trial.role == "baseline") == (trial.factors == {})


@settings(max_examples=15, deadline=None)
@given(factors())
def test_a_frozen_plan_differs_from_itself_in_nothing(spaces: dict[str, list[Any]]) -> None:
    plan = plan_of({"by": "grid", "factors": spaces})
    diff = plan.diff(json.loads(json.dumps(plan.freeze())))
    assert (diff.added, diff.dropped, len(diff.kept)) == ({}, {}, len(plan.trials))


def test_changed_files_show_what_is_added_kept_and_dropped() -> None:
    before = plan_of({"by": "one-factor", "factors": {"train.video_dropout": [0.0, 0.1]}}, seeds=2)
    after = plan_of({"by": "one-factor", "factors": {"train.video_dropout": [0.1, 0.5]}}, seeds=2)
    diff = after.diff(before.freeze())
    assert sorted(diff.added.values()) == ["train.video_dropout=0.5 seed 0", "train.video_dropout=0.5 seed 1"]
    assert sorted(diff.dropped.values()) == ["train.video_dropout=0.0 seed 0", "train.video_dropout=0.0 seed 1"]
    assert len(diff.kept) == 4


def test_a_trial_keeps_its_id_whatever_is_planned_around_it() -> None:
    small = plan_of({"by": "one-factor", "factors": {"train.video_dropout": [0.1]}})
    large = plan_of({"by": "grid", "factors": {"train.video_dropout": [0.1, 0.5], "train.mixup": [0.0, 0.5]}}, seeds=4)
    assert {trial.id for trial in small.trials} <= {trial.id for trial in large.trials}


def test_labels_hold_the_levels_as_the_config_has_them() -> None:
    points = [
        {"train.epochs": 30, "train.optimizer": "lamb", "train.clip_norm": None},
        {"model.inputs.video": None},
        {"model.inputs.video.patch": [4, 8, 8], "train.spec_augment": True},
        {"name": "my point", "train.lr": 1e-4},
    ]
    assert labels(plan_of({"by": "list", "points": points})) == [
        "baseline",
        "train.epochs=30.0 train.optimizer=lamb train.clip_norm=null",
        "model.inputs.video=null",
        "model.inputs.video.patch=[4,8,8] train.spec_augment=true",
        "my point",
    ]


def test_a_very_long_label_is_cut_and_stays_unique() -> None:
    point = {key: levels[-1] for key, levels in LEVELS.items()} | {
        f"model.inputs.video.{key}": value
        for key, value in {
            "size": 48,
            "bands": 3,
            "embedding": 5,
            "scaling": "unit",
            "max_resolution": "pixels",
        }.items()
    }
    plan = plan_of({"by": "list", "points": [point, point | {"train.weight_decay": 0.1}]})
    assert all(len(label) <= 250 for label in labels(plan))
    assert len(set(labels(plan))) == 3


def test_points_that_repeat_the_baseline_or_each_other_are_one_configuration() -> None:
    points = [{"train.video_dropout": 0.3}, {"train.mixup": 1}, {"train.mixup": 1.0}]
    assert labels(plan_of({"by": "list", "points": points})) == ["baseline", "train.mixup=1.0"]


def test_leave_one_out_removes_one_component_at_a_time() -> None:
    components = {"train.video_dropout": 0.0, "augmentation": {"train.augment": False, "train.schedule": "constant"}}
    plan = plan_of({"by": "leave-one-out", "components": components})
    assert labels(plan) == ["baseline", "train.video_dropout=0.0", "augmentation"]
    assert plan.configurations[2].changes == {"train.schedule": "constant", "train.augment": False}


def test_a_conditional_factor_of_a_grid_exists_only_where_its_condition_holds() -> None:
    plan = plan_of(
        {
            "by": "grid",
            "factors": {"model.inputs.audio.segment": [64, 256], "model.inputs.audio.kind": ["mel", "raw"]},
            "where": [{"factor": "model.inputs.audio.segment", "when": {"model.inputs.audio.kind": "raw"}}],
        }
    )
    assert labels(plan) == [
        "baseline",
        "model.inputs.audio.segment=64 model.inputs.audio.kind=raw",
        "model.inputs.audio.segment=256 model.inputs.audio.kind=raw",
    ]


def test_a_conditional_factor_alone_varies_on_top_of_what_it_needs() -> None:
    plan = plan_of(
        {
            "by": "one-factor",
            "factors": {"model.inputs.audio.kind": ["mel", "raw"], "model.inputs.audio.segment": [64, 128]},
            "where": [{"factor": "model.inputs.audio.segment", "when": {"model.inputs.audio.kind": ["raw"]}}],
        }
    )
    assert labels(plan) == [
        "baseline",
        "model.inputs.audio.kind=raw",
        "model.inputs.audio.kind=raw model.inputs.audio.segment=64",
    ]


def test_a_factor_inside_a_part_that_is_off_does_not_exist_there() -> None:
    vary = {"by": "grid", "factors": {"model.inputs.video": [None], "model.inputs.video.embedding": [2, 8]}}
    assert labels(plan_of(vary)) == ["baseline", "model.inputs.video=null"]


@pytest.mark.parametrize(
    ("tie", "expected"),
    [
        ({"follows": "train.batch_size", "power": 1}, 0.01),
        ({"follows": "train.batch_size", "power": 0.5}, 0.0070711),
        ({"follows": "train.batch_size", "levels": {"24": 0.5}}, 0.5),
    ],
)
def test_a_tied_key_follows_its_factor(tie: dict[str, Any], expected: float) -> None:
    vary = {"by": "one-factor", "factors": {"train.batch_size": [24]}, "ties": {"train.lr": tie}}
    config = plan_of(vary).configurations[1].config
    assert (config.train.batch_size, config.train.lr) == (24, pytest.approx(expected, rel=1e-4))


def test_a_tied_key_can_take_the_same_level() -> None:
    vary = {
        "by": "one-factor",
        "factors": {"train.video_dropout": [0.2]},
        "ties": {"train.audio_dropout": {"follows": "train.video_dropout"}},
    }
    assert labels(plan_of(vary)) == ["baseline", "train.video_dropout=0.2 train.audio_dropout=0.2"]


@pytest.mark.parametrize(
    ("solve", "iterations"),
    [("model.layers_per_block", [1]), ("model.latents", [1, 4]), ("model.inputs.video.size", [1])],
)
def test_a_match_keeps_the_baselines_compute(solve: str, iterations: list[int]) -> None:
    vary = {
        "by": "one-factor",
        "factors": {"model.iterations": iterations},
        "match": {"keep": "flops", "solve": solve, "within": 0.05},
    }
    baseline, *rest = plan_of(vary, base="audioset_mel_video").configurations
    assert len(rest) == len(iterations)
    assert all(abs(each.cost.flops / baseline.cost.flops - 1) <= 0.05 for each in rest)
    assert all(solve in each.changes for each in rest)


def test_a_match_without_a_solution_is_told_with_the_nearest_one() -> None:
    vary = {
        "by": "one-factor",
        "factors": {"model.iterations": [1]},
        "match": {"keep": "parameters", "solve": "model.self_heads"},
    }
    with pytest.raises(SpecError, match=r"model\.iterations=1: no model\.self_heads keeps the baseline's parameters"):
        plan_of(vary)


def test_levels_that_do_not_go_together_are_told_at_their_line() -> None:
    with pytest.raises(SpecError) as caught:
        plan_of({"by": "one-factor", "factors": {"model.self_heads": [2, 3, 5]}})
    assert [mistake.line for mistake in caught.value.mistakes] == [8, 9]
    assert "model.self_heads=3: model.self_heads 3 does not divide" in caught.value.mistakes[0].message


@pytest.mark.parametrize("by", ["random", "sobol"])
def test_drawn_points_are_distinct_lie_in_their_ranges_and_repeat_with_the_seed(by: str) -> None:
    spaces = {
        "train.lr": {"low": 1e-4, "high": 1e-1, "scale": "log"},
        "train.audio_dropout": {"low": 0.0, "high": 0.3, "step": 0.05},
        "model.latents": {"low": 8, "high": 64, "scale": "log"},
        "model.layers_per_block": {"low": 0, "high": 3},
        "train.optimizer": ["lamb", "adamw"],
    }
    vary = {"by": by, "trials": 32, "factors": spaces}
    plan = plan_of(vary)
    assert len(plan.configurations) == 33
    assert labels(plan) == labels(plan_of(vary))
    assert labels(plan) != labels(plan_of(vary | {"seed": 1}))
    for each in plan.configurations[1:]:
        assert 1e-4 <= each.config.train.lr <= 1e-1
        assert round(each.config.train.audio_dropout / 0.05, 6) == round(each.config.train.audio_dropout / 0.05)
        assert 8 <= each.config.model.latents <= 64
        assert 0 <= each.config.model.layers_per_block <= 3
    assert sum(each.config.train.lr < 10**-2.5 for each in plan.configurations) in range(10, 24)


def test_more_trials_keep_the_first_draws() -> None:
    vary = {"by": "random", "factors": {"train.lr": {"low": 0.1, "high": 0.9}}}
    assert labels(plan_of(vary | {"trials": 9}))[:5] == labels(plan_of(vary | {"trials": 4}))


def test_a_space_with_too_few_points_is_told() -> None:
    with pytest.raises(SpecError, match="9 asked for, but only 1 different"):
        plan_of({"by": "random", "trials": 9, "factors": {"train.optimizer": ["lamb", "adamw"]}})


def test_draws_that_cannot_run_or_are_too_large_are_drawn_again() -> None:
    spaces = {"model.self_heads": {"low": 1, "high": 8}, "model.latent_channels": [32, 64, 512]}
    plan = plan_of({"by": "random", "trials": 5, "factors": spaces}, limits={"parameters": "2M"})
    assert len(plan.configurations) == 6
    assert all(each.config.model.latent_channels < 512 for each in plan.configurations)


def test_an_adaptive_sweep_plans_its_baseline_and_says_how_many_will_be_proposed() -> None:
    vary = {"by": "tpe", "trials": 20, "factors": {"train.lr": {"low": 1e-4, "high": 1e-1, "scale": "log"}}}
    plan = plan_of(vary, seeds=3)
    assert labels(plan) == ["baseline"]
    assert (len(plan.trials), plan.to_propose) == (3, 20)


def test_a_grid_of_more_than_100_000_trials_asks_first() -> None:
    vary = {"by": "grid", "factors": {f"train.{key}": list(range(1, 48)) for key in ("batch_size", "epochs", "steps")}}
    with pytest.raises(UsageError, match=r"more than 100,000 trials.*--confirm many"):
        plan_of(vary, seeds=1000)


def test_listed_trials_beyond_a_limit_make_the_plan_infeasible() -> None:
    plan = plan_of({"by": "one-factor", "factors": {"model.iterations": [1, 8]}}, limits={"parameters": "1M"})
    (problem,) = plan.problems()
    assert problem.startswith("model.iterations=8: ")
    assert problem.endswith("parameters are above limits.parameters 1.00M")
    with pytest.raises(InfeasiblePlan, match=r"model\.iterations=8"):
        plan.require_feasible()


def test_limits_of_the_whole_sweep_count_only_what_is_left() -> None:
    plan = plan_of({"by": "grid", "factors": {"train.mixup": [0.5]}}, limits={"gpu_hours": 1e-9})
    assert len(plan.problems()) == 1
    assert plan.problems(done=[trial.id for trial in plan.trials]) == []


def test_where_it_runs_changes_no_trial() -> None:
    text = yaml.safe_dump({"sweep": "mine", "base": "tiny", "vary": {"by": "grid", "factors": {"train.mixup": [0.5]}}})
    here = plan_sweep(parse_sweep(text, "mine.yaml"))
    there = plan_sweep(parse_sweep(text, "mine.yaml"), Site(name="there", storage="s3://bucket/x", workers=8))
    assert [(trial.id, trial.identity) for trial in here.trials] == [
        (trial.id, trial.identity) for trial in there.trials
    ]


def test_data_that_cannot_be_seen_leaves_the_identity_open() -> None:
    plan = plan_of({"by": "grid", "factors": {"train.mixup": [0.5]}}, base="audioset_mel_video")
    assert plan.data_digest is None
    assert all(trial.identity is None for trial in plan.trials)
    assert "does not say where data set audioset lies" in plan.data.problems["audioset"]


def test_json_of_a_plan_is_plain_data() -> None:
    plan = plan_of({"by": "one-factor", "factors": {"train.mixup": [0.5]}}, seeds=2)
    data = json.loads(json.dumps(plan.to_json()))
    assert [trial["state"] for trial in data["trials"]] == ["new"] * 4
    assert data["trials"][2]["factors"] == {"train.mixup": 0.5}
    assert RunConfig.model_validate(parse(data["trials"][2]["config"])) == plan.trials[2].config
    assert data["totals"]["trials"] == 4
