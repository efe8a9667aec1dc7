"""Wherever a set lies and whatever its folders and files are called, it has the same clips; each is there once."""

import os
import stat
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import boto3
import numpy as np
import pytest
from media_maker import grey, make_media, small_config, whole
from test_data_audioset import LABELS, make_set

from perceiver.data.audioset import DataSource, Layout, Problem, Segment
from perceiver.data.check import check
from perceiver.data.clips import Wants, read_clip
from perceiver.data.files import list_files, name_of, read_bytes
from perceiver.data.ingest import ingest
from perceiver.data.shards import Form, open_layout
from perceiver.errors import StorageError

FOLDER = "run#3 50%41 é, what? it's [日本] a::b"
NAMES = ["a#1", "b%41", "c?", "d e", "日本", "-f", "g::h", "i+sound j", "k&amp;l", "ümlaut"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server of the test's folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}"
    web.shutdown()
    web.server_close()
    thread.join()


def make_odd_set(folder: Path) -> DataSource:
    (folder / "clips").mkdir(parents=True)
    (folder / "class_labels_indices.csv").write_text(LABELS)
    for split, names in (("train", NAMES), ("eval", ["e"])):
        lines = [f'"{name}", 0.0, 0.5, "/m/a,/m/c"\n' for name in names]
        (folder / f"{split}_segments.csv").write_text("".join(lines))
        for number, name in enumerate(names):
            picture = grey(20 * number, 32, 32)
            make_media(folder / "clips" / f"{name}.mp4", [(at / 10, picture) for at in range(5)])
    return DataSource(str(folder))


def clips_of(source: DataSource) -> list[tuple[str, float, float, tuple[int, ...], str]]:
    found = [row for row in Layout(source).segments("train") if isinstance(row, Segment)]
    return [(*row[:4], name_of(row.path)) for row in found]


def upload(folder: Path, bucket: str, prefix: str) -> str:
    client = boto3.client("s3")
    for path in folder.rglob("*"):
        if path.is_file():
            client.put_object(
                Bucket=bucket.removeprefix("s3://"), Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes()
            )
    return f"{bucket}/{prefix}"


def test_a_set_is_the_same_on_disk_on_the_web_on_s3_and_in_shards(tmp_path: Path, server: str, s3_bucket: str) -> None:
    source = make_odd_set(tmp_path / FOLDER)
    clips = clips_of(source)
    assert [clip[0] for clip in clips] == NAMES and [clip[4] for clip in clips] == [f"{name}.mp4" for name in NAMES]
    web, s3 = f"{server}/{quote(FOLDER)}", upload(tmp_path / FOLDER, s3_bucket, FOLDER)
    as_file = f"file://{quote(str(tmp_path / FOLDER))}"
    for url in (web, web.replace("%23", "#"), s3, as_file):
        assert clips_of(DataSource(url)) == clips
        path = Layout(DataSource(url)).clips.find("a#1", 0, 1).path
        assert read_bytes(path) == (tmp_path / FOLDER / "clips" / "a#1.mp4").read_bytes()
    wants, path = Wants.evaluation(small_config()), Layout(DataSource(s3)).clips.find("c?", 0, 1).path
    local = read_clip(whole(tmp_path / FOLDER / "clips" / "c?.mp4", 0.5), wants, 0.0).video
    assert np.array_equal(read_clip(whole(path, 0.5), wants, 0.0).video, local)
    for dest in (str(tmp_path / "copy #1?%41"), f"{s3_bucket}/copy #1%41"):
        ingest(source, dest, Form(pixels=32))
        rows = [row for row in open_layout(DataSource(dest)).segments("train") if isinstance(row, Segment)]
        assert [row[:4] for row in rows] == [clip[:4] for clip in clips]
        video = read_clip(whole(rows[1].path, 0.5), wants, 0.0).video
        assert video is not None and abs(video.mean() - 20) < 3


def test_links_in_circles_and_to_folders_and_files_twice_are_read_once(tmp_path: Path) -> None:
    source = make_set(tmp_path / "set", 'a, 0, 10, "/m/a"\nb, 0, 10, "/m/b"\n', ["z/a.mp4"])
    folder, outside = tmp_path / "set", tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "b.mp4").write_bytes(b"b")
    (folder / "circle").symlink_to(folder)
    (folder / "z" / "up").symlink_to("..")
    (folder / "again").symlink_to("z")
    (folder / "1st").symlink_to(outside)
    (folder / "2nd").symlink_to(outside / "deep")
    (folder / "a.mp4").symlink_to("z/a.mp4")
    (folder / "itself").symlink_to("itself")
    (folder / "nowhere.mp4").symlink_to("nothing")
    (folder / "name.mp4").symlink_to("z/a.mp4")
    listed = [file.inner for file in list_files(str(folder))]
    assert [name for name in listed if name.endswith(".mp4")] == [
        "1st/deep/b.mp4", "clips/e.mp4", "name.mp4", "z/a.mp4",
    ]  # fmt: skip
    assert len(listed) == 7
    assert [name for *_, name in clips_of(source)] == ["a.mp4", "b.mp4"]
    assert not [row for row in Layout(source).segments("train") if isinstance(row, Problem)]


def test_a_check_looks_into_a_file_once_whatever_links_to_it_are_called(tmp_path: Path) -> None:
    make_media(tmp_path / "z.mp4", [(at / 10, grey(100, 32, 32)) for at in range(5)])
    (tmp_path / "a.mp4").symlink_to("z.mp4")
    (tmp_path / "again").symlink_to(tmp_path)
    assert [file.path for file in check(DataSource(str(tmp_path))).files] == [str(tmp_path / "z.mp4")]


def test_a_circle_on_a_web_server_is_left(tmp_path: Path, server: str) -> None:
    source = make_set(tmp_path / "set", 'a, 0, 10, "/m/a"\n', ["clips/a.mp4", "x/y/z/b.mp4"])
    (tmp_path / "set" / "clips" / "circle").symlink_to(tmp_path / "set")
    assert len(list_files(f"{server}/set")) == len(list_files(source.url)) == 6
    assert clips_of(DataSource(f"{server}/set/")) == clips_of(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    make_set(tmp_path, "", [])
    (tmp_path / "lost+found").mkdir(mode=0)
    assert len(list_files(str(tmp_path))) == 4
    (tmp_path / "clips").chmod(0)
    try:
        with pytest.raises(StorageError, match="clips can't be listed"):
            list_files(str(tmp_path))
    finally:
        (tmp_path / "clips").chmod(0o755)


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o002, 0o664), (0o022, 0o644)])
def test_what_is_written_is_as_open_as_the_umask_says(tmp_path: Path, mask: int, mode: int) -> None:
    source = make_odd_set(tmp_path / "set")
    before = os.umask(mask)
    try:
        ingest(source, str(tmp_path / "copy"), Form(pixels=32))
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "copy").rglob("*") if path.is_file()]
    assert len(files) > 5 and {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == mode | (mode & 0o444) >> 2
