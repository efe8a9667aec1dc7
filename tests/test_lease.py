"""One driver per sweep."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.run.lease import Lease, holder
from orchestrator.track import storage
from orchestrator.track.paths import SweepPaths


@pytest.fixture
def paths(tmp_path: Path) -> SweepPaths:
    return SweepPaths(str(tmp_path), "colours")


def write_lease(paths: SweepPaths, host: str, pid: int, age: float = 0.0) -> None:
    storage.write_text(paths.driver, json.dumps({"host": host, "pid": pid, "time": time.time() - age}))


def test_a_lease_is_gone_after_its_driver(paths: SweepPaths) -> None:
    with Lease(paths):
        assert storage.exists(paths.driver)
    assert not storage.exists(paths.driver)


def test_a_second_driver_is_refused_while_the_first_lives(paths: SweepPaths) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        write_lease(paths, socket.gethostname(), other.pid)
        with pytest.raises(UsageError, match=f"process {other.pid}"), Lease(paths):
            pass
        other.communicate(b"\n")
    assert holder(paths) is None


def test_a_driver_elsewhere_counts_until_its_lease_expires(paths: SweepPaths) -> None:
    write_lease(paths, "another-host", 1)
    assert holder(paths) is not None
    write_lease(paths, "another-host", 1, age=3600)
    assert holder(paths) is None


def test_a_stop_asked_of_an_earlier_driver_does_not_stop_the_next(paths: SweepPaths) -> None:
    storage.write_text(paths.stop, "{}")
    with Lease(paths):
        assert not storage.exists(paths.stop)
        assert json.loads(storage.read_text(paths.driver) or "")["pid"] == os.getpid()


def test_a_process_with_the_number_of_a_driver_that_died_blocks_nobody(paths: SweepPaths) -> None:
    write_lease(paths, socket.gethostname(), os.getppid(), age=3600)
    with Lease(paths):
        pass
    write_lease(paths, socket.gethostname(), os.getpid())
    with Lease(paths):
        pass


def test_a_second_driver_in_the_same_process_is_refused(paths: SweepPaths) -> None:
    with Lease(paths), pytest.raises(UsageError, match=f"process {os.getpid()}"), Lease(paths):
        pass
    assert holder(paths) is None


def test_a_driver_that_lost_its_lease_sees_it_and_leaves_the_other_s_alone(
    paths: SweepPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.run.lease._RENEW_SECONDS", 0.01)
    with Lease(paths) as ours:
        assert not ours.lost
        write_lease(paths, "another-host", 1)
        storage.write_text(paths.stop, "{}")
        theirs = storage.read_text(paths.driver)
        wait_until(lambda: ours.lost)
    assert storage.read_text(paths.driver) == theirs
    assert storage.exists(paths.stop)


def test_a_lease_is_renewed_also_when_its_file_was_removed(paths: SweepPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.run.lease._RENEW_SECONDS", 0.01)
    with Lease(paths) as ours:
        storage.remove(paths.driver)
        wait_until(lambda: holder(paths) is not None)
        first = storage.read_json(paths.driver)["time"]
        wait_until(lambda: storage.read_json(paths.driver)["time"] > first)
        assert not ours.lost


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come")
