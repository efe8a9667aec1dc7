"""Trials of several workers: one process each, through the command line, a real Ray and torch's process groups."""

import shutil
import signal
from collections.abc import Callable

import psutil
import pytest
import yaml
from workplace import Workplace

WaitFor = Callable[..., list[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def with_workers(workplace: Workplace, workers: int) -> None:
    path = workplace.folder / "site.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"workers": workers}))


def test_two_workers_give_the_result_of_one(workplace: Workplace) -> None:
    file = workplace.write_sweep("shared", {"model.iterations": [1, 2]})
    scores = {}
    for workers in (2, 1):
        with_workers(workplace, workers)
        done = workplace.sweep("run", file)
        assert done.returncode == 0, done.stderr
        rows = workplace.json("board", "shared")["rows"]
        scores[workers] = {row["configuration"]: row["metrics"]["eval/loss"] for row in rows}
        if workers == 2:
            again = workplace.json("run", file)
            assert len(again["already"]) == 2, "the number of workers is no part of a trial's identity"
            shutil.rmtree(workplace.folder / "runs")
    assert scores[2] == pytest.approx(scores[1], rel=1e-3)


def test_a_trial_goes_on_when_a_worker_of_it_dies_and_saves_at_ctrl_c(workplace: Workplace, wait_for: WaitFor) -> None:
    with_workers(workplace, 2)
    file = workplace.write_sweep("dies", {"model.iterations": [1, 2]}, **{"train.epochs": 30.0})
    with workplace.start("run", file) as process:
        wait_for(process, "eval/mAP")
        family = psutil.Process(process.pid).children(recursive=True)
        (follower,) = [child for child in family if "_follow" in " ".join(child.cmdline())]
        follower.kill()
        printed = wait_for(process, "continues at")
        assert not any("seed 0  failed" in line for line in printed), printed
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    progress = {trial["attempts"]: trial["progress"] for trial in workplace.json("status", "dies")["trials"]}
    assert 0 < progress[2] < 1


def test_a_batch_with_fewer_clips_than_workers_starts_nothing(workplace: Workplace) -> None:
    with_workers(workplace, 7)
    refused = workplace.sweep("run", workplace.write_sweep("few", {"model.iterations": [1, 2]}))
    assert refused.returncode == 2
    assert "7 workers, but train.batch_size of baseline is 6" in refused.stderr
