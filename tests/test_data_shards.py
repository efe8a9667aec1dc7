"""A stored clip gives what its source gives, but for the coding: same times, gaps and end; the index keeps rows."""

import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_maker import flashes_and_clicks, grey, make_media, whole

from perceiver.config import RunConfig, with_changes
from perceiver.data.audioset import DataSource, Segment, Split
from perceiver.data.clips import Excerpt, Wants, read_clip, read_clips
from perceiver.data.dataset import Clip
from perceiver.data.encode import encode
from perceiver.data.files import FileRange
from perceiver.data.packing import ShardTask, write_shard
from perceiver.data.shards import Form, IndexRows, open_layout, read_shards, write_index
from perceiver.errors import ClipError, DataError

RATE = 48_000


def stored(clip: Clip, folder: Path | str, split: Split = "train", form: Form | None = None) -> Clip:
    """The clip as it lies in a shard of its own."""
    row = Segment(clip.id, clip.start, clip.end, (0,), clip.path, 1, clip.trimmed)
    record = write_shard(ShardTask(str(folder), split, 0, 0, form or Form(), [row], ["/m/a"]))
    assert not record.failure and not record.left_out, record
    (packed,) = record.clips
    place = FileRange(f"{folder}/{split}-000000.tar", packed.offset, packed.length)
    return clip._replace(path=str(place), trimmed=True)


def psnr(one: np.ndarray | None, other: np.ndarray | None) -> float:
    assert one is not None and other is not None
    return float(10 * np.log10(255**2 / max(np.mean((one.astype(float) - other) ** 2), 1e-9)))


def assert_alike(source: Excerpt, shard: Excerpt, loss: float = 36.0) -> None:
    assert (source.video is None, source.audio is None) == (shard.video is None, shard.audio is None)
    assert source.padded == shard.padded and source.aspect == pytest.approx(shard.aspect, rel=1e-3)
    if source.video is not None:
        assert psnr(source.video, shard.video) > loss
    if source.audio is not None and shard.audio is not None:
        assert np.abs(source.audio - shard.audio).max() <= 1 / 32768


def scene(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """A bright square that moves over a ramp."""
    picture = np.broadcast_to(np.linspace(20, 120, width)[None, :, None], (height, width, 3)).astype(np.uint8).copy()
    left = 4 * number % (width - 40)
    picture[20:70, left : left + 40] = (230, 200, 40)
    return picture


@pytest.mark.parametrize(
    ("fps", "rate", "pictures_end", "sound_begins"),
    [(25.0, 48_000, 6.0, 0.0), (30.0, 44_100, 6.0, 0.0), (12.5, 22_050, 3.0, 0.0), (24.0, 48_000, 6.0, 1.5)],
)
def test_a_stored_clip_gives_what_its_source_gives(tmp_path: Path, fps, rate, pictures_end, sound_begins) -> None:
    pictures = [(n / fps, scene(n)) for n in range(int(pictures_end * fps))]
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, int((6 - sound_begins) * rate)).astype(np.float32)
    sound = {"rate": rate, "sound_codec": "pcm_s16le", "sound_start": sound_begins}
    clip = whole(make_media(tmp_path / "a.mov", pictures, samples, gop=50, **sound), 6.0)
    config = RunConfig()
    wants: dict[Split, Wants] = {"train": Wants.training(config), "eval": Wants.evaluation(config)}
    for split, want in wants.items():
        copy = stored(clip, tmp_path / split, split)
        for moment in (0.0, 0.3, 0.77, 0.999):
            source, shard = read_clip(clip, want, moment), read_clip(copy, want, moment)
            assert_alike(source if split == "train" else Excerpt(source.video, source.audio, 1.0, source.padded), shard)
    copies = read_clips(stored(clip, tmp_path / "s", "eval"), wants["eval"], 5)
    for source, shard in zip(read_clips(clip, wants["eval"], 5), copies, strict=True):
        assert_alike(Excerpt(source.video, source.audio, shard.aspect, source.padded), shard)


