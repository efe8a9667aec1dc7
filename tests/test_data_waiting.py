"""A clip that storage can't give now is waited for: never bad, never replaced, and nobody can tell from the batches."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import pytest
import torch
from media_maker import small_config
from model_maker import tiny
from slow_server import Server, Trouble, serving

from perceiver.config import RunConfig
from perceiver.data.audioset import DataSource
from perceiver.data.batch import BadClip, Batch
from perceiver.data.dataset import DataSet, open_data
from perceiver.data.ingest import ingest
from perceiver.data.loading import eval_batches, train_batches
from perceiver.data.shards import Form
from perceiver.data.stored import open_clip
from perceiver.errors import ClipError, StorageError
from perceiver.state import TrainState

CONFIG = small_config(train__batch_size=6, eval__clips=3, eval__batch_size=6)


@pytest.fixture(scope="module")
def shards(synthetic_source: DataSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic set, ingested to a folder."""
    folder = tmp_path_factory.mktemp("shards") / "set"
    ingest(synthetic_source, str(folder), Form(pixels=32))
    return folder


@pytest.fixture
def served(shards: Path) -> Iterator[Callable[[Trouble], tuple[Server, DataSource]]]:
    """A function that serves the shards, with trouble for those who ask for clips."""
    with serving(server := Server(shards)) as url:

        def serve(trouble: Trouble) -> tuple[Server, DataSource]:
            server.trouble = lambda path: trouble(path) if path.endswith(".tar") else None
            return server, DataSource(url)

        yield serve


def some(data: DataSet, workers: int = 0) -> list[Batch]:
    """Four training batches."""
    stream = train_batches(data, CONFIG, workers=workers)
    batches = list(islice(stream, 4))
    stream.close()
    return batches


def assert_same(found: list[Batch], expected: list[Batch]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.ids == other.ids and not one.bad
        assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in other.inputs)


def times(number: int, what: str) -> Trouble:
    """Trouble for the first requests."""
    requests = count()
    return lambda path: what if next(requests) < number else None


@pytest.mark.parametrize(
    ("what", "workers"), [("503", 0), ("429", 0), ("403", 0), ("reset", 0), ("drip", 0), ("403", 1), ("reset", 2)]
)
def test_a_server_that_recovers_changes_nothing(
    served: Callable[[Trouble], tuple[Server, DataSource]], shards: Path, what: str, workers: int
) -> None:
    server, source = served(times(8, what))
    local, remote = (open_data(where, CONFIG, "train") for where in (DataSource(str(shards)), source))
    assert_same(some(remote, workers), some(local))
    assert server.most_at_once > 1


def test_an_evaluation_waits_too(served: Callable[[Trouble], tuple[Server, DataSource]], shards: Path) -> None:
    _, source = served(times(9, "403"))
    local, remote = (open_data(where, CONFIG, "eval") for where in (DataSource(str(shards)), source))
    assert_same(list(eval_batches(remote, CONFIG)), list(eval_batches(local, CONFIG)))


@pytest.mark.parametrize("workers", [0, 1])
def test_storage_that_stays_away_ends_the_trial_with_its_own_error(
    served: Callable[[Trouble], tuple[Server, DataSource]], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("PERCEIVER_STORAGE_PATIENCE", "0.5")
    _, source = served(lambda path: "403")
    with pytest.raises(StorageError, match=r"train-000000\.tar.* waited for") as caught:
        some(open_data(source, CONFIG, "train"), workers)
    assert caught.value.status == 403


def test_whoever_stops_need_not_wait_to_the_end(served: Callable[[Trouble], tuple[Server, DataSource]]) -> None:
    _, source = served(lambda path: "403")
    stream = train_batches(open_data(source, CONFIG, "train"), CONFIG)
    stopping = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    stopping.start()
    with pytest.raises(KeyboardInterrupt):
        next(stream)


def test_a_folder_that_goes_away_for_a_second_is_waited_for(shards: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, away = open_data(DataSource(str(shards)), CONFIG, "train"), shards.with_name("away")
    expected = some(data)
    shards.rename(away)
    back = threading.Thread(target=lambda: (time.sleep(1), away.rename(shards)))
    back.start()
    assert_same(some(data), expected)
    back.join()
    assert [record.message for record in caplog.records if "waiting for up to 600 s" in record.message]


def test_a_file_that_is_cut_off_stays_bad(served: Callable[[Trouble], tuple[Server, DataSource]], shards: Path) -> None:
    _, source = served(lambda path: None)
    data, shard = open_data(source, CONFIG, "eval"), shards / "eval-000000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) - 40_000])
    try:
        bad = [clip for batch in eval_batches(data, small_config(data__max_bad_fraction=1.0)) for clip in batch.bad]
    finally:
        shard.write_bytes(whole)
    assert {clip.reason for clip in bad} == {"truncated"} and bad[-1].id == data.clips[8].id


def test_what_storage_withheld_from_an_earlier_version_is_not_bad(tmp_path: Path) -> None:
    config = RunConfig(model=tiny())
    state = TrainState.start(config, torch.device("cpu"))
    clips = [BadClip(str(n), "a.mp4", reason, "") for n, reason in enumerate(("storage", "forbidden", "damaged"))]
    state.bad = {clip.row: clip for clip in clips}
    state.save(tmp_path)
    loaded = TrainState.load(tmp_path, config, torch.device("cpu"))
    assert [clip.reason for clip in loaded.bad.values()] == ["damaged"]


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that gives no bytes: Linux has one")
@pytest.mark.parametrize("name", ["a.mp4", "a.tar#0+1024"])
def test_a_file_whose_disk_fails_is_not_bad(tmp_path: Path, name: str) -> None:
    (tmp_path / name.split("#")[0]).symlink_to("/proc/self/mem")  # reading its first bytes is an input/output error
    with pytest.raises(StorageError, match="Input/output error") as caught:
        open_clip(str(tmp_path / name), 10.0)
    assert caught.value.status == errno.EIO


def test_a_file_that_alone_is_gone_is_bad(synthetic_source: DataSource) -> None:
    clip = open_data(synthetic_source, CONFIG, "train").clips[0]
    with pytest.raises(ClipError, match="is not there"):
        open_clip(clip.path.replace(clip.id, "nobody"), 10.0)
    with pytest.raises(StorageError, match="nor is anything else in its folder"):
        open_clip(clip.path.replace(clip.id, "nobody/nothing"), 10.0)
