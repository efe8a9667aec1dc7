"""Reading sweeps back from MLflow: directly from its tables, and through its API, with the same result."""

import math
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from postgresql_server import installed_programs, postgresql_server
from sweep_maker import Made, empty_store, record_sweep, replicates

from orchestrator.errors import Unreachable, UsageError
from orchestrator.track import connection, database
from orchestrator.track.names import Tag
from orchestrator.track.reader import NoDatabase, find_identities, list_sweeps, read_by_id, read_history, read_runs
from orchestrator.track.records import SweepRuns
from orchestrator.track.server import open_server

TRIALS = [
    *replicates("baseline", [0.41, 0.42], params={"train.lr": "0.004"}, metrics={"cost/gpu_hours": 1.5}),
    Made("train.lr=0.1", 0, math.nan, status="FAILED", tags={Tag.ERROR: "NaN in the loss"}),
    Made("train.lr=0.1", 1, math.inf, status="KILLED"),
    Made("train.lr=0.1", 2, -math.inf, status="RUNNING"),
    Made("train.lr=0.2", 0, None, status="SCHEDULED"),
]


@pytest.fixture
def sqlite_store(tmp_path: Path) -> str:
    return empty_store(tmp_path)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of our own with an empty database; skipped where none is installed."""
    pytest.importorskip("psycopg")
    if installed_programs() is None:
        pytest.skip("no PostgreSQL server: install the package postgresql")
    with postgresql_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("sqlite_store" if request.param == "sqlite" else "postgresql"))


def through_the_api(tracking: str, sweep: str) -> SweepRuns | None:
    with open_server(tracking) as server:
        return server.sweep(sweep, params=True, metrics=None)


def test_all_that_was_recorded_is_read_as_mlflow_itself_reads_it(store: str) -> None:
    run_ids = record_sweep(store, "colours", TRIALS)
    deleted = record_sweep(store, "other", replicates("baseline", [0.9]))
    runs = read_runs(store, "colours")
    assert repr(runs) == repr(through_the_api(store, "colours"))  # repr: NaN is not equal to itself
    assert [run.run_id for run in runs.children] == run_ids
    assert runs.parent is not None and runs.parent.tags[Tag.QUESTION] == "Which is best?"
    values = [run.metrics.get("eval/mAP") for run in runs.trials]
    assert repr(values) == "[0.41, 0.42, nan, inf, -inf, None]"
    assert runs.trials[0].params == {"train.lr": "0.004"}
    assert [run.status for run in runs.trials[2:]] == ["FAILED", "KILLED", "RUNNING", "SCHEDULED"]
    assert_deleted_runs_are_gone(store, deleted[0])


def assert_deleted_runs_are_gone(store: str, run_id: str) -> None:
    identity = "other/baseline/0"
    assert [run.run_id for run in find_identities(store, {identity, "unknown"})] == [run_id]
    MlflowClient(store).delete_run(run_id)
    assert find_identities(store, {identity}) == []
    assert read_by_id(store, [run_id]) == []
    assert [run.role for run in read_runs(store, "other").children] == []
    MlflowClient(store).delete_experiment(read_runs(store, "other").experiment_id)
    assert [line.sweep for line in list_sweeps(store)] == ["colours"]
    with pytest.raises(UsageError, match="No sweep other at"):
        read_runs(store, "other")


def test_only_what_was_asked_for_is_read(sqlite_store: str) -> None:
    record_sweep(sqlite_store, "colours", TRIALS)
    runs = read_runs(sqlite_store, "colours", params=False, metrics=["cost/gpu_hours"])
    assert runs.trials[0].metrics == {"cost/gpu_hours": 1.5}
    assert all(run.params == {} for run in runs.trials)


def test_equal_trials_are_found_in_every_sweep_finished_ones_first(sqlite_store: str) -> None:
    same = {Tag.IDENTITY: "abc"}
    first = record_sweep(sqlite_store, "one", [Made("baseline", 0, 0.4, tags=same), Made("baseline", 1, 0.4)])
    second = record_sweep(sqlite_store, "two", [Made("baseline", 0, None, status="RUNNING", tags=same)])
    assert [run.run_id for run in find_identities(sqlite_store, {"abc"})] == [first[0], second[0]]
    assert find_identities(sqlite_store, set()) == []
    with open_server(sqlite_store) as server:
        assert {run.run_id for run in server.with_identity({"abc"})} == {first[0], second[0]}


def test_the_history_of_metrics_is_read_in_the_order_of_its_steps(store: str) -> None:
    (run_id, other) = record_sweep(store, "histories", replicates("baseline", [0.4, 0.5]))
    client = MlflowClient(store)
    for step, time_stamp, value in [(300, 9, math.nan), (200, 7, 0.2), (200, 8, 0.25), (400, 10, math.inf)]:
        client.log_metric(run_id, "eval/mAP", value, time_stamp, step)
    read = read_history(store, [run_id, other], ["eval/mAP", "eval/loss"])
    assert [(report["clips"], str(report["metrics"]["eval/mAP"])) for report in read[run_id]] == [
        (100, "0.4"),
        (200, "0.25"),  # reported twice: the newest counts
        (300, "nan"),
        (400, "inf"),
    ]
    assert [report["metrics"] for report in read[other]] == [{"eval/mAP": 0.5}]
    with open_server(store) as server:
        rows = server.history([run_id, other], ["eval/mAP"])
    assert len(rows) == 6 and {row.step for row in rows if row.run_id == run_id} == {100, 200, 300, 400}
    assert read_history(store, [], ["eval/mAP"]) == {}


def test_more_runs_than_a_statement_holds_are_all_read(sqlite_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_CHUNK", 2)
    run_ids = record_sweep(sqlite_store, "colours", TRIALS)[::-1]
    assert [run.run_id for run in read_by_id(sqlite_store, run_ids)] == run_ids
    with open_server(sqlite_store) as server:
        assert [run.run_id for run in server.with_ids([*run_ids, "unknown"])] == run_ids


def test_sweeps_are_listed_with_their_progress_the_last_changed_first(store: str) -> None:
    record_sweep(store, "older", replicates("baseline", [0.4]), question="Why?")
    record_sweep(store, "newer", TRIALS)
    newer, older = [line for line in list_sweeps(store) if line.sweep in ("newer", "older")]
    assert (newer.sweep, newer.trials, newer.finished, newer.running, newer.failed) == ("newer", 6, 2, 1, 1)
    assert (older.question, older.trials, older.finished) == ("Why?", 1, 1)
    with open_server(store) as server:
        assert {newer, older} <= set(server.summaries())


def test_an_unknown_sweep_is_answered_with_the_nearest(sqlite_store: str) -> None:
    record_sweep(sqlite_store, "video-dropout", TRIALS)
    with pytest.raises(UsageError) as error:
        read_runs(sqlite_store, "vido-dropout")
    assert str(error.value).endswith("Nearest: video-dropout (6 trials). All: sweep board")


def test_reading_where_nothing_was_recorded_makes_no_file(tmp_path: Path) -> None:
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(NoDatabase, match="Nothing is recorded at sqlite:///"):
        read_runs(tracking, "colours")
    assert list_sweeps(tracking) == []
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_tables_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    assert list_sweeps(f"sqlite:///{tmp_path}/mlflow.db") == []


def test_a_database_is_not_changed_by_reading(sqlite_store: str, tmp_path: Path) -> None:
    record_sweep(sqlite_store, "colours", TRIALS)
    before = (tmp_path / "mlflow.db").read_bytes()
    read_runs(sqlite_store, "colours")
    assert (tmp_path / "mlflow.db").read_bytes() == before


def test_a_sweep_can_be_read_while_it_is_written(sqlite_store: str, tmp_path: Path) -> None:
    record_sweep(sqlite_store, "colours", TRIALS)
    writer = sqlite3.connect(tmp_path / "mlflow.db")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE runs SET status = 'FAILED'")
    assert len(read_runs(sqlite_store, "colours").trials) == 6
    writer.close()


def set_schema(tracking_file: Path, revision: str) -> None:
    with sqlite3.connect(tracking_file) as file:
        file.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    file.close()


def test_a_database_of_an_older_mlflow_is_told_with_the_command_that_upgrades_it(
    sqlite_store: str, tmp_path: Path
) -> None:
    set_schema(tmp_path / "mlflow.db", "451aebb31d03")  # MLflow 1.0
    with pytest.raises(Unreachable, match=f"older MLflow.*mlflow db upgrade {sqlite_store}"):
        read_runs(sqlite_store, "colours")


def test_a_database_of_a_newer_mlflow_asks_for_a_newer_mlflow(sqlite_store: str, tmp_path: Path) -> None:
    set_schema(tmp_path / "mlflow.db", "fedcba987654")
    with pytest.raises(Unreachable, match=r"newer MLflow.*pip install --upgrade mlflow"):
        read_runs(sqlite_store, "colours")


def test_a_locked_database_is_waited_for_and_then_told(
    sqlite_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_PATIENCE_SECONDS", 0.1)
    lock = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    lock.execute("PRAGMA journal_mode=DELETE")  # with a write-ahead log readers never wait
    lock.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Unreachable, match=r"mlflow\.db has been locked by another process for 0\.1 s"):
        read_runs(sqlite_store, "colours")
    lock.close()


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, though long enough to have a header " * 10)
    with pytest.raises(Unreachable, match=r"mlflow\.db can't be read: file is not a database"):
        list_sweeps(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_database_that_lacks_a_column_is_told(sqlite_store: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "mlflow.db") as file:
        file.execute("ALTER TABLE latest_metrics RENAME COLUMN is_nan TO was_nan")
        file.execute("INSERT INTO experiments (name, lifecycle_stage) VALUES ('colours', 'active')")
    file.close()
    with pytest.raises(Unreachable, match=r"does not have MLflow's tables.*no such column: is_nan"):
        read_runs(sqlite_store, "colours")


def test_a_password_is_never_shown() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(Unreachable) as error:
        list_sweeps("postgresql://me:secret@127.0.0.1:9/mlflow")
    assert "postgresql://me:***@127.0.0.1:9/mlflow can't be read" in str(error.value)
    assert "secret" not in str(error.value)


def test_a_server_that_does_not_answer_is_told_at_once() -> None:
    with pytest.raises(Unreachable, match=r"No MLflow server answers at http://127\.0\.0\.1:9"):
        list_sweeps("http://127.0.0.1:9")


def test_reading_sqlite_imports_nothing_heavy(sqlite_store: str) -> None:
    record_sweep(sqlite_store, "colours", TRIALS)
    code = (
        "import sys; from orchestrator.track.reader import read_runs\n"
        f"read_runs({sqlite_store!r}, 'colours')\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'numpy', 'scipy', 'sqlalchemy', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.slow
def test_a_tracking_server_gives_the_same_as_its_database(sqlite_store: str, tmp_path: Path) -> None:
    record_sweep(sqlite_store, "colours", TRIALS)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", sqlite_store, "--workers", "1"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(port)
        address = f"http://127.0.0.1:{port}"
        found, expected = read_runs(address, "colours"), read_runs(sqlite_store, "colours")
        assert repr(found.children) == repr(expected.children)
        assert list_sweeps(address) == list_sweeps(sqlite_store)
        with pytest.raises(UsageError, match=r"Nearest: colours \(6 trials\)"):
            read_runs(address, "colour")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not start")
