"""The writer of MLflow runs, on a real sqlite store."""

import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.errors import Unreachable
from orchestrator.track.names import Tag
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
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("ALTER TABLE metrics RENAME TO away")
    assert not recorder.flush()
    assert recorder.trouble is not None
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("ALTER TABLE away RENAME TO metrics")
    assert recorder.flush()
    assert recorder.trouble is None
    assert MlflowClient(tracking).get_run(place.run_id).data.metrics["eval/mAP"] == 0.5


def test_a_database_of_another_mlflow_is_told_with_the_command_that_mends_it(tracking: str, tmp_path: Path) -> None:
    open_recorder(tracking, tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    with pytest.raises(Unreachable, match="mlflow db upgrade sqlite:///"):
        open_recorder(tracking.replace("mlflow.db", "./mlflow.db"), tmp_path)


def test_a_tracker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match="can't be opened"):
        open_recorder(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path)
