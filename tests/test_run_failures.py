"""Trials that fail alike before any has trained end the sweep; everything else goes on."""

from pathlib import Path
from typing import Any

import pytest
from sweep_maker import empty_store
from trial_player import Player, make_sweep

from orchestrator.errors import Unreachable
from orchestrator.plan.site import Site
from orchestrator.run.failures import in_a_line
from orchestrator.run.outcome import failure_lines
from perceiver.errors import ConfigError, ConfigMistake, DataError, NumericError, StorageError

GRID = {"by": "grid", "factors": {"train.lr": [0.001, 0.002, 0.003, 0.004]}}


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(Site(tracking=empty_store(tmp_path), storage=str(tmp_path / "storage")))


def told(player: Player, session: Any) -> str:
    """All that a user sees."""
    return "\n".join([*player.said, *(failure_lines(session.outcome) if session.outcome.failed else ())])


@pytest.mark.parametrize("side_by_side", [1, 2])
def test_three_that_fail_alike_end_the_sweep_and_their_error_is_told_once(player: Player, side_by_side: int) -> None:
    player.fails = lambda order: DataError(f"mine (for {order.trial}, in {order.root}) has 14 classes, not 9")
    session = player.run(make_sweep(vary=GRID, seeds=2), side_by_side)
    outcome = session.outcome
    left = 8 - side_by_side  # of ten, less the one that was stopped where two run side by side
    assert len(outcome.failed) == 3 and len(outcome.not_started) == left and not outcome.interrupted
    everything = told(player, session)
    assert everything.count("has 14 classes") == 1
    assert "3 trials of 2 configurations failed alike" in everything and f"{left} trials not started" in everything
    assert "train.lr=0.004  seeds 0, 1" in everything
    assert sum(run.status == "SCHEDULED" for run in player.runs("mine")) == left


def test_what_was_not_started_is_started_once_that_is_mended(player: Player) -> None:
    sweep = make_sweep(vary=GRID)
    player.fails = lambda order: ConfigError([ConfigMistake("model.classes", "is 9, and the set has 14")])
    assert player.run(sweep).outcome.ended_early
    player.fails = lambda order: None
    outcome = player.run(sweep).outcome
    assert outcome.complete and len(outcome.finished) == 5 and outcome.ended_early is None


def test_replicates_of_one_configuration_prove_nothing_of_the_others(player: Player) -> None:
    player.fails = lambda order: DataError("no such clip") if order.config["train"]["lr"] == 0.002 else None
    outcome = player.run(make_sweep(vary=GRID, seeds=4)).outcome
    assert outcome.ended_early is None and len(outcome.failed) == 4 and len(outcome.finished) == 16


def test_replicates_of_the_only_configuration_that_is_left_do(player: Player) -> None:
    sweep = make_sweep(vary={"by": "list", "points": [{"train.lr": 0.002}]}, seeds=5)
    player.fails = lambda order: DataError("no such clip") if order.config["train"]["lr"] == 0.002 else None
    assert len(player.run(sweep).outcome.failed) == 5
    outcome = player.run(sweep).outcome
    assert len(outcome.failed) == 3 and len(outcome.not_started) == 2


@pytest.mark.parametrize(
    "error",
    [
        NumericError("the loss is nan"),
        StorageError("storage does not answer"),
        Unreachable("the tracker does not answer"),
        MemoryError(),
        OSError(28, "No space left on device"),
        RuntimeError("CUDA error: out of memory"),
    ],
    ids=repr,
)
def test_what_a_node_storage_or_memory_does_ends_no_sweep(player: Player, error: Exception) -> None:
    player.fails = lambda order: error
    outcome = player.run(make_sweep(vary=GRID)).outcome
    assert outcome.ended_early is None and len(outcome.failed) == 5


def test_errors_that_list_other_clips_are_alike(player: Player) -> None:
    lists = iter(["a.mp4 (empty), b.mp4 (not media)", "c.mp4 (empty)", "b.mp4 (not media), d.mp4 (empty)"])
    player.fails = lambda order: DataError(f"2 of the 18 train clips of set can't be read: {next(lists)}")
    session = player.run(make_sweep(vary=GRID))
    assert len(session.outcome.failed) == 3 and session.outcome.ended_early is not None
    assert told(player, session).count("can't be read") == 1


def test_the_error_of_a_reading_process_is_its_own() -> None:
    told = "Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File"
    assert in_a_line(DataError(f"{told}\nperceiver.errors.DataError: no such clip: a.mp4\n")) == (
        "DataError: no such clip: a.mp4"
    )


def test_errors_that_differ_end_no_sweep_and_each_is_told(player: Player) -> None:
    letters = iter("abcdefgh")
    player.fails = lambda order: DataError(f"clip {next(letters)} is broken")
    session = player.run(make_sweep(vary=GRID))
    assert session.outcome.ended_early is None and len(session.outcome.failed) == 5
    assert all(told(player, session).count(f"clip {letter} is broken") == 1 for letter in "abcde")


def test_once_a_trial_has_trained_the_others_may_too(player: Player) -> None:
    player.fails = lambda order: DataError("the list is gone") if order.config["train"]["lr"] < 0.004 else None
    base = {"eval.times": 4, "train.lr": 0.004}
    session = player.run(make_sweep(vary=GRID, set=base), side_by_side=2)
    assert session.outcome.ended_early is None
    assert len(session.outcome.failed) == 3 and len(session.outcome.finished) == 1
    assert told(player, session).count("the list is gone") > 1  # where each failed, and at the end


def test_a_search_ends_early_too(player: Player) -> None:
    player.fails = lambda order: DataError("no such set")
    session = player.run(make_sweep())
    assert len(session.outcome.failed) == 3 and session.outcome.ended_early is not None
