"""Every odd file gives a correct clip or a ClipError that says why."""

import os
import resource
import struct
import time
import zlib
from pathlib import Path

import fsspec
import numpy as np
import pytest
from media_maker import (
    cut,
    damage_packet,
    flashes_and_clicks,
    grey,
    make_media,
    small_config,
    whole,
)
from PIL import Image

from perceiver.data.clips import Excerpt, Wants, read_clip, read_clips
from perceiver.errors import ClipError, StorageError

RATE = 48_000
WANTS = Wants.evaluation(small_config())
PICTURES, SAMPLES = flashes_and_clicks([0.5, 1.7, 2.9, 4.1], 6.0, 25.0, RATE)


def reason(path: Path | str, moment: float = 0.0, wants: Wants = WANTS) -> str:
    with pytest.raises(ClipError) as caught:
        read_clip(whole(path), wants, moment)
    assert str(path) in str(caught.value)
    return caught.value.reason


def read(path: Path | str, moment: float = 0.0, wants: Wants = WANTS) -> Excerpt:
    return read_clip(whole(path), wants, moment)


def test_every_real_odd_file_gives_what_it_has(shared_data: Path) -> None:
    has = {
        "bigbuckbunny.mp4": (True, True),
        "carphone_pristine.mp4": (True, False),
        "tc_av1_video.mkv": (True, False),
        "tc_nasa_13013.mp4": (True, True),
        "tc_sine_mono_s32_8000.wav": (False, True),
        "tc_testsrc2_vp8.webm": (True, False),
    }
    files = sorted((shared_data / "media").iterdir())
    assert {file.name for file in files} >= set(has)
    for file in files:
        for moment in (0.0, 0.5, 0.999):
            excerpt = read(file, moment)
            assert (excerpt.video is not None, excerpt.audio is not None) == has[file.name], file.name
            assert excerpt.video is None or excerpt.video.std() > 5


def test_the_best_of_several_streams_is_taken(shared_data: Path) -> None:
    excerpt = read(shared_data / "media" / "tc_nasa_13013.mp4", 0.3)
    assert excerpt.aspect == pytest.approx(480 / 270)  # the 320 x 180 stream has the same proportions, so look closer
    from perceiver.data.media import Media

    with Media(str(shared_data / "media" / "tc_nasa_13013.mp4"), 10) as media:
        assert media.video.codec_context.width == 480
        assert media.audio.codec_context.sample_rate == 16_000


def test_a_tone_of_8_khz_keeps_its_pitch(shared_data: Path) -> None:
    samples = read(shared_data / "media" / "tc_sine_mono_s32_8000.wav", 0.5).audio
    assert samples is not None
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    peak = np.fft.rfftfreq(len(samples), 1 / RATE)[spectrum.argmax()]
    assert peak == pytest.approx(440, abs=2)


def test_files_that_are_no_media_say_so(tmp_path: Path) -> None:
    empty, text, folder, pipe = (tmp_path / f"{name}.mp4" for name in ("empty", "text", "folder", "pipe"))
    empty.touch()
    text.write_text("not a video\n" * 1000)
    folder.mkdir()
    os.mkfifo(pipe)
    assert reason(empty) == "empty"
    assert reason(text) == "not media"
    assert reason(folder) == "not media"
    assert reason(pipe) == "not media"
    assert reason(tmp_path / "absent.mp4") == "missing"


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    Image.fromarray(grey(90)).save(tmp_path / "a.mp4", format="PNG")
    assert reason(tmp_path / "a.mp4") == "not media"


@pytest.mark.parametrize("name", ["a b.mp4", "grün.mp4", "#1.mp4", "50%.mp4", "what?.mp4", "part:1.mp4", "-x.mp4"])
def test_any_name_is_read_also_from_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make_media(tmp_path / "plain.mp4", PICTURES[:33]).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert read(name).video is not None and read(tmp_path / name).video is not None


def test_sound_that_cannot_be_converted_is_damaged(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.wav", samples=SAMPLES, sound_codec="pcm_s16le")
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 1)
    path.write_bytes(bytes(data))
    assert reason(path) == "absurd header"  # one sample a second


def test_a_file_cut_off_before_its_index_is_truncated(tmp_path: Path) -> None:
    assert reason(cut(make_media(tmp_path / "a.mp4", PICTURES, SAMPLES), 0.6)) == "truncated"


