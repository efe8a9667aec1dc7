"""Mono is the mean of the channels at the loudness of a mono recording, whatever holds it; shards keep it so."""

import io
import tarfile
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_maker import make_media, small_config, whole
from test_data_shards import stored

from perceiver.data.clips import Wants, read_clip
from perceiver.data.media import Media
from perceiver.data.sounds import Sound, read_sound
from perceiver.data.stored import open_clip
from perceiver.data.wav import HEAD, read_head, write_wav

LAYOUTS = {
    "stereo": 2, "2.1": 3, "3.0": 3, "quad": 4, "5.0": 5, "5.1": 6, "5.1(side)": 6, "6.1": 7, "7.1": 8,
    "hexadecagonal": 16, "1 channels (FL)": 1, "3 channels": 3, "16 channels": 16,
}  # fmt: skip
CODECS = {
    "pcm_u8": 1 / 2**7, "pcm_s16le": 1 / 2**15, "pcm_s24le": 1 / 2**22, "pcm_s32le": 2e-7, "pcm_s64le": 2e-7,
    "pcm_f32le": 2e-7, "pcm_f64le": 2e-7, "pcm_s16le_planar": 1 / 2**15, "flac": 1 / 2**15, "wavpack": 1 / 2**7,
}  # fmt: skip
"""Codec -> what coding may change in a sample."""
STEREO = {"layout": "stereo", "sound_codec": "pcm_f32le"}


def read(path: Path | str, count: int, rate: int = 48_000, start: float = 0.0) -> Sound:
    with Media(str(path), 60) as media:
        return read_sound(media, start, count, rate)


