"""Pictures are turned, mirrored and tilted as FFmpeg's own program shows them, whoever says so."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from media_maker import make_media, make_photos, small_config, whole

from perceiver.data.clips import Excerpt, Wants, read_clip
from perceiver.data.pictures import Fit

WANTS = Wants.evaluation(small_config(model__inputs__audio=None))
SQUASHED = Wants(WANTS.video, None, Fit(48, "squash"))
FILTERS = [
    (),
    (("hflip", None),),
    (("hflip", None), ("vflip", None)),
    (("vflip", None),),
    (("transpose", "cclock_flip"),),
    (("transpose", "clock"),),
    (("transpose", "clock_flip"),),
    (("transpose", "cclock"),),
]
"""What FFmpeg's program (ffmpeg_filter.c) does to show EXIF's orientations 1 to 8 upright."""
AS_MATRIX = [(0, False), (0, True), (180, False), (180, True), (-90, True), (-90, False), (90, True), (90, False)]
"""The same as degrees counter-clockwise, and mirrored afterwards."""


def corners(width: int = 96, height: int = 64) -> np.ndarray:
    """A picture that looks different however it is turned or mirrored."""
    picture = np.full((height, width, 3), 128, np.uint8)
    picture[: height // 2, : width // 2] = 220, 30, 30
    picture[: height // 2, width // 2 :] = 30, 200, 30
    picture[height // 2 :, : width // 2] = 30, 30, 220
    return picture


PICTURES = [(n / 25, corners()) for n in range(33)]


def filtered(picture: np.ndarray, *chain: tuple[str, str | None]) -> np.ndarray:
    """What FFmpeg's filters make of a picture."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    graph = Graph()
    nodes = [graph.add_buffer(width=frame.width, height=frame.height, format="rgb24", time_base=Fraction(1, 25))]
    nodes += [graph.add(name, arguments) for name, arguments in (*chain, ("format", "rgb24"), ("buffersink", None))]
    graph.link_nodes(*nodes).configure()
    graph.push(frame)
    return graph.pull().to_ndarray()


def read(path: Path) -> Excerpt:
    return read_clip(whole(path), SQUASHED, 0.0)


def assert_shown(path: Path, chain: tuple[tuple[str, str | None], ...]) -> None:
    excerpt = read(path)
    expected = filtered(corners(), *chain, ("scale", "48:48:flags=bilinear"))
    assert excerpt.video is not None
    assert np.abs(excerpt.video[0].astype(int) - expected).mean() < 6
    turned = any(name == "transpose" for name, _ in chain)
    assert excerpt.aspect == pytest.approx(64 / 96 if turned else 96 / 64)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("exif", range(1, 9))
def test_turned_and_mirrored_pictures_are_shown_as_ffmpeg_does(tmp_path: Path, exif: int, suffix: str) -> None:
    rotation, mirrored = AS_MATRIX[exif - 1]
    path = make_media(tmp_path / f"a.{suffix}", PICTURES, rotation=rotation, mirrored=mirrored)
    assert_shown(path, FILTERS[exif - 1])


@pytest.mark.parametrize("suffix", ["avi", "mov"])
@pytest.mark.parametrize("exif", range(1, 9))
def test_exif_of_motion_jpeg_counts(tmp_path: Path, exif: int, suffix: str) -> None:
    assert_shown(make_photos(tmp_path / f"a.{suffix}", corners(), exif), FILTERS[exif - 1])


@pytest.mark.parametrize("degrees", [30, 3, -45, 135])
def test_a_tilted_picture_is_turned_within_its_frame(tmp_path: Path, degrees: int) -> None:
    path = make_media(tmp_path / "a.mp4", PICTURES, rotation=degrees)
    assert_shown(path, (("rotate", f"{-degrees}*PI/180"),))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_picture_that_is_turned_by_almost_90_degrees_is_upright(tmp_path: Path, suffix: str) -> None:
    path = make_media(tmp_path / f"a.{suffix}", PICTURES, rotation=-89.7)
    assert_shown(path, (("transpose", "clock"),))


@pytest.mark.parametrize("tag", ["90", "180", "270", "0", "-90", "450", "sideways", ""])
def test_the_old_tag_counts_where_nothing_else_is_said(tmp_path: Path, tag: str) -> None:
    """FFmpeg before 5.0 wrote it into Matroska, in degrees clockwise, and obeyed it."""
    exif = {"90": 6, "450": 6, "180": 3, "270": 8, "-90": 8}.get(tag, 1)
    assert_shown(make_media(tmp_path / "tag.mkv", PICTURES, tags={"ROTATE": tag}), FILTERS[exif - 1])
    assert_shown(make_media(tmp_path / "both.mkv", PICTURES, tags={"rotate": tag}, rotation=180), FILTERS[2])


def test_the_middle_of_a_turned_picture_stays_the_middle(tmp_path: Path) -> None:
    """The crop of a turned and mirrored picture is that of the picture which was turned before it was written."""
    turned = make_media(tmp_path / "turned.mp4", PICTURES, rotation=-90, mirrored=True)
    upright = make_media(tmp_path / "upright.mp4", [(at, filtered(p, *FILTERS[4])) for at, p in PICTURES])
    first, second = (read_clip(whole(path), WANTS, 0.0).video for path in (turned, upright))
    assert first is not None and second is not None and first.shape == second.shape == (32, 32, 32, 3)
    assert np.abs(first.astype(int) - second).mean() < 4
