"""Sweep files: what they mean, and every mistake at its line with what would be right."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import SpecError
from orchestrator.plan.planner import plan_sweep
from orchestrator.plan.spec import Sweep, load_sweep, parse_sweep
from perceiver.config import RunConfig, with_changes

RIGHT: dict[str, Any] = {
    "sweep": "mine",
    "base": "tiny",
    "vary": {"by": "one-factor", "factors": {"train.video_dropout": [0.0, 0.3]}},
}


def sweep(**changes: Any) -> Sweep:
    return parse_sweep(yaml.safe_dump(RIGHT | changes, sort_keys=False), "mine.yaml")


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_sweep(text, "mine.yaml")
    return [f"{mistake.line}: {mistake.message}" for mistake in caught.value.mistakes]


def mistakes_with(**changes: Any) -> list[str]:
    return [message.split(": ", 1)[1] for message in mistakes_of(yaml.safe_dump(RIGHT | changes, sort_keys=False))]


def varying(**vary: Any) -> list[str]:
    return mistakes_with(vary=RIGHT["vary"] | vary)


def test_mistakes_of_form_and_of_meaning_are_told_together_in_the_files_order() -> None:
    text = """\
sweep: Video Dropout
base: tiny
set: {train.epoch: 3, train: {lr: -1}}
vary:
  by: one-factor
  factors:
    model.iteration: [1, 2]
    train.video_dropout: [0.0, 1.7]
    train.lr: 0.1