def write(path: Path, channels: np.ndarray, layout: str, rate: int = 48_000, codec: str = "pcm_f32le") -> Path:
    """Channels (C, S), float, as they are."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        packed = np.ascontiguousarray(channels.T, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate = rate
        size = stream.codec_context.frame_size or 4096
        resampler = av.AudioResampler(stream.format.name, layout, rate, frame_size=size)
        position = 0
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            piece.pts, position = position, position + piece.samples
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path


def tones(channels: int, rate: int, seconds: float = 0.25, peak: float = 0.9) -> np.ndarray:
    """(C, S): another pitch and loudness in each channel."""
    t = np.arange(int(seconds * rate)) / rate
    return np.stack([peak / (1 + k / 4) * np.sin(2 * np.pi * (200 + 130 * k) * t + k) for k in range(channels)])


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """One channel at another rate, by FFmpeg alone."""
    frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="fltp", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler("fltp", "mono", wanted)
    return np.concatenate([out.to_ndarray()[0] for part in (frame, None) for out in resampler.resample(part) if out])


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000])
def test_mono_is_the_mean_of_the_channels(tmp_path: Path, codec: str, rate: int) -> None:
    for layout, count in LAYOUTS.items():
        if codec == "flac" and (count > 8 or "channels" in layout):
            continue
        suffix = {"wavpack": "wv", "flac": "flac"}.get(codec, "nut" if "64" in codec or "planar" in codec else "wav")
        channels = tones(count, rate)
        mean = channels.mean(axis=0)
        path = write(tmp_path / f"{layout}.{suffix}", channels, layout, rate, codec)
        right = mean if rate == 48_000 else resampled(mean, rate, 48_000)
        sound = read(path, len(right) - 600)
        assert sound.heard.all(), layout
        assert np.abs(sound.samples - right[:-600]).max() <= 2 * CODECS[codec], layout


@pytest.mark.parametrize(("layout", "peak"), [("stereo", 0.9), ("5.1", 0.45), ("quad", 0.5), ("7.1", 0.3)])
@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_the_same_sound_in_every_channel_is_as_loud_as_in_one(
    tmp_path: Path, layout: str, peak: float, codec: str
) -> None:
    sine = peak * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    mono = read(write(tmp_path / "mono.wav", sine[None], "mono", codec=codec), 48_000).samples
    many = np.repeat(sine[None], LAYOUTS[layout], axis=0)
    samples = read(write(tmp_path / "many.wav", many, layout, codec=codec), 48_000).samples
    assert np.abs(samples - mono).max() < 1e-7 and np.abs(samples).max() == pytest.approx(peak, abs=1e-4)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum[1320] < 1e-3 * spectrum[440]


def test_sound_of_lossy_codecs_is_the_mean_too(tmp_path: Path) -> None:
    """AAC of eight channels comes in eight planes, of two in two."""
    for layout, count in (("stereo", 2), ("5.1", 6), ("7.1", 8)):
        sine = 0.6 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
        path = write(tmp_path / f"{layout}.m4a", np.repeat(sine[None], count, axis=0), layout, codec="aac")
        assert np.abs(read(path, 20_000, start=0.2).samples).max() == pytest.approx(0.6, abs=0.05)


def test_it_is_what_ffmpeg_writes_as_16_bits(tmp_path: Path) -> None:
    """There FFmpeg normalises its matrix, and weighs the channels of these layouts alike."""
    for layout, count in (("stereo", 2), ("quad", 4)):
        channels = np.repeat(tones(1, 48_000, peak=0.99), count, axis=0)
        path = write(tmp_path / f"{layout}.wav", channels, layout, codec="pcm_s16le")
        with av.open(str(path)) as container:
            resampler = av.AudioResampler("s16", "mono", 48_000)
            pieces = [out.to_ndarray()[0] for f in container.decode(audio=0) for out in resampler.resample(f)]
        theirs = np.concatenate(pieces) / 32768
        assert np.abs(read(path, len(theirs)).samples - theirs).max() <= 1 / 32768


def test_opposite_phases_cancel_and_a_silent_channel_halves(tmp_path: Path) -> None:
    sine = tones(1, 48_000)[0]
    opposite = write(tmp_path / "a.wav", np.stack([sine, -sine]), "stereo")
    assert not read(opposite, len(sine)).samples.any()
    left = write(tmp_path / "b.wav", np.stack([sine, 0 * sine]), "stereo")
    assert np.abs(read(left, len(sine)).samples - sine / 2).max() < 1e-7


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "flac"])
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_mono_files_give_what_ffmpeg_gives_to_the_bit(tmp_path: Path, codec: str, rate: int) -> None:
    path = write(tmp_path / "a.mkv", tones(1, rate), "mono", rate, codec)
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        fifo, resampler = av.AudioFifo(), av.AudioResampler("fltp", "mono", 48_000)
        for frame in frames:
            frame.pts = None
            fifo.write(frame)
        pieces = [out.to_ndarray()[0] for part in (fifo.read(), None) for out in resampler.resample(part) if out]
    right = np.concatenate(pieces)
    assert np.array_equal(read(path, len(right)).samples, right)


def test_what_lies_beyond_1_keeps_its_value(tmp_path: Path) -> None:
    loud = tones(2, 48_000, peak=40.0)
    for layout, channels in (("stereo", loud), ("mono", loud[:1])):
        path = write(tmp_path / f"{layout}.wav", channels, layout)
        assert np.allclose(read(path, 12_000).samples, channels.mean(axis=0), atol=1e-5)


def test_the_overshoot_of_resampling_is_not_cut(tmp_path: Path) -> None:
    square = np.sign(np.sin(2 * np.pi * 441 * np.arange(11_025) / 44_100))[None] * 32767 / 32768
    samples = read(write(tmp_path / "a.wav", square, "mono", 44_100, "pcm_s16le"), 11_000).samples
    assert 1.05 < np.abs(samples).max() < 1.3


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_samples_that_are_no_numbers_are_silence(tmp_path: Path, layout: str, rate: int) -> None:
    channels = np.repeat(tones(1, rate), LAYOUTS.get(layout, 1), axis=0)
    right = read(write(tmp_path / "right.wav", channels, layout, rate), 10_000).samples
    for place, value in ((2000, np.nan), (4000, np.inf), (6000, -np.inf), (8000, 3e38)):
        channels[0, place] = value
    samples = read(write(tmp_path / "a.wav", channels, layout, rate), 10_000).samples
    assert np.isfinite(samples).all()
    if rate == 48_000:  # else the resampler's filter spreads them over a millisecond
        different = np.flatnonzero(samples != right)
        assert different.tolist() == [2000, 4000, 6000, 8000] and not samples[different].any()


def test_channels_in_an_order_of_their_own_are_read(tmp_path: Path) -> None:
    """QuickTime's L R Ls Rs C LFE: FFmpeg keeps a map for it, which once ended the process."""
    channels = tones(6, 48_000)
    path = write(tmp_path / "a.mov", channels, "5.1", codec="pcm_s16le")
    data = bytearray(path.read_bytes())
    at = data.index(b"chan") + 8
    data[at : at + 4] = (122 << 16 | 6).to_bytes(4, "big")
    path.write_bytes(bytes(data))
    for _ in range(20):
        assert np.abs(read(path, 12_000).samples - channels.mean(axis=0)).max() < 1e-4


