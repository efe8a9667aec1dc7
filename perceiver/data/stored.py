"""One clip in the form that shards hold: cheap to read at any place, and readable by any other program.

    <key>.json    what the clip is: row, times, labels, and the bytes of each picture, heard stretches of sound
    <key>.h264    pictures at 25 per second, an elementary stream whose every 12th picture is a keyframe
    <key>.wav     sound as 48 kHz mono samples of 16 bits, or floats where it goes beyond [-1, 1]

A modality that the file lacks has no member. The clip lies on the grid that training reads, so there is nothing to
probe, to search or to resample: some bytes of the pictures, some of the samples. `StoredClip` offers what `Media`
offers, hence whatever reads media files reads these, at other rates and sizes too.
"""

import io
import json
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Any, BinaryIO

import av
import av.error
import numpy as np

from perceiver.data.faults import late, missing, withheld
from perceiver.data.fetching import Ahead
from perceiver.data.files import FilePair, FileRange, is_local, local_path
from perceiver.data.media import Media
from perceiver.data.paired import PairedMedia
from perceiver.data.sounds import Sound
from perceiver.data.wav import HEAD, read_head
from perceiver.errors import ClipError

_PIECE = 12_000
"""Samples in one frame of sound, a quarter of a second."""
_SAMPLES = {"<i2": ("s16", "pcm_s16le", 32768), "<f4": ("flt", "pcm_f32le", 1)}
"""Type of stored samples -> FFmpeg's names for their format and codec, and what counts as 1."""


def open_clip(path: str, deadline: float, ahead: Ahead | None = None) -> "Media | StoredClip":
    """A media file, a clip in two of them or in a shard, ready to be read; `ahead` has asked for remote ones.

    Raises:
        ClipError: it can't be opened.
        StorageError: storage does not give it.
    """
    if (where := FileRange.parse(path)) is not None:
        return StoredClip(where, deadline, ahead)
    pair = FilePair.parse(path)
    return Media(path, deadline, ahead) if pair is None else PairedMedia(pair, deadline, ahead)


@dataclass(frozen=True)
class _Codec:
    """What a codec context would say."""

    name: str
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0
    frame_size: int = 0


@dataclass(frozen=True)
class _Stream:
    """A stream as `Media` would describe it, and the position of its first byte."""

    type: str
    codec_context: _Codec
    duration: int
    time_base: Fraction
    position: int
    sample_aspect_ratio: float = 1.0
    metadata: Mapping[str, str] = field(default_factory=dict)