seeds: three
limits: {parameters: lots}
colour: blue
"""
    assert mistakes_of(text) == [
        '1: sweep: expected up to 64 small letters, digits, - and _, got "Video Dropout". Perhaps: video-dropout',
        "3: train.epoch: not a key of the configuration. Nearest: train.epochs",
        "3: train.lr: -1 must be above 0.0",
        "7: vary.factors: model.iteration is not a key of the configuration. Nearest: model.iterations",
        "8: train.video_dropout: 1.7 is above its greatest value, 1.0",
        "9: vary.factors.train.lr: expected a list, got 0.1",
        '10: seeds: expected a whole number or a list of them, got "three"',
        "11: limits.parameters: expected a number such as 150M, 2.5G or 70GiB, got 'lots'",
        "12: colour is not a key here. Known: sweep, question, base, set, score, vary, seeds, limits, stop_early, "
        "replicate_top, warm_start, final",
    ]


def test_columns_are_told_too() -> None:
    with pytest.raises(SpecError) as caught:
        parse_sweep("sweep: a\nbase: tiny\nvary: {by: grid, factors: {train.lr: [0.1, -1]}}\n", "mine.yaml")
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.column) == (3, 44)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vary": {"factors": {}}}, "vary.by: missing; give one of one-factor, leave-one-out, grid, list, random"),
        ({"vary": {"by": "gird", "factors": {}}}, 'vary.by: "gird" is none of'),
        ({"vary": {"by": "one-factor", "factors": {}}}, "vary.factors: expected at least 1 entry"),
        ({"vary": 3}, "vary: expected a mapping, got 3"),
        ({"score": {"metric": "eval/map"}}, "score.metric: eval/map is no metric. Nearest: eval/mAP"),
        ({"score": {"goal": "max"}}, 'score.goal: "max" is none of maximize, minimize. Nearest: maximize'),
        ({"score": [{"metric": "eval/mAP"}, {"metric": "eval/loss"}]}, "score: several scores need by: nsga2"),
        ({"seeds": 0}, "seeds: expected 1 to 1000 seeds, got 0"),
        ({"seeds": []}, "seeds: expected a whole number or a list"),
        ({"seeds": [1, 1]}, "seeds: a seed is in the list twice"),
        ({"seeds": [1, -1]}, "seeds: expected a list of whole numbers"),
        ({"seeds": True}, "seeds: expected a whole number or a list of them, got true"),
        ({"set": {"train.seed": 3}}, "set: train.seed is given by `seeds:`"),
        ({"set": {"model.self_heads": 7}}, "set: model.self_heads 7 does not divide"),
        ({"final": {"train.epoch": 3}}, "train.epoch: not a key of the configuration"),
        ({"base": "tinny"}, "base: there is no base tinny. Nearest: tiny"),
        ({"base": "other/absent.yaml"}, "base: there is no file other/absent.yaml"),
        ({"base": "promoted:champion"}, "base: promoted:champion needs the model registry"),
        ({"limits": {"gpu_hours": -1}}, "limits.gpu_hours: expected a number above 0"),
        ({"stop_early": {"rule": "asha", "grace": 3}}, "stop_early.grace: 3 leaves nothing to stop"),
        ({"stop_early": {"rule": "asa"}}, 'stop_early.rule: "asa" is none of asha, hyperband, median'),
        (
            {"stop_early": {"rule": "asha"}, "vary": {"by": "grid", "factors": {"eval.times": [2, 4]}}},
            "stop_early: eval.times is a factor",
        ),
        ({"warm_start": ["other"]}, "warm_start is for adaptive search"),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed(changes: dict[str, Any], message: str) -> None:
    (found,) = mistakes_with(**changes)
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"factors": {"train.lr": []}}, "vary.factors.train.lr: expected at least 1 entry"),
        ({"factors": {"train.lr": [0.1, 0.1]}}, "train.lr: 0.1 is in the list twice"),
        ({"factors": {"train.epochs": [3, 3.0]}}, "train.epochs: 3.0 is in the list twice"),
        ({"factors": {"train.video_dropout": [0.3]}}, "train.video_dropout: 0.3 is the baseline's own level"),
        ({"factors": {"train.seed": [1, 2]}}, "vary.factors: train.seed is given by `seeds:`"),
        ({"factors": {"train.compile": [True]}}, "vary.factors: train.compile changes speed and not results"),
        ({"trials": 3}, "vary.trials is not a key here"),
        ({"pairs": [["train.video_dropout", "train.lr"]]}, "vary.pairs: train.lr is none of the factors"),
        ({"pairs": [["train.video_dropout"] * 2]}, "vary.pairs: train.video_dropout is paired with itself"),
        ({"ties": {"train.video_dropout": {"follows": "train.lr"}}}, "vary.ties: train.video_dropout is a factor"),
        ({"ties": {"train.lr": {"follows": "train.epochs"}}}, "vary.ties: train.epochs is none of the factors"),
        (
            {"ties": {"train.schedule": {"follows": "train.video_dropout", "power": 1}}},
            "vary.ties: a power needs numbers",
        ),
        ({"match": {"keep": "flops", "solve": "train.epochs"}}, "vary.match.solve: train.epochs is no whole number"),
        ({"match": {"keep": "size", "solve": "model.latents"}}, 'vary.match.keep: "size" is none of flops'),
        (
            {"where": [{"factor": "train.lr", "when": {"train.mixup": 1.0}}]},
            "vary.where: train.lr is none of the factors",
        ),
        (
            {"where": [{"factor": "train.video_dropout", "when": {"train.mixup": 1.0}}]},
            "vary.where: can never hold: train.mixup is only ever 0.0",
        ),
        (
            {"where": [{"factor": "train.video_dropout", "when": {"train.video_dropout": 0.3}}]},
            "vary.where: a circle that can never hold",
        ),
        (
            {"where": [{"factor": "train.video_dropout", "when": {"train.mixupp": 1.0}}]},
            "vary.where: train.mixupp is not a key of the configuration. Nearest: train.mixup",
        ),
    ],
)
def test_a_mistake_in_a_one_factor_sweep(vary: dict[str, Any], message: str) -> None:
    found = varying(**vary)
    assert any(each.startswith(message) for each in found), found


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ({"low": 3, "high": 1}, "low 3 is not below high 1"),
        ({"low": 0.0, "high": 0.1, "scale": "log"}, "a log scale can't reach down to 0.0"),
        ({"low": -1, "high": 0.1}, "-1 must be above 0.0"),
        ({"low": 0.1, "high": 0.2, "step": 0.5}, "step 0.5 is more than high - low, 0.1"),
        ({"low": 0.1, "high": 0.2, "step": 0}, "step 0 is not above 0"),
        ({"low": 0.1, "high": 0.2, "step": 0.1, "scale": "log"}, "step needs a linear scale"),
        ({"low": 0.1}, "high: missing"),
        ({"low": 0.1, "hihg": 0.2}, "hihg is not a key here. Nearest: high"),
        ({"low": "a", "high": 1}, 'expected a number, got "a"'),
    ],
)
def test_a_mistake_in_a_range(factor: dict[str, Any], message: str) -> None:
    found = mistakes_with(vary={"by": "random", "trials": 3, "factors": {"train.lr": factor}})
    assert any(message in each for each in found), found


def test_a_range_needs_a_number_and_whole_numbers_for_whole_keys() -> None:
    ranges = {"train.schedule": {"low": 1, "high": 2}, "model.latents": {"low": 8.5, "high": 20}}
    found = mistakes_with(vary={"by": "random", "trials": 3, "factors": ranges})
    assert found == [
        "train.schedule: a range needs a key that holds a number; list the levels",
        "model.latents: expected a whole number, got 8.5",
    ]


def test_a_factor_inside_an_absent_part_asks_for_the_part() -> None:
    (found,) = mistakes_with(
        set={"model.inputs.audio": None},
        vary={"by": "grid", "factors": {"model.inputs.audio.bands": [4, 8]}},
    )
    assert "the baseline has no model.inputs.audio" in found


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([{}], "vary.points.0: this point changes nothing"),
        ([{"name": "a", "train.lr": 0.1}, {"name": "a", "train.lr": 0.2}], "a is the name of two points"),
        ([{"train.lr": -1}], "train.lr: -1 must be above 0.0"),
        ([{"model.self_heads": 7}], "vary.points.0: model.self_heads 7 does not divide"),
        ([{"name": "baseline", "train.lr": 0.1}], "baseline is the name of the baseline itself"),
        ([{"name": 3, "train.lr": 0.1}], "expected a line of text, got 3"),
    ],
)
def test_a_mistake_in_a_point(points: list[dict[str, Any]], message: str) -> None:
    found = mistakes_with(vary={"by": "list", "points": points})
    assert any(message in each for each in found), found


def test_leaving_out_what_is_not_there_is_a_mistake() -> None:
    (found,) = mistakes_with(vary={"by": "leave-one-out", "components": {"train.mixup": 0.0}})
    assert found == "vary.components: train.mixup is already left out of the baseline"


def test_without_a_base_the_rest_is_checked_as_far_as_it_can_be() -> None:
    found = mistakes_with(base="tinny", seeds="x", vary={"by": "grid", "factors": {"train.lrr": [1]}})
    assert [message.split(":")[0] for message in found] == ["base", "vary.factors", "seeds"]


def test_a_base_beside_the_sweep_file_comes_before_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "tiny.yaml").write_text("train: {epochs: 7}\n")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(RIGHT))
    assert load_sweep(tmp_path / "mine.yaml").baseline.train.epochs == 7


def test_a_base_may_be_a_path_and_may_start_from_another(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text("train: {epochs: 7, lr: 0.1}\nmodel: {inputs: {video: null}}\n")
    (tmp_path / "child.yaml").write_text("base: parent.yaml\ntrain: {lr: 0.2}\n")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(RIGHT | {"base": "child.yaml"}))
    baseline = load_sweep(tmp_path / "mine.yaml").baseline
    assert (baseline.train.epochs, baseline.train.lr, baseline.model.inputs.video) == (7, 0.2, None)


def test_a_base_that_includes_itself_is_told_with_the_way_round(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(RIGHT | {"base": "a.yaml"}))
    with pytest.raises(SpecError, match="includes itself: a -> b -> a"):
        load_sweep(tmp_path / "mine.yaml")


def test_mistakes_of_a_base_are_told_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("train:\n  epochs: 3\n  lrr: 0.1\n")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(RIGHT | {"base": "own.yaml"}))
    with pytest.raises(SpecError, match=r"own\.yaml line 3: train\.lrr: not a key of the configuration"):
        load_sweep(tmp_path / "mine.yaml")


def test_a_promoted_base_comes_from_whoever_knows_the_registry(tmp_path: Path) -> None:
    champion = with_changes(RunConfig(), {"train.lr": 0.123})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(RIGHT | {"base": "promoted:perceiver"}))
    found = load_sweep(tmp_path / "mine.yaml", resolve_promoted={"perceiver": champion}.__getitem__)
    assert found.baseline.train.lr == 0.123


def test_set_makes_the_baseline_in_dotted_or_nested_form() -> None:
    dotted = sweep(set={"train.lr": 0.1, "model.inputs.video.embedding": 8})
    nested = sweep(set={"train": {"lr": 0.1}, "model": {"inputs": {"video": {"embedding": 8}}}})
    assert dotted.baseline == nested.baseline
    assert dotted.baseline.train.epochs == sweep().baseline.train.epochs


def test_seeds_are_a_number_or_a_list() -> None:
    assert sweep().seeds == (0,)
    assert sweep(seeds=3).seeds == (0, 1, 2)
    assert sweep(seeds=[7, 5]).seeds == (7, 5)


def test_limits_read_units() -> None:
    limits = sweep(limits={"parameters": "150M", "memory_per_gpu": "70GiB", "flops": "1.5T", "dollars": 100}).limits
    assert (limits.parameters, limits.memory_per_gpu, limits.flops) == (150e6, 70 * 2**30, 1.5e12)


def test_overrides_take_the_place_of_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(RIGHT))
    found = load_sweep(path, {"train.lr": 0.5, "seeds": 2, "vary.factors": {"train.mixup": [0.5]}})
    assert (found.baseline.train.lr, found.seeds) == (0.5, (0, 1))
    assert [each.label for each in plan_sweep(found).configurations] == ["baseline", "train.mixup=0.5"]
    assert path.read_text() == yaml.safe_dump(RIGHT)


def test_an_unknown_override_is_told_with_the_nearest_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(RIGHT))
    with pytest.raises(SpecError, match=r"--set train\.lrr: no such key\. Nearest: train\.lr"):
        load_sweep(path, {"train.lrr": 0.5})


def test_the_final_run_changes_the_winner() -> None:
    found = sweep(final={"train.epochs": 99})
    assert found.final_config(found.baseline).train.epochs == 99


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seeds", "three", 'seeds: expected a whole number or a list of them, got "three"'),
        ("vary.trials", 3, "vary.trials is not a key here"),
        ("limits.parameters", "lots", "limits.parameters: expected a number such as 150M"),
        ("score.metric", "eval/mAp", "score.metric: eval/mAp is no metric. Nearest: eval/mAP"),
        (
            "vary.factors.train.lrr",
            [0.1],
            "vary.factors: train.lrr is not a key of the configuration. Nearest: train.lr",
        ),
    ],
)
def test_a_wrong_override_is_told_by_its_key(tmp_path: Path, key: str, value: Any, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(RIGHT))
    with pytest.raises(SpecError) as caught:
        load_sweep(path, {key: value})
    (mistake,) = caught.value.mistakes
    assert mistake.message.startswith(words)


def test_an_override_adds_a_factor(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(RIGHT))
    found = load_sweep(path, {"vary.factors.train.mixup": [0.5]})
    assert "train.mixup=0.5" in [each.label for each in plan_sweep(found).configurations]


def test_one_wrong_choice_hides_no_other_mistake() -> None:
    text = """\
