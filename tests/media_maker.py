"""Makes small media files with known contents for the tests of the data path."""

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from perceiver.config import RunConfig, with_changes
from perceiver.data.dataset import Clip

TICKS = 60_000


def small_config(**changes: Any) -> RunConfig:
    """A config with 32-pixel frames and nine classes; double underscores stand for dots."""
    small: dict[str, Any] = {"model.inputs.video.size": 32, "model.classes": 9}
    return with_changes(RunConfig(), small | {key.replace("__", "."): value for key, value in changes.items()})


def whole(path: Path | str, seconds: float = 10.0, start: float = 0.0) -> Clip:
    """A clip that is all of a file."""
    return Clip(Path(path).stem, str(path), start, start + seconds, True, ())


def make_media(
    path: Path,
    pictures: Sequence[tuple[float, np.ndarray]] = (),
    samples: np.ndarray | None = None,
    *,
    rate: int = 48_000,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound_codec: str = "aac",
    gop: int = 25,
    sound_start: float = 0.0,
    layout: str = "mono",
    rotation: float = 0,
    mirrored: bool = False,
    tags: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    full_range: bool = False,
    form: str | None = None,
    b_frames: int | None = None,
    pixel: Fraction | None = None,
) -> Path:
    """Writes pictures [(seconds, uint8 (H, W, 3))] and samples (S,) or (channels, S) with exactly these times.

    `rotation` is counter-clockwise, and `mirrored` left to right after it; `tags` are the video stream's;
    `form` is FFmpeg's name of a container that the path's suffix does not tell;
    `pixel` is a pixel's width over its height.
    """
    with av.open(str(path), "w", format=form, container_options=container_options or {}) as container:
        video: Any = _video_stream(container, codec, pixels, gop, pictures, full_range) if pictures else None
        if b_frames is not None:
            video.codec_context.max_b_frames = b_frames
        if rotation or mirrored:
            video.set_display_rotation(rotation, hflip=mirrored)
        if tags:
            video.metadata.update(tags)
        audio: Any = container.add_stream(sound_codec, rate=rate, layout=layout) if samples is not None else None
        if pixel is not None:
            video.codec_context.sample_aspect_ratio = pixel
        if sound_codec == "wmav2":
            audio.bit_rate = 128_000
        packets = []
        for at, picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=pixels, dst_color_range="JPEG" if full_range else None)
            frame.pts, frame.time_base = round(at * TICKS), Fraction(1, TICKS)
            packets += video.encode(frame)
        packets += video.encode(None) if video else []
        packets += _sound_packets(audio, samples, rate, layout, sound_start) if audio else []
        for packet in sorted(packets, key=lambda p: float((p.dts if p.dts is not None else 0) * p.time_base)):
            container.mux(packet)
    return path


def make_photos(path: Path, picture: np.ndarray, orientation: int) -> Path:
    """Writes ten JPEGs with EXIF of an orientation (1 to 8), as a camera's motion JPEG has them."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(file, "JPEG", quality=95, exif=exif.tobytes())
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuvj420p"
        for number in range(10):
            packet = av.Packet(file.getvalue())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = number
            container.mux(packet)
    return path


def _video_stream(
    container: Any, codec: str, pixels: str, gop: int, pictures: Sequence[tuple[float, np.ndarray]], full_range: bool
) -> Any:
    video = container.add_stream(codec, rate=25)
    video.height, video.width = pictures[0][1].shape[:2]
    video.pix_fmt, video.gop_size = pixels, gop
    video.codec_context.time_base = Fraction(1, TICKS)
    if codec in ("mpeg1video", "mpeg2video", "mpeg4", "wmv2"):
        video.codec_context.time_base = Fraction(1, 25)  # all that their headers can say
        video.codec_context.bit_rate = 2_000_000
    if full_range:
        video.codec_context.color_range = 2
    return video


def _sound_packets(audio: Any, samples: np.ndarray, rate: int, layout: str, start: float) -> list[Any]:
    fifo = av.AudioFifo()
    planes = np.atleast_2d(samples).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
    frame.sample_rate = rate
    resampler = av.AudioResampler(format=audio.format.name, layout=layout, rate=rate)
    for out in resampler.resample(frame):
        out.pts = None
        fifo.write(out)
    size = audio.codec_context.frame_size or 1024
    packets: list[Any] = []
    position = round(start * rate)
    while (piece := fifo.read(size, partial=True)) is not None:
        piece.pts, piece.time_base = position, Fraction(1, rate)
        position += piece.samples
        packets += audio.encode(piece)
    return packets + list(audio.encode(None))


def grey(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture of one grey."""
    return np.full((height, width, 3), level, np.uint8)


