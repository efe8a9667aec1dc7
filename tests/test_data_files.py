"""Storage that fails now and then is asked again; what can't pass is told at once."""

import io
import time
from itertools import count
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from media_maker import make_media, small_config, whole
from slow_server import Server, serving

from perceiver.data.clips import Wants, read_clip
from perceiver.data.content import sized
from perceiver.data.files import File, list_files, look_up, read_bytes
from perceiver.data.retries import with_retries
from perceiver.errors import DataError, StorageError


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
    with pytest.raises(StorageError, match=r"s3://bucket/a.mp4: storage failed 6 times, at last with: slow down"):
        with_retries(Flaky(99, OSError("slow down")), "s3://bucket/a.mp4")


@pytest.mark.parametrize(
    ("error", "told"), [(FileNotFoundError("gone"), FileNotFoundError), (PermissionError("secret"), StorageError)]
)
def test_what_does_not_pass_soon_is_not_tried_again(error: Exception, told: type[Exception]) -> None:
    call = Flaky(1, error)
    with pytest.raises(told):
        with_retries(call, "a.mp4")
    assert call.calls == 1


class FlakyFileSystem(MemoryFileSystem):
    """Fails every third block of a file's reads."""

    protocol, store, pseudo_dirs, reads = "flaky", {}, [""], 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("flaky://", "memory://"))

    def _open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        plain = super()._open(path, *args, **kwargs)

        class Unsteady(io.BytesIO):
            size = plain.size

            def read(self, size: int | None = -1) -> bytes:
                FlakyFileSystem.reads += 1
                if FlakyFileSystem.reads % 3 == 0:
                    raise ConnectionError("reset")
                return super().read(size)

        return Unsteady(plain.getvalue())


def test_a_large_file_is_read_in_blocks_that_may_fail(tmp_path: Path, no_waiting: list[float]) -> None:
    fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (6, 48_000 * 60)).astype(np.float32)
    path = make_media(tmp_path / "a.wav", samples=samples, layout="5.1", sound_codec="pcm_s16le")
    assert path.stat().st_size > 32 * 2**20
    FlakyFileSystem().store["/a.wav"] = MemoryFile(FlakyFileSystem(), "/a.wav", path.read_bytes())
    wants = Wants.evaluation(small_config(model__inputs__video=None))
    local, remote = (read_clip(whole(url, 60.0), wants, 0.7).audio for url in (path, "flaky://a.wav"))
    assert np.array_equal(local, remote) and no_waiting


def test_a_listing_is_deep_sorted_and_has_sizes() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/deep/b/2.mp4": b"22", "/deep/a.csv": b"1", "/deep/b/c/3.mp4": b"333"})
    listed = [(file.path, file.size) for file in list_files("memory://deep")]
    assert listed == [("memory:///deep/a.csv", 1), ("memory:///deep/b/2.mp4", 2), ("memory:///deep/b/c/3.mp4", 3)]
    assert read_bytes("memory:///deep/b/c/3.mp4") == b"333"


@pytest.mark.parametrize("what", ["503", "429", "reset"])
def test_a_web_server_that_fails_for_a_moment_has_not_lost_the_file(what: str, tmp_path: Path) -> None:
    """fsspec says "not found" over http whatever goes wrong."""
    (tmp_path / "a.mp4").write_bytes(b"12345")
    requests = count()
    server = Server(tmp_path, trouble=lambda path: what if next(requests) < 3 else None)
    with serving(server) as url:
        assert look_up(f"{url}/a.mp4").size == 5
        with pytest.raises(FileNotFoundError):
            look_up(f"{url}/b.mp4")
        with pytest.raises(DataError, match=r"b\.mp4 is listed, but not there"):
            sized(File(f"{url}/b.mp4", 0))
