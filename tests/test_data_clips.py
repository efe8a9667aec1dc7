"""Clips are cut at the right time: constant rate from any rate, sound and picture together, any place from any seek."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
from media_maker import flashes_and_clicks, grey, make_media, small_config, whole

from perceiver.data.clips import Excerpt, Wants, read_clip, read_clips, segment
from perceiver.data.dataset import Clip
from perceiver.data.pictures import Fit

RATE = 48_000
CONFIG = small_config()
WANTS = Wants.evaluation(CONFIG)
TIMES = [0.5, 1.7, 2.9, 4.13, 5.31, 6.6, 7.77, 9.2]


def uneven_times(seconds: float) -> list[float]:
    """Picture times of a variable rate: gaps of 10 to 90 ms, in whole milliseconds."""
    gaps = np.random.default_rng(0).uniform(0.01, 0.09, int(seconds / 0.01))
    times = np.round(np.concatenate([[0.0], np.cumsum(gaps)]), 3)
    return [float(time) for time in times if time < seconds]


def delays(excerpt: Excerpt) -> list[float]:
    """Seconds by which each click of a clip follows its flash."""
    assert excerpt.video is not None and excerpt.audio is not None
    bright = excerpt.video.mean(axis=(1, 2, 3)) > 120
    flashes = (np.flatnonzero(bright[1:] & ~bright[:-1]) + 1) / 25
    loud = np.flatnonzero(np.abs(excerpt.audio) > 0.2) / RATE
    clicks = loud[np.diff(loud, prepend=-1.0) > 0.3]
    return [click - flash for flash in flashes for click in clicks if abs(click - flash) < 0.3]


@pytest.mark.parametrize(
    ("name", "fps", "rate", "codecs"),
    [
        ("a.mp4", 25.0, 48_000, {}),
        ("ntsc.mp4", 30_000 / 1001, 44_100, {}),
        ("film.mkv", 24.0, 22_050, {}),
        ("slow.mp4", 12.5, 8_000, {}),
        ("fast.mp4", 60.0, 48_000, {}),
        ("variable.mp4", uneven_times(10), 44_100, {}),
        ("offset.ts", 25.0, 48_000, {}),
        ("a.webm", 30.0, 48_000, {"codec": "libvpx", "sound_codec": "libopus"}),
        ("a.mov", 25.0, 48_000, {"sound_codec": "pcm_s16le"}),
        ("surround.mp4", 25.0, 48_000, {"layout": "5.1"}),
        ("low.mkv", 25.0, 8_000, {"sound_codec": "libmp3lame"}),
        ("low.ts", 30_000 / 1001, 8_000, {}),
        ("high.mkv", 24.0, 96_000, {"codec": "libvpx-vp9", "sound_codec": "flac"}),
        ("vp9.mp4", 25.0, 48_000, {"codec": "libvpx-vp9", "sound_codec": "libopus"}),
        ("old.mov", 25.0, 44_100, {"codec": "mpeg4", "sound_codec": "libmp3lame"}),
        # AVI stores no times. H.264 with a lossy codec below 44.1 kHz, or with FLAC, can't be told apart from worse:
        # how late the encoder's delay made the sound is lost, and FLAC's frames are placed to a tenth of a second.
        ("dropped.avi", 25.0, 44_100, {"codec": "mpeg4", "sound_codec": "libmp3lame"}),
        ("stills.avi", 25.0, 96_000, {"codec": "mjpeg", "pixels": "yuvj420p", "sound_codec": "pcm_s16le"}),
        ("h264.avi", 30_000 / 1001, 44_100, {"sound_codec": "pcm_s16le"}),
        ("h264_mp3.avi", 25.0, 48_000, {"sound_codec": "libmp3lame"}),
        ("h264_aac.avi", 25.0, 44_100, {}),
    ],
)
def test_flash_and_click_stay_together_over_the_whole_file(tmp_path: Path, name, fps, rate, codecs) -> None:
    pictures, samples = flashes_and_clicks(TIMES, 10.0, fps, rate)
    if codecs.get("layout") == "5.1":
        samples = np.stack([samples] * 6)
    path = make_media(tmp_path / name, pictures, samples, rate=rate, gop=50, **codecs)
    excerpts = [read_clip(whole(path), WANTS, moment / 16) for moment in range(16)] + read_clips(whole(path), WANTS, 16)
    found = [delay for excerpt in excerpts for delay in delays(excerpt)]
    assert len(found) > 20
    assert max(map(abs, found)) < 0.0205  # half a frame: a picture can only change at a frame of the clip


def test_sound_that_begins_late_stays_late(tmp_path: Path) -> None:
    pictures, samples = flashes_and_clicks([1.0], 4.0, 25.0, RATE)
    path = make_media(tmp_path / "a.mp4", pictures, samples[int(0.5 * RATE) :], sound_start=0.5)
    excerpt = read_clip(whole(path), WANTS, 0.0)
    assert delays(excerpt) == [pytest.approx(0.0, abs=0.001)]
    assert excerpt.audio is not None and not excerpt.audio[: int(0.4 * RATE)].any()


def counted(count: int, fps: float) -> list[tuple[float, np.ndarray]]:
    """Pictures whose number can be read from their brightness."""
    return [(n / fps, grey(16 + n % 220)) for n in range(count)]


def numbers(video: np.ndarray | None) -> np.ndarray:
    assert video is not None
    return np.round(video.mean(axis=(1, 2, 3))).astype(int)


def test_pictures_at_25_per_second_are_taken_one_by_one(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mp4", counted(200, 25.0), gop=60)
    first = numbers(read_clip(whole(path), WANTS, 0.0).video)
    assert np.abs(first - (16 + np.arange(32))).max() <= 1
    for moment in np.linspace(0, 0.999, 9):
        seen = numbers(read_clip(whole(path), WANTS, moment).video)
        assert np.abs(seen - (16 + int(moment * 169) + np.arange(32))).max() <= 1


@pytest.mark.parametrize("fps", [12.5, 24.0, 30.0, 50.0])
def test_other_rates_show_what_is_on_screen(tmp_path: Path, fps: float) -> None:
    path = make_media(tmp_path / "a.mp4", counted(200, fps), gop=60)
    for moment in (0.0, 0.4, 0.999):
        steps = min(250, round(200 / fps * 25))
        start = int(moment * (steps - 31))
        shown = np.ceil((start + np.arange(32) + 0.5) / 25 * fps - 1e-6) - 1  # last picture before half a frame later
        seen = numbers(read_clip(whole(path), WANTS, moment).video)
        assert np.abs(seen - (16 + shown)).max() <= 1


def test_a_clip_does_not_depend_on_the_way_to_it(tmp_path: Path) -> None:
    """Clips of one decode equal those that were sought one by one, to the sample."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 6 * 44_100).astype(np.float32)
    path = make_media(tmp_path / "a.mov", counted(150, 25.0), samples, rate=44_100, sound_codec="pcm_s16le", gop=40)
    for offset, clip in zip(np.linspace(0, 118, 7).astype(int), read_clips(whole(path), WANTS, 7), strict=True):
        alone = read_clip(whole(path), WANTS, (offset + 0.5) / 119)
        assert np.array_equal(alone.video, clip.video)
        assert alone.audio is not None and clip.audio is not None
        assert np.abs(alone.audio - clip.audio).max() < 1e-6


