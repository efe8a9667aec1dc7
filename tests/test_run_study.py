"""Adaptive search: better than chance, the same after a restart, and deaf to nothing."""

import math
import statistics
from typing import Any

import pytest
import yaml

from orchestrator.errors import OrchestratorError
from orchestrator.plan.planner import Proposal, extend_plan, plan_sweep
from orchestrator.plan.spec import StopEarly, Sweep, parse_sweep
from orchestrator.run.stopping import Stopping
from orchestrator.run.study import Study

FACTORS: dict[str, Any] = {
    "train.lr": {"low": 1e-4, "high": 1e-1, "scale": "log"},
    "train.video_dropout": {"low": 0.0, "high": 0.6},
    "train.mixup": [0.0, 0.5, 1.0],
    "model.layers_per_block": {"low": 0, "high": 6},
}


def sweep(by: str = "tpe", seed: int = 0, factors: dict[str, Any] = FACTORS, **changes: Any) -> Sweep:
    vary = {"by": by, "trials": 40, "seed": seed, "factors": factors} | changes.pop("vary", {})
    text = {"sweep": "mine", "base": "tiny", "vary": vary} | changes
    return parse_sweep(yaml.safe_dump(text, sort_keys=False), "mine.yaml")


def planted(changes: dict[str, Any]) -> float:
    """Best, 0, at lr 0.005, video dropout 0.2, mixup 0.5, four layers."""
    rate = (math.log10(changes["train.lr"]) + 2.3) ** 2
    dropout = 4 * (changes["train.video_dropout"] - 0.2) ** 2
    return -rate - dropout - 0.3 * (changes["train.mixup"] != 0.5) - 0.05 * abs(changes["model.layers_per_block"] - 4)


def best_of_search(seed: int, trials: int = 40) -> float:
    study, best = Study(sweep(seed=seed)), -math.inf
    for _ in range(trials):
        proposal = study.ask()
        assert proposal is not None
        score = planted(proposal.changes)
        best = max(best, score)
        study.tell(proposal.number, [(1, score)], "finished")
    return best


def best_of_chance(seed: int, trials: int = 40) -> float:
    plan = plan_sweep(sweep("random", seed=seed, vary={"trials": trials}))
    complete = [plan.sweep.baseline.train.lr, plan.sweep.baseline.train.video_dropout]
    defaults = dict(zip(["train.lr", "train.video_dropout"], complete, strict=True))
    defaults |= {"train.mixup": 0.0, "model.layers_per_block": 1}
    return max(planted(defaults | each.changes) for each in plan.configurations[1:])


def test_tpe_finds_a_planted_optimum_better_than_chance_over_20_seeds() -> None:
    found, chance = [best_of_search(seed) for seed in range(20)], [best_of_chance(seed) for seed in range(20)]
    assert statistics.mean(found) > statistics.mean(chance)
    assert sum(one > other for one, other in zip(found, chance, strict=True)) >= 15


@pytest.mark.parametrize("by", ["tpe", "nsga2"])
def test_a_restarted_search_proposes_what_the_unbroken_one_would_have(by: str) -> None:
    unbroken = Study(sweep(by))
    history = []
    for number in range(25):
        proposal = unbroken.ask()
        assert proposal is not None
        ended = "failed" if number % 7 == 3 else "stopped" if number % 5 == 2 else "finished"
        history.append((proposal.changes, [(1, -1.0), (2, planted(proposal.changes))], ended))
        unbroken.tell(proposal.number, history[-1][1], ended)
    restarted = Study(sweep(by))
    for changes, scores, ended in history[:15]:
        restarted.tell(restarted.restore(changes).number, scores, ended)
    for changes, scores, ended in history[15:]:
        proposal = restarted.ask()
        assert proposal is not None
        assert proposal.changes == changes
        restarted.tell(proposal.number, scores, ended)


def test_trials_side_by_side_are_different_points() -> None:
    study = Study(sweep())
    proposals = [study.ask() for _ in range(12)]
    assert [proposal.number for proposal in proposals if proposal] == list(range(12))
    assert len({str(proposal.changes) for proposal in proposals if proposal}) == 12


def test_a_small_space_is_used_up_without_repeating_itself() -> None:
    study = Study(sweep(factors={"train.mixup": [0.0, 0.5, 1.0], "train.optimizer": ["lamb", "adamw"]}))
    found = []
    while (proposal := study.ask()) is not None:
        found.append(str(proposal.changes))
        study.tell(proposal.number, [(1, 0.0)], "finished")
    assert len(found) == len(set(found)) == 5  # six combinations, one is the baseline


