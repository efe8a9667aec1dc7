"""Early stopping through the driver's session: who is stopped, what a restart knows, and what becomes of the result."""

from pathlib import Path
from typing import Any

import pytest
from sweep_maker import empty_store
from trial_player import TIMES, Player, make_sweep, score_of

from orchestrator.plan.planner import plan_sweep
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Sweep
from orchestrator.rank.board import board
from orchestrator.rank.page import make_page
from orchestrator.rank.report import print_board
from orchestrator.run.status import print_status, read_status
from orchestrator.track import storage
from orchestrator.track.ledger import take_stock
from orchestrator.track.names import Tag
from orchestrator.track.paths import TrialPaths
from orchestrator.track.records import EarlyStop, RunRecord

ASHA = {"rule": "asha", "grace": 1, "reduction": 2}
RATES = [0.005, 0.004, 0.0001, 0.0002]
"""The baseline's, a better one, two that fall behind."""


def score_of_rate(config: dict[str, Any]) -> float:
    scores = {0.005: 0.6, 0.004: 0.7, 0.003: 0.8, 0.0001: 0.2, 0.0002: 0.3, 0.0003: 0.4}
    return scores[config["train"]["lr"]] - 0.01 * config["train"]["seed"]


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(Site(tracking=empty_store(tmp_path), storage=str(tmp_path / "storage")), score_of_rate)


def listed(rates: list[float] = RATES, **changes: Any) -> Sweep:
    """A planned sweep over learning rates that stops early."""
    vary = {"by": "grid", "factors": {"train.lr": rates}}
    return make_sweep(vary=vary, **({"stop_early": ASHA} | changes))


def run_of(player: Player, rate: float, seed: int = 0) -> RunRecord:
    (run,) = [run for run in player.runs("mine") if run.params["train.lr"] == str(rate) and run.seed == seed]
    return run


def test_a_trial_that_falls_behind_stops_at_its_rung_and_keeps_its_checkpoint(player: Player) -> None:
    session = player.run(listed())
    assert session.outcome.complete and len(session.outcome.stopped) == 2
    run = run_of(player, 0.0001)
    assert (run.status, run.tags[Tag.STOPPED]) == ("KILLED", "asha at 1 of 4 evaluations")
    assert run.early_stop == EarlyStop("asha", 1, TIMES)
    assert len(player.saved[run.artifact_uri]) == 1, "nothing is computed after the verdict"
    assert "stopped by asha at 1 of 4 evaluations" in "".join(player.said)
    (state,) = [trial for trial in read_status(player.site, "mine").trials if trial.run_id == run.run_id]
    assert (state.state, state.stopped) == ("stopped", "asha at 1 of 4 evaluations")
    assert session.outcome.already == [] and player.run(listed()).outcome.complete


def test_rungs_are_known_after_a_restart(player: Player) -> None:
    player.run(listed(RATES[:2]))
    session = player.run(listed())  # two more trials: compared with those that an earlier driver ran
    assert len(session.outcome.stopped) == 2 and session.outcome.finished == []


def test_a_driver_that_died_before_the_verdict_gives_it_when_the_trial_goes_on(player: Player) -> None:
    player.run(listed(RATES[:3]), kill_after=2 * 6 + 2)  # the third trial's first evaluation is heard
    run = run_of(player, 0.0001)
    assert run.early_stop is None
    player.run(listed(RATES[:3]))
    assert run_of(player, 0.0001).early_stop == EarlyStop("asha", 1, TIMES)
    assert len(player.saved[run.artifact_uri]) == 1


def test_the_baseline_is_never_stopped(player: Player) -> None:
    player.score = lambda config: 0.1 if config["train"]["lr"] == 0.005 else 0.9
    session = player.run(listed([0.004, 0.003, 0.002, 0.005], seeds=2))
    assert {run.status for run in player.runs("mine") if run.role == "baseline"} == {"FINISHED"}
    assert session.outcome.complete


