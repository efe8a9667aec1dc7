"""One driver per sweep."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import UsageError
from orchestrator.run import lease
from orchestrator.run.lease import Lease, holder
from orchestrator.track import storage
from orchestrator.track.paths import SweepPaths

GONE = 2**22 + 1
"""A number that no process of Linux has."""


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    return SweepPaths(str(tmp_path), "colours")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_RENEW_SECONDS", 0.02)
    monkeypatch.setattr(lease, "_EXPIRES_SECONDS", 0.3)
    monkeypatch.setattr(lease, "_LOOK_SECONDS", 0.02)


def write_lease(paths: SweepPaths, host: str, pid: int, number: int = 1, beat: int = 1) -> None:
    here = host == socket.gethostname()
    about = {"host": host, "machine": lease.machine() if here else "another", "pid": pid, "began": lease.began(pid)}
    about |= {"time": time.time() - 3600, "token": "theirs", "beat": beat}
    storage.write_text(paths.driver(number), json.dumps(about))


def newest(paths: SweepPaths) -> Any:
    return json.loads(storage.read_text(paths.driver(max(map(int, numbers(paths))))) or "")


def numbers(paths: SweepPaths) -> list[str]:
    return sorted(name.removesuffix(".json") for name in storage.list_names(paths.drivers))


def test_a_lease_has_ended_after_its_driver_and_the_next_has_a_higher_number(paths: SweepPaths) -> None:
    for number in ("000001", "000002", "000003"):
        with Lease(paths):
            about = holder(paths)
            assert about is not None and about["pid"] == os.getpid()
        assert holder(paths) is None
        assert numbers(paths) == [number], "what is over is removed once the next one is through"


def test_a_second_driver_is_refused_while_the_first_lives(paths: SweepPaths) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        write_lease(paths, socket.gethostname(), other.pid)
        with pytest.raises(UsageError, match=f"process {other.pid}"), Lease(paths):
            pass
        other.communicate(b"\n")
    assert holder(paths) is None
    with Lease(paths):
        assert newest(paths)["pid"] == os.getpid()


def test_a_driver_elsewhere_that_stands_still_is_taken_over(
    paths: SweepPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lease(paths, "another-host", 1)
    assert holder(paths) is not None, "who has just looked can't tell"
    with Lease(paths):
        assert newest(paths)["host"] == socket.gethostname()
    assert "Taken over from process 1 on another-host" in capsys.readouterr().err


def test_a_driver_elsewhere_whose_beat_grows_holds_the_sweep_whatever_its_clock_says(
    paths: SweepPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lease(paths, "another-host", 1)
    slept = iter(range(1000))
    monkeypatch.setattr(lease.time, "sleep", lambda seconds: write_lease(paths, "another-host", 1, beat=next(slept)))
    with pytest.raises(UsageError, match="process 1 on another-host"), Lease(paths):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"host": "here", "pid": 1, "time": null}'])
def test_what_is_no_lease_is_watched_like_one(paths: SweepPaths, text: str) -> None:
    storage.write_text(paths.driver(7), text)
    assert holder(paths) is None
    with Lease(paths):
        assert numbers(paths) == ["000007", "000008"]


def test_a_stop_asked_of_an_earlier_driver_does_not_stop_the_next(paths: SweepPaths) -> None:
    storage.write_text(paths.stop, "{}")
    with Lease(paths):
        assert not storage.exists(paths.stop)


def test_a_process_with_the_number_of_a_driver_that_died_blocks_nobody(paths: SweepPaths) -> None:
    for number, pid in enumerate((GONE, os.getpid()), 1):
        write_lease(paths, socket.gethostname(), pid, number)
        assert holder(paths) is None
        with Lease(paths):
            pass


@pytest.mark.parametrize("changed", [{"began": 1.0}, {"machine": "another one of that name"}])
def test_a_number_that_another_process_has_by_now_is_no_driver_s(paths: SweepPaths, changed: dict[str, Any]) -> None:
    """After a reboot, or in another container of the same name: the number tells nothing, the beat does."""
    write_lease(paths, socket.gethostname(), os.getppid())
    storage.write_text(paths.driver(1), json.dumps(newest(paths) | changed))
    with Lease(paths):
        assert newest(paths)["pid"] == os.getpid()


def test_a_second_driver_in_the_same_process_is_refused(paths: SweepPaths) -> None:
    with Lease(paths), pytest.raises(UsageError, match=f"process {os.getpid()}"), Lease(paths):
        pass
    assert holder(paths) is None


def test_a_driver_that_lost_its_lease_sees_it_and_leaves_the_other_s_alone(paths: SweepPaths) -> None:
    with Lease(paths) as ours:
        assert not ours.lost
        write_lease(paths, "another-host", 1, number=2)
        storage.write_text(paths.stop, "{}")
        theirs = storage.read_text(paths.driver(2))
        wait_until(lambda: ours.lost)
    assert storage.read_text(paths.driver(2)) == theirs
    assert storage.exists(paths.stop)


def test_a_lease_is_renewed_also_when_its_file_was_removed(paths: SweepPaths) -> None:
    with Lease(paths) as ours:
        storage.remove(paths.driver(1))
        wait_until(lambda: holder(paths) is not None)
        first = newest(paths)["beat"]
        wait_until(lambda: newest(paths)["beat"] > first)
        assert not ours.lost


def test_of_several_drivers_that_start_at_once_one_holds_the_sweep(paths: SweepPaths) -> None:
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        start, told = context.Barrier(4), context.Queue()
        drivers = [context.Process(target=_drive, args=(paths, start, told)) for _ in range(4)]
        for driver in drivers:
            driver.start()
        said = sorted(told.get(timeout=60) for _ in drivers)
        for driver in drivers:
            driver.join()
        assert said == ["UsageError"] * 3 + ["held"]


def _drive(paths: SweepPaths, start: Any, told: Any) -> None:
    start.wait()
    try:
        with Lease(paths):
            told.put("held")
            start.wait()
    except UsageError as error:
        told.put(type(error).__name__)
        start.wait()


@pytest.mark.parametrize("kind", ["disk", "disk without links", "memory", "s3", "any other"])
def test_a_file_is_created_by_one_of_several(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = {"memory": "memory://lease", "s3": ""}.get(kind, str(tmp_path))
    folder = folder or request.getfixturevalue("s3_bucket")
    if kind == "any other":
        monkeypatch.setattr(storage, "_EXCLUSIVE", set())
        monkeypatch.setattr(storage, "_SETTLE_SECONDS", 0.0)
        folder = "memory://other"
    if kind == "disk without links":
        monkeypatch.setattr(storage.os, "link", _no_links)
    assert storage.create_text(f"{folder}/a/1.json", "mine")
    assert not storage.create_text(f"{folder}/a/1.json", "theirs")
    assert storage.read_text(f"{folder}/a/1.json") == "mine"
    assert storage.list_names(f"{folder}/a") == ["1.json"] and storage.list_names(f"{folder}/b") == []


def _no_links(*arguments: Any) -> None:
    raise OSError(95, "Operation not supported")


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come")
