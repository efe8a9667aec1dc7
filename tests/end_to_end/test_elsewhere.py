"""The main job away from the defaults: on S3, from Python, stopped from elsewhere, a process killed."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import psutil
import pytest
import yaml
from mlflow import MlflowClient
from workplace import Workplace

WaitFor = Callable[["subprocess.Popen[str]", str], list[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_checkpoints_go_to_s3_and_the_mlflow_client_sees_them(workplace: Workplace, s3_bucket: str) -> None:
    site = yaml.safe_load((workplace.folder / "site.yaml").read_text())
    (workplace.folder / "site.yaml").write_text(yaml.safe_dump(site | {"storage": f"{s3_bucket}/sweeps"}))
    file = workplace.write_sweep("remote", {"train.video_dropout": [0.0, 0.3]})
    done = workplace.sweep("run", file)
    assert done.returncode == 0, done.stderr
    trials = workplace.json("status", "remote")["trials"]
    assert {trial["state"] for trial in trials} == {"finished"}
    trial = trials[0]
    client = MlflowClient(f"sqlite:///{workplace.folder}/runs/mlflow.db")
    (newest, _) = sorted(
        client.list_artifacts(trial["run_id"], "checkpoints"), key=lambda each: each.path, reverse=True
    )
    names = {Path(each.path).name for each in client.list_artifacts(trial["run_id"], newest.path)}
    assert names == {"model.safetensors", "state.pt", "progress.json", "MANIFEST.json"}
    assert client.list_artifacts(trial["run_id"], "attention"), "pictures of the attention"
    fs, path = fsspec.core.url_to_fs(f"{s3_bucket}/sweeps/remote")
    fs.invalidate_cache()
    assert fs.exists(f"{path}/sweep.json") and not fs.exists(f"{path}/driver.json")
    assert not (workplace.folder / "runs" / "storage").exists()


def test_the_same_from_python(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator import board, load_sweep, plan_sweep, promote, run_sweep

    monkeypatch.chdir(workplace.folder)
    sweep = load_sweep(workplace.write_sweep("python", {"train.video_dropout": [0.0, 0.3]}))
    assert len(plan_sweep(sweep).trials) == 2
    outcome = run_sweep(sweep, "site.yaml")
    assert outcome.complete and len(outcome.finished) == 2
    assert len(board("python", "site.yaml").ranked) == 2
    assert promote("python", "site.yaml", changes={"train.epochs": 5.0}).champion


def test_another_process_can_stop_a_sweep(workplace: Workplace, wait_for: WaitFor) -> None:
    file = workplace.write_sweep("asked", {"train.video_dropout": [0.0, 0.3]}, **{"train.epochs": 500.0})
    with workplace.start("run", file) as process:
        wait_for(process, "clips/s")
        second = workplace.sweep("run", file)
        assert second.returncode == 2 and "is being run by process" in second.stderr
        assert workplace.sweep("stop", "asked").returncode == 0
        said = process.communicate()[0]
    assert process.returncode == 130 and "Continue with" in said


def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(workplace: Workplace, wait_for: WaitFor) -> None:
    file = workplace.write_sweep("shot", {"train.video_dropout": [0.0, 0.3]}, **{"train.epochs": 40.0, "eval.times": 8})
    with workplace.start("run", file) as process:
        wait_for(process, "clips/s")
        for worker in psutil.Process(process.pid).children(recursive=True):
            if "ImplicitFunc" in " ".join(worker.cmdline()) or "run_trial" in " ".join(worker.cmdline()):
                os.kill(worker.pid, signal.SIGKILL)
        said = process.communicate()[0]
    assert process.returncode == 0, said
    states = {trial["state"] for trial in workplace.json("status", "shot")["trials"]}
    assert states == {"finished"}
    assert "continues at" in said


def test_a_check_counts_labels_and_goes_on_after_ctrl_c(workplace: Workplace, tmp_path: Path) -> None:
    source = yaml.safe_load((tmp_path / "site.yaml").read_text())["data"]["synthetic"]["url"]
    shutil.copytree(source, tmp_path / "mine")
    next((tmp_path / "mine" / "clips").iterdir()).write_bytes(b"")
    journal = tmp_path / "journal"
    running = workplace.start("data", "check", "mine", "--journal", str(journal))
    while running.poll() is None and not any(path.stat().st_size for path in journal.glob("*")):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    told, _ = running.communicate(timeout=60)
    assert running.returncode in (130, 3), told  # 3: it was through before the signal came
    assert running.returncode == 3 or "The same command goes on from there" in told
    again = workplace.sweep("data", "check", "mine", "--journal", str(journal))
    assert again.returncode == 3, again.stderr
    assert "27 files, 1 unreadable" in again.stdout and "without a clip" in again.stdout
    assert not (tmp_path / "runs" / "checks").exists(), "nothing is written into the current folder"
