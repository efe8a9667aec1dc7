"""The printed plan: question first, a row for each configuration, totals, and what the figures rest on."""

import re
from dataclasses import dataclass

import pytest

from orchestrator.plan.planner import Plan, plan_sweep
from orchestrator.plan.report import print_plan
from orchestrator.plan.site import Resources, Site, load_site
from orchestrator.plan.spec import parse_sweep

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