@pytest.mark.parametrize(("suffix", "options"), [(".mp4", {"movflags": "faststart"}), (".mkv", {})])
def test_a_file_cut_off_in_the_middle_is_good_until_there(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    whole_file = make_media(tmp_path / f"whole{suffix}", PICTURES, SAMPLES, container_options=options)
    half = make_media(tmp_path / f"half{suffix}", PICTURES, SAMPLES, container_options=options)
    cut(half, 0.6)
    assert np.array_equal(read(half, 0.0).video, read(whole_file, 0.0).video)
    assert reason(half, 0.999) == "truncated"
    with pytest.raises(ClipError) as caught:
        read_clips(whole(half), WANTS, 16)
    assert caught.value.reason == "truncated"


def test_damage_spoils_the_clips_that_show_it_and_no_others(tmp_path: Path) -> None:
    good = make_media(tmp_path / "good.mp4", PICTURES, SAMPLES)
    for kind in ("video", "audio"):
        bad = damage_packet(make_media(tmp_path / f"{kind}.mp4", PICTURES, SAMPLES), kind, 3.0)
        assert reason(bad, 0.5) == "damaged"  # 2.4 to 3.7 s
        for moment in (0.0, 0.999):
            assert np.array_equal(read(bad, moment).video, read(good, moment).video)
            assert np.array_equal(read(bad, moment).audio, read(good, moment).audio)


def test_pictures_that_lean_on_a_damaged_one_are_damaged_too(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None], (48, 64, 3))
    pictures = [(n / 25, np.roll(ramp, n, axis=1)) for n in range(150)]  # no cut, so no keyframe but the first
    bad = damage_packet(make_media(tmp_path / "a.mp4", pictures, gop=250), "video", 1.0)
    assert reason(bad, 0.999) == "damaged"


def test_a_picture_of_absurd_size_takes_no_memory(tmp_path: Path) -> None:
    source = make_media(tmp_path / "a.mov", PICTURES[:30], codec="png", pixels="rgb24").read_bytes()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for size in (100_000, 30_000):
        data, at = bytearray(source), source.find(b"IHDR")
        while at > 0:
            data[at + 4 : at + 12] = struct.pack(">II", size, size)
            data[at + 17 : at + 21] = struct.pack(">I", zlib.crc32(bytes(data[at : at + 17])))
            at = source.find(b"IHDR", at + 1)
        (tmp_path / f"{size}.mov").write_bytes(bytes(data))
        assert reason(tmp_path / f"{size}.mov") in ("absurd header", "damaged")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024


