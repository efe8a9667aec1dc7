"""The printed plan: question first, a row for each configuration, totals, and what the figures rest on."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.plan.planner import Plan, plan_sweep
from orchestrator.plan.report import print_plan
from orchestrator.plan.site import Resources, Site, load_site
from orchestrator.plan.spec import parse_sweep
from orchestrator.track import storage
from orchestrator.track.ledger import changes_since_last_run
from orchestrator.track.paths import SweepPaths

TEXT = """\
sweep: mine
question: Does dropout help?
base: tiny
vary: {by: one-factor, factors: {train.video_dropout: [0.0, 0.1]}}
seeds: 3
limits: {parameters: 1M}
"""


@dataclass(frozen=True)
class State:
    """What the ledger says of a trial."""

    state: str
    text: str
    progress: float = 0.0

    def __str__(self) -> str:
        return self.text


def plan_of(text: str = TEXT, site: Site | None = None) -> Plan:
    return plan_sweep(parse_sweep(text, "mine.yaml"), site)


def printed(plan: Plan, capsys: pytest.CaptureFixture[str], states: dict[str, State] | None = None) -> list[str]:
    print_plan(plan, states)
    return capsys.readouterr().out.splitlines()


def test_the_question_the_baseline_and_the_data_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_ = printed(plan_of(), capsys)
    assert first == "mine   Does dropout help?"
    assert second.startswith(
        "baseline tiny   score eval/mAP (higher is better)   data synthetic 108 + 36 clips, digest "
    )


def test_every_configuration_has_a_row_with_its_costs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(plan_of(), capsys)
    header = re.split(r"\s{2,}", lines[3].strip())
    assert header == ["configuration", "seeds", "params", "GFLOP/clip", "memory/worker", "worker-hours", "$", "state"]
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[4:7]]
    assert [row[0] for row in rows] == ["baseline", "train.video_dropout=0.0", "train.video_dropout=0.1"]
    assert all(row[1:3] == ["3", "870.0k"] and row[-1] == "new" for row in rows)


def test_states_of_replicates_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of()
    baseline, without, _ = plan.configurations
    reused = {trial.id: State("reusable", "finished in other", 1.0) for trial in baseline.trials}
    mixed = {
        without.trials[0].id: State("finished", "finished", 1.0),
        without.trials[1].id: State("unfinished", "at 34%", 0.34),
    }
    lines = printed(plan, capsys, reused | mixed)
    assert lines[4].endswith("finished in other (3)")
    assert lines[5].endswith("1 finished, 1 at 34%, 1 new")
    assert lines[6].endswith("new")
    assert "9 trials: 4 to run, 1 to finish, 4 already there" in lines[8]


def test_totals_have_dollars_and_wall_time_where_they_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    site = load_site(None).model_copy(
        update={"resources": Resources(gpus=1), "dollars_per_gpu_hour": 2.0, "concurrency": 4}
    )
    text = "\n".join(printed(plan_of(site=site), capsys))
    assert "GPU-hours" in text
    assert "at 4 trials side by side" in text
    assert "TFLOP/s in bfloat16" in text


def test_broken_limits_are_shown_below_the_totals(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(plan_of(TEXT.replace("1M", "1k")), capsys)
    assert [line for line in lines if line.startswith("  ! train.video_dropout=0.1: 870k parameters are above")]


def test_unseen_data_leaves_hours_open_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(plan_of(TEXT.replace("tiny", "audioset_mel_video")), capsys)
    assert lines[1].endswith("data audioset not seen from here")
    assert "  -  " in lines[4]
    assert any("does not say where data set audioset lies" in line for line in lines)


def test_an_adaptive_sweep_says_what_is_still_to_be_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    vary = "vary: {by: tpe, trials: 20, factors: {train.lr: {low: 0.001, high: 0.1}}}"
    text = re.sub(r"vary: .*", vary, TEXT)
    (line,) = [line for line in printed(plan_of(text), capsys) if "proposes" in line]
    assert "and 20 configurations that tpe proposes, with one seed each; then the best 5 with all 3 seeds: " in line
    assert "hours more if they cost what the baseline does" in line


def test_a_piped_plan_holds_no_control_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert all("\x1b" not in line for line in printed(plan_of(), capsys))


def test_only_what_is_left_has_a_price(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of()
    baseline, without, _ = plan.configurations
    states = {trial.id: State("finished", "finished", 1.0) for trial in baseline.trials}
    states |= {trial.id: State("unfinished", "at 75%", 0.75) for trial in without.trials}
    left = plan.left(states)
    each = baseline.cost.gpu_hours
    assert each is not None and left.gpu_hours == pytest.approx(3 * each + 3 * 0.25 * each)
    assert plan.left({}).gpu_hours == pytest.approx(plan.totals.gpu_hours)
    assert plan.to_json(states)["left"]["gpu_hours"] == left.gpu_hours
    all_there = {trial.id: State("finished", "finished", 1.0) for trial in plan.trials}
    assert "  9 trials: 9 already there" in printed(plan, capsys, all_there)


def test_an_edited_file_shows_what_it_adds_and_drops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Site(storage=str(tmp_path))
    before = plan_of(site=site)
    assert changes_since_last_run(before) is None
    storage.write_text(SweepPaths(site.storage, "mine").plan, json.dumps(before.freeze()))
    assert changes_since_last_run(before) is None

    edited = plan_of(TEXT.replace("[0.0, 0.1]", "[0.1, 0.5]").replace("seeds: 3", "seeds: [0, 1, 7]"), site)
    diff = changes_since_last_run(edited)
    print_plan(edited, {}, diff)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    first = lines.index("trials since the last run of this sweep: 5 added, 4 kept, 5 dropped")
    assert lines[first + 1 : first + 8] == [
        "+ baseline  seed 7",
        "+ train.video_dropout=0.1  seed 7",
        "+ train.video_dropout=0.5  seeds 0, 1, 7",
        "- baseline  seed 2",
        "- train.video_dropout=0.0  seeds 0, 1, 2",
        "- train.video_dropout=0.1  seed 2",
        "dropped trials keep their results, off the board",
    ]
    assert len(edited.to_json({}, diff)["diff"]["kept"]) == 4


def test_an_infeasible_plan_is_one_json_object_with_its_problems() -> None:
    document = json.loads(json.dumps(plan_of(TEXT.replace("1M", "1k")).to_json()))
    assert len(document["beyond_limits"]) == 3
