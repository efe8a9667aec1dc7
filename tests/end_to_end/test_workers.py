"""Trials of several workers: one process each, through the command line, a real Ray and torch's process groups."""

import json
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


def test_what_goes_wrong_in_one_worker_is_the_trials_error(workplace: Workplace) -> None:
    """Not the connection that the others then lose. The broken clip is the second worker's, with seed 1 the first's."""
    site = yaml.safe_load((workplace.folder / "site.yaml").read_text())
    shutil.copytree(site["data"]["synthetic"]["url"], workplace.folder / "set")
    (workplace.folder / "set" / "clips" / "train000000.mp4").write_bytes(b"")
    site |= {"workers": 2, "data": {"broken": str(workplace.folder / "set")}}
    (workplace.folder / "site.yaml").write_text(yaml.safe_dump(site))
    changes = {"data.set": "broken", "data.max_bad_fraction": 0.0}
    outcome = workplace.sweep(
        "run", workplace.write_sweep("bad", {"model.iterations": [1, 2]}, seeds=2, **changes), "--json"
    )
    assert outcome.returncode == 3, outcome.stderr
    failed = json.loads(outcome.stdout)["failed"].values()
    assert failed and all("train000000 (empty)" in error for error in failed)


@pytest.mark.parametrize(
    ("workers", "mixup", "told"), [(7, 0.0, "is 6:"), (4, 0.5, "is 6, which mixup makes 3 pairs of:")]
)
def test_a_batch_with_too_little_for_its_workers_starts_nothing(workplace: Workplace, workers, mixup, told) -> None:
    with_workers(workplace, workers)
    file = workplace.write_sweep("few", {"model.iterations": [1, 2]}, **{"train.mixup": mixup})
    refused = workplace.sweep("run", file)
    assert refused.returncode == 2
    assert f"{workers} workers, but train.batch_size of baseline {told}" in refused.stderr
