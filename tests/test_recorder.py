"""The writer of MLflow runs, on a real sqlite store."""

import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlRun

from orchestrator.errors import Unreachable, UsageError
from orchestrator.plan.changes import label
from orchestrator.plan.site import load_site
from orchestrator.track.names import Tag
from orchestrator.track.reader import list_sweeps, read_runs
from orchestrator.track.recorder import Recorder

HISTORY = [
    {"time": 1_700_000_000_000, "clips": 64, "metrics": {"train/loss": 0.7, "eval/mAP": 0.25}},
    {"time": 1_700_000_001_000, "clips": 128, "metrics": {"train/loss": 0.6, "eval/mAP": 0.5}},
]


@pytest.fixture
def tracking(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


def open_recorder(tracking: str, tmp_path: Path) -> tuple[Recorder, str]:
    recorder = Recorder(tracking, "colours", f"{tmp_path}/storage/colours")
    return recorder, recorder.open_parent({Tag.NAME: "colours", Tag.ROLE: "sweep"})


def change(tmp_path: Path, statement: str) -> None:
    """Does something to the database behind the recorder's back."""
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        database.execute(statement)


def test_whatever_a_folder_is_called_the_results_lie_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "above" / "run#3 50%41 é, what? it's [日本] & $HOME"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    site = load_site(None)
    recorder = Recorder(site.tracking, "colours", f"{site.storage}/colours")
    parent = recorder.open_parent({Tag.NAME: "colours", Tag.ROLE: "sweep"})
    place = recorder.schedule(parent, "red", {Tag.TRIAL: "abc"}, {})
    recorder.close()
    assert place.root == f"{folder}/runs/storage/colours/{place.run_id}/artifacts"
    assert len(list_sweeps(site.tracking)) == 1
    assert [run.run_id for run in read_runs(site.tracking, "colours").children] == [place.run_id]
    assert (folder / "runs" / "mlflow.db").exists()
    assert list(folder.parent.iterdir()) == [folder] and list(folder.iterdir()) == [folder / "runs"]


def test_a_scheduled_run_is_nested_and_shows_before_it_starts(tracking: str, tmp_path: Path) -> None:
    recorder, parent = open_recorder(tracking, tmp_path)
    place = recorder.schedule(parent, "red", {Tag.TRIAL: "abc"}, {"train.lr": "0.1", "data.set": "synthetic"})
    run = MlflowClient(tracking).get_run(place.run_id)
    assert run.info.status == "SCHEDULED"
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.params == {"train.lr": "0.1", "data.set": "synthetic"}
    assert place.root.endswith(f"storage/colours/{place.run_id}/artifacts")


def test_a_replayed_history_adds_no_rows(tracking: str, tmp_path: Path) -> None:
    recorder, parent = open_recorder(tracking, tmp_path)
    place = recorder.schedule(parent, "red", {}, {})
    recorder.report(place.run_id, HISTORY[:1], 0.5)
    recorder.close()
    recorder.report(place.run_id, HISTORY, 1.0)
    recorder.end(place.run_id, "FINISHED")
    recorder.close()
    client = MlflowClient(tracking)
    rows = client.get_metric_history(place.run_id, "eval/mAP")
    assert [(row.step, row.value, row.timestamp) for row in rows] == [
        (64, 0.25, 1_700_000_000_000),
        (128, 0.5, 1_700_000_001_000),
    ]
    run = client.get_run(place.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags[Tag.PROGRESS] == "1.0000"


def test_the_parent_run_of_a_sweep_is_made_once(tracking: str, tmp_path: Path) -> None:
    _, first = open_recorder(tracking, tmp_path)
    _, second = open_recorder(tracking, tmp_path)
    assert first == second


def test_a_tracker_that_is_away_costs_nothing(tracking: str, tmp_path: Path) -> None:
    recorder, parent = open_recorder(tracking, tmp_path)
    place = recorder.schedule(parent, "red", {}, {})
    recorder.report(place.run_id, HISTORY, 1.0)
    change(tmp_path, "ALTER TABLE metrics RENAME TO away")
    assert not recorder.flush()
    assert recorder.trouble is not None and "does not answer" in recorder.trouble
    with pytest.raises(Unreachable, match="Nothing is lost"):
        recorder.close(patience=0)
    change(tmp_path, "ALTER TABLE away RENAME TO metrics")
    assert recorder.flush()
    assert recorder.trouble is None
    assert MlflowClient(tracking).get_run(place.run_id).data.metrics["eval/mAP"] == 0.5


def test_a_database_of_another_mlflow_is_told_with_the_command_that_mends_it(tracking: str, tmp_path: Path) -> None:
    open_recorder(tracking, tmp_path)
    change(tmp_path, "UPDATE alembic_version SET version_num = '451aebb31d03'")
    with pytest.raises(Unreachable, match="mlflow db upgrade sqlite:///"):
        open_recorder(tracking.replace("mlflow.db", "./mlflow.db"), tmp_path)


def test_a_tracker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match="can't be opened"):
        open_recorder(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path)


def test_a_run_that_somebody_deleted_keeps_no_other_from_the_record(tracking: str, tmp_path: Path) -> None:
    recorder, parent = open_recorder(tracking, tmp_path)
    gone, red = (recorder.schedule(parent, name, {}, {}).run_id for name in ("gone", "red"))
    client = MlflowClient(tracking)
    client.delete_run(gone)
    for run_id in (gone, red):
        recorder.report(run_id, HISTORY, 1.0)
        recorder.end(run_id, "FINISHED")
    recorder.close()
    assert client.get_run(red).info.status == "FINISHED"
    assert recorder.trouble is not None and gone in recorder.trouble and red not in recorder.trouble
    client.restore_run(gone)
    recorder.end(gone, "FINISHED")
    recorder.close()
    assert client.get_run(gone).info.status == "FINISHED"
    assert recorder.trouble is None


def test_a_run_is_completed_with_the_params_it_lacks_and_keeps_those_it_has(tracking: str, tmp_path: Path) -> None:
    recorder, parent = open_recorder(tracking, tmp_path)
    run_id = recorder.schedule(parent, "red", {}, {"train.precision": "bf16"}).run_id
    recorder.describe(run_id, {Tag.ROLE: "trial"}, {"train.precision": "float32", "train.lr": "0.1"})
    recorder.close()
    run = MlflowClient(tracking).get_run(run_id)
    assert run.data.params == {"train.precision": "bf16", "train.lr": "0.1"}
    assert run.data.tags[Tag.ROLE] == "trial"
    assert recorder.trouble is None


@pytest.mark.parametrize(
    "book",
    [
        lambda recorder: recorder.open_parent({Tag.NAME: "colours"}),
        lambda recorder: recorder.schedule("1", "red", {}, {}),
        lambda recorder: recorder.copy_metrics("1", "2"),
    ],
)
def test_a_tracker_that_goes_away_while_runs_are_booked_is_told_in_a_line(
    book: Callable[[Recorder], object], tracking: str, tmp_path: Path
) -> None:
    recorder, _ = open_recorder(tracking, tmp_path)
    change(tmp_path, "ALTER TABLE runs RENAME TO away")
    with pytest.raises(Unreachable, match=r"The tracker \S+mlflow\.db does not answer: \S") as error:
        book(recorder)
    assert "\n" not in str(error.value)


def test_a_database_that_can_t_be_analyzed_is_closed_all_the_same(tracking: str, tmp_path: Path) -> None:
    recorder, _ = open_recorder(tracking, tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    for log in tmp_path.glob("mlflow.db-*"):
        log.unlink()
    recorder.close()


def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"No MLflow server answers at http://me:\*\*\*@127\.0\.0\.1:9"):
        open_recorder("http://me:secret@127.0.0.1:9", tmp_path)


def test_a_server_that_goes_away_is_asked_once_and_what_it_missed_is_kept(
    tracking: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, parent = open_recorder(tracking, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        recorder.tracking = f"http://127.0.0.1:{server.getsockname()[1]}"
    recorder.tag(parent, {Tag.QUESTION: "Which?"})
    assert not recorder.flush()
    assert recorder.trouble is not None and "No MLflow server answers" in recorder.trouble
    recorder.tracking = tracking
    recorder.flush_if_due()
    assert recorder.trouble is not None, "a second has not passed"
    recorder.close()
    assert MlflowClient(tracking).get_run(parent).data.tags[Tag.QUESTION] == "Which?"


def test_a_sweep_keeps_its_storage_however_it_is_written(tracking: str, tmp_path: Path) -> None:
    open_recorder(tracking, tmp_path)
    for same in (f"file://{tmp_path}/storage/colours", f"{tmp_path}/other/../storage/colours/"):
        Recorder(tracking, "colours", same)
    with pytest.raises(UsageError, match=r"has its runs at \S+/storage/colours, and the site says s3://bucket/colours"):
        Recorder(tracking, "colours", "s3://bucket/colours")


def test_the_name_of_every_run_fits_mlflow_s_column() -> None:
    long = {f"model.inputs.video.part_{number}": number for number in range(40)}
    names = {f"{label(long | {'train.lr': rate})} seed {2**32 - 1}" for rate in (0.1, 0.2)}
    assert len(names) == 2, "cut labels must stay apart"
    assert max(map(len, names)) <= SqlRun.name.type.length