def test_a_stopped_trial_goes_on_when_the_file_asks_for_it(player: Player) -> None:
    player.run(listed())
    later = listed(stop_early=ASHA | {"grace": 2})
    entries = take_stock(plan_sweep(later, player.site)).entries
    assert sorted(str(entry) for entry in entries.values()) == ["at 25%", "at 25%", "finished", "finished"]
    player.started.clear()
    player.run(later)
    assert run_of(player, 0.0001).early_stop == EarlyStop("asha", 2, TIMES)
    player.run(listed(stop_early=None))
    assert [share for _, share in player.started] == [0.25, 0.25, 0.5, 0.5]
    run = run_of(player, 0.0001)
    assert (run.status, run.tags[Tag.STOPPED]) == ("FINISHED", "")
    assert not storage.exists(TrialPaths(run.artifact_uri).stop)
    assert len(board("mine", player.site).ranked) == 4


def test_a_stopped_trial_counts_as_there_in_a_plan(player: Player) -> None:
    player.run(listed())
    stock = take_stock(plan_sweep(listed(), player.site))
    texts = sorted(str(entry) for entry in stock.entries.values())
    assert texts == ["finished", "finished", *["stopped by asha at 1 of 4 evaluations"] * 2]
    stock.plan.require_feasible([])


def test_the_board_names_stopped_trials_below_its_ranking(player: Player, capsys: pytest.CaptureFixture[str]) -> None:
    player.run(listed())
    ranked = board("mine", player.site)
    assert [row.rank for row in ranked.rows] == [1, 2]
    assert [row.configuration for row in ranked.stopped] == ["train.lr=0.0002", "train.lr=0.0001"]
    assert (ranked.finished, ranked.stopped_trials, ranked.trials) == (2, 2, 4)
    assert ranked.hours == pytest.approx(2 * 0.4 + 2 * 0.1), "what was stopped has cost something"
    print_board(ranked)
    out = capsys.readouterr().out
    assert "2 of 4 trials finished, 2 stopped early" in out
    assert "stopped early, with the score there: not ranked" in out and "asha at 1 of 4 evaluations" in out
    assert "sweep promote mine" in out, "nothing is left to run"
    print_status(read_status(player.site, "mine"))
    assert "stopped by asha at 1 of 4 evaluations" in capsys.readouterr().out


def test_a_page_has_the_stopped_trials_too(player: Player) -> None:
    from datetime import datetime

    player.run(listed())
    page = make_page(board("mine", player.site), datetime(2026, 1, 1))
    assert "Stopped early, with the score there: not ranked" in page


def test_seeds_that_the_rule_left_are_not_averaged(player: Player) -> None:
    """They were left because of their scores: their mean, and a test with it, would flatter the configuration."""
    player.score = lambda config: (
        0.5 + (0.3 if config["train"]["seed"] == 1 else -0.3) * (config["train"]["lr"] == 0.004)
    )
    player.run(listed(RATES[:2], seeds=3))
    assert run_of(player, 0.004, seed=1).status == "FINISHED"
    ranked = board("mine", player.site)
    assert [row.configuration for row in ranked.ranked] == ["baseline"]
    (row,) = ranked.stopped
    assert list(row.scores) == [1] and set(row.stopped) == {0, 2}
    assert row.difference is None and row.p is None and row.rank is None
    assert ranked.winner().row is not None and ranked.winner().row.is_baseline  # type: ignore[union-attr]


def test_a_leader_is_never_stopped_and_one_that_was_goes_on(player: Player) -> None:
    sweep = make_sweep(seeds=2, replicate_top=3, stop_early=ASHA)
    player.score = score_of
    player.run(sweep)
    replicates = [run for run in player.runs("mine") if run.tags.get(Tag.PROPOSAL) and run.seed == 1]
    assert len(replicates) == 3
    leading = {run.tags[Tag.CONFIGURATION] for run in replicates}
    runs = [run for run in player.runs("mine") if run.tags[Tag.CONFIGURATION] in leading]
    assert {run.status for run in runs} == {"FINISHED"} and len(runs) == 6
    assert any(share == 0.25 for _, share in player.started), "too few had finished: one went on"
    assert len(board("mine", player.site).ranked) == 4


def test_trials_side_by_side_are_compared_as_their_scores_come(player: Player) -> None:
    session = player.run(listed([0.005, 0.004, 0.003, 0.0001, 0.0002, 0.0003]), side_by_side=3)
    assert session.outcome.complete and session.outcome.stopped
    assert all(run.status == "FINISHED" or run.early_stop for run in player.runs("mine"))
