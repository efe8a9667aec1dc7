"""From a sweep file to a registered model, through the command line, a real Ray, a real MLflow and real clips."""

import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from workplace import Workplace

from orchestrator.track.names import Tag

WaitFor = Callable[["subprocess.Popen[str]", str], list[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def client_of(workplace: Workplace) -> MlflowClient:
    return MlflowClient(f"sqlite:///{workplace.folder}/runs/mlflow.db")


def parent_of(client: MlflowClient, sweep: str) -> Run:
    experiment = client.get_experiment_by_name(sweep)
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], f"tags.`{Tag.ROLE}` = 'sweep'")
    return parent


def test_a_sweep_is_planned_run_ranked_and_promoted(workplace: Workplace) -> None:
    file = workplace.write_sweep("colours", {"train.video_dropout": [0.0, 0.3]}, seeds=2)
    planned = workplace.json("plan", file)
    assert [trial["state"] for trial in planned["trials"]] == ["new"] * 4

    done = workplace.sweep("run", file)
    assert done.returncode == 0, done.stderr
    assert "4 trials finished" in done.stdout

    planned = workplace.json("plan", file)
    assert [trial["state"] for trial in planned["trials"]] == ["finished"] * 4
    board = workplace.json("board", "colours")
    assert {row["configuration"] for row in board["rows"]} == {"baseline", "train.video_dropout=0.0"}
    assert all(0 < row["estimate"]["mean"] <= 1 for row in board["rows"])

    promotion = workplace.json("promote", "colours", "--yes", "--set", "train.epochs=5")
    assert promotion["champion"] and promotion["version"] == "1"
    client = client_of(workplace)
    champion = client.get_model_version_by_alias("perceiver-synthetic", "champion")
    final = client.get_run(champion.run_id)
    assert final.data.tags[Tag.ROLE] == "final"
    assert final.data.tags[Tag.PROMOTED_FROM].startswith("colours ")
    assert final.data.params["train.epochs"] == "5.0"
    assert (Path(champion.source.removeprefix("file://")) / "MANIFEST.json").exists()

    assert parent_of(client, "colours").info.status == "FINISHED", "a promotion leaves the sweep as it was"
    again = workplace.json("promote", "colours", "--yes", "--set", "train.epochs=5")
    assert again["version"] == "1", "promoting again registers nothing new"


def test_a_killed_run_is_finished_by_the_next_with_every_trial_once(workplace: Workplace, wait_for: WaitFor) -> None:
    file = workplace.write_sweep("killed", {"train.video_dropout": [0.0, 0.3], "model.iterations": [1, 2]}, seeds=2)
    with workplace.start("run", file) as process:
        wait_for(process, "finished (2 of 6)")
        process.send_signal(signal.SIGKILL)
    states = Counter(trial["state"] for trial in workplace.json("status", "killed")["trials"])
    assert states["running"] == 0, "runs whose driver died are set to their true state"

    done = workplace.sweep("run", file)
    assert done.returncode == 0, done.stderr
    client = client_of(workplace)
    experiment = client.get_experiment_by_name("killed")
    runs = client.search_runs([experiment.experiment_id], f"tags.`{Tag.ROLE}` != 'sweep'")
    assert Counter(run.data.tags[Tag.TRIAL] for run in runs).most_common(1)[0][1] == 1
    assert {run.info.status for run in runs} == {"FINISHED"} and len(runs) == 6
    for run in runs:
        steps = [row.step for row in client.get_metric_history(run.info.run_id, "eval/mAP")]
        assert steps == sorted(set(steps)) and len(steps) == 4, "every evaluation is recorded once"
    assert "6 were there already" in workplace.sweep("run", file).stdout


def test_ctrl_c_saves_and_the_same_command_goes_on(workplace: Workplace, wait_for: WaitFor) -> None:
    file = workplace.write_sweep("stopped", {"train.video_dropout": [0.0, 0.3]}, **{"train.epochs": 200.0})
    with workplace.start("run", file) as process:
        wait_for(process, "clips/s")
        process.send_signal(signal.SIGINT)
        said = "".join(process.stdout or [])
    assert process.returncode == 130
    assert "Continue with:  sweep run stopped.yaml" in said
    saved = {trial["trial"]: trial["progress"] for trial in workplace.json("status", "stopped")["trials"]}
    assert 0 < max(saved.values()) < 1

    with workplace.start("run", file) as process:
        said = "".join(wait_for(process, "continues at"))
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert "continues at" in said


def test_a_failing_trial_leaves_the_others_running_and_its_traceback_on_its_run(workplace: Workplace) -> None:
    file = workplace.write_sweep("failing", {"train.lr": [0.002, 1e37], "train.video_dropout": [0.1, 0.3]})
    done = workplace.sweep("run", file)
    assert done.returncode == 3
    assert "1 trial failed" in done.stderr and "NumericError" in done.stderr
    client = client_of(workplace)
    runs = client.search_runs([client.get_experiment_by_name("failing").experiment_id])
    by_name = {run.data.tags.get(Tag.CONFIGURATION): run for run in runs}
    failed = by_name["train.lr=1e+37"]
    assert failed.info.status == "FAILED"
    assert "the training loss is" in failed.data.tags[Tag.ERROR]
    error = Path(failed.info.artifact_uri.removeprefix("file://")) / "error.txt"
    assert "Traceback" in error.read_text() and "perceiver/train.py" in error.read_text()
    assert by_name["baseline"].info.status == by_name["train.video_dropout=0.1"].info.status == "FINISHED"


def test_an_equal_trial_of_another_sweep_is_not_paid_for_twice(workplace: Workplace) -> None:
    first = workplace.write_sweep("first", {"train.video_dropout": [0.0, 0.3]})
    second = workplace.write_sweep("second", {"model.iterations": [1, 2]})
    assert workplace.sweep("run", first).returncode == 0
    states = {trial["configuration"]: trial["state"] for trial in workplace.json("plan", second)["trials"]}
    assert states["baseline"] == "finished in first"
    assert "1 trials finished, 1 were there already" in workplace.sweep("run", second).stdout
    rows = {row["configuration"]: row for row in workplace.json("board", "second")["rows"]}
    first_rows = {row["configuration"]: row for row in workplace.json("board", "first")["rows"]}
    assert rows["baseline"]["scores"] == first_rows["baseline"]["scores"]


def test_an_edited_file_drops_trials_from_the_board_and_gives_them_back(workplace: Workplace) -> None:
    file = workplace.write_sweep("edited", {"train.video_dropout": [0.0, 0.3]})
    assert workplace.sweep("run", file).returncode == 0
    workplace.write_sweep("edited", {"train.video_dropout": [0.3, 0.5]})
    assert "1 trials finished, 1 were there already" in workplace.sweep("run", file).stdout
    shown = [row["configuration"] for row in workplace.json("board", "edited")["rows"]]
    assert sorted(shown) == ["baseline", "train.video_dropout=0.5"]
    workplace.write_sweep("edited", {"train.video_dropout": [0.0, 0.3]})
    assert "0 trials finished, 2 were there already" in workplace.sweep("run", file).stdout
    shown = [row["configuration"] for row in workplace.json("board", "edited")["rows"]]
    assert sorted(shown) == ["baseline", "train.video_dropout=0.0"]

    workplace.write_sweep("edited", {"train.video_dropout": [0.0, 0.3]}, **{"train.epochs": 5.0})
    refused = workplace.sweep("run", file)
    assert refused.returncode == 2 and "none of its trials" in refused.stderr
    assert "--confirm name" in refused.stderr
