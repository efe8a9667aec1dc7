"""Adaptive sweeps through the driver's session: what is proposed, told, replicated, and the same after any end."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_maker import empty_store
from trial_player import FACTORS, TIMES, Player, make_sweep, score_of

from orchestrator.errors import UsageError
from orchestrator.plan.planner import plan_sweep
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Score
from orchestrator.rank.board import board
from orchestrator.run.leaders import choose_leaders
from orchestrator.track import storage
from orchestrator.track.ledger import take_stock
from orchestrator.track.names import SUPERSEDED, Tag
from orchestrator.track.paths import SweepPaths
from orchestrator.track.reader import read_runs

ASHA = {"rule": "asha", "grace": 1, "reduction": 2}


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(Site(tracking=empty_store(tmp_path), storage=str(tmp_path / "storage")))


@pytest.fixture
def other(tmp_path: Path) -> Player:
    """Another place, where nothing has run yet."""
    (tmp_path / "other").mkdir()
    return Player(Site(tracking=empty_store(tmp_path / "other"), storage=str(tmp_path / "other" / "storage")))


def by_configuration(player: Player, sweep: str = "mine") -> dict[str, list[int | None]]:
    found: dict[str, list[int | None]] = {}
    for run in player.runs(sweep):
        found.setdefault(run.tags[Tag.CONFIGURATION], []).append(run.seed)
    return found


def test_proposals_have_one_seed_and_the_best_are_replicated(player: Player) -> None:
    session = player.run(make_sweep(seeds=3, replicate_top=2))
    assert session.outcome.complete and len(session.outcome.finished) == 3 + 8 + 2 * 2
    seeds = by_configuration(player)
    assert seeds.pop("baseline") == [0, 1, 2]
    assert sorted(map(len, seeds.values())) == [1] * 6 + [3] * 2
    first = {run.tags[Tag.CONFIGURATION]: run.metrics["eval/mAP"] for run in player.runs("mine") if run.seed == 0}
    del first["baseline"]
    best = sorted(first, key=lambda name: -first[name])[:2]
    assert {name for name, each in seeds.items() if len(each) == 3} == set(best)
    assert read_runs(player.site.tracking, "mine").parent.status == "FINISHED"  # type: ignore[union-attr]


def test_a_finished_search_starts_nothing_when_it_is_run_again(player: Player) -> None:
    sweep = make_sweep(seeds=2, replicate_top=1)
    player.run(sweep)
    player.started.clear()
    session = player.run(sweep)
    assert player.started == [] and len(session.outcome.already) == 2 + 8 + 1 and session.outcome.complete


@pytest.mark.parametrize("by", ["tpe", "nsga2"])
@pytest.mark.parametrize("stop_early", [None, ASHA], ids=["whole", "asha"])
@pytest.mark.parametrize("records", [True, False], ids=["recorded", "unrecorded"])
def test_a_search_that_is_killed_again_and_again_proposes_what_the_unbroken_one_does(
    by: str, stop_early: dict[str, Any] | None, records: bool, player: Player, other: Player
) -> None:
    other.records = records
    sweep = make_sweep(vary={"by": by, "trials": 7}, seeds=2, replicate_top=2, stop_early=stop_early)
    player.run(sweep)
    for reports in (3, 9, 12, 1, 14, 7, 20):
        other.run(sweep, kill_after=reports)
    assert other.run(sweep).outcome.complete
    assert other.proposals("mine") == player.proposals("mine")
    assert len(other.proposals("mine")) == 7
    assert by_configuration(other) == by_configuration(player)
    ended = [
        {run.tags[Tag.TRIAL]: (run.status, run.tags.get(Tag.STOPPED), run.metrics) for run in place.runs("mine")}
        for place in (player, other)
    ]
    assert ended[0] == ended[1]


def test_trials_side_by_side_wait_for_room_and_come_to_the_same_number(player: Player) -> None:
    sweep = make_sweep(seeds=2, replicate_top=2, stop_early=ASHA)
    player.run(sweep, side_by_side=3, kill_after=17)
    session = player.run(sweep, side_by_side=3)
    assert session.outcome.complete
    assert len(player.proposals("mine")) == 8
    leaders = [name for name, seeds in by_configuration(player).items() if seeds == [0, 1] and name != "baseline"]
    assert len(leaders) == 2


def test_unfinished_trials_go_on_from_their_checkpoints(player: Player) -> None:
    sweep = make_sweep()
    player.run(sweep, kill_after=8)  # the baseline's five reports and the end, two of the first proposal
    player.started.clear()
    player.run(sweep)
    ids = [trial for trial, _ in player.started]
    assert len(set(ids)) == len(ids)
    assert [share for _, share in player.started if share] == [0.5]


def test_more_trials_extend_a_search_and_other_leaders_are_replicated(player: Player) -> None:
    player.run(make_sweep(seeds=2, replicate_top=1))
    before = player.proposals("mine")
    longer = make_sweep(vary={"trials": 12}, seeds=2, replicate_top=3)
    stock = take_stock(plan_sweep(longer, player.site))
    assert stock.plan.to_propose == 4
    assert {str(entry) for entry in stock.entries.values()} == {"finished"}
    player.run(longer)
    after = player.proposals("mine")
    assert after[:8] == before and len(after) == 12
    assert sum(len(seeds) == 2 for seeds in by_configuration(player).values()) in (4, 5)  # an old leader stays


def test_proposals_that_no_longer_fit_are_superseded_and_come_back_with_the_file(player: Player) -> None:
    player.run(make_sweep())
    before = set(by_configuration(player))
    narrow = {"train.lr": {"low": 2e-3, "high": 1e-1, "scale": "log"}, "train.video_dropout": {"low": 0.0, "high": 0.6}}
    player.run(make_sweep(vary={"factors": narrow}))
    shown = [run for run in player.runs("mine") if run.tags.get(Tag.PROPOSAL)]
    levels = [json.loads(run.tags[Tag.PROPOSAL])["changes"]["train.lr"] for run in shown]
    assert len(levels) == 8 and min(levels) >= 2e-3
    assert sorted(json.loads(run.tags[Tag.PROPOSAL])["number"] for run in shown) == list(range(8))
    player.started.clear()
    player.run(make_sweep(vary={"trials": 16}))
    assert before <= set(by_configuration(player)), "what was superseded has its result again"
    assert len(player.proposals("mine")) == 16


def test_another_baseline_is_another_search(player: Player) -> None:
    player.run(make_sweep())
    other = make_sweep(set={"eval.times": TIMES, "train.batch_size": 6})
    stock = take_stock(plan_sweep(other, player.site))
    assert stock.plan.to_propose == 8 and stock.is_another_sweep


def test_results_on_record_elsewhere_are_not_computed_again(player: Player) -> None:
    player.run(make_sweep("first", seeds=2, replicate_top=1))
    player.started.clear()
    session = player.run(make_sweep("second", seeds=2, replicate_top=1))
    assert player.started == [] and session.outcome.complete
    assert player.proposals("second") == player.proposals("first")


def test_a_result_that_was_stopped_early_is_never_another_sweeps(player: Player) -> None:
    player.run(make_sweep("first", stop_early=ASHA))
    stopped = {run.tags[Tag.TRIAL] for run in player.runs("first") if run.early_stop}
    player.started.clear()
    player.run(make_sweep("second"))
    assert stopped and stopped & {trial for trial, _ in player.started}


def test_failures_are_told_and_tried_again_by_the_next_run(player: Player) -> None:
    player.score = lambda config: -math.inf if config["train"]["lr"] > 0.01 else score_of(config)
    sweep = make_sweep(vary={"trials": 10})
    session = player.run(sweep)
    failed = set(session.outcome.failed)
    assert failed and len(player.proposals("mine")) == 10
    player.score, player.started = score_of, []
    assert player.run(sweep).outcome.complete
    assert {trial for trial, _ in player.started} == failed


def test_a_search_whose_scores_are_nan_goes_on(player: Player) -> None:
    player.score = lambda config: math.nan if config["train"]["seed"] == 0 else 0.5
    session = player.run(make_sweep(seeds=2, replicate_top=2))
    assert session.outcome.complete
    assert sum(len(seeds) == 2 for seeds in by_configuration(player).values()) == 1, "none of them can lead"


def test_ctrl_c_is_a_stop_and_the_search_goes_on(player: Player, other: Player) -> None:
    sweep = make_sweep(seeds=2, replicate_top=1)
    paths = SweepPaths(player.site.storage, "mine")

    def ask_and_score(config: dict[str, Any]) -> float:
        if len(player.started) == 4 and not storage.exists(paths.stop):
            storage.write_text(paths.stop, "{}")
        return score_of(config)

    player.score = ask_and_score
    session = player.run(sweep)
    assert session.outcome.interrupted and not session.outcome.complete and session.outcome.waiting
    assert read_runs(player.site.tracking, "mine").parent.status == "KILLED"  # type: ignore[union-attr]
    player.score = score_of
    assert player.run(sweep).outcome.complete
    other.run(sweep)
    assert player.proposals("mine") == other.proposals("mine")


def test_the_whole_sweep_s_limits_end_a_search(player: Player) -> None:
    hours = plan_sweep(make_sweep(), player.site).configurations[0].cost.gpu_hours
    assert hours is not None
    session = player.run(make_sweep(limits={"gpu_hours": hours * 4.5}))
    assert session.outcome.complete
    assert len(player.proposals("mine")) == 3
    assert any("5 of 8 proposals are not made" in line for line in player.said)


def test_points_beyond_the_memory_of_a_gpu_are_not_proposed(player: Player) -> None:
    vary = {"trials": 4, "factors": {"model.latents": [32, 64, 2048, 4096], "train.lr": {"low": 1e-3, "high": 1e-2}}}
    most = plan_sweep(make_sweep(), player.site).configurations[0].cost.memory * 1.5
    player.run(make_sweep(vary=vary, limits={"memory_per_gpu": most}))
    latents = [json.loads(text)["changes"]["model.latents"] for text in player.proposals("mine")]
    assert len(latents) == 4 and max(latents) <= 64


def test_finished_results_of_earlier_sweeps_start_a_search(player: Player, other: Player) -> None:
    earlier = make_sweep("earlier", vary={"by": "random", "trials": 5, "factors": FACTORS}, seeds=2)
    player.run(earlier)
    sweep = make_sweep(warm_start=["earlier"], vary={"startup": 1})
    player.run(sweep)
    assert "warm start: 12 of 12 results of earlier taken" in player.said
    other.run(make_sweep(vary={"startup": 1}))
    assert player.proposals("mine") != other.proposals("mine"), "the sampler has learned from them"


def test_results_that_do_not_compare_do_not_start_a_search(player: Player) -> None:
    levels = {"train.lr": [0.001, 0.5], "train.weight_decay": [0.3]}
    player.run(make_sweep("earlier", vary={"by": "one-factor", "factors": levels}))
    player.run(make_sweep(warm_start=["earlier"]))
    (note,) = [line for line in player.said if "warm start" in line]
    assert note.startswith("warm start: 2 of 4 results of earlier taken; ")
    assert "1 not (outside the factors' levels)" in note and "1 not (train.weight_decay differs)" in note


def test_an_unknown_sweep_to_start_from_is_told_before_anything_starts(player: Player) -> None:
    with pytest.raises(UsageError, match="warm_start: No sweep earlier"):
        player.run(make_sweep(warm_start=["earlier"]))
    player.run(make_sweep("earlier", vary={"trials": 1}))
    with pytest.raises(UsageError, match=r"warm_start: No sweep earler.*Nearest: earlier"):
        player.run(make_sweep(warm_start=["earler"]))
    with pytest.raises(UsageError, match="this sweep itself"):
        player.run(make_sweep(warm_start=["mine"]))


def test_the_board_ranks_only_what_has_all_its_seeds(player: Player) -> None:
    sweep = make_sweep(seeds=2, replicate_top=2)
    player.run(sweep, kill_after=45)
    during = board("mine", player.site)
    assert [row.configuration for row in during.ranked] == ["baseline"]
    assert str(during.winner()) == "No leader of the search has all its seeds yet."
    player.run(sweep)
    ranked = board("mine", player.site)
    assert len(ranked.ranked) == 3 and len(ranked.searched) == 6
    assert all(row.complete for row in ranked.ranked)
    assert {row.rank for row in ranked.searched} == {None}


def test_dropped_replicates_of_former_leaders_are_superseded(player: Player) -> None:
    sweep = make_sweep(seeds=2, replicate_top=3)
    player.run(sweep, kill_after=(2 + 8) * 6 + 2)  # in the first leader's second seed
    player.run(make_sweep(seeds=2, replicate_top=1))
    replicates = [run for run in player.runs("mine") if run.tags.get(Tag.PROPOSAL) and run.seed == 1]
    assert [run.status for run in replicates] == ["FINISHED"]
    everything = read_runs(player.site.tracking, "mine").children
    assert sum(run.role == SUPERSEDED for run in everything) == 2


MAXIMIZE, MINIMIZE = Score(), Score(metric="cost/hours", goal="minimize")


def test_the_pareto_front_leads_and_the_first_score_orders_it() -> None:
    finished = {"slow": (0.9, 3.0), "fast": (0.5, 1.0), "worse": (0.8, 3.5), "middle": (0.7, 2.0), "nan": (math.nan, 0)}
    assert choose_leaders(finished, {}, (MAXIMIZE, MINIMIZE), 4) == ["slow", "middle", "fast", "worse"]
    assert choose_leaders(finished, {}, (MINIMIZE, MAXIMIZE), 2)[0] != "worse"


def test_trials_that_came_far_make_up_for_missing_leaders() -> None:
    stopped = {"early": (1, (0.9,)), "late": (3, (0.1,)), "later": (3, (0.2,))}
    assert choose_leaders({"done": (0.3,)}, stopped, (MAXIMIZE,), 3) == ["done", "later", "late"]


@given(st.dictionaries(st.text(), st.floats(0, 1), min_size=1), st.integers(1, 9))
def test_leaders_by_one_score_are_the_best_of_it(scores: dict[str, float], count: int) -> None:
    leaders = choose_leaders({name: (value,) for name, value in scores.items()}, {}, (MINIMIZE,), count)
    assert [scores[name] for name in leaders] == sorted(scores.values())[:count]
