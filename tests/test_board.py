"""The leaderboard: what is ranked, what is named and left out, what is said about the differences."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sweep_maker import COMPARABLE, Made, empty_store, record_sweep, replicates

from orchestrator.console import print_json
from orchestrator.errors import UsageError
from orchestrator.plan.site import Site
from orchestrator.rank.board import Board, board, rank_rows
from orchestrator.rank.figure import draw_board, make_figure
from orchestrator.rank.report import print_board, print_sweeps
from orchestrator.rank.rows import Row, make_rows
from orchestrator.rank.wording import hours, p_value
from orchestrator.track.names import Tag
from orchestrator.track.reader import list_sweeps
from orchestrator.track.records import RunRecord

BASELINE = [0.431, 0.432, 0.433]
BETTER = [0.443, 0.4405, 0.4426]
SAME = [0.430, 0.4325, 0.434]
WORSE = [0.401, 0.400, 0.403]


@pytest.fixture
def tracking(tmp_path: Path) -> str:
    return empty_store(tmp_path)


def board_of(tracking: str, trials: list[Made], **more: Any) -> Board:
    record_sweep(tracking, "colours", trials, **more)
    return board("colours", Site(tracking=tracking))


def full_sweep() -> list[Made]:
    return [
        *replicates("baseline", BASELINE, params={"train.video_dropout": "0.3"}, metrics={"eval/mAP_audio_only": 0.38}),
        *replicates("train.video_dropout=0.0", WORSE, factors={"train.video_dropout": 0.0}),
        *replicates("train.video_dropout=0.1", BETTER, factors={"train.video_dropout": 0.1}),
        *replicates("train.video_dropout=0.5", SAME, factors={"train.video_dropout": 0.5}),
    ]


def test_configurations_are_ranked_by_their_mean_over_seeds(tracking: str) -> None:
    ranked = board_of(tracking, full_sweep())
    names = [row.configuration for row in ranked.rows]
    assert names == ["train.video_dropout=0.1", "train.video_dropout=0.5", "baseline", "train.video_dropout=0.0"]
    assert [row.rank for row in ranked.rows] == [1, 2, 3, 4]
    assert (ranked.trials, ranked.finished) == (12, 12)
    assert ranked.label(ranked.rows[2]) == "baseline (0.3)"


def test_differences_are_paired_by_seed_and_corrected_over_the_board(tracking: str) -> None:
    ranked = board_of(tracking, full_sweep())
    p_values = {name: stats.ttest_rel(scores, BASELINE).pvalue for name, scores in (("0.1", BETTER), ("0.5", SAME))}
    best = ranked.rows[0]
    assert best.difference is not None and best.difference.method == "paired"
    assert best.difference.p == pytest.approx(p_values["0.1"])
    assert best.p == pytest.approx(2 * p_values["0.1"])  # the second smallest of three
    assert ranked.rows[1].p == pytest.approx(p_values["0.5"])
    assert [ranked.is_tie(row) for row in ranked.rows] == [False, True, True, False]


def test_a_goal_to_minimise_ranks_the_other_way(tracking: str) -> None:
    trials = [*replicates("baseline", [0.30, 0.31]), *replicates("train.lr=0.1", [0.20, 0.22])]
    ranked = board_of(tracking, trials, metric="eval/loss", goal="minimize")
    assert [row.configuration for row in ranked.rows] == ["train.lr=0.1", "baseline"]
    assert ranked.winner().row == ranked.rows[0]


def test_failed_and_unfinished_seeds_are_named_and_never_averaged(tracking: str) -> None:
    trials = [
        *replicates("baseline", BASELINE),
        Made("a=1", 0, 0.5),
        Made("a=1", 1, 0.9, status="FAILED", tags={Tag.ERROR: "CUDA out of memory"}),
        Made("a=1", 2, 0.9, status="RUNNING", tags={Tag.PROGRESS: "0.34"}),
        Made("a=2", 0, None, status="SCHEDULED"),
        Made("a=3", 0, 0.9, status="KILLED", tags={Tag.STOPPED: "interrupted", Tag.PROGRESS: "0.5"}),
        Made("a=4", 0, 0.9, tags={Tag.STOPPED: "early"}),
        Made("a=5", 0, math.nan),
        Made("a=6", 0, None),
    ]
    ranked = board_of(tracking, trials)
    rows = {row.configuration: row for row in ranked.rows}
    assert rows["a=1"].scores == {0: 0.5} and not rows["a=1"].complete
    assert rows["a=1"].notes == (
        "1 of 3 seeds failed: CUDA out of memory (seed 1)",
        "1 of 3 seeds running at 34% (seed 2)",
    )
    assert [rows[f"a={level}"].notes[0] for level in range(2, 7)] == [
        "1 of 1 seeds waiting (seed 0)",
        "1 of 1 seeds interrupted at 50% (seed 0)",
        "1 of 1 seeds stopped early (seed 0)",
        "1 of 1 seeds ended with eval/mAP nan (seed 0)",
        "1 of 1 seeds finished without eval/mAP (seed 0)",
    ]
    assert [row.configuration for row in ranked.ranked] == ["a=1", "baseline"]


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({"data": "77ab03e1ffff"}, "not comparable: data digest 77ab03e1, the others' is 9f2c41aa"),
        ({"metrics": "2"}, "not comparable: metric version 2, the others' is 1"),
        ({"effective_batch": 256}, "not comparable: effective batch 256, the others' is null"),
    ],
)
def test_other_data_or_metrics_are_flagged_and_never_mixed(tracking: str, changed: dict[str, Any], note: str) -> None:
    other = {Tag.COMPARABLE: json.dumps(COMPARABLE | changed)}
    trials = [*replicates("baseline", BASELINE), *replicates("a=1", BETTER, tags=other), Made("a=2", 0, 0.4)]
    trials += [Made("a=2", 1, 0.9, tags=other)]
    rows = {row.configuration: row for row in board_of(tracking, trials).rows}
    assert rows["a=1"].rank is None and rows["a=1"].difference is None
    assert rows["a=1"].notes == (f"3 of 3 seeds {note} (seed 0, 1, 2)",)
    assert rows["a=2"].scores == {0: 0.4}


def test_a_batch_size_that_is_the_factor_does_not_make_trials_incomparable(tracking: str) -> None:
    def batch(size: int) -> dict[str, str]:
        return {Tag.COMPARABLE: json.dumps(COMPARABLE | {"effective_batch": size})}

    factors = {"train.batch_size": 256}
    trials = [*replicates("baseline", BASELINE, tags=batch(512))]
    trials += replicates("train.batch_size=256", BETTER, tags=batch(256), factors=factors)
    assert len(board_of(tracking, trials).ranked) == 2


def test_other_seeds_than_the_baselines_are_compared_by_welchs_test(tracking: str) -> None:
    trials = [*replicates("baseline", BASELINE), *replicates("a=1", BETTER[:2])]
    (best, _) = board_of(tracking, trials).rows
    assert best.difference is not None and best.difference.method == "welch"
    assert best.p == pytest.approx(stats.ttest_ind(BETTER[:2], BASELINE, equal_var=False).pvalue)


def test_of_runs_of_the_same_seed_the_newest_finished_one_counts(tracking: str) -> None:
    trials = [Made("baseline", 0, 0.3), Made("baseline", 0, 0.4), Made("baseline", 0, 0.9, status="FAILED")]
    (row,) = board_of(tracking, trials).rows
    assert row.scores == {0: 0.4}
    assert row.notes == ("seed 0 finished 2 times; the newest counts",)


def test_results_of_other_sweeps_and_older_code_are_marked(tracking: str) -> None:
    reused = {Tag.REUSED_FROM: "table3 abc"}
    trials = [Made("baseline", 0, 0.4, tags=reused, metrics={"cost/gpu_hours": 5.0})]
    trials += [Made("baseline", 1, 0.4, tags={Tag.OLDER_CODE: "f00"}, metrics={"cost/gpu_hours": 2.0})]
    ranked = board_of(tracking, trials)
    assert ranked.rows[0].notes == ("1 of 2 results from the sweep table3", "1 of 2 results computed by older code")
    assert ranked.hours == 2.0  # nothing is paid for twice


def test_superseded_runs_are_not_on_the_board(tracking: str) -> None:
    trials = [Made("baseline", 0, 0.9, role="superseded"), Made("baseline", 0, 0.4)]
    (row,) = board_of(tracking, trials).rows
    assert (row.scores, row.planned, row.notes) == ({0: 0.4}, 1, ())


def test_final_runs_are_listed_apart(tracking: str, capsys: pytest.CaptureFixture[str]) -> None:
    trials = [*replicates("baseline", BASELINE), Made("baseline", 0, 0.46, role="final")]
    ranked = board_of(tracking, trials)
    assert [row.scores for row in ranked.rows] == [dict(enumerate(BASELINE))]
    assert [row.scores for row in ranked.finals] == [{0: 0.46}]
    print_board(ranked)
    assert "final runs" in capsys.readouterr().out


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


def test_a_sweep_without_a_baseline_is_ranked_without_differences(
    tracking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ranked = board_of(tracking, [*replicates("a=1", SAME), *replicates("a=2", BETTER)])
    assert [(row.configuration, row.difference) for row in ranked.rows] == [("a=2", None), ("a=1", None)]
    print_board(ranked)
    out = capsys.readouterr().out
    assert "no baseline" in out and "vs baseline" not in out


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


def test_an_unknown_sweep_has_no_board(tracking: str) -> None:
    record_sweep(tracking, "colours", full_sweep())
    with pytest.raises(UsageError, match="Nearest: colours"):
        board("colour", Site(tracking=tracking))


def test_the_board_imports_nothing_heavy(tracking: str) -> None:
    record_sweep(tracking, "colours", full_sweep())
    code = (
        "import sys; from orchestrator.plan.site import Site\n"
        "from orchestrator.rank.board import board; from orchestrator.rank.report import print_board\n"
        f"print_board(board('colours', Site(tracking={tracking!r})))\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'numpy', 'scipy', 'sqlalchemy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1] == "[]"


def rows_of(scores: dict[str, list[float]], goal: str) -> list[Row]:
    runs = []
    for name, values in scores.items():
        role = "baseline" if name == "baseline" else "trial"
        for seed, score in enumerate(values):
            tags: dict[str, str] = {Tag.CONFIGURATION: name, Tag.SEED: str(seed), Tag.ROLE: role}
            runs.append(RunRecord(f"{name}{seed}", "FINISHED", seed, seed, "", tags, metrics={"m": score}))
    return rank_rows(make_rows(runs, "m"), goal)


boards = st.dictionaries(
    st.sampled_from(["baseline", "a", "b", "c", "d"]), st.lists(st.floats(0, 1), min_size=1, max_size=4), min_size=1
)


@given(boards)
def test_negated_scores_with_the_other_goal_give_the_same_board(scores: dict[str, list[float]]) -> None:
    negated = {name: [-score for score in values] for name, values in scores.items()}
    largest, smallest = rows_of(scores, "maximize"), rows_of(negated, "minimize")
    assert [row.configuration for row in largest] == [row.configuration for row in smallest]
    assert [row.p for row in largest] == [row.p for row in smallest]


@given(boards)
def test_every_configuration_has_one_row_and_ranks_follow_the_means(scores: dict[str, list[float]]) -> None:
    rows = rows_of(scores, "maximize")
    assert sorted(row.configuration for row in rows) == sorted(scores)
    assert [row.rank for row in rows] == list(range(1, len(scores) + 1))
    means = [row.estimate.mean for row in rows if row.estimate]
    assert means == sorted(means, reverse=True)


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