def test_a_run_ends_where_the_channels_change(tmp_path: Path) -> None:
    """MPEG-TS may go from mono to stereo in the middle; the same sound is as loud before and after."""
    sine = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    parts = [
        write(tmp_path / f"{layout}.mp2", np.repeat(sine[None], count, axis=0), layout, codec="mp2").read_bytes()
        for layout, count in (("mono", 1), ("stereo", 2))
    ]
    path = tmp_path / "both.mp2"
    path.write_bytes(b"".join(parts))
    samples = read(path, 96_000).samples
    for first in (4800, 60_000):
        assert np.abs(samples[first : first + 24_000]).max() == pytest.approx(0.5, abs=0.02)


WANTS = Wants.evaluation(small_config(model__inputs__video=None))


@pytest.mark.parametrize(("peak", "codec"), [(0.9, "pcm_s16le"), (1.0, "pcm_s16le"), (1.7, "pcm_f32le")])
@pytest.mark.parametrize("rate", [48_000, 22_050])
def test_a_shard_keeps_sound_of_any_loudness(tmp_path: Path, peak: float, codec: str, rate: int) -> None:
    channels = peak * np.repeat(tones(1, 48_000, 2.0, peak=1.0), 2, axis=0)
    clip = whole(write(tmp_path / "a.wav", channels, "stereo"), 2.0)
    copy = stored(clip, tmp_path)
    with open_clip(copy.path, 60) as shard:
        assert shard.audio.codec_context.name == codec
    loss = 0.0 if codec == "pcm_f32le" else 1 / 32768
    for moment in (0.0, 0.37, 0.99):
        source, shard = (read_clip(each, WANTS, moment).audio for each in (clip, copy))
        assert source is not None and shard is not None and np.abs(source - shard).max() <= loss
    with open_clip(clip.path, 60) as source, open_clip(copy.path, 60) as shard:
        one, other = (read_sound(each, 0.5, rate, rate) for each in (source, shard))  # through frames, resampled
        assert np.abs(one.samples - other.samples).max() <= 4 * loss + 1e-6
    with tarfile.open(tmp_path / "train-000000.tar") as tar:
        (member,) = [name for name in tar.getnames() if name.endswith(".wav")]
        data = tar.extractfile(member)
        assert data is not None
        with av.open(io.BytesIO(data.read())) as container:  # as any other program reads it
            (stream,) = container.streams
            assert (stream.codec_context.name, stream.rate, stream.channels) == (codec, 48_000, 1)
            read_by_others = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert np.abs(read_by_others / (1 if codec == "pcm_f32le" else 32768) - channels[0]).max() < 1e-4


@given(st.lists(st.floats(-1, 1, width=32), max_size=30), st.sampled_from([8000, 48_000]))
def test_sound_within_1_is_stored_as_ever(samples: list[float], rate: int) -> None:
    """To the byte, so a copy that was made before keeps its digest."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(rate)
        rounded = np.round(np.array(samples, np.float32) * 32768)
        wav.writeframes(np.clip(rounded, -32768, 32767).astype("<i2").tobytes())
    data = write_wav(np.array(samples, np.float32), rate)
    assert data == file.getvalue() and read_head(data[:HEAD]) == (np.dtype("<i2"), 44)


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=30))
def test_sound_beyond_1_is_stored_to_the_bit(samples: list[float]) -> None:
    loud = np.array([*samples, 1.5], np.float32)
    data = write_wav(loud, 48_000)
    kind, position = read_head(data[:HEAD])
    assert kind == np.dtype("<f4") and np.array_equal(np.frombuffer(data, kind, offset=position), loud)


@pytest.mark.parametrize("head", [b"", b"RIFF", b"RIFF....WAVEfmt \x10\0\0\0" + b"\7" * 40, b"\0" * 64])
def test_other_files_are_no_sound_of_a_shard(head: bytes) -> None:
    with pytest.raises(ValueError, match="no wav file"):
        read_head(head)


def test_nothing_is_read_of_a_file_that_has_no_sound_there(tmp_path: Path) -> None:
    path = make_media(tmp_path / "a.wav", samples=tones(2, 48_000), **STEREO)
    sound = read(path, 100, start=5.0)
    assert not sound.samples.any() and not sound.heard.any()