def flashes_and_clicks(times: Sequence[float], seconds: float, fps: float | Sequence[float], rate: int) -> Any:
    """Pictures that are white for 0.12 s from each time on, and samples with a short tone from the same times on.

    `fps` may be the times of all pictures. A flash begins with the first picture at or after its time, and its click
    with that picture, so that they are truly together.
    """
    at = np.arange(int(seconds * fps)) / fps if isinstance(fps, float | int) else np.asarray(fps)
    begins = np.array([at[np.searchsorted(at, time - 1e-9)] for time in times])
    levels = [235 if ((t >= begins - 1e-9) & (t < begins + 0.12 - 1e-9)).any() else 16 for t in at]
    samples = np.zeros(int(seconds * rate), np.float32)
    t = np.arange(int(0.12 * rate)) / rate
    for begin in begins:
        first = round(begin * rate)
        tone = 0.8 * np.sin(2 * np.pi * 1000 * t)
        samples[first : first + len(t)] = tone[: len(samples) - first]
    return [(float(time), grey(level)) for time, level in zip(at, levels, strict=True)], samples


def cut(path: Path, fraction: float) -> Path:
    """The file with only the first part of its bytes left."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def damage_packet(path: Path, kind: str, seconds: float) -> Path:
    """Overwrites with noise the largest packet of a stream within a fifth of a second of a time."""
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        near = [packet for packet in packets if abs(float(packet.pts * packet.time_base) - seconds) < 0.2]
        packet = max(near, key=lambda packet: packet.size)
        position, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[position : position + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(bytes(data))
    return path


def join_files(path: Path, *parts: Path) -> Path:
    """The bytes of some files one after another, as a recorder that was restarted writes them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def set_edits(path: Path, edits: dict[int, list[tuple[float, float | None]]]) -> Path:
    """Gives tracks of an mp4 by their number other edit lists: (seconds, second in the track, or None for nothing).

    Second 0 of a track is where its old edit list begins. The file's index must be at its end.
    """
    data = path.read_bytes()
    at, size = next((at, size) for kind, at, size in _boxes(data, 0, len(data)) if kind == b"moov")
    assert at + size == len(data), "its index is not at the end, and positions would move"
    scale = int.from_bytes(data[at + 28 : at + 32])
    tracks, parts = 0, []
    for kind, first, length in _boxes(data, at + 8, len(data)):
        part = data[first : first + length]
        if kind == b"trak":
            part = _edited(part, edits[tracks], scale) if tracks in edits else part
            tracks += 1
        parts.append(part)
    path.write_bytes(data[:at] + _box(b"moov", b"".join(parts)))
    return path


def set_durations(path: Path, factor: float) -> Path:
    """Makes the headers of an mp4 claim some times what it lasts."""
    data = bytearray(path.read_bytes())
    for kind, place in ((b"mvhd", 24), (b"tkhd", 28), (b"mdhd", 24)):
        at = -1
        while (at := data.find(kind, at + 1)) >= 0:
            field = slice(at - 4 + place, at + place)
            data[field] = int(int.from_bytes(data[field]) * factor).to_bytes(4)
    path.write_bytes(bytes(data))
    return path


def set_pixel(path: Path, width: int, height: int) -> Path:
    """Gives the track of an mp4 another `pasp` box, which tells how wide and high a pixel is."""
    data = bytearray(path.read_bytes())
    at = data.index(b"pasp") + 4
    data[at : at + 8] = width.to_bytes(4) + height.to_bytes(4)
    path.write_bytes(bytes(data))
    return path


def _edited(track: bytes, edits: list[tuple[float, float | None]], scale: int) -> bytes:
    header, zero, kept = track.index(b"mdhd"), 0, list[bytes]()
    rate = int.from_bytes(track[header + 16 : header + 20])
    if (old := track.find(b"elst")) >= 0:
        zero = int.from_bytes(track[old + 16 : old + 20])
    entries = [
        round(seconds * scale).to_bytes(4)
        + (-1 if begin is None else zero + round(begin * rate)).to_bytes(4, signed=True)
        + bytes.fromhex("00010000")
        for seconds, begin in edits
    ]
    edit_list = _box(b"edts", _box(b"elst", bytes(4) + len(entries).to_bytes(4) + b"".join(entries)))
    for kind, at, size in _boxes(track, 8, len(track)):
        if kind != b"edts":
            kept.append(track[at : at + size] + (edit_list if kind == b"tkhd" else b""))
    return _box(b"trak", b"".join(kept))


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, position and size of the boxes of an mp4 that lie one after another."""
    while at < end:
        size = int.from_bytes(data[at : at + 4])
        yield data[at + 4 : at + 8], at, size
        at += size


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content