def test_points_that_cannot_run_or_are_too_large_are_never_proposed() -> None:
    factors = {"model.self_heads": {"low": 1, "high": 8}, "model.latent_channels": [32, 64, 512]}
    study = Study(sweep(factors=factors, limits={"parameters": "2M"}))
    while (proposal := study.ask()) is not None:
        assert proposal.changes["model.latent_channels"] < 512
        assert proposal.changes["model.latent_channels"] % proposal.changes["model.self_heads"] == 0


def test_a_conditional_factor_is_proposed_only_where_it_exists() -> None:
    factors = {"model.inputs.audio.kind": ["mel", "raw"], "model.inputs.audio.segment": [64, 128, 256]}
    where = [{"factor": "model.inputs.audio.segment", "when": {"model.inputs.audio.kind": "raw"}}]
    study = Study(sweep(factors=factors, vary={"where": where}))
    found = []
    while (proposal := study.ask()) is not None:
        found.append(proposal.changes)
        study.tell(proposal.number, [(1, 0.5)], "finished")
    assert sorted(map(str, found)) == sorted(
        str({"model.inputs.audio.kind": "raw", "model.inputs.audio.segment": segment}) for segment in (64, 128, 256)
    )


@pytest.mark.parametrize("scores", [[], [(1, math.nan)], [(1, 0.4), (2, math.inf)]])
def test_a_trial_without_a_finite_score_has_failed_and_the_search_goes_on(scores: list[tuple[int, float]]) -> None:
    study = Study(sweep())
    for _ in range(12):
        proposal = study.ask()
        assert proposal is not None
        study.tell(proposal.number, scores, "finished")
    assert study.ask() is not None


def test_a_result_is_taken_once_and_only_for_what_was_asked() -> None:
    study = Study(sweep())
    proposal = study.ask()
    assert proposal is not None
    study.tell(proposal.number, [(1, 0.5)], "finished")
    for number in (proposal.number, 7, -1):
        with pytest.raises(OrchestratorError, match="was not asked for, or told before"):
            study.tell(number, [(1, 0.5)], "finished")


def test_results_of_the_baseline_and_of_other_sweeps_start_a_search() -> None:
    study = Study(sweep())
    assert study.learn({}, [0.3]) is True
    assert study.learn({"train.lr": 0.01, "train.mixup": 1.0}, [0.4]) is True
    assert study.learn({"train.lr": 0.5}, [0.4]) is False
    assert study.learn({"train.weight_decay": 0.1}, [0.4]) is False
    assert study.learn({"train.lr": 0.01}, [math.nan]) is False
    proposal = study.ask()
    assert proposal is not None
    assert proposal.number == 0


def test_several_scores_are_searched_together() -> None:
    study = Study(sweep("nsga2", score=[{"metric": "eval/mAP"}, {"metric": "cost/hours", "goal": "minimize"}]))
    for _ in range(25):
        proposal = study.ask()
        assert proposal is not None
        study.tell(proposal.number, [(1, [planted(proposal.changes), proposal.changes["train.lr"]])], "finished")


def test_the_scores_of_a_stopped_trial_say_nothing_where_several_count() -> None:
    """At a part of its budget a trial looks cheap: told as finished it would lead the front by its costs."""
    scores = [{"metric": "eval/mAP"}, {"metric": "cost/hours", "goal": "minimize"}]
    studies = {cost: Study(sweep("nsga2", score=scores, vary={"startup": 2})) for cost in (0.0, 99.0)}
    for number in range(12):
        proposals = {cost: study.ask() for cost, study in studies.items()}
        assert proposals[0.0] == proposals[99.0]
        for cost, study in studies.items():
            proposal = proposals[cost]
            assert proposal is not None
            quality = planted(proposal.changes)
            if number % 3:
                study.tell(proposal.number, [(1, [quality - cost, cost])], "stopped")
            else:
                study.tell(proposal.number, [(1, [quality, 1.0])], "finished")