def test_sixteen_clips_of_ten_seconds_begin_where_the_paper_has_them(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mp4", [(n / 25, grey(16 + n % 220)) for n in range(250)])
    starts = [numbers(excerpt.video)[0] for excerpt in read_clips(whole(path), WANTS, 16)]
    paper = np.array([0, 14, 29, 43, 58, 72, 87, 101, 116, 130, 145, 159, 174, 188, 203, 218])
    assert np.abs(np.array(starts) - (16 + paper)).max() <= 1


def test_an_audio_model_gets_sixteen_evenly_spaced_stretches_of_samples(tmp_path: Path) -> None:
    ramp = np.linspace(-1, 1, 10 * RATE, dtype=np.float32)
    path = make_media(tmp_path / "a.wav", samples=ramp, sound_codec="pcm_f32le")
    wants = Wants.evaluation(small_config(model__inputs__video=None))
    starts = [np.abs(ramp - excerpt.audio[0]).argmin() for excerpt in read_clips(whole(path), wants, 16)]
    assert starts == np.linspace(0, 480_000 - 61_440, 16).astype(int).tolist()


def test_a_long_segment_is_sought_not_decoded_whole(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mp4", counted(220, 25.0))
    clips = read_clips(whole(path), WANTS, 3)  # 3 clips of 32 frames do not cover 220
    assert np.abs(np.array([numbers(clip.video)[0] for clip in clips]) - (16 + np.array([0, 94, 188]))).max() <= 1


def test_where_the_segment_lies_in_its_file() -> None:
    def named(trimmed: bool, start: float, end: float) -> Clip:
        return Clip("x", "x.mp4", start, end, trimmed, ())

    assert segment(named(True, 30, 40), 10.0) == (0.0, 10.0)
    assert segment(named(True, 30, 40), 60.0) == (0.0, 10.0)
    assert segment(named(False, 30, 40), 10.02) == (0.0, 10.0)
    assert segment(named(False, 30, 40), 214.0) == (30, 10)  # the whole video
    assert segment(named(False, 0, 10), 214.0) == (0.0, 10.0)
    assert segment(named(True, 0, 10), 4.5) == (0.0, 4.5)


def test_a_whole_video_is_read_at_its_segment(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mp4", counted(200, 25.0))
    excerpt = read_clip(Clip("a", str(path), 4.0, 7.0, False, ()), WANTS, 0.0)
    assert np.abs(numbers(excerpt.video) - (16 + 100 + np.arange(32))).max() <= 1


def test_crop_keeps_the_middle_and_squash_keeps_all(tmp_path: Path) -> None:
    picture = grey(20, 96, 32)
    picture[:, 32:64] = 220
    path = make_media(tmp_path / "a.mp4", [(n / 25, picture) for n in range(33)])
    cropped = read_clip(whole(path), WANTS, 0.0).video
    squashed = read_clip(whole(path), Wants(WANTS.video, WANTS.audio, Fit(48, "squash")), 0.0)
    assert cropped is not None and cropped[:, :, 2:-2].min() > 200
    assert squashed.video is not None and squashed.aspect == pytest.approx(3.0)
    assert squashed.video[0, 24, 4].max() < 40 and squashed.video[0, 24, 24].min() > 200


def test_clips_are_read_from_any_storage(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.mp4", counted(60, 25.0), np.zeros(RATE * 2, np.float32))
    fsspec.filesystem("memory").pipe_file("/set/a.mp4", path.read_bytes())
    local, remote = (read_clip(whole(url), WANTS, 0.5) for url in (path, "memory://set/a.mp4"))
    assert np.array_equal(local.video, remote.video) and np.array_equal(local.audio, remote.audio)
