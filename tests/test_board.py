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
from sweep_maker import (
    BASELINE,
    BETTER,
    COMPARABLE,
    SAME,
    Made,
    empty_store,
    full_sweep,
    record_sweep,
    replicates,
)

from orchestrator.errors import UsageError
from orchestrator.plan.site import Site
from orchestrator.rank.board import Board, board, rank_rows
from orchestrator.rank.report import print_board
from orchestrator.rank.rows import Row, make_rows
from orchestrator.track.names import Tag
from orchestrator.track.records import RunRecord


@pytest.fixture
def tracking(tmp_path: Path) -> str:
    return empty_store(tmp_path)


def board_of(tracking: str, trials: list[Made], **more: Any) -> Board:
    record_sweep(tracking, "colours", trials, **more)
    return board("colours", Site(tracking=tracking))


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
    assert [rows[f"a={level}"].notes[0] for level in (2, 3, 5, 6)] == [
        "1 of 1 seeds waiting (seed 0)",
        "1 of 1 seeds interrupted at 50% (seed 0)",
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


def test_results_of_other_libraries_have_a_footnote(tracking: str) -> None:
    def computed(*versions: str) -> dict[str, str]:
        return {Tag.ENVIRONMENT: json.dumps([{"torch": version, "ffmpeg": "8.1"} for version in versions])}

    trials = [Made("baseline", seed, 0.4, tags=computed("2.11")) for seed in range(3)]
    trials += [Made("a=1", 0, 0.4, tags=computed("2.12")), Made("a=1", 1, 0.4, tags=computed("2.11", "2.12"))]
    trials += [Made("a=1", 2, 0.4), Made("a=1", 3, 0.4, tags={Tag.ENVIRONMENT: "[1, {"})]
    notes = {row.configuration: row.notes for row in board_of(tracking, trials).rows}
    assert notes == {"baseline": (), "a=1": ("2 of 4 results computed with torch 2.12, most others with 2.11",)}


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


def test_a_sweep_without_a_baseline_is_ranked_without_differences(
    tracking: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ranked = board_of(tracking, [*replicates("a=1", SAME), *replicates("a=2", BETTER)])
    assert [(row.configuration, row.difference) for row in ranked.rows] == [("a=2", None), ("a=1", None)]
    print_board(ranked)
    out = capsys.readouterr().out
    assert "no baseline" in out and "vs baseline" not in out


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
