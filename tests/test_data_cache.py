"""What is known of files is kept between processes, forgotten when a file changes, and never needed."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from perceiver.data.cache import FileIndex, cache_folder
from perceiver.data.files import File, list_files

A, B = File("/set/a.mp4", 10, "1 1"), File("/set/b.mp4", 20, "2 2")


def test_values_are_known_until_the_file_changes(tmp_path: Path) -> None:
    FileIndex(tmp_path).remember("content", {A: "aa", B: "bb"})
    FileIndex(tmp_path).remember("length", {A: "9.5"})
    index = FileIndex(tmp_path)
    assert index.known("content", [A, B]) == {A.path: "aa", B.path: "bb"}
    assert index.known("length", [A, B]) == {A.path: "9.5"}
    assert index.known("content", [File(A.path, 11, A.stamp), File(B.path, 20, "2 3")]) == {}
    index.remember("content", {File(A.path, 11, A.stamp): "cc"})
    assert index.known("content", [A, File(A.path, 11, A.stamp)]) == {A.path: "cc"}


def test_a_file_that_nothing_is_told_of_is_not_remembered(tmp_path: Path) -> None:
    unknown = File("http://host/a.mp4", 10)
    FileIndex(tmp_path).remember("content", {unknown: "aa"})
    assert FileIndex(tmp_path).known("content", [unknown]) == {}


def test_many_files_and_names_that_are_no_text(tmp_path: Path) -> None:
    files = {File(f"/set/{number}.mp4", number, "1"): str(number) for number in range(2_500)}
    files[File(os.fsdecode(b"/set/caf\xe9.wav"), 1, "1")] = "odd"
    FileIndex(tmp_path).remember("content", files)
    assert FileIndex(tmp_path).known("content", files) == {file.path: value for file, value in files.items()}


def test_a_file_is_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FileIndex(tmp_path).remember("content", {File("set/a.mp4", 1, "1"): "aa"})
    assert list(FileIndex(tmp_path).known("content", [File(f"{tmp_path}/set/a.mp4", 1, "1")]).values()) == ["aa"]


@pytest.mark.parametrize("damage", [b"no database at all, but long enough to be taken for one" * 40, None])
def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    FileIndex(tmp_path).remember("content", {File(f"/set/{n}.mp4", n, "1"): "x" * 200 for n in range(2_000)})
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    path.write_bytes(damage if damage is not None else data[:4096] + bytes(len(data) - 4096))
    FileIndex(tmp_path).remember("content", {A: "aa"})
    assert FileIndex(tmp_path).known("content", [A, B]) == {A.path: "aa"}


def test_processes_share_an_index(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from perceiver.data.cache import FileIndex; "
        "from perceiver.data.files import File\n"
        "for n in range(30): "
        "FileIndex(Path(sys.argv[1])).remember('content', {File(f'/{sys.argv[2]}/{n}', n, '1'): sys.argv[2]})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    files = [File(f"/{name}/{n}", n, "1") for name in "abc" for n in range(30)]
    assert len(FileIndex(tmp_path).known("content", files)) == 90


def test_the_folder_is_private_and_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here" / "perceiver-sweeps"
    assert (tmp_path / "here" / "perceiver-sweeps").stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "perceiver-sweeps"


def test_without_a_home_that_can_be_written_there_is_another_place_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("no folder")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    folder = cache_folder()
    assert folder is not None and folder.parent == tmp_path / "temporary"
    folder.chmod(0o777)  # anybody may have put something there
    assert cache_folder() is None
    FileIndex().remember("content", {A: "aa"})
    assert FileIndex().known("content", [A]) == {}


def test_a_listing_tells_a_file_that_was_replaced_from_what_it_was(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"1234")
    before = {file.name: file.stamp for file in list_files(str(tmp_path))}
    times = (tmp_path / "a.wav").stat()
    os.rename(tmp_path / "a.wav", tmp_path / "c.wav")  # swapped, and their times kept
    os.rename(tmp_path / "b.wav", tmp_path / "a.wav")
    shutil.move(tmp_path / "c.wav", tmp_path / "b.wav")
    os.utime(tmp_path / "b.wav", ns=(times.st_atime_ns, times.st_mtime_ns))
    after = {file.name: file.stamp for file in list_files(str(tmp_path))}
    assert all(before.values()) and before["a.wav"] != after["a.wav"] and before["b.wav"] != after["b.wav"]


def test_a_listing_of_object_storage_has_stamps(s3_bucket: str) -> None:
    import fsspec

    filesystem = fsspec.filesystem("s3")
    filesystem.pipe_file(f"{s3_bucket}/set/a.wav", b"1234")
    (before,) = list_files(f"{s3_bucket}/set")
    (same,) = list_files(f"{s3_bucket}/set")
    filesystem.pipe_file(f"{s3_bucket}/set/a.wav", b"4321")
    (after,) = list_files(f"{s3_bucket}/set")
    assert before == same and before.stamp and after.stamp != before.stamp and after.size == before.size


def test_an_index_that_another_process_keeps_locked_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileIndex(tmp_path).remember("content", {A: "aa"})
    monkeypatch.setattr("perceiver.data.cache._PATIENCE", 0.1)
    with closing(sqlite3.connect(next(tmp_path.iterdir()))) as other:
        other.execute("BEGIN EXCLUSIVE")
        index = FileIndex(tmp_path)
        index.remember("content", {B: "bb"})
        assert index.known("content", [A, B]) == {}
    assert FileIndex(tmp_path).known("content", [A, B]) == {A.path: "aa"}