class StoredClip:
    """An open clip; use it in a `with` block. `video` and `audio` are its streams, None where it has none.

    Raises:
        ClipError: missing, too slow; damaged: no clip lies there.
        StorageError: storage does not give it.
    """

    def __init__(self, where: FileRange, deadline: float, ahead: Ahead | None = None) -> None:
        self.path = str(where)
        self._seconds, self._ends, self._began = deadline, time.monotonic() + deadline, time.thread_time()
        self._file, self._first = self._open(where, deadline, ahead or Ahead())
        try:
            self._read_header(where.length)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "StoredClip":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def frames(self, stream: Any, start: float) -> Iterator[tuple[float, Any]]:
        """Time and decoded frame, in order, from the one at `start` on.

        Raises:
            ClipError: damaged, too slow.
        """
        return self._pictures(start) if stream is self.video else self._pieces(start)

    def sound(self, start: float, count: int, rate: int) -> Sound | None:
        """What `read_sound` would give, straight from the samples; None where they have another rate."""
        assert self.audio is not None
        if rate != self.audio.codec_context.sample_rate:
            return None
        first, (_, end) = round(start * rate), self._heard[-1]
        samples, heard = np.zeros(count, np.float32), np.zeros(count, bool)
        for begin, stop in self._heard:
            heard[max(begin - first, 0) : max(stop - first, 0)] = True
        left, right = max(first, 0), min(first + count, end)
        if left < right:
            np.divide(
                self._samples(left, right), self._full, out=samples[left - first : right - first], dtype=np.float32
            )
        return Sound(samples, heard)

    def _pictures(self, start: float) -> Iterator[tuple[float, Any]]:
        """Each packet gives its picture at once: there are no B frames."""
        assert self.video is not None
        tick, sizes = self.video.time_base, self._sizes
        first = min(max(int(start / tick + 1e-6), 0), len(sizes) - 1)
        group = first - first % self._group
        position = self.video.position + sum(sizes[:group])
        decoder: Any = av.CodecContext.create("h264", "r")
        decoder.thread_count = 1
        for begin in range(group, len(sizes), self._group):
            data = memoryview(self._read(position, sum(sizes[begin : begin + self._group])))
            position += len(data)
            for number, size in enumerate(sizes[begin : begin + self._group], begin):
                packet, data = av.Packet(bytes(data[:size])), data[size:]
                packet.pts, packet.duration, packet.time_base = number, 1, tick
                try:
                    (frame,) = decoder.decode(packet)
                except (av.error.FFmpegError, ValueError) as error:
                    raise ClipError("damaged", f"{self.path}: picture {number} can't be decoded: {error}") from None
                if number >= first:
                    yield number * float(tick), frame

    def _pieces(self, start: float) -> Iterator[tuple[float, Any]]:
        """Only what was heard: gaps of the source stay gaps."""
        assert self.audio is not None
        rate = self.audio.codec_context.sample_rate
        wanted = max(int(start * rate), 0)
        for begin, end in self._heard:
            for at in range(max(begin, wanted), end, _PIECE):
                count = min(_PIECE, end - at)
                frame = av.AudioFrame.from_ndarray(self._samples(at, at + count)[None], self._format, layout="mono")
                frame.sample_rate = rate
                yield at / rate, frame

    def _samples(self, first: int, end: int) -> np.ndarray:
        """As they are stored."""
        assert self.audio is not None
        size = self._type.itemsize
        return np.frombuffer(self._read(self.audio.position + size * first, size * (end - first)), self._type)

    def _open(self, where: FileRange, deadline: float, ahead: Ahead) -> tuple[BinaryIO, int]:
        """A file, and where in it the clip begins: a local shard is read in parts, of a remote one just this clip."""
        if not is_local(where.path):
            return ahead.open(self.path, deadline), 0
        try:
            return open(local_path(where.path), "rb", buffering=0), where.start
        except FileNotFoundError:
            raise missing(self.path) from None
        except OSError as error:
            raise withheld(self.path, error) from error

    def _read_header(self, length: int) -> None:
        try:
            members = self._members(length)
            position, size = members["json"]
            about = json.loads(self._read(position, size))
            pictures, sound = about["pictures"], about["sound"]
            self.beginning, self.duration = 0.0, float(about["seconds"])
            self.video = self._video(pictures, members["h264"][0]) if pictures else None
            self.audio = self._audio(sound, *members["wav"]) if sound else None
        except (tarfile.HeaderError, KeyError, TypeError, ValueError) as error:
            raise ClipError("damaged", f"{self.path} holds no clip: {error!r}") from None

    def _members(self, length: int) -> dict[str, tuple[int, int]]:
        """Suffix of each member -> position and size, from the headers of the tar file."""
        members, position = {}, 0
        while position < length:
            header = tarfile.TarInfo.frombuf(self._read(position, tarfile.BLOCKSIZE), "utf-8", "strict")
            members[header.name.partition(".")[2]] = position + tarfile.BLOCKSIZE, header.size
            position += tarfile.BLOCKSIZE * (1 + -(-header.size // tarfile.BLOCKSIZE))
        return members

    def _video(self, pictures: dict[str, Any], position: int) -> _Stream:
        self._sizes, self._group = pictures["sizes"], pictures["group"]
        codec = _Codec("h264", width=pictures["width"], height=pictures["height"])
        tick = 1 / Fraction(pictures["fps"])
        pixel = pictures["aspect"] * codec.height / codec.width if pictures["fit"] == "squash" else 1.0
        return _Stream("video", codec, len(self._sizes), tick, position, pixel)

    def _audio(self, sound: dict[str, Any], position: int, size: int) -> _Stream:
        self._heard = sound["heard"]
        self._type, header = read_head(self._read(position, min(size, HEAD)))
        self._format, name, self._full = _SAMPLES[self._type.str]
        codec = _Codec(name, sample_rate=sound["rate"], channels=1)
        return _Stream("audio", codec, self._heard[-1][1], Fraction(1, codec.sample_rate), position + header)

    def _read(self, position: int, size: int) -> bytes:
        """Bytes of the clip, counted from its beginning."""
        if time.monotonic() > self._ends:
            raise late(self.path, self._seconds, time.thread_time() - self._began)
        try:
            self._file.seek(self._first + position, io.SEEK_SET)
            data = self._file.read(size)
        except OSError as error:
            raise withheld(self.path, error) from error
        if len(data) < size:
            raise ClipError("truncated", f"{self.path} ends early: {len(data)} bytes of {size} at byte {position}")
        return data