def test_flash_and_click_stay_together_in_a_shard(tmp_path: Path) -> None:
    times = [0.5, 1.7, 2.9, 4.13]
    pictures, samples = flashes_and_clicks(times, 5.0, 30_000 / 1001, 44_100)
    clip = stored(whole(make_media(tmp_path / "a.mp4", pictures, samples, rate=44_100, gop=50), 5.0), tmp_path)
    found = []
    for moment in np.linspace(0, 0.999, 9):
        excerpt = read_clip(clip, Wants.evaluation(RunConfig()), moment)
        bright = excerpt.video.mean(axis=(1, 2, 3)) > 120
        flashes = (np.flatnonzero(bright[1:] & ~bright[:-1]) + 1) / 25
        loud = np.flatnonzero(np.abs(excerpt.audio) > 0.2) / RATE
        clicks = loud[np.diff(loud, prepend=-1.0) > 0.3]
        found += [click - flash for flash in flashes for click in clicks if abs(click - flash) < 0.3]
    assert len(found) >= 6 and max(map(abs, found)) < 0.0205


def test_a_clip_is_stored_alike_whatever_was_stored_before(shared_data: Path) -> None:
    """x264's lookahead once made the bytes depend on what the memory held."""
    paths = sorted((shared_data / "stamps" / "clips").glob("*.mp4"))[:4]
    clips = [Clip(path.stem, str(path), 0.0, 10.0, True, (0,)) for path in paths]

    def stored(split: Split) -> list[bytes]:
        return [encode(clip, split, Form(), ["/m/x"])["h264"] for clip in clips]

    first = stored("eval")
    stored("train")
    clips.reverse()
    assert stored("eval") == first[::-1]


@pytest.mark.parametrize("absent", ["pictures", "sound"])
def test_a_missing_modality_stays_missing(tmp_path: Path, absent: str) -> None:
    pictures = [(n / 25, scene(n)) for n in range(75)] if absent == "sound" else []
    samples = np.full(3 * RATE, 0.25, np.float32) if absent == "pictures" else None
    clip = whole(make_media(tmp_path / "a.mov", pictures, samples, sound_codec="pcm_s16le"), 3.0)
    copy = stored(clip, tmp_path)
    assert_alike(read_clip(clip, Wants.training(RunConfig()), 0.4), read_clip(copy, Wants.training(RunConfig()), 0.4))
    with tarfile.open(tmp_path / "train-000000.tar") as tar:
        suffixes = [name.partition(".")[2] for name in tar.getnames()]
    assert suffixes == (["json", "h264"] if absent == "sound" else ["json", "wav"])


