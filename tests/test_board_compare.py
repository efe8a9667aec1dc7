"""Comparing configurations of one sweep or several."""

import json
from pathlib import Path

import pytest
from scipy import stats
from sweep_maker import COMPARABLE, Made, empty_store, record_sweep, replicates

from orchestrator.errors import UsageError
from orchestrator.plan.site import Site
from orchestrator.rank.compare import compare, print_comparison
from orchestrator.track.names import Tag

LAMB, ADAM, SMALL = [0.431, 0.433, 0.432], [0.421, 0.426, 0.423], [0.390, 0.398, 0.391]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    tracking = empty_store(tmp_path)
    paper = {"train.optimizer": '"lamb"', "train.epochs": "100.0", "train.seed": "0"}
    short = {"train.optimizer": '"adamw"', "train.epochs": "20.0", "train.seed": "1"}
    trials = [*replicates("baseline", LAMB, params=paper), *replicates("model.iterations=1", SMALL, params=paper)]
    record_sweep(tracking, "iterations", trials)
    record_sweep(tracking, "optimizers", replicates("baseline", ADAM, params=short))
    record_sweep(tracking, "losses", replicates("baseline", ADAM), metric="eval/loss", goal="minimize")
    other_data = {Tag.COMPARABLE: json.dumps(COMPARABLE | {"data": "77ab03e1"})}
    record_sweep(tracking, "other-data", replicates("baseline", LAMB, tags=other_data))
    record_sweep(tracking, "running", [Made("baseline", 0, None, status="RUNNING")])
    return Site(tracking=tracking)


def test_configurations_of_several_sweeps_are_compared_with_the_first(site: Site) -> None:
    compared = compare(["optimizers", "iterations", "iterations:model.iterations=1"], site)
    names = [row.configuration for row in compared.rows]
    assert names == ["iterations:baseline", "optimizers:baseline", "iterations:model.iterations=1"]
    assert [row.is_baseline for row in compared.rows] == [False, True, False]
    difference = compared.rows[0].difference
    assert difference is not None and difference.method == "paired"
    assert difference.p == pytest.approx(stats.ttest_rel(LAMB, ADAM).pvalue)


def test_what_sets_the_configs_apart_is_noted_seeds_aside(site: Site) -> None:
    compared = compare(["iterations", "optimizers"], site)
    notes = {row.configuration: row.notes for row in compared.rows}
    expected = "has train.epochs 20.0, not 100.0; train.optimizer adamw, not lamb"
    assert notes == {"iterations:baseline": (), "optimizers:baseline": (expected,)}


def test_a_comparison_is_printed_with_its_differences(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(compare(["iterations", "optimizers"], site))
    out = capsys.readouterr().out
    assert out.startswith("Compared with iterations:baseline (here: the baseline)   mAP, 95 % intervals")
    assert "* optimizers:baseline: has train.epochs 20.0, not 100.0" in out


def test_other_data_is_flagged_and_not_ranked(site: Site) -> None:
    compared = compare(["iterations", "other-data:baseline"], site)
    assert [row.rank for row in compared.rows] == [1, None]
    assert "not comparable: data digest 77ab03e1" in compared.rows[1].notes[0]


@pytest.mark.parametrize(
    ("selections", "message"),
    [
        (["iterations"], "compare needs two selections or more"),
        (["iterations", "iterations:baseline"], "Every selection is iterations:baseline"),
        (["iterations", "iterations:model.iteration"], "Nearest: iterations:model.iterations=1"),
        (["iterations", "optimizer"], "No sweep optimizer at .* Nearest: optimizers"),
        (["iterations", "losses"], r"losses is ranked by eval/loss \(minimize\), iterations by eval/mAP \(maximize\)"),
        (["iterations", "running"], "running has no winner to compare. No configuration has all its seeds finished."),
    ],
)
def test_what_cannot_be_compared_is_told(site: Site, selections: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare(selections, site)