sweep: mine
base: tiny
set: {model.inputs.vidoe.bands: 3, train: {lrr: 1}}
score: {metric: eval/mAp, goal: maximise}
vary:
  by: gird
  factors: {model.iteration: [1], train.video_dropout: [1.7]}
  match: {keep: flop, solve: model.latent_chanels, within: 5}
stop_early: {rule: ash}
final: {train.epoch: 5}
"""
    assert mistakes_of(text) == [
        "3: model.inputs.vidoe.bands: not a key of the configuration. Nearest: model.inputs.video.bands",
        "3: train.lrr: not a key of the configuration. Nearest: train.lr",
        "4: score.metric: eval/mAp is no metric. Nearest: eval/mAP",
        '4: score.goal: "maximise" is none of maximize, minimize. Nearest: maximize',
        '6: vary.by: "gird" is none of one-factor, leave-one-out, grid, list, random, sobol, tpe, gp, nsga2. '
        "Nearest: grid",
        "7: vary.factors: model.iteration is not a key of the configuration. Nearest: model.iterations",
        "7: train.video_dropout: 1.7 is above its greatest value, 1.0",
        '8: vary.match.keep: "flop" is none of flops, parameters. Nearest: flops',
        "8: vary.match.solve: model.latent_chanels is not a key of the configuration. Nearest: model.latent_channels",
        "8: vary.match.within: 5 must be below 1.0",
        '9: stop_early.rule: "ash" is none of asha, hyperband, median. Nearest: asha',
        "10: train.epoch: not a key of the configuration. Nearest: train.epochs",
    ]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_wrong_value_anywhere_is_told_and_nothing_else_happens(data: st.DataObject) -> None:
    """One key of a right file is given a wrong value, or goes, or comes under a name that is none."""
    document = copy.deepcopy(RIGHT | {"limits": {"parameters": "1M"}, "stop_early": {"rule": "asha"}, "score": {}})
    part: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(part)))
        if not (isinstance(part[key], dict) and part[key] and data.draw(st.booleans())):
            break
        part = part[key]
    part[key] = data.draw(st.sampled_from([None, [], {}, "x", -1, float("nan"), 10**30, True, {"x": 1}, [[1]], "🐍"]))
    try:
        parse_sweep(yaml.safe_dump(document, allow_unicode=True), "mine.yaml")
    except SpecError as error:
        assert error.mistakes and all(mistake.message for mistake in error.mistakes)


@pytest.mark.parametrize(
    ("by", "written", "right"),
    [
        ("random", "{min: 0.0001, max: 0.01}", "{low: 0.0001, high: 0.01}"),
        (
            "random",
            "{min: 0.0001, max: 0.01, distribution: log_uniform_values}",
            "{low: 0.0001, high: 0.01, scale: log}",
        ),
        ("tpe", "{min: 1, max: 9, distribution: q_uniform, q: 2}", "{low: 1, high: 9, step: 2}"),
        ("sobol", "{values: [0.1, 0.2]}", "[0.1, 0.2]"),
        ("random", "{value: 0.1}", "[0.1]"),
        ("grid", "{values: [0.1, 0.2]}", "[0.1, 0.2]"),
        ("one-factor", "{min: 1, max: 3}", "the levels as a list, or by: random with {low: 1, high: 3}"),
    ],
)
def test_the_form_of_w_and_b_is_told_with_ours(by: str, written: str, right: str) -> None:
    trials = "" if by in ("grid", "one-factor") else ", trials: 3"
    (found,) = mistakes_of(f"sweep: x\nbase: tiny\nvary: {{by: {by}{trials}, factors: {{\n  train.lr: {written}}}}}\n")
    assert found.startswith("4: vary.factors.train.lr: {") and found.endswith(f"is W&B's form; write {right}")
