"""When a media file begins and ends, and where FFmpeg's own times of a file can't be taken as they are.

Three kinds of container tell their times badly. An AVI stores none, only the order in which pictures are decoded. An
MPEG transport or program stream may jump in the middle, where a broadcast was interrupted or two files were joined: it
is read once, without decoding, and what follows a jump is taken to follow at once, as FFmpeg's program takes it. And a
search within a program stream lands anywhere, and gives what it finds there wrong times.
"""

import math
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Any

import av

_ENCODER_DELAY = 0.1
"""Seconds by which sound begins early where a container can't hide an encoder's delay."""
_ESTIMATED = ("aac", "ac3", "eac3", "dts", "loas", "mp3")
"""Formats without a length: FFmpeg guesses it from the bits per second of the first frames."""
_JUMPING = ("mpegts", "mpeg")
_SCANNED = 64 * 2**20
"""Bytes up to which a transport stream is searched for jumps, which takes half a second."""
_FORWARD, _BACK = 10.0, 0.1
"""Seconds that are a jump: FFmpeg's `dts_delta_threshold`, and what its program takes for one backwards."""
_NEAR_END = 30.0
_SOUGHT = {"ogg": ("opus", "libopus"), "wav": ("pcm_",), "w64": ("pcm_",)}
"""Codecs of sound that a search finds in these formats; others are read from the first byte on."""

Packets = Callable[[list[Any], int], Iterator[Any]]


class Timeline:
    """The times of one open file. All seconds are since its `beginning`, itself a time stamp of the file.

    `packets(streams, position)` gives the packets of some streams from a time stamp of the first one on.
    """

    def __init__(self, container: Any, video: Any, audio: Any, packets: Packets) -> None:
        self._container, self._video, self._audio, self._packets = container, video, audio, packets
        self._format = container.format.name.split(",")[0]
        self._jumps: dict[int, list[tuple[int, float]]] = {}
        self.beginning = 0.0
        self.beginning = self._begin()
        self._late = self._late_pictures()
        scanned = self._scan() if self._may_jump() else 0.0
        self.duration = scanned or self._length()

    def zero(self, stream: Any) -> float:
        """The time stamp of a stream, in seconds, that is the file's beginning."""
        return self.beginning + (self._late if stream is self._video else 0.0)

    def needs_all(self, stream: Any) -> bool:
        """Whether a stream has to be read from its first byte, since a search goes wrong.

        In an AVI with dropped frames FFmpeg counts some of them twice after it; in an Ogg, whose pages tell only where
        their last packet ends, and in a WAV of anything but plain samples, it gives packets the times of others.
        """
        if self._format in _SOUGHT:
            return stream is self._audio and not stream.codec_context.name.startswith(_SOUGHT[self._format])
        if self._format == "avi" and stream is self._video:
            return self._has_order_only(stream) or len(stream.index_entries) < (stream.duration or 0)
        return self._format == "mpeg" or bool(self._jumps)

    @property
    def begins_anywhere(self) -> bool:
        """Whether a file may begin in the middle of a frame: those that are broadcast, or cut without any tool."""
        return self._format in _JUMPING or self._format in _ESTIMATED

    def position(self, stream: Any, start: float) -> int:
        """The time stamp to search for to read a stream from a second on."""
        if start > 0 and not self.needs_all(stream):
            return math.floor((start + self.beginning) / stream.time_base)
        return math.floor((self.beginning - 1) / stream.time_base) if self.beginning < 0 else 0

    def order(self, stream: Any) -> "Order | None":
        """What gives the pictures of a stream their times where packets and frames don't."""
        return Order() if self._has_order_only(stream) else None

    def joined(self, stream: Any, packets: Iterator[Any]) -> Iterator[Any]:
        """The packets of a stream, without jumps."""
        return self._without_jumps(stream, packets) if self._jumps else packets

    def _without_jumps(self, stream: Any, packets: Iterator[Any]) -> Iterator[Any]:
        jumps, shift = iter(self._jumps.get(stream.index, ())), 0
        at, seconds = next(jumps, (-1, 0.0))
        for number, packet in enumerate(packets):
            if number == at:
                shift = round(seconds / stream.time_base)
                at, seconds = next(jumps, (-1, 0.0))
            if shift and packet.pts is not None:
                packet.pts += shift
            if shift and packet.dts is not None:
                packet.dts += shift
            yield packet

    def _has_order_only(self, stream: Any) -> bool:
        """Whether the order of decoding is all that is known of pictures that are not shown in that order."""
        return self._format == "avi" and stream is self._video and bool(stream.codec_context.has_b_frames)

    def _read(self, streams: list[Any], start: float = 0.0) -> Iterator[Any]:
        return self._packets(streams, self.position(streams[0], start))

    def _begin(self) -> float:
        """The time stamp that counts as 0: the first picture's, unless sound begins long before it.

        Following sound that begins by an encoder's delay early would put every picture between two steps of the grid.
        Sound that begins before 0 by no more than that holds nothing but the delay there.
        """
        stamped = (self._container.start_time or 0) / av.time_base
        begins = 0.0 if -_ENCODER_DELAY < stamped < 0 else stamped
        if self._video is None or self._video.start_time is None:
            return begins
        pictures = float(self._video.start_time * self._video.time_base)
        return pictures if 0 <= pictures - min(begins, stamped) < _ENCODER_DELAY else begins

    def _late_pictures(self) -> float:
        """Seconds by which the pictures of an AVI are later than its sound.

        FFmpeg takes H.264's pictures for one frame late. Sound is late too, by about a frame of its codec, unless
        whoever wrote the file left a gap after the first picture for that.
        """
        if self._format != "avi" or self._video is None:
            return 0.0
        begin = [p for p in islice(self._read([self._video]), 4) if p.pts is not None and p.dts is not None]
        if len(begin) < 4 or begin[0].pts == begin[0].dts:
            return 0.0
        gap, step = begin[1].dts - begin[0].dts, begin[3].dts - begin[2].dts
        context = self._audio.codec_context if self._audio is not None and gap <= step else None
        sound = (context.frame_size or 0) / context.sample_rate if context is not None else 0.0
        taken = float(step * self._video.time_base)
        return max(0.0, taken - sound) - (taken if self._has_order_only(self._video) else 0.0)

    def _length(self) -> float:
        streams = self._streams()
        known = [self._told_end(stream) for stream in streams if stream.duration]
        duration = max(known, default=(self._container.duration or 0) / av.time_base)
        if len(known) == 2 and known[0] < known[1] < known[0] + _ENCODER_DELAY:
            duration = known[0]  # sound comes in whole frames of its codec and so ends a little after the last picture
        if duration <= 0 or (self._format in _ESTIMATED and not (self._audio and self._audio.start_time)):
            return max((self._last_end(stream, 0.0) for stream in streams), default=0.0)
        if self.beginning > _ENCODER_DELAY and not known:
            # Some count a Matroska's length from 0 and some from its beginning.
            near = max(0.0, duration - self.beginning - _NEAR_END)
            return max(self._last_end(stream, near) for stream in streams) or duration
        return duration

    def _told_end(self, stream: Any) -> float:
        """Where a stream ends that has a length of its own.

        FFmpeg counts an empty edit at an mp4's beginning twice where other edits end it early, and believes a header
        that tells of less than the index does.
        """
        end = float(((stream.start_time or 0) + stream.duration) * stream.time_base) - self.beginning
        if self._format == "mov" and stream.index_entries:
            last, late = stream.index_entries[-1], (stream.start_time or 0) * stream.time_base > _ENCODER_DELAY
            indexed = 0.0 if last.is_discard else float(last.timestamp * stream.time_base) - self.beginning
            if late or indexed > end + _ENCODER_DELAY:
                return self._last_end(stream, max(0.0, max(end, indexed) - _NEAR_END)) or end
        return end

    def _last_end(self, stream: Any, start: float) -> float:
        """The end of the last packet, read without decoding."""
        shown = (p for p in self._read([stream], start) if p.pts is not None and not p.is_discard)
        ends = [packet.pts + (packet.duration or 0) for packet in shown]
        return float(max(ends) * stream.time_base) - self.beginning if ends else 0.0

    def _may_jump(self) -> bool:
        return self._format == "mpeg" or (self._format == "mpegts" and (self._container.size or 0) <= _SCANNED)

    def _scan(self) -> float:
        """Finds the jumps, and where the last packet ends after all of them; 0 where FFmpeg tells it well enough.

        A jump is taken out of all streams alike, from each one's next packet on. What comes first afterwards tells how
        far it is, but pictures know better than sound.
        """
        seen = {stream.index: _Seen() for stream in self._streams()}
        shift, end, settled = 0.0, 0.0, True
        for packet in self._read(self._streams()):
            stream, pictures = seen[packet.stream_index], packet.stream is self._video
            if packet.dts is not None:
                second = float(packet.time_base)
                length = (packet.duration or 0) * second
                if stream.jumps(packet.dts * second + shift) or (pictures and not settled):
                    before, shift = shift, stream.next - packet.dts * second
                    if not settled:
                        for other in seen.values():
                            other.move(before, shift)
                    settled = pictures or self._video is None
                stream.add(packet.dts * second + shift, length)
                end = max(end, (packet.pts or packet.dts) * second + shift + length)
            stream.count(shift)
        self._jumps = {index: stream.shifts for index, stream in seen.items()} if shift else {}
        told = not shift and self._format == "mpegts" and self._video is not None
        return 0.0 if told else end - self.beginning

    def _streams(self) -> list[Any]:
        return [stream for stream in (self._video, self._audio) if stream is not None]