def test_a_short_file_is_padded_from_a_shard_too(tmp_path: Path) -> None:
    clip = whole(make_media(tmp_path / "a.mp4", [(n / 25, scene(n)) for n in range(20)], np.zeros(RATE // 2)), 10.0)
    wants = Wants.training(RunConfig())
    source, shard = read_clip(clip, wants, 0.5), read_clip(stored(clip, tmp_path), wants, 0.5)
    assert source.padded
    assert_alike(source, shard)


def test_only_the_segment_of_a_whole_video_is_stored(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mp4", [(n / 25, grey(16 + n)) for n in range(200)])
    clip = Clip("a", str(path), 4.0, 7.0, False, ())
    copy = stored(clip, tmp_path)
    wants = Wants.training(RunConfig())
    for moment in (0.0, 0.999):
        assert_alike(read_clip(clip, wants, moment), read_clip(copy, wants, moment))


def test_other_rates_and_sizes_are_made_from_what_is_stored(tmp_path: Path) -> None:
    samples = np.sin(np.arange(4 * RATE) / RATE * 2 * np.pi * 500).astype(np.float32) / 2
    pictures = [(n / 25, scene(n)) for n in range(100)]
    clip = whole(make_media(tmp_path / "a.mov", pictures, samples, sound_codec="pcm_s16le"), 4.0)
    copy = stored(clip, tmp_path)
    changes = {"model.inputs.video.size": 64, "model.inputs.video.fps": 12.5, "model.inputs.video.frames": 16}
    changes |= {"model.inputs.audio.sample_rate": 16_000, "model.inputs.audio.samples": 20_480}
    wants = Wants.training(with_changes(RunConfig(), changes))
    source, shard = read_clip(clip, wants, 0.5), read_clip(copy, wants, 0.5)
    assert shard.video is not None and shard.video.shape == (16, 74, 74, 3)
    assert psnr(source.video, shard.video) > 30
    assert source.audio is not None and shard.audio is not None
    assert np.abs(source.audio - shard.audio)[200:-200].max() < 0.01


def test_a_remote_shard_is_read_by_one_request_a_clip(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    clip = whole(make_media(tmp_path / "a.mp4", [(n / 25, scene(n)) for n in range(75)], np.zeros(3 * RATE)), 3.0)
    local = stored(clip, tmp_path)
    where = FileRange.parse(local.path)
    assert where is not None
    memory.pipe_file("/shards/train-000000.tar", b"x" * 512 + (tmp_path / "train-000000.tar").read_bytes())
    remote = local._replace(path=str(FileRange("memory://shards/train-000000.tar", where.start + 512, where.length)))
    wants = Wants.training(RunConfig())
    assert np.array_equal(read_clip(local, wants, 0.5).video, read_clip(remote, wants, 0.5).video)


def test_damage_and_absence_are_told_with_their_reason(tmp_path: Path) -> None:
    pictures = [(n / 25, scene(n)) for n in range(75)]
    good = stored(whole(make_media(tmp_path / "a.mp4", pictures, np.zeros(3 * RATE)), 3.0), tmp_path)
    shard, wants = tmp_path / "train-000000.tar", Wants.training(RunConfig())
    where = FileRange.parse(good.path)
    assert where is not None
    data = shard.read_bytes()

    def reason(clip: Clip) -> str:
        with pytest.raises(ClipError) as caught:
            read_clip(clip, wants, 0.5)
        return caught.value.reason

    assert reason(good._replace(path=str(FileRange(where.path, 100, where.length)))) == "damaged"
    shard.write_bytes(data[:9_000])
    assert reason(good) == "truncated"
    noise = bytearray(data)
    noise[4_096:20_000] = np.random.default_rng(0).bytes(20_000 - 4_096)
    shard.write_bytes(noise)
    assert reason(good) in ("damaged", "truncated")
    shard.unlink()
    assert reason(good) == "missing"


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
rows = st.lists(
    st.tuples(
        names,
        st.floats(0, 1e6, allow_nan=False),
        st.floats(0, 1e6, allow_nan=False),
        st.lists(st.integers(0, 526), min_size=1, max_size=4).map(tuple),
        st.tuples(st.integers(0, 2), st.integers(0, 2**40), st.integers(1, 2**31)),
    ),
    max_size=20,
)


@given(train=rows, evaluation=rows)
def test_an_index_keeps_every_row_and_is_the_same_for_the_same_rows(train, evaluation) -> None:
    splits: dict[Split, IndexRows] = {}
    given_rows: dict[Split, list] = {"train": train, "eval": evaluation}
    for split, content in given_rows.items():
        splits[split] = IndexRows()
        for row in content:
            splits[split].append(*row)
    index = write_index(splits)
    assert index == write_index(splits)
    shards = [f"s3://b/{number}.tar" for number in range(3)]
    for split, content in given_rows.items():
        read = IndexRows.load(index, split, shards)
        found = [
            (*row, read.labels_of(number), FileRange.parse(read.places[number]))
            for number, row in enumerate(zip(read.ids, read.starts, read.ends, strict=True))
        ]
        assert found == [(*row[:4], FileRange(shards[row[4][0]], *row[4][1:])) for row in content]


def test_what_is_no_ingested_set_is_told_apart_from_a_damaged_one(tmp_path: Path) -> None:
    assert read_shards(str(tmp_path)) is None
    (tmp_path / "shards.json").write_text('{"format": "another"}')
    assert read_shards(str(tmp_path)) is None
    (tmp_path / "shards.json").write_bytes(b'{"format": "perceiver shards"')
    with pytest.raises(DataError, match=r"shards\.json is damaged"):
        read_shards(str(tmp_path))
    (tmp_path / "shards.json").write_text('{"format": "perceiver shards", "version": 99}')
    with pytest.raises(DataError, match="version 99"):
        read_shards(str(tmp_path))
    (tmp_path / "shards.json").write_text('{"format": "perceiver shards", "version": 1, "form": {}}')
    with pytest.raises(DataError, match="not ingested to its end"):
        open_layout(DataSource(str(tmp_path)))
