"""Times of every kind of container: pictures and sound are read where a careful player shows them, from any seek."""

from pathlib import Path

import numpy as np
import pytest
from media_maker import flashes_and_clicks, grey, join_files, make_media, set_durations, set_edits

from perceiver.data.lists import MEDIA_SUFFIXES, PICTURE_SUFFIXES
from perceiver.data.media import Media
from perceiver.data.pictures import Fit, read_pictures
from perceiver.data.sounds import read_sound

COUNT, RATE, STEP = 60, 48_000, 3.5
CLICKS = [0.52, 1.72]
SAMPLES = flashes_and_clicks(CLICKS, COUNT / 25 + 0.1, 25.0, RATE)[1][: COUNT * RATE // 25]
PICTURES = [(n / 25, grey(round(16 + STEP * n), 96, 64)) for n in range(COUNT)]
"""2.4 seconds; a picture's number can be read from its brightness."""


def shown(path: Path, start: float = 0.0, count: int = COUNT) -> list[int]:
    """Numbers of the pictures that are read at 25 per second from a second on."""
    with Media(str(path), 60) as media:
        frames = read_pictures(media, start, count, 25, Fit(16, "squash")).frames
    return [round((level - 16) / STEP) for level in frames.mean(axis=(1, 2, 3))]


def clicks(path: Path) -> list[float]:
    """Seconds at which tones begin."""
    with Media(str(path), 60) as media:
        samples = read_sound(media, 0.0, int(media.duration * RATE), RATE).samples
    loud = np.flatnonzero(np.abs(samples) > 0.2) / RATE
    return [float(at) for at in loud[np.diff(loud, prepend=-1.0) > 0.2]]


def duration(path: Path) -> float:
    with Media(str(path), 60) as media:
        return media.duration


def assert_whole(path: Path, late: float = 0.03, longer: float = 0.045) -> None:
    """All pictures and clicks are there, whether read from the beginning or after a search."""
    assert shown(path) == list(range(COUNT))
    for first in range(3, COUNT - 8, 9):
        assert shown(path, first / 25, 8) == list(range(first, first + 8)), first
    assert clicks(path) == pytest.approx(CLICKS, abs=late)
    assert duration(path) == pytest.approx(COUNT / 25, abs=longer)


CODECS = {
    ".mpg": ("mpeg1video", "mp2"), ".mpeg": ("mpeg2video", "mp2"), ".vob": ("mpeg2video", "mp2"),
    ".webm": ("libvpx-vp9", "libopus"), ".wmv": ("wmv2", "wmav2"), ".asf": ("wmv2", "wmav2"),
    ".mxf": ("mpeg2video", "pcm_s16le"), ".avi": ("libx264", "pcm_s16le"),
}  # fmt: skip
SOUND_CODECS = {
    ".wav": "pcm_s16le", ".w64": "pcm_s16le", ".flac": "flac", ".aif": "pcm_s16be", ".aiff": "pcm_s16be",
    ".caf": "pcm_s16be", ".au": "pcm_s16be", ".opus": "libopus", ".mp3": "libmp3lame", ".ogg": "libopus",
    ".oga": "flac", ".ac3": "ac3", ".mp2": "mp2", ".wma": "wmav2",
}  # fmt: skip
FORMATS = {".mpeg": "vob", ".m4v": "mp4", ".m2ts": "mpegts", ".aif": "aiff"}


@pytest.mark.parametrize("suffix", sorted(set(PICTURE_SUFFIXES) - {".ogv"}))
def test_every_kind_of_file_with_pictures_plays(tmp_path: Path, suffix: str) -> None:
    """Not made here: .ogv, whose encoder PyAV lacks."""
    codec, sound = CODECS.get(suffix, ("libx264", "aac"))
    path = tmp_path / f"A{suffix.upper()}"
    make_media(path, PICTURES, SAMPLES, codec=codec, sound_codec=sound, form=FORMATS.get(suffix))
    assert_whole(path, longer=0.09)  # a header may count from before the first picture


@pytest.mark.parametrize("suffix", sorted(set(MEDIA_SUFFIXES) - set(PICTURE_SUFFIXES) - {".amr"}))
def test_every_kind_of_file_with_sound_alone_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"A{suffix.upper()}"
    make_media(path, samples=SAMPLES, sound_codec=SOUND_CODECS.get(suffix, "aac"), form=FORMATS.get(suffix))
    assert clicks(path) == pytest.approx(CLICKS, abs=0.05)  # some can't say how late an encoder made the sound
    assert duration(path) == pytest.approx(COUNT / 25, abs=0.06)


def test_amr_of_a_phone_plays(tmp_path: Path) -> None:
    make_media(tmp_path / "a.amr", samples=SAMPLES[::6], rate=8000, sound_codec="libopencore_amrnb")
    assert duration(tmp_path / "a.amr") == pytest.approx(COUNT / 25, abs=0.06)


@pytest.mark.parametrize("suffix", ["ts", "mkv", "flv", "mp4"])
@pytest.mark.parametrize("seconds", [0.7, 3600, 95_440, 95_442.6])
def test_time_may_begin_anywhere(tmp_path: Path, suffix: str, seconds: float) -> None:
    """A transport stream's clock of 33 bits begins again after 95,443.7 s: these begin before and go on behind it."""
    options = {"output_ts_offset": str(seconds)}
    if suffix == "mp4":
        options["movflags"] = "frag_keyframe+empty_moov+default_base_moof"
    assert_whole(make_media(tmp_path / f"a.{suffix}", PICTURES, SAMPLES, container_options=options))


@pytest.mark.parametrize("jump", [0, 7, 5000])
def test_joined_transport_streams_play_one_after_the_other(tmp_path: Path, jump: float) -> None:
    """Its clock begins again, or jumps far ahead, as FFmpeg's program and players expect it."""
    half = COUNT // 2
    first = make_media(tmp_path / "1.ts", PICTURES[:half], SAMPLES[: half * RATE // 25])
    second = [(at - half / 25, picture) for at, picture in PICTURES[half:]]
    options = {"output_ts_offset": str(jump)}
    other = make_media(tmp_path / "2.ts", second, SAMPLES[half * RATE // 25 :], container_options=options)
    path = join_files(tmp_path / "joined.ts", first, other)
    if jump == 7:  # less than ten seconds ahead: something is missing there
        assert shown(path, 7.5, 3) == [44, 45, 46] and duration(path) == pytest.approx(8.12, abs=0.05)
    else:
        assert_whole(path, late=0.06)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_pictures_of_an_avi_come_in_their_order(tmp_path: Path, codec: str) -> None:
    """It stores neither times nor the order in which B pictures are shown."""
    path = make_media(tmp_path / "a.avi", PICTURES, SAMPLES, codec=codec, sound_codec="pcm_s16le", b_frames=2)
    assert_whole(path, late=0.045)


EMPTY, ALL = (1.0, None), (2.4, 0.0)
SHOWN_LATE = [0] * 25 + list(range(35))


@pytest.mark.parametrize(
    ("edits", "numbers", "tones", "lasts"),
    [
        ({0: [EMPTY, ALL], 1: [EMPTY, ALL]}, list(range(60)), CLICKS, 2.4),
        ({0: [EMPTY, ALL]}, SHOWN_LATE, CLICKS, 3.4),
        ({1: [EMPTY, ALL]}, list(range(60)), [1.52, 2.72], 3.4),
        ({1: [(0.04, None), ALL]}, list(range(60)), [0.56, 1.76], 2.4),
        ({0: [(1.4, 1.0)], 1: [(1.4, 1.0)]}, list(range(25, 60)), [0.72], 1.4),
        ({1: [(2.0, 0.4)]}, list(range(60)), [0.12, 1.32], 2.4),
        ({0: [(1.2, 0.0)], 1: [(1.2, 0.0)]}, list(range(30)), [0.52], 1.2),
        ({0: [EMPTY, (1.2, 0.0)], 1: [EMPTY, (1.2, 0.0)]}, list(range(30)), [0.52], 1.2),
        ({0: [(0.8, 0.0), (0.8, 1.6)], 1: [(0.8, 0.0), (0.8, 1.6)]}, [*range(20), *range(40, 60)], [0.52, 0.92], 1.6),
        ({0: [(0.8, 0.0)] * 3, 1: [(0.8, 0.0)] * 3}, [*range(20)] * 3, [0.52, 1.32, 2.12], 2.4),
    ],
    ids=["both late", "pictures late", "sound late", "sound a little late", "beginning cut", "sound early", "end cut",
         "late and end cut", "middle cut", "three times"],
)  # fmt: skip
def test_edit_lists_are_followed(tmp_path: Path, edits: dict, numbers: list, tones: list, lasts: float) -> None:
    path = set_edits(make_media(tmp_path / "a.mp4", PICTURES, SAMPLES, gop=12, b_frames=2), edits)
    assert shown(path, count=len(numbers)) == numbers
    for first in range(5, len(numbers) - 5, 7):
        assert shown(path, first / 25, 5) == numbers[first : first + 5]
    found = clicks(path)
    assert [min(found, key=lambda at: abs(at - tone)) for tone in tones] == pytest.approx(tones, abs=0.02)
    assert duration(path) == pytest.approx(lasts, abs=0.03)


@pytest.mark.parametrize("name", ["a.oga", "a.flac", "a.mka", "a.wav", "adpcm.wav", "a.ts"])
def test_sound_is_the_same_after_any_search(tmp_path: Path, name: str) -> None:
    """FFmpeg gives packets of FLAC in an Ogg, or of ADPCM in a WAV, the times of others after it."""
    samples = np.zeros(6 * RATE, np.float32)
    for number in range(1, 12):  # packets of very different sizes
        samples[number * RATE // 2 + 5000 :][:3000] = 0.05 * number * np.sin(np.arange(3000) / 20)
    codec = {"a.wav": "pcm_s16le", "adpcm.wav": "adpcm_ms", "a.ts": "mp2"}.get(name, "flac")
    path = make_media(tmp_path / name, samples=samples, sound_codec=codec)
    assert duration(path) == pytest.approx(6.0, abs=0.05)
    with Media(str(path), 60) as media:
        whole = read_sound(media, 0.0, 6 * RATE, RATE).samples
        for start in np.arange(0.0, 5.4, 0.3):
            first = round(start * RATE)
            piece = read_sound(media, float(start), RATE // 2, RATE).samples
            assert np.abs(piece - whole[first : first + RATE // 2]).max() < 0.03, start


@pytest.mark.parametrize(("name", "codec"), [("a.vob", "mpeg2video"), ("a.ts", "libx264")])
def test_a_broadcast_that_was_cut_out_without_a_tool_is_read(tmp_path: Path, name: str, codec: str) -> None:
    """Its first packets are in the middle of frames."""
    path = make_media(tmp_path / name, PICTURES, SAMPLES, codec=codec, sound_codec="mp2", gop=12)
    data = path.read_bytes()
    packet = 2048 if codec == "mpeg2video" else 188
    path.write_bytes(data[len(data) // 4 // packet * packet :])
    length = duration(path)
    assert 1.2 < length < 2.3
    numbers = shown(path, 0.0, int(length * 25))
    missing = 60 - len(numbers)
    assert numbers == sorted(numbers) and abs(numbers[-1] - 59) <= 2 and missing > 2
    assert clicks(path)[-1] == pytest.approx(CLICKS[1] - missing / 25, abs=0.1)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_an_mp4_lasts_as_long_as_its_index_says(tmp_path: Path, factor: float) -> None:
    assert_whole(set_durations(make_media(tmp_path / "a.mp4", PICTURES, SAMPLES), factor))


def test_a_stream_of_mp3_without_a_length_is_measured(tmp_path: Path) -> None:
    """Silence takes few bits and noise many, so that its first frames say little of the rest."""
    noise = np.random.default_rng(0).uniform(-0.8, 0.8, 20 * RATE).astype(np.float32)
    noise[: 10 * RATE] = 0
    for name, codec in (("a.mp3", "libmp3lame"), ("a.aac", "aac")):
        options = {"write_xing": "0"} if codec == "libmp3lame" else {}
        path = make_media(tmp_path / name, samples=noise, sound_codec=codec, container_options=options)
        assert duration(path) == pytest.approx(20, abs=0.1)