def test_sound_that_claims_ten_gigabytes_is_read_where_it_is(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.w64", samples=SAMPLES[: 2 * RATE], sound_codec="pcm_s16le")
    data = bytearray(path.read_bytes())
    at = data.index(b"data\xf3\xac\xd3\x11")
    data[at + 16 : at + 24] = struct.pack("<Q", 10_000_000_000)
    path.write_bytes(bytes(data))
    for moment in (0.0, 0.999):
        audio = read(path, moment).audio
        assert audio is not None and len(audio) == 61_440


def test_a_missing_modality_is_none_and_what_the_model_lacks_is_an_error(tmp_path: Path) -> None:
    silent = make_media(tmp_path / "silent.mp4", PICTURES)
    blind = make_media(tmp_path / "blind.mp4", samples=SAMPLES)
    assert read(silent).audio is None and read(silent).video is not None
    assert read(blind).video is None and read(blind).audio is not None
    audio_only = Wants.evaluation(small_config(model__inputs__video=None))
    video_only = Wants.evaluation(small_config(model__inputs__audio=None))
    assert reason(silent, wants=audio_only) == "no sound"
    assert reason(blind, wants=video_only) == "no picture"
    assert read(silent, wants=video_only).audio is None


def test_a_stream_that_ends_early_is_missing_after_its_end(tmp_path: Path) -> None:
    deaf = make_media(tmp_path / "deaf.mp4", PICTURES, SAMPLES[: 2 * RATE])
    blind = make_media(tmp_path / "blind.mp4", PICTURES[:50], SAMPLES)
    assert read(deaf, 0.0).audio is not None and read(deaf, 0.9).audio is None
    assert read(blind, 0.0).video is not None and read(blind, 0.9).video is None


@pytest.mark.parametrize("frames", [1, 10, 31])
def test_a_file_shorter_than_a_clip_is_padded(tmp_path: Path, frames: int) -> None:
    path = make_media(tmp_path / "a.mp4", PICTURES[:frames], SAMPLES[: frames * RATE // 25])
    for excerpt in (read(path, 0.7), *read_clips(whole(path), WANTS, 3)):
        assert excerpt.padded and excerpt.video is not None and excerpt.audio is not None
        assert np.array_equal(excerpt.video[-1], excerpt.video[frames - 1])
        assert not excerpt.audio[frames * RATE // 25 + 2048 :].any()
    assert not read(make_media(tmp_path / "b.mp4", PICTURES[:32], SAMPLES[: 32 * RATE // 25])).padded


def test_a_turned_picture_is_shown_upright(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (48, 64, 3))
    path = make_media(tmp_path / "a.mp4", [(n / 25, ramp) for n in range(40)], rotation=90)
    excerpt = read(path)
    assert excerpt.video is not None and excerpt.aspect == pytest.approx(48 / 64)
    top, bottom = excerpt.video[0, 2].mean(), excerpt.video[0, -3].mean()
    assert top > 200 and bottom < 55  # turned counter-clockwise: what was right is on top


@pytest.mark.parametrize(
    ("codec", "pixels", "full"),
    [("libx264", "yuv420p", False), ("libx264", "yuv420p10le", False), ("libx264", "yuv444p", False),
     ("libx264", "yuvj420p", True), ("mjpeg", "yuvj420p", True), ("libvpx-vp9", "yuv420p", False)],
)  # fmt: skip
def test_grey_stays_grey_in_every_pixel_format(tmp_path: Path, codec: str, pixels: str, full: bool) -> None:
    for level in (20, 128, 235):
        pictures = [(n / 25, grey(level)) for n in range(33)]
        path = make_media(tmp_path / f"{level}.mkv", pictures, codec=codec, pixels=pixels, full_range=full)
        video = read(path).video
        assert video is not None and abs(float(video.mean()) - level) < 3


@pytest.mark.parametrize(("width", "height"), [(96, 48), (97, 48), (48, 96), (50, 35), (426, 240)])
def test_the_middle_of_a_picture_stays_the_middle(tmp_path: Path, width: int, height: int) -> None:
    """A cross through the middle ends in the middle of the crop."""
    picture = grey(20, width, height)
    picture[:, width // 2 - 3 : width // 2 + 3] = picture[height // 2 - 3 : height // 2 + 3] = 220
    path = make_media(tmp_path / "a.mkv", [(n / 25, picture) for n in range(33)], codec="ffv1", pixels="yuv420p")
    video = read(path).video
    assert video is not None
    bright = video[0, :, :, 0].astype(float) - 20
    for axis in (0, 1):
        profile = np.median(bright, axis=axis)
        assert abs((profile * np.arange(32)).sum() / profile.sum() - 15.5) < 0.8


def test_odd_and_tiny_sizes_are_read(tmp_path: Path) -> None:
    for width, height in ((65, 37), (16, 200), (320, 18)):
        pictures = [(n / 25, grey(90, width, height)) for n in range(33)]
        excerpt = read(make_media(tmp_path / f"{width}.webm", pictures, codec="libvpx-vp9"))
        assert excerpt.aspect == pytest.approx(width / height)
        assert excerpt.video is not None and excerpt.video.shape == (32, 32, 32, 3)


def test_channels_are_mixed_down_without_clipping(tmp_path: Path) -> None:
    loud = np.full((6, RATE * 2), 0.9, np.float32) * np.sin(np.arange(RATE * 2) / 20)
    audio = read(make_media(tmp_path / "a.wav", samples=loud, layout="5.1", sound_codec="pcm_s16le")).audio
    assert audio is not None and 0.5 < np.abs(audio).max() <= 1.0


def test_reading_has_a_deadline(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mp4", PICTURES, SAMPLES)
    hurried = Wants(WANTS.video, WANTS.audio, WANTS.fit, deadline=0.0)
    assert reason(path, wants=hurried) == "too slow"


class HangingFileSystem(fsspec.AbstractFileSystem):
    protocol = "hanging"

    def _open(self, path: str, *args: object, **kwargs: object) -> None:
        time.sleep(3600)


def test_storage_that_hangs_is_left_behind() -> None:
    fsspec.register_implementation("hanging", HangingFileSystem, clobber=True)
    hurried = Wants(WANTS.video, WANTS.audio, WANTS.fit, deadline=0.2)
    with pytest.raises(StorageError, match=r"not fetched within 0\.2 s"):
        read("hanging://bucket/a.mp4", wants=hurried)
