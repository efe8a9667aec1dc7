"""Pictures of a media file on a constant grid of frame times, whatever the file's own frame rate."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from perceiver.data.filters import Filter
from perceiver.data.media import Media
from perceiver.data.orientation import Orienter
from perceiver.errors import ClipError

_TIE = 1e-6
_STRETCHED = 16.0
"""Times that a pixel may be as wide as high, or as high as wide: eight times what any format has."""


@dataclass(frozen=True)
class Fit:
    """How a picture becomes size x size pixels.

    crop: the shorter side becomes `size` and the middle is kept, as evaluation wants it. squash: the whole picture,
    with its proportions told apart, for an Inception crop later on the device.
    """

    size: int
    how: Literal["crop", "squash"]


@dataclass(frozen=True)
class Pictures:
    """`frames`: uint8 (T, size, size, 3). `aspect`: width over height as shown. `real` (T,): false beyond the last."""

    frames: np.ndarray
    aspect: float
    real: np.ndarray


def read_pictures(media: Media, start: float, count: int, fps: float, fit: Fit) -> Pictures:
    """`count` frames at start, start + 1/fps, ...: at each time the picture that is shown half a frame later.

    That rule (FFmpeg's fps filter rounds the same way) puts every change of the picture within half a frame of its
    true time, 20 ms at 25 fps, for any source, also with a variable rate. Before the first picture the first is
    shown, after the last the last.

    Raises:
        ClipError: no picture at all up to the end of the stretch, or damage within it.
    """
    first_switch = start + 0.5 / fps - _TIE  # a picture from this time on is too late for frame 0
    frames = np.empty((count, fit.size, fit.size, 3), np.uint8)
    convert = _Converter(media, fit)
    filled, shown, shown_at = 0, None, 0.0
    for at, frame in _from_keyframe(media, first_switch):
        switch = min(max(math.ceil((at - first_switch) * fps), 0), count)
        if shown is None:
            switch = 0  # nothing came before: this picture also stands for what is missing
        if switch > filled:
            frames[filled:switch] = convert(shown)
            filled = switch
        shown, shown_at = frame, at
        if filled == count:
            break
    if shown is None:
        raise ClipError("truncated", f"{media.path} holds no picture up to {start + count / fps:.2f} s")
    real = np.ones(count, bool)
    if filled < count:
        frames[filled:] = convert(shown)
        ends = shown_at + max(1 / fps, float((shown.duration or 0) * shown.time_base)) - _TIE
        real = start + np.arange(count) / fps <= ends
    return Pictures(frames, convert.aspect, real)


def _from_keyframe(media: Media, start: float) -> Any:
    """Frames from the one shown at `start` on; from the beginning where an index sent us too late."""
    frames = media.frames(media.video, start)
    first = next(frames, None)
    if start > 0 and (first is None or first[0] > start):
        frames = media.frames(media.video, 0.0)
        first = next(frames, None)
    if first is not None:
        yield first
        yield from frames


class _Converter:
    """Turns frames into RGB of the wanted size, upright.

    In two steps, first the size and then the colours: FFmpeg's scaler has fast code for each but not for both at once,
    which takes three times as long. Its scalers are set up once, which costs more than a frame.
    """

    def __init__(self, media: Media, fit: Fit) -> None:
        self._path, self._fit, self._middle = media.path, fit, _Middle()
        self._orient = Orienter(media.video.metadata)
        self._scaler, self._colours = VideoReformatter(), VideoReformatter()
        self._pixel = _pixel(media.video)
        self.aspect = 1.0

    def __call__(self, frame: Any) -> np.ndarray:
        """uint8 (size, size, 3); `aspect` is then the frame's width over its height as shown."""
        aspect = frame.width * self._pixel / frame.height
        try:
            shown = self._orient(frame)
            self.aspect = 1 / aspect if shown.turns % 2 else aspect
            return shown.upright(self._scaled(self._orient.tilted(frame, shown.tilt) if shown.tilt else frame))
        except (FFmpegError, ValueError, MemoryError) as error:
            message = f"{self._path}: a picture of {frame.width} x {frame.height} pixels can't be converted: {error}"
            raise ClipError("damaged", message) from None

    def _scaled(self, frame: Any) -> np.ndarray:
        size = self._fit.size
        width = height = size
        if self._fit.how == "crop":
            frame = self._middle(frame, self._pixel)
            aspect = frame.width * self._pixel / frame.height
            width, height = round(size * max(aspect, 1.0)), round(size * max(1 / aspect, 1.0))
        scaled = frame
        if (frame.width, frame.height) != (width, height):
            between = "yuv422p" if frame.format.name.startswith("yuv") else "rgb24"
            scaled = self._scaler.reformat(frame, width, height, between, interpolation="BILINEAR", threads=1)
        scaled = self._colours.reformat(scaled, format="rgb24", threads=1)
        top, left = (height - size) // 2, (width - size) // 2
        return scaled.to_ndarray()[top : top + size, left : left + size]


def _pixel(video: Any) -> float:
    """Width of a pixel over its height as the container or else the codec says; square where that is absurd."""
    told = float(video.sample_aspect_ratio or 1)
    return told if 1 / _STRETCHED <= told <= _STRETCHED else 1.0


class _Middle:
    """Cuts away what lies outside a frame's middle square before it is scaled: at 16:9 nearly half.

    FFmpeg's crop filter only moves pointers. It cuts pixels two by two, since many formats share colours between them.
    """

    def __init__(self) -> None:
        self._crop = Filter()

    def __call__(self, frame: Any, pixel: float) -> Any:
        """The frame, or its middle that is at least square where `pixel` is the width of one over its height."""
        left = _spare(frame.width, frame.height / pixel)
        top = _spare(frame.height, frame.width * pixel)
        if not left and not top:
            return frame
        return self._crop(frame, ("crop", f"{frame.width - 2 * left}:{frame.height - 2 * top}:{left}:{top}"))


def _spare(whole: int, needed: float) -> int:
    """Pixels, an even number, that can be cut away on each of two sides."""
    return max(0, 2 * math.floor((whole - whole % 2 - needed) / 4))
