"""Storage that fails now and then is asked again; what can't pass is told at once."""

import time

import fsspec
import pytest

from perceiver.data.files import list_files, read_bytes, with_retries
from perceiver.errors import DataError


class Flaky:
    """Fails some times, then works."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "read"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


def test_failures_that_pass_are_waited_out_ever_longer(no_waiting: list[float]) -> None:
    call = Flaky(3, ConnectionError("reset"))
    assert with_retries(call, "s3://bucket/a.mp4") == "read"
    assert call.calls == 4 and no_waiting == sorted(no_waiting) and len(no_waiting) == 3


def test_storage_that_stays_down_is_an_error_that_names_the_file() -> None:
    with pytest.raises(DataError, match=r"s3://bucket/a.mp4: storage failed 6 times, at last with: slow down"):
        with_retries(Flaky(99, OSError("slow down")), "s3://bucket/a.mp4")


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), PermissionError("secret")])
def test_what_cannot_pass_is_not_tried_again(error: Exception) -> None:
    call = Flaky(1, error)
    with pytest.raises(type(error)):
        with_retries(call, "a.mp4")
    assert call.calls == 1


def test_a_listing_is_deep_sorted_and_has_sizes() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/deep/b/2.mp4": b"22", "/deep/a.csv": b"1", "/deep/b/c/3.mp4": b"333"})
    listed = [(file.path, file.size) for file in list_files("memory://deep")]
    assert listed == [("memory:///deep/a.csv", 1), ("memory:///deep/b/2.mp4", 2), ("memory:///deep/b/c/3.mp4", 3)]
    assert read_bytes("memory:///deep/b/c/3.mp4") == b"333"
