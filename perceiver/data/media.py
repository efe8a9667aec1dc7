"""One media file, opened for reading at any time: its best streams, its length, its frames from a given second on.

All times are seconds since the file's own beginning, whatever number its first time stamp has, so sound and picture
keep their distance. A file that can't be read raises `ClipError` with one of these reasons:

    missing, empty, not media, truncated, damaged, absurd header, no streams, too slow

What storage does not give raises `StorageError` instead (see `faults`).
"""

import math
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from types import TracebackType
from typing import Any, BinaryIO

import av
import av.error
from av.stream import Discard, Disposition

from perceiver.data.faults import late, missing, require_given
from perceiver.data.fetching import Ahead
from perceiver.data.files import is_local, local_path
from perceiver.data.timeline import Timeline
from perceiver.errors import ClipError

MAX_PIXELS = 8192 * 4608
"""Largest picture that is decoded: 8K with a margin. A damaged header may claim any size, and memory is taken first."""
MAX_SECONDS = 48 * 3600.0
MAX_CHANNELS, RATES = 64, range(1_000, 768_001)
_ART = Disposition.attached_pic | Disposition.timed_thumbnails
_ASIDE = Disposition.comment | Disposition.hearing_impaired | Disposition.visual_impaired
_FAR = 1.0
"""Seconds before the wanted sound that no decoder needs to have heard."""
_BEGINNING_OF_MP4 = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


class Media:
    """An open file; use it in a `with` block. `video` and `audio` are its best streams, None where it has none.

    `deadline` is how many seconds all work on this file may take; `ahead` has asked for remote ones.

    Raises:
        ClipError: the file can't be opened or claims an absurd size.
        StorageError: storage does not give it.
    """

    def __init__(self, path: str, deadline: float, ahead: Ahead | None = None) -> None:
        self.path = path
        self._seconds, self._ends, self._began = deadline, time.monotonic() + deadline, time.thread_time()
        self._source = _source(path, deadline, ahead or Ahead())
        self._container = _open(path, deadline, self._source)
        try:
            self.video, self.audio = (_best(self._container, kind) for kind in ("video", "audio"))
            self._check_header()
            self._times = Timeline(self._container, self.video, self.audio, self._packets)
            self.beginning, self.duration = self._times.beginning, self._times.duration
            if self.duration > MAX_SECONDS:
                raise ClipError("absurd header", f"{path} claims to last {self.duration / 3600:.0f} hours")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __enter__(self) -> "Media":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
        if failure := getattr(self._source, "failure", None):
            raise failure
        if isinstance(error, ClipError):
            require_given(self.path)

    def close(self) -> None:
        self._container.close()

    def frames(self, stream: Any, start: float) -> Iterator[tuple[float, Any]]:
        """Time and decoded frame, in order, from the last keyframe at or before `start` on.

        Video frames that end before `start` and that no other frame needs are not decoded. Damage is passed over
        where it can't be seen or heard: in sound before `start`, and before the first picture that can be decoded.

        Raises:
            ClipError: damaged, truncated, too slow.
        """
        context, second, video = stream.codec_context, float(stream.time_base), stream.type == "video"
        harmless, skipping, begun = True, None, start <= 0 and not self._times.begins_anywhere
        zero, order = self._times.zero(stream), self._times.order(stream)
        far = start - _FAR if not video and self._times.needs_all(stream) else -math.inf
        packets = self._packets([stream], self._times.position(stream, start))
        for packet in self._times.joined(stream, packets):
            ends = math.inf
            if packet.pts is not None:
                ends = (packet.pts + (packet.duration or 0)) * second - zero
            if ends < far or (not packet.size and packet.dts is not None):
                continue  # without bytes: Theora's way to show a picture again
            if order is not None:
                order.add(packet)
            elif video and skipping is not (skip := bool(packet.duration and ends <= start)):
                skipping, context.skip_frame = skip, "NONREF" if skip else "DEFAULT"
            try:
                decoded = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError) as error:
                if harmless and (ends <= start or not begun):
                    continue
                message = f"{self.path}: {stream.type} can't be decoded at {ends:.2f} s: {error}"
                raise ClipError("truncated" if packet.is_corrupt else "damaged", message) from None
            harmless = not video or (harmless and not decoded)
            begun = begun or bool(decoded)
            if len(decoded) > 1 and not video:
                _follow_each_other(decoded)
            for frame in decoded:
                if order is not None:
                    frame.pts = order.next()
                elif frame.pts is None:
                    frame.pts = frame.dts
                if frame.pts is not None:
                    yield frame.time - zero, frame

    def check_deadline(self) -> None:
        """Raises:
        ClipError: too slow.
        StorageError: the time passed without work on it.
        """
        if time.monotonic() > self._ends:
            raise late(self.path, self._seconds, time.thread_time() - self._began)

    def _packets(self, streams: list[Any], position: int) -> Iterator[Any]:
        """Of some streams, from the keyframe at or before a time stamp of the first one on."""
        for other in self._container.streams:
            other.discard = Discard.default if other in streams else Discard.all
        self._seek(streams[0], position)
        packets = self._container.demux(streams)
        while True:
            self.check_deadline()
            try:
                packet = next(packets)
            except (StopIteration, av.error.EOFError):
                require_given(self.path, last=1)
                return
            except (av.error.FFmpegError, OSError, IndexError) as error:  # IndexError: a stream that appears on the way
                raise ClipError("damaged", f"{self.path} can't be read beyond a point: {error}") from None
            if packet.is_corrupt:
                require_given(self.path)
            yield packet

    def _seek(self, stream: Any, position: int) -> None:
        try:
            try:
                self._container.seek(position, stream=stream, backward=True)
            except (av.error.FFmpegError, OSError):
                # No index and no way to search: begin at the first byte, as a player would.
                self._container.seek(0, backward=True, any_frame=True)
        except (av.error.FFmpegError, OSError) as error:
            raise ClipError("damaged", f"{self.path} can't be searched: {error}") from None
        stream.codec_context.flush_buffers()

    def _check_header(self) -> None:
        if self.video is None and self.audio is None:
            raise ClipError("no streams", f"{self.path} has neither a video nor an audio stream that can be decoded")
        if self.video is not None:
            width, height = self.video.codec_context.width, self.video.codec_context.height
            if width * height > MAX_PIXELS:
                raise ClipError("absurd header", f"{self.path} claims {width} x {height} pixels")
        if self.audio is not None:
            rate, channels = self.audio.codec_context.sample_rate, self.audio.codec_context.channels
            if rate not in RATES or not 0 < channels <= MAX_CHANNELS:
                raise ClipError("absurd header", f"{self.path} claims {channels} channels of sound at {rate} Hz")


