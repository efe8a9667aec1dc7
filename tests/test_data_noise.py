"""Bytes changed at random, in every container: a clip or a ClipError, never another error and never a hang."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_maker import flashes_and_clicks, make_media, small_config, whole

from perceiver.data.clips import Wants, read_clip, read_clips
from perceiver.errors import ClipError

WANTS = Wants.evaluation(small_config())


@pytest.fixture(scope="module")
def samples_of_formats(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("formats")
    short, sound = flashes_and_clicks([0.5], 1.6, 25.0, 48_000)
    return [
        make_media(folder / "a.mp4", short, sound),
        make_media(folder / "b.mp4", short, sound, container_options={"movflags": "faststart"}),
        make_media(folder / "c.mkv", short, sound),
        make_media(folder / "d.ts", short, sound),
        make_media(folder / "e.webm", short, sound, codec="libvpx", sound_codec="libopus"),
        make_media(folder / "f.wav", samples=sound, sound_codec="pcm_s16le"),
    ]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 5), seed=st.integers(0, 2**32 - 1), moment=st.floats(0, 0.999))
def test_a_file_with_noise_in_it_is_a_clip_or_a_clip_error(
    samples_of_formats: list[Path], tmp_path: Path, number: int, seed: int, moment: float
) -> None:
    draw = np.random.default_rng(seed)
    data = bytearray(samples_of_formats[number].read_bytes())
    reach = len(data) if draw.random() < 0.5 else min(len(data), 4000)  # headers are where it hurts
    for position in draw.integers(0, reach, draw.integers(1, 30)):
        data[position] = draw.integers(256)
    path = tmp_path / f"noise{samples_of_formats[number].suffix}"
    path.write_bytes(bytes(data))
    hurried = Wants(WANTS.video, WANTS.audio, WANTS.fit, deadline=5.0)
    try:
        excerpts = [read_clip(whole(path), hurried, moment), *read_clips(whole(path), hurried, 3)]
    except ClipError:
        return
    assert all(excerpt.video is not None or excerpt.audio is not None for excerpt in excerpts)
