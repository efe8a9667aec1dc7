"""Of several streams the one that a player would choose, in the shape that its container tells."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from media_maker import grey, join_files, make_media, set_pixel, small_config, whole
from PIL import Image

from perceiver.data.clips import Wants, read_clip
from perceiver.data.media import Media
from perceiver.data.pictures import Fit

WANTS = Wants.evaluation(small_config())
SQUASHED = Wants(WANTS.video, None, Fit(32, "squash"))


def make_streams(path: Path, pictures: list[tuple[int, Disposition]], tones: list[tuple[float, Disposition]]) -> Path:
    """Two seconds of streams of one grey each, 32 pixels wide and more from one to the next, and of tones in Hz."""
    with av.open(str(path), "w") as container:
        streams: list[tuple[Any, Any]] = []
        for number, (level, disposition) in enumerate(pictures):
            video: Any = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 32 + 16 * number, 32, "yuv420p"
            video.disposition = disposition
            streams.append((video, level))
        for hertz, disposition in tones:
            audio: Any = container.add_stream("aac", rate=48_000, layout="mono")
            audio.disposition = disposition
            streams.append((audio, hertz))
        for stream, content in streams:
            for frame in _frames(stream, content):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def _frames(stream: Any, content: float) -> list[Any]:
    if stream.type == "video":
        picture = grey(int(content), stream.width, stream.height)
        return [av.VideoFrame.from_ndarray(picture, format="rgb24") for _ in range(50)]
    tone = np.sin(2 * np.pi * content * np.arange(96_000) / 48_000).astype(np.float32)
    frames = [av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono") for piece in tone.reshape(-1, 960)]
    for number, frame in enumerate(frames):
        frame.sample_rate, frame.pts = 48_000, 960 * number
    return frames


def seen(path: Path) -> float:
    video = read_clip(whole(path), WANTS, 0.0).video
    assert video is not None
    return float(video.mean())


def heard(path: Path) -> float:
    """The pitch of a clip's sound."""
    audio = read_clip(whole(path), WANTS, 0.0).audio
    assert audio is not None
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.fft.rfftfreq(len(audio), 1 / 48_000)[spectrum.argmax()])


NONE, DEFAULT = Disposition(0), Disposition.default


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_the_default_stream_is_taken(tmp_path: Path, suffix: str) -> None:
    path = make_streams(tmp_path / f"a.{suffix}", [(60, NONE), (180, DEFAULT)], [(440, NONE), (880, DEFAULT)])
    assert seen(path) == pytest.approx(180, abs=4)
    assert heard(path) == pytest.approx(880, abs=2)


@pytest.mark.parametrize("aside", [Disposition.comment, Disposition.visual_impaired, Disposition.hearing_impaired])
def test_a_commentary_is_not_the_sound_of_a_clip(tmp_path: Path, aside: Disposition) -> None:
    path = make_streams(tmp_path / "a.mkv", [(60, DEFAULT)], [(440, aside | DEFAULT), (880, NONE)])
    assert heard(path) == pytest.approx(880, abs=2)
    assert heard(make_streams(tmp_path / "b.mkv", [], [(440, aside)])) == pytest.approx(440, abs=2)


def test_cover_art_is_no_picture_of_a_clip(tmp_path: Path) -> None:
    song = make_streams(tmp_path / "song.mp4", [], [(440, DEFAULT)])
    film = make_streams(tmp_path / "film.mp4", [(60, NONE), (180, NONE)], [(440, DEFAULT)])
    for path, streams in ((song, 0), (film, 2)):
        covered = path.with_name(f"covered_{path.name}")
        with av.open(str(path)) as source, av.open(str(covered), "w") as container:
            art = io.BytesIO()
            Image.fromarray(grey(250, 300, 300)).save(art, "JPEG")
            cover: Any = container.add_stream("mjpeg", rate=1)
            cover.width = cover.height = 300
            cover.pix_fmt, cover.disposition = "yuvj420p", Disposition.attached_pic
            copies: dict[int, Any] = {s.index: container.add_stream_from_template(s) for s in source.streams}
            packet = av.Packet(art.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 25)
            container.mux(packet)
            for packet in source.demux():
                if packet.dts is not None:
                    packet.stream = copies[packet.stream_index]
                    container.mux(packet)
        with Media(str(covered), 20) as media:
            assert (media.video is not None) == bool(streams)
        assert streams == 0 or seen(covered) < 200


@pytest.mark.parametrize(("width", "height"), [(4, 3), (1, 2), (10, 11), (64, 45)])
def test_pixels_may_be_wider_than_high(tmp_path: Path, width: int, height: int) -> None:
    pictures = [(n / 25, grey(90)) for n in range(33)]
    path = set_pixel(make_media(tmp_path / "a.mp4", pictures, pixel=Fraction(3, 2)), width, height)
    assert read_clip(whole(path), SQUASHED, 0.0).aspect == pytest.approx(64 / 48 * width / height)
    assert read_clip(whole(make_media(tmp_path / "b.ts", pictures, pixel=Fraction(3, 2))), SQUASHED, 0.0).aspect == 2.0


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 1), (1, 2**31 - 1), (65_535, 1), (1, 1000), (100, 1)])
def test_pixels_of_absurd_width_are_square(tmp_path: Path, width: int, height: int) -> None:
    pictures = [(n / 25, grey(90)) for n in range(33)]
    path = set_pixel(make_media(tmp_path / "a.mp4", pictures, pixel=Fraction(3, 2)), width, height)
    for wants in (WANTS, SQUASHED):
        excerpt = read_clip(whole(path), wants, 0.0)
        assert excerpt.video is not None and excerpt.aspect == pytest.approx(64 / 48)


def test_pictures_may_change_their_size_on_the_way(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(96, 64), (64, 96), (160, 48)]):
        pictures = [(n / 25, grey(60 + 60 * number, *size)) for n in range(12)]
        options = {"output_ts_offset": str(number * 12 / 25)}
        parts.append(make_media(tmp_path / f"{number}.ts", pictures, container_options=options))
    video = read_clip(whole(join_files(tmp_path / "a.ts", *parts)), WANTS, 0.0).video
    assert video is not None and video.shape == (32, 32, 32, 3)
    levels = np.round(video.mean(axis=(1, 2, 3)) / 60)
    assert np.all(np.diff(levels) >= 0) and np.bincount(levels.astype(int)).tolist()[1:3] == [11, 11]