def _follow_each_other(frames: list[Any]) -> None:
    """Gives times to the frames of one packet of sound, of which FFmpeg tells the first one's."""
    for before, frame in pairwise(frames):
        if before.pts is not None and frame.pts in (None, before.pts):
            frame.pts = before.pts + round(before.samples / before.sample_rate / before.time_base)


def _source(path: str, deadline: float, ahead: Ahead) -> str | BinaryIO:
    """What FFmpeg opens: the plain path of a file of this machine, or a remote one."""
    if not is_local(path):
        return ahead.open(path, deadline)
    plain = local_path(path)
    if os.path.exists(plain) and not os.path.isfile(plain):
        raise ClipError("not media", f"{path} is no regular file")
    return os.path.abspath(plain)  # FFmpeg takes what stands before a colon for a protocol


def _open(path: str, deadline: float, source: str | BinaryIO) -> Any:
    began = time.thread_time()
    # max_pixels: FFmpeg decodes a few pictures while it probes, so the limit has to be told before.
    options = {"max_pixels": str(MAX_PIXELS)}
    try:
        container: Any = av.open(source, options=options, metadata_errors="replace", timeout=deadline)
    except FileNotFoundError:
        raise missing(path) from None
    except av.error.ExitError:
        raise late(path, deadline, time.thread_time() - began) from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        require_given(path)
        raise _unopened(path, source, error) from None
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        container.close()
        raise ClipError("not media", f"{path} is a picture, not video or sound")
    for stream in container.streams:
        if stream.type in ("video", "audio") and stream.codec_context is not None:
            stream.codec_context.thread_count = 1  # parallel over files; frame threads would add delay to every seek
            if stream.type == "audio":
                _count_channels_only(stream.codec_context)
    return container


def _count_channels_only(context: Any) -> None:
    """Forgets which loudspeaker each channel is for, which a mean need not know.

    PyAV frees the map of a layout with an order of its own (a QuickTime file's L R Ls Rs C LFE) twice, which kills the
    process: once with the layout that it gives out here, and once more with the context or a frame.
    """
    layout = context.layout
    if layout.nb_channels:
        context.layout = "mono" if layout.nb_channels == 1 else f"{layout.nb_channels} channels"


def _unopened(path: str, source: str | BinaryIO, error: Exception) -> ClipError:
    """Which of the ways a file can be no media this is, from its first bytes."""
    if isinstance(source, str):
        with open(source, "rb") as file:
            head = file.read(12)
    else:
        source.seek(0)
        head = source.read(12)
    if not head:
        return ClipError("empty", f"{path} has zero bytes")
    if head[4:8] in _BEGINNING_OF_MP4:
        return ClipError("truncated", f"{path} begins as mp4 but its index can't be read, it was cut off: {error}")
    return ClipError("not media", f"{path} can't be opened as video or sound: {error}")


def _best(container: Any, kind: str) -> Any:
    """FFmpeg's choice (the default one, then the most pixels or bits) among what is no cover art and no commentary."""
    streams = [
        s for s in container.streams if s.type == kind and s.codec_context is not None and not s.disposition & _ART
    ]
    streams = [stream for stream in streams if not stream.disposition & _ASIDE] or streams
    best = container.streams.best(kind) if streams else None
    return best if best in streams else max(streams, key=_rank, default=None)


def _rank(stream: Any) -> tuple[bool, int]:
    context = stream.codec_context
    size = context.width * context.height if stream.type == "video" else context.channels
    return bool(stream.disposition & Disposition.default), size
