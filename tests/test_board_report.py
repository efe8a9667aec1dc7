"""The board as people and programs see it: on a terminal, as JSON, as a picture."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from sweep_maker import (
    BETTER,
    Made,
    empty_store,
    full_sweep,
    record_sweep,
    replicates,
)

from orchestrator.console import print_json
from orchestrator.errors import UsageError
from orchestrator.plan.site import Site
from orchestrator.rank.board import Board, board
from orchestrator.rank.figure import draw_board, make_figure
from orchestrator.rank.report import print_board, print_sweeps
from orchestrator.rank.wording import hours, p_value
from orchestrator.track.names import Tag
from orchestrator.track.reader import list_sweeps


@pytest.fixture
def tracking(tmp_path: Path) -> str:
    return empty_store(tmp_path)


def board_of(tracking: str, trials: list[Made], **more: Any) -> Board:
    record_sweep(tracking, "colours", trials, **more)
    return board("colours", Site(tracking=tracking))


def test_the_board_is_printed_as_plain_text_with_its_footnotes(
    tracking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Made("train.video_dropout=0.5", 3, None, status="FAILED", tags={Tag.ERROR: "CUDA out of memory"})
    print_board(board_of(tracking, [*full_sweep(), failed]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "colours   eval/mAP, mean of 3 seeds, 95 % interval   12 of 13 trials finished   baseline 43.2"
    assert lines[3].split("  ")[1:3] == ["#", "configuration"]
    best = "1 train.video_dropout=0.1 44.2 +-0.3 3 +1.0 [+0.6, +1.4] 0.021 - 0.1"
    assert lines[4].split() == best.split()
    assert "  = cannot be told apart from the baseline; 3 seeds could have shown a difference of 0.8" in lines
    assert "  differences paired by seed; p corrected for 3 comparisons, intervals are not" in lines
    assert "  * train.video_dropout=0.5: 1 of 4 seeds failed: CUDA out of memory (seed 3)" in lines
    assert lines[-1] == "Next:  sweep status colours"


def test_one_seed_prints_means_and_says_that_there_is_no_interval(
    tracking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    print_board(board_of(tracking, [Made("baseline", 0, 0.4), Made("a=1", 0, 0.5)]))
    out = capsys.readouterr().out
    assert "+-" not in out and "p (Holm)" not in out
    assert "one seed: no interval and no test can be given" in out


def test_a_long_board_shows_its_top_and_the_baseline(tracking: str, capsys: pytest.CaptureFixture[str]) -> None:
    trials = [Made("baseline", 0, 0.1), *(Made(f"a={level}", 0, 0.5 + level / 100) for level in range(6))]
    print_board(board_of(tracking, trials), limit=2)
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if line.strip()[:1].isdigit()] == ["a=5", "a=4", "baseline"]
    assert "4 more configurations" in out


def test_the_board_is_json_with_the_scores_as_recorded(tracking: str, capsys: pytest.CaptureFixture[str]) -> None:
    ranked = board_of(tracking, [*full_sweep(), Made("a=1", 0, math.inf)])
    print_json(ranked.to_json())
    data = json.loads(capsys.readouterr().out)
    assert data["score"] == {"metric": "eval/mAP", "goal": "maximize"}
    assert data["rows"][0]["configuration"] == "train.video_dropout=0.1"
    assert list(data["rows"][0]["scores"].values()) == BETTER
    assert data["winner"]["configuration"] == "train.video_dropout=0.1"
    assert data["rows"][-1]["estimate"] is None


def test_all_sweeps_are_listed(tracking: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_sweeps(list_sweeps(tracking))
    assert "No sweep has run here yet." in capsys.readouterr().out
    record_sweep(tracking, "colours", full_sweep())
    print_sweeps(list_sweeps(tracking))
    assert "12 of 12" in capsys.readouterr().out
    print_sweeps(list_sweeps(tracking), as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["sweep"] == "colours"


@pytest.mark.parametrize(
    ("p", "shown"),
    [(None, "-"), (0.2071, "0.21"), (0.0312, "0.031"), (0.0041, "0.004"), (0.0009, "<0.001"), (1, "1.00")],
)
def test_p_values_are_written_with_the_digits_that_matter(p: float | None, shown: str) -> None:
    assert p_value(p) == shown


@pytest.mark.parametrize(("value", "shown"), [(1014.4, "1,014"), (6.28, "6.3"), (0.01234, "0.012"), (0.0, "0")])
def test_hours_are_written_with_two_digits_or_whole(value: float, shown: str) -> None:
    assert hours(value) == shown


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_board_is_drawn_to_a_file(tracking: str, tmp_path: Path, suffix: str) -> None:
    trials = [*full_sweep(), Made("one-seed", 0, 0.43), *replicates("two-seeds", [0.42, 0.44])]
    path = tmp_path / f"board{suffix}"
    draw_board(board_of(tracking, trials, question="Does it work?"), path)
    assert path.stat().st_size > 1000
    if suffix == ".svg":
        text = path.read_text()
        for expected in ("Does it work?", "train.video_dropout=0.1", "baseline (0.3)", "+1.0", "one-seed"):
            assert expected in text


def test_a_figure_of_intervals_wider_than_the_seeds_still_shows_the_seeds_apart(tracking: str) -> None:
    ranked = board_of(tracking, [*replicates("baseline", [0.40, 0.44]), *replicates("a=1", [0.41, 0.46])])
    low, high = make_figure(ranked).axes[0].get_xlim()
    assert 34 < low < 40 and 46 < high < 52


def test_a_figure_that_cannot_be_made_is_told(tracking: str, tmp_path: Path) -> None:
    ranked = board_of(tracking, full_sweep())
    with pytest.raises(UsageError, match=r"ends in \.png, \.svg, \.pdf"):
        draw_board(ranked, tmp_path / "board.txt")
    with pytest.raises(UsageError, match="can't be written: No such file or directory"):
        draw_board(ranked, tmp_path / "nowhere" / "board.png")
    record_sweep(tracking, "new", [Made("baseline", 0, None, status="RUNNING")])
    with pytest.raises(UsageError, match="new has no finished trial to draw yet"):
        draw_board(board("new", Site(tracking=tracking)), tmp_path / "board.png")


def test_a_board_whose_score_is_not_defined_on_its_clips_says_so(
    tracking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = [*replicates("baseline", [math.nan, math.nan]), *replicates("a=1", [math.nan, math.nan])]
    print_board(board_of(tracking, nothing, metric="eval/AUC"))
    out = capsys.readouterr().out
    assert "no score" in out and "4 of 4 trials finished   baseline without a score" in out
    assert "No trial has ended with a value of eval/AUC that could rank it." in out
    assert "eval/AUC needs a class that some clips of the evaluation set have and others lack." in out
    assert "no result yet" not in out and "not finished" not in out and "sweep promote" not in out
