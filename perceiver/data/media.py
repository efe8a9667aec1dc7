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
from itertools import islice
from types import TracebackType
from typing import Any, BinaryIO

import av
import av.error
from av.stream import Discard

from perceiver.data.faults import late, missing, require_given
from perceiver.data.fetching import Ahead
from perceiver.data.files import is_local, local_path
from perceiver.errors import ClipError

MAX_PIXELS = 8192 * 4608
"""Largest picture that is decoded: 8K with a margin. A damaged header may claim any size, and memory is taken first."""
MAX_SECONDS = 48 * 3600.0
MAX_CHANNELS, RATES = 64, range(1_000, 768_001)
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
            self.beginning = self._beginning()
            self._late = self._late_pictures()
            self.duration = self._duration()
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
        harmless, skipping = True, None
        beginning = self.beginning + (self._late if video else 0.0)
        for packet in self._packets(stream, start):
            ends = math.inf
            if packet.pts is not None:
                ends = (packet.pts + (packet.duration or 0)) * second - beginning
            if video and skipping is not (skip := bool(packet.duration and ends <= start)):
                skipping, context.skip_frame = skip, "NONREF" if skip else "DEFAULT"
            try:
                decoded = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError) as error:
                if harmless and ends <= start:
                    continue
                message = f"{self.path}: {stream.type} can't be decoded at {ends:.2f} s: {error}"
                raise ClipError("truncated" if packet.is_corrupt else "damaged", message) from None
            harmless = not video or (harmless and not decoded)
            for frame in decoded:
                if frame.pts is not None:
                    yield frame.time - beginning, frame

    def check_deadline(self) -> None:
        """Raises:
        ClipError: too slow.
        StorageError: the time passed without work on it.
        """
        if time.monotonic() > self._ends:
            raise late(self.path, self._seconds, time.thread_time() - self._began)

    def _packets(self, stream: Any, start: float) -> Iterator[Any]:
        for other in self._container.streams:
            other.discard = Discard.default if other == stream else Discard.all
        self._seek(stream, start)
        packets = self._container.demux(stream)
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

    def _seek(self, stream: Any, start: float) -> None:
        position = 0 if start <= 0 or self._misplaces(stream) else int((start + self.beginning) / stream.time_base)
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

    def _beginning(self) -> float:
        """The time stamp that counts as 0: the first picture's, unless sound begins long before it.

        Sound begins a frame early where a container can't hide an encoder's delay; following it would put every
        picture between two steps of the grid.
        """
        begins = max(0.0, (self._container.start_time or 0) / av.time_base)
        if self.video is None or self.video.start_time is None:
            return begins
        pictures_begin = float(self.video.start_time * self.video.time_base)
        return pictures_begin if 0 <= pictures_begin - begins < 0.1 else begins

    def _late_pictures(self) -> float:
        """Seconds by which the pictures of an AVI are later than its sound.

        It stores no times, and FFmpeg takes H.264's pictures for one frame late. Sound is late too, by about a frame
        of its codec, unless whoever wrote the file left a gap after the first picture for that.
        """
        if not self._is_avi or self.video is None:
            return 0.0
        begin = [p for p in islice(self._packets(self.video, 0.0), 4) if p.pts is not None and p.dts is not None]
        if len(begin) < 4 or begin[0].pts == begin[0].dts:
            return 0.0
        gap, step = begin[1].dts - begin[0].dts, begin[3].dts - begin[2].dts
        context = self.audio.codec_context if self.audio is not None and gap <= step else None
        sound = (context.frame_size or 0) / context.sample_rate if context is not None else 0.0
        return max(0.0, float(step * self.video.time_base) - sound)

    def _misplaces(self, stream: Any) -> bool:
        """Whether a search goes wrong: in an AVI with dropped frames FFmpeg counts some of them twice after it."""
        return self._is_avi and stream.type == "video" and len(stream.index_entries) < (stream.duration or 0)

    @property
    def _is_avi(self) -> bool:
        return "avi" in self._container.format.name.split(",")

    def _duration(self) -> float:
        streams = [stream for stream in (self.video, self.audio) if stream is not None]
        known = [_stream_end(stream) - self.beginning for stream in streams if stream.duration]
        duration = max(known, default=(self._container.duration or 0) / av.time_base)
        if len(known) == 2 and known[0] < known[1] < known[0] + 0.1:
            duration = known[0]  # sound comes in whole frames of its codec and so ends a little after the last picture
        if duration <= 0:
            duration = max((self._last_end(stream) for stream in streams), default=0.0)
        if duration > MAX_SECONDS:
            raise ClipError("absurd header", f"{self.path} claims to last {duration / 3600:.0f} hours")
        return duration

    def _last_end(self, stream: Any) -> float:
        """Where no header tells the length: the end of the last packet, read without decoding."""
        ends = [p.pts + (p.duration or 0) for p in self._packets(stream, 0.0) if p.pts is not None]
        return float(max(ends, default=0) * stream.time_base) - self.beginning


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
    """FFmpeg's choice, which favours the most pixels or channels; cover art and unknown codecs do not count."""
    streams = [s for s in container.streams if s.type == kind and s.codec_context is not None and not _is_picture(s)]
    best = container.streams.best(kind) if streams else None
    return best if best in streams else (streams[0] if streams else None)


def _is_picture(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _stream_end(stream: Any) -> float:
    return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