class Order:
    """Times of pictures by the order in which they come out of a decoder: each has the earliest that is left."""

    def __init__(self) -> None:
        self._left: list[int] = []

    def add(self, packet: Any) -> None:
        if packet.size and packet.dts is not None:
            heappush(self._left, packet.dts)

    def next(self) -> int | None:
        return heappop(self._left) if self._left else None


class _Seen:
    """What was seen of a stream: where its `next` packet should begin, and `shifts`, (packet's number, seconds)."""

    def __init__(self) -> None:
        self._count, self._last, self.next = 0, -math.inf, math.nan
        self.shifts: list[tuple[int, float]] = []

    def jumps(self, at: float) -> bool:
        return abs(at - self.next) > _FORWARD or at + _BACK < self._last

    def add(self, at: float, length: float) -> None:
        length = length or (at - self._last if 0 < at - self._last < _FORWARD else 0.0)
        self._last, self.next = at, at + length

    def count(self, shift: float) -> None:
        """Counts a packet, and notes a shift that is new from it on."""
        if shift != (self.shifts[-1][1] if self.shifts else 0.0):
            self.shifts.append((self._count, shift))
        self._count += 1

    def move(self, before: float, shift: float) -> None:
        """Makes the last shift another one, where it was `before`."""
        if self.shifts and self.shifts[-1][1] == before:
            self.shifts[-1] = self.shifts[-1][0], shift
            self.add(self._last + shift - before, self.next - self._last)
