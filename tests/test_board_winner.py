"""Which configuration is promoted, and what is said for and against it."""

from pathlib import Path
from typing import Any

import pytest
from sweep_maker import (
    BASELINE,
    BETTER,
    SAME,
    WORSE,
    Made,
    empty_store,
    record_sweep,
    replicates,
)

from orchestrator.plan.site import Site
from orchestrator.rank.board import Board, board


@pytest.fixture
def tracking(tmp_path: Path) -> str:
    return empty_store(tmp_path)


def board_of(tracking: str, trials: list[Made], **more: Any) -> Board:
    record_sweep(tracking, "colours", trials, **more)
    return board("colours", Site(tracking=tracking))


def test_the_winner_beats_the_baseline_only_if_the_corrected_test_says_so(tracking: str) -> None:
    clear = replicates("a=1", [0.530, 0.5322, 0.5339])
    winner = board_of(tracking, [*replicates("baseline", BASELINE), *clear]).winner()
    assert winner.row is not None and winner.row.configuration == "a=1"
    assert winner.beats_baseline
    assert str(winner) == "a=1 beats the baseline by +10.0 [+9.8, +10.2] (p <0.001, 3 seeds)."


@pytest.mark.parametrize(
    ("trials", "configuration", "sentence"),
    [
        (
            replicates("a=1", SAME),
            "a=1",
            "a=1 is best, but can't be told apart from the baseline: +0.0 [-0.2, +0.3] (p 0.81;",
        ),
        (replicates("a=1", WORSE), "baseline", "The baseline is the best of 2 configurations (3 seeds)."),
        ([], "baseline", "The baseline is the best of 1 configuration (3 seeds)."),
        (
            [Made("a=1", 0, 0.5)],
            "a=1",
            "a=1 is +6.8 from the baseline; with one seed nothing says whether that is chance.",
        ),
        (
            replicates("a=1", [score + 0.0625 for score in BASELINE]),
            "a=1",
            "a=1 is +6.2 from the baseline; all seeds give the same, so nothing says what chance would do.",
        ),
        (
            [Made("a=1", 0, 0.9), Made("a=1", 1, None, status="RUNNING")],
            "baseline",
            "a=1 ranks higher, but only 1 of its 2 seeds count.",
        ),
    ],
)
def test_the_winner_comes_with_its_reasons(
    tracking: str, trials: list[Made], configuration: str, sentence: str
) -> None:
    winner = board_of(tracking, [*replicates("baseline", BASELINE), *trials]).winner()
    assert winner.row is not None and winner.row.configuration == configuration
    assert sentence in str(winner)
    assert not winner.beats_baseline


def test_a_complete_configuration_behind_an_incomplete_baseline_does_not_beat_it(tracking: str) -> None:
    baseline = [*replicates("baseline", BETTER), Made("baseline", 3, None, status="RUNNING")]
    winner = board_of(tracking, [*baseline, *replicates("a=1", WORSE)]).winner()
    assert winner.row is not None and winner.row.configuration == "a=1" and not winner.beats_baseline
    assert str(winner).startswith("a=1 is the best with all its seeds, but behind the baseline: -4.1")


def test_without_a_finished_configuration_there_is_no_winner(tracking: str) -> None:
    winner = board_of(tracking, [Made("baseline", 0, None, status="RUNNING")]).winner()
    assert (winner.row, str(winner)) == (None, "No configuration has all its seeds finished.")
