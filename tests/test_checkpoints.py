"""Checkpoints on storage: complete or not there, whatever died on the way."""

import hashlib
import json
from pathlib import Path

import fsspec
import pytest

from orchestrator.errors import Refused
from orchestrator.track import checkpoints, storage
from orchestrator.track.writable import require_writable


def make_checkpoint(folder: Path, content: str = "weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name in ("model.safetensors", "state.pt", "progress.json"):
        (folder / name).write_text(f"{content} {name}")
        data = (folder / name).read_bytes()
        files[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "MANIFEST.json").write_text(json.dumps({"format": 1, "files": files}))
    return folder


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return f"{request.getfixturevalue('s3_bucket')}/trial/checkpoints"
    return f"{tmp_path}/checkpoints" if request.param == "file" else f"memory://{tmp_path.name}/checkpoints"


def test_what_was_uploaded_comes_back(url: str, tmp_path: Path) -> None:
    checkpoints.upload(make_checkpoint(tmp_path / "a"), f"{url}/000000000064")
    (newest,) = checkpoints.complete(url)
    folder = checkpoints.download(newest, tmp_path / "b")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()
    }


def test_the_newest_comes_first_and_a_died_upload_counts_for_nothing(url: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "a")
    for clips in (64, 128, 1024):
        checkpoints.upload(folder, f"{url}/{clips:012d}")
    fs, path = fsspec.core.url_to_fs(url)
    fs.rm(f"{path}/000000001024/MANIFEST.json")
    assert [found[-12:] for found in checkpoints.complete(url)] == ["000000000128", "000000000064"]


def test_a_shorter_file_than_the_manifest_says_counts_for_nothing(url: str, tmp_path: Path) -> None:
    checkpoints.upload(make_checkpoint(tmp_path / "a"), f"{url}/000000000064")
    fs, path = fsspec.core.url_to_fs(url)
    with fs.open(f"{path}/000000000064/state.pt", "wb") as file:
        file.write(b"w")
    fs.invalidate_cache()
    assert list(checkpoints.complete(url)) == []


def test_an_upload_over_a_died_one_leaves_no_file_of_it(url: str, tmp_path: Path) -> None:
    storage.write_text(f"{url}/000000000064/left_over.bin", "half a file")
    checkpoints.upload(make_checkpoint(tmp_path / "a"), f"{url}/000000000064")
    fs, path = fsspec.core.url_to_fs(url)
    assert not fs.exists(f"{path}/000000000064/left_over.bin")


def test_pruning_keeps_the_newest_complete_ones(url: str, tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "a")
    for clips in (1, 2, 3, 4):
        checkpoints.upload(folder, f"{url}/{clips:012d}")
    storage.write_text(f"{url}/000000000005/state.pt", "an upload under way")
    checkpoints.prune(url, keep=2)
    assert [found[-1] for found in checkpoints.complete(url)] == ["4", "3"]
    assert storage.exists(f"{url}/000000000005/state.pt")


def test_pruning_below_the_kept_number_removes_nothing(url: str, tmp_path: Path) -> None:
    checkpoints.upload(make_checkpoint(tmp_path / "a"), f"{url}/000000000001")
    checkpoints.prune(url, keep=2)
    assert len(list(checkpoints.complete(url))) == 1


def test_nothing_there_is_no_checkpoint(url: str) -> None:
    assert list(checkpoints.complete(url)) == []


def test_storage_that_cant_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(Refused, match="can't be written"):
        require_writable(f"{tmp_path}/file/below")
    with pytest.raises(Refused, match="can't be opened"):
        require_writable("nosuch://bucket")