@pytest.mark.parametrize("by", ["tpe", "gp", "nsga2"])
def test_a_level_that_cannot_run_does_not_end_the_search(by: str) -> None:
    factors = {"model.latents": [16, 32, 2048, 4096], "train.lr": {"low": 1e-3, "high": 1e-2}}
    study = Study(sweep(by, factors=factors, vary={"startup": 3}), fits=lambda config: config.model.latents < 100)
    for _ in range(8):
        proposal = study.ask()
        assert proposal is not None and proposal.changes["model.latents"] < 100
        study.tell(
            proposal.number,
            [
                (
                    1,
                    planted(
                        proposal.changes | {"train.video_dropout": 0, "train.mixup": 0, "model.layers_per_block": 0}
                    ),
                )
            ],
            "finished",
        )


def test_a_sweep_that_lists_its_trials_has_nothing_to_search() -> None:
    with pytest.raises(OrchestratorError, match="there is nothing to search"):
        Study(sweep("random"))


def test_proposals_extend_the_plan_and_leaders_get_their_replicates() -> None:
    plan = plan_sweep(sweep(seeds=3))
    points = [Proposal(0, {"train.lr": 0.01}), Proposal(1, {"train.lr": 0.02})]
    longer = extend_plan(plan, [(point, [0]) for point in points])
    assert [trial.configuration for trial in longer.trials[3:]] == ["train.lr=0.01", "train.lr=0.02"]
    assert longer.to_propose == 38
    replicated = extend_plan(longer, [(points[1], [0, 1, 2])])
    assert [(each.label, len(each.trials)) for each in replicated.configurations] == [
        ("baseline", 3),
        ("train.lr=0.01", 1),
        ("train.lr=0.02", 3),
    ]
    assert {trial.id for trial in longer.trials} < {trial.id for trial in replicated.trials}


def rule(name: str, grace: int = 1, maximize: bool = True) -> Stopping:
    return Stopping(StopEarly(rule=name, grace=grace, reduction=3), evaluations=10, maximize=maximize)


def test_asha_compares_at_its_rungs_and_lets_one_in_three_go_on() -> None:
    stopping = rule("asha")
    assert stopping.rungs("any") == [1, 3, 9]
    heard = {name: stopping.hear(name, 1, score) for name, score in {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.15}.items()}
    assert heard == {"a": False, "b": False, "c": False, "d": True}
    assert stopping.hear("a", 2, 0.0) is False  # no rung
    assert stopping.hear("d", 2, 0.9) is True  # stays stopped


def test_lower_scores_lead_where_the_goal_is_to_minimise() -> None:
    stopping = rule("asha", maximize=False)
    assert [stopping.hear(name, 1, score) for name, score in [("a", 0.1), ("b", 0.2), ("c", 0.3)]] == [
        False,
        False,
        True,
    ]


def test_scores_that_are_not_finite_are_the_worst() -> None:
    stopping = rule("asha")
    assert [stopping.hear(name, 1, score) for name, score in [("a", 0.1), ("b", 0.2), ("c", math.nan)]][-1] is True


def test_rungs_rebuilt_from_recorded_scores_decide_as_before() -> None:
    first, again = rule("asha"), rule("asha")
    scores = [(f"trial{index}", evaluation, index / 10) for index in range(8) for evaluation in (1, 2, 3)]
    for score in scores:
        first.hear(*score)
    for score in [*scores, *scores]:
        again.hear(*score)
    assert first.hear("new", 1, 0.65) == again.hear("new", 1, 0.65)
    assert first.hear("last", 1, 0.05) is again.hear("last", 1, 0.05) is True


def test_hyperband_gives_some_trials_a_longer_grace() -> None:
    firsts = {rule("hyperband").rungs(f"trial{index}")[0] for index in range(50)}
    assert firsts == {1, 3, 9}


def test_the_median_rule_waits_for_others_and_then_stops_what_is_below() -> None:
    stopping = rule("median", grace=2)
    for index, name in enumerate("abc"):
        for evaluation in (1, 2, 3):
            assert stopping.hear(name, evaluation, 0.5 + index / 10) is False
    assert stopping.hear("late", 1, 0.1) is False  # grace
    assert stopping.hear("late", 2, 0.2) is True
    assert stopping.hear("good", 1, 0.9) is False
    assert stopping.hear("good", 2, 0.2) is False  # its best so far counts


def test_nobody_is_stopped_at_the_end() -> None:
    stopping = rule("median")
    for name in "abcd":
        stopping.hear(name, 10, 0.9)
    assert stopping.hear("slow", 10, 0.1) is False
