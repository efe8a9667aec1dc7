"""What others do to a running sweep, and what is wrong before it begins: with Ray, MLflow and training as they are."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from workplace import Workplace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

WaitFor = Callable[["subprocess.Popen[str]", str], list[str]]


def test_a_run_deleted_while_its_trial_trains_is_recorded_again(workplace: Workplace, wait_for: WaitFor) -> None:
    file = workplace.write_sweep("deleted", {"model.iterations": [1, 2]}, **{"train.epochs": 12.0})
    client = MlflowClient(f"sqlite:///{workplace.folder}/runs/mlflow.db")
    with workplace.start("run", file) as process:
        wait_for(process, "eval/mAP")
        (experiment,) = [each for each in client.search_experiments() if each.name == "deleted"]
        running = "attributes.status = 'RUNNING' and tags.`sweep.role` = 'baseline'"
        (run,) = client.search_runs([experiment.experiment_id], running)
        client.delete_run(run.info.run_id)
        printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert "was deleted: recorded again as" in printed
    runs = client.search_runs([experiment.experiment_id], "tags.`sweep.role` != 'sweep'")
    assert [each.info.status for each in runs] == ["FINISHED"] * 2
    assert all(len(client.get_metric_history(each.info.run_id, "eval/mAP")) == 4 for each in runs)
    for each in runs:
        root = Path(each.info.artifact_uri.removeprefix("file://"))
        assert list(root.glob("checkpoints/*/MANIFEST.json")) and list(root.glob("attention/*"))
    planned = workplace.json("plan", file)
    assert {trial["state"] for trial in planned["trials"]} == {"finished"}


def test_trials_that_fail_alike_end_the_sweep(workplace: Workplace) -> None:
    site = yaml.safe_load((workplace.folder / "site.yaml").read_text())
    shutil.copytree(site["data"]["synthetic"]["url"], workplace.folder / "set")
    for clip in (workplace.folder / "set" / "clips").iterdir():
        clip.write_bytes(b"no video " * 100)
    (workplace.folder / "site.yaml").write_text(yaml.safe_dump({"data": {"broken": str(workplace.folder / "set")}}))
    file = workplace.write_sweep("broken", {"model.iterations": [1, 2]}, seeds=4, **{"data.set": "broken"})
    done = workplace.sweep("run", file)
    assert done.returncode == 3, done.stderr
    assert "failed alike before any had trained" in done.stderr and "not started" in done.stderr
    assert (done.stdout + done.stderr).count("DataError") == 1, done.stdout + done.stderr
    states = [trial["state"] for trial in workplace.json("status", "broken")["trials"]]
    assert len(states) == 8 and 3 <= states.count("failed") <= 6, states
    again = workplace.sweep("run", file, "--json")
    assert again.returncode == 3 and json.loads(again.stdout)["ended_early"]["configurations"] == 2
