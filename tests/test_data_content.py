"""A digest covers what is in the files: the same from every storage, another one once a file holds something else."""

import os
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_maker import grey, make_media, small_config
from range_server import serving

from perceiver.data.audioset import DataSource
from perceiver.data.content import content_of, pieces
from perceiver.data.dataset import open_splits
from perceiver.data.digest import describe
from perceiver.data.files import File
from perceiver.errors import DataError

LABELS = "index,mid,display_name\n" + "".join(f"{n},/m/{n},C{n}\n" for n in range(9))
CONFIG = small_config(model__inputs__video=None)


@pytest.fixture
def wavs(tmp_path: Path) -> Path:
    """Four clips of a second of sound, all of one size; one is too large to be read whole."""
    folder = tmp_path / "set"
    (folder / "clips").mkdir(parents=True)
    (folder / "class_labels_indices.csv").write_text(LABELS)
    for split, ids in (("train", "ab"), ("eval", "cd")):
        rows = "".join(f'{name}, 0.000, 1.000, "/m/{number}"\n' for number, name in enumerate(ids))
        (folder / f"{split}_segments.csv").write_text(f"# 1\n# 2\n# 3\n{rows}")
    random = np.random.default_rng(0)
    for name in "abcd":
        rate = 384_000 if name == "d" else 16_000
        samples = random.uniform(-0.5, 0.5, rate).astype(np.float32)
        make_media(folder / "clips" / f"{name}.wav", samples=samples, rate=rate, sound_codec="pcm_s16le")
    return folder


def spoil(path: Path, at: int) -> None:
    """Puts another byte into a file, without a change of size or of the time that people see."""
    times, data = path.stat(), bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(("name", "at"), [("a", 0), ("a", -1), ("b", 16_000), ("d", 100), ("d", -1), ("d", 256_000)])
def test_other_bytes_of_the_same_size_are_another_set(wavs: Path, name: str, at: int) -> None:
    before = describe(DataSource(str(wavs)))
    assert describe(DataSource(str(wavs))) == before
    spoil(wavs / "clips" / f"{name}.wav", at)
    after = describe(DataSource(str(wavs)))
    assert after.digest != before.digest and after.listing == before.listing
    spoil(wavs / "clips" / f"{name}.wav", at)
    assert describe(DataSource(str(wavs))) == before, "what is put back is the same set"


def test_files_that_were_swapped_are_another_set(wavs: Path) -> None:
    clips, before = wavs / "clips", describe(DataSource(str(wavs))).digest
    (clips / "a.wav").rename(clips / "x")
    (clips / "b.wav").rename(clips / "a.wav")
    (clips / "x").rename(clips / "b.wav")
    assert describe(DataSource(str(wavs))).digest != before


def test_where_files_lie_and_when_they_were_written_is_of_no_account(wavs: Path, tmp_path: Path) -> None:
    before = describe(DataSource(str(wavs)))
    shutil.copytree(wavs, tmp_path / "copy")
    (tmp_path / "copy" / "clips").rename(tmp_path / "copy" / "deep")
    for path in (tmp_path / "copy" / "deep").iterdir():
        os.utime(path, (1, 1))
    assert describe(DataSource(str(tmp_path / "copy"))) == before


def test_the_digest_is_the_same_from_disk_over_http_and_on_s3(wavs: Path, s3_bucket: str) -> None:
    local = describe(DataSource(str(wavs)))
    filesystem = fsspec.filesystem("s3")
    for path in wavs.rglob("*.*"):
        filesystem.pipe_file(f"{s3_bucket}/set/{path.relative_to(wavs)}", path.read_bytes())
    assert describe(DataSource(f"{s3_bucket}/set")) == local
    for parts in (True, False):
        with serving(wavs, parts) as url:
            found = describe(DataSource(url))
            assert found.digest == local.digest, f"a server that gives parts: {parts}"
            assert describe(DataSource(url)) == found
    spoil(wavs / "clips" / "d.wav", 0)
    filesystem.pipe_file(f"{s3_bucket}/set/clips/d.wav", (wavs / "clips" / "d.wav").read_bytes())
    changed = describe(DataSource(str(wavs))).digest
    assert changed != local.digest and changed == describe(DataSource(f"{s3_bucket}/set")).digest


def test_a_clip_in_two_files_is_looked_into_in_both(wavs: Path) -> None:
    make_media(wavs / "clips" / "a.mp4", [(n / 5, grey(40 * n, 32, 32)) for n in range(5)])
    before = describe(DataSource(str(wavs)))
    assert any("pictures and sound" in line for line in before.told)
    spoil(wavs / "clips" / "a.wav", 1_000)
    after = describe(DataSource(str(wavs)))
    spoil(wavs / "clips" / "a.mp4", -1)
    assert len({before.digest, after.digest, describe(DataSource(str(wavs))).digest}) == 3


def test_a_first_look_says_how_far_it_is(wavs: Path) -> None:
    told: list[tuple[int, int]] = []
    describe(DataSource(str(wavs)), lambda *counts: told.append(counts))
    assert told[-1][0] == 4 and [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_named_pipe_is_not_waited_for(wavs: Path) -> None:
    (wavs / "clips" / "a.wav").unlink()
    os.mkfifo(wavs / "clips" / "a.wav")
    assert describe(DataSource(str(wavs))).train_clips == 2


def test_workers_are_given_the_digest_and_compare_names_and_sizes(wavs: Path) -> None:
    source = DataSource(str(wavs))
    seen = describe(source)
    planned = replace(source, planned=seen.planned)
    before = [data.fingerprint() for data in open_splits(planned, CONFIG)]
    assert all(f"of set {seen.digest[:16]}" in told for told in before)
    assert [data.fingerprint() for data in open_splits(DataSource(**vars(planned)), CONFIG)] == before
    spoil(wavs / "clips" / "c.wav", 500)
    open_splits(planned, CONFIG)  # the driver's next plan sees it
    again = replace(source, planned=describe(source).planned)
    assert [data.fingerprint() for data in open_splits(again, CONFIG)] != before
    with (wavs / "clips" / "c.wav").open("ab") as file:
        file.write(b"more")
    with pytest.raises(DataError, match=r"its eval split had 2 rows \(\w+\), files of 800,\d+ bytes .* and has 2 rows"):
        open_splits(planned, CONFIG)


def test_a_worker_with_another_copy_says_what_differs(wavs: Path) -> None:
    planned = DataSource(str(wavs), planned=describe(DataSource(str(wavs))).planned)
    (wavs / "clips" / "a.wav").unlink()
    with pytest.raises(
        DataError, match=r"not the data set that was planned with: its train split had 2 rows .* 1 rows"
    ):
        open_splits(planned, CONFIG)


@given(st.integers(0, 2**40))
def test_pieces_lie_within_the_file_and_hold_its_head_and_tail(size: int) -> None:
    found = pieces(size)
    assert found[0][0] == 0 and found[-1][1] == size
    assert all(0 <= start <= end <= size for start, end in found)
    assert all(end <= start for (_, end), (start, _) in pairwise(found))
    assert sum(end - start for start, end in found) <= 512 * 1024


@given(st.integers(0, 3))
def test_the_size_counts_where_the_bytes_are_alike(extra: int) -> None:
    assert (content_of(File("/dev/null", 10)) == content_of(File("/dev/null", 10 + extra))) == (extra == 0)
