"""Turns a clip of any media file into the members of a stored clip (see `stored`), once for all sweeps.

Pictures and samples are read by the code that training reads files with, so a stored clip differs from its source by
the coding of its pictures and by 16 bits of sound, and by nothing else: same grid, same gaps, same end. Sound that goes
beyond [-1, 1] is stored as floats, for 16 bits would clip it.

Why h264 in short groups and plain samples (tests/benchmarks/shards.py; 32 pictures of 256 x 256 decoded and converted
on one core of a busy machine, ten seconds of pictures, PSNR, on web video of 640 x 360):

    h264, group of 12, no CABAC or deblocking     3.3 ms    185 kB    42.3 dB     this one
    h264, group of 4, likewise                    3.5 ms    309 kB    41.6 dB
    h264, group of 12, with lookahead             3.0 ms    143 kB    42.0 dB     not the same bytes every time
    h264, x264's defaults, group of 12            5.1 ms    208 kB    42.4 dB
    h264, keyframes only, likewise                3.7 ms    452 kB    38.8 dB
    MJPEG                                         3.8 ms    871 kB    40.4 dB
    MPEG-2, group of 12                           2.5 ms    273 kB    41.7 dB     faster, but half as many bytes again

Sound as FLAC would save half of its 960 kB, and cost 0.6 ms more than samples do, of 4 ms in all. A container around
each clip (mp4) costs 0.4 ms to open, and loses gaps of sound. Reading a training clip, pictures and sound, is 5.9 times
as fast from shards as from such web video, and 2.5 times as fast as from the stamps clips themselves, whose
240 lines at 20 kbit/s cost a decoder next to nothing; an evaluation file's sixteen clips 2.4 and 1.6 times.
MosaicML streaming and LitData fetch whole shards before they read, into formats of their own.
"""

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from perceiver.config import RunConfig, with_changes
from perceiver.data.audioset import Split
from perceiver.data.clips import DEADLINE, Wants, segment
from perceiver.data.dataset import Clip
from perceiver.data.files import shown
from perceiver.data.media import Media
from perceiver.data.pictures import Fit, read_pictures
from perceiver.data.shards import Form
from perceiver.data.sounds import read_sound
from perceiver.data.stored import open_clip
from perceiver.data.wav import write_wav
from perceiver.errors import ClipError

GROUP = 12
"""Pictures from a keyframe to the next: a clip of 32 decodes 5.5 in vain on average."""
X264 = {
    "preset": "medium",
    "tune": "psnr,fastdecode",
    "crf": "23",
    "sc_threshold": "0",
    "x264-params": "rc-lookahead=0:mbtree=0:weightp=0",
}
"""No deblocking and no arithmetic coding; with neither, and without B frames, decoding takes half as long.

No lookahead: on pictures of 224 x 224 x264's reads memory that it has not written; the same pictures gave other bytes
after other clips, and so the set another digest. That costs a quarter of the pictures' bytes.
"""
_STRETCH = 20
"""Seconds of a segment whose pictures are in memory at once."""


def encode(clip: Clip, split: Split, form: Form, labels: list[str]) -> dict[str, bytes]:
    """The members of a stored clip by their suffix: json, then h264 and wav where the file has pictures and sound.

    Raises:
        ClipError: the segment can't be read from its beginning to its end.
    """
    with open_clip(clip.path, DEADLINE) as media:
        origin, seconds = segment(clip, media.duration)
        pictures, h264 = _pictures(media, origin, seconds, _fit(split, form), form.fps) if media.video else (None, b"")
        reach = max(seconds, _steps(seconds, form.fps) / form.fps)  # a clip may end half a frame after the segment
        sound, wav = _sound(media, origin, reach, form.rate) if media.audio else (None, b"")
    if pictures is None and sound is None:
        raise ClipError(
            "truncated", f"{shown(clip.path)} claims {media.duration:.2f} s but holds nothing in its segment"
        )
    row = {"id": clip.id, "start": clip.start, "end": clip.end, "labels": labels}
    about = json.dumps(row | {"seconds": seconds, "pictures": pictures, "sound": sound}, separators=(",", ":"))
    members = {"json": about.encode(), "h264": h264, "wav": wav}
    return {suffix: data for suffix, data in members.items() if data}


def _fit(split: Split, form: Form) -> Fit:
    """What a model of the form's size wants of a clip, in even numbers, as 4:2:0 needs them."""
    config = with_changes(RunConfig(), {"model.inputs.video.size": form.pixels})
    fit = (Wants.training(config) if split == "train" else Wants.evaluation(config)).fit
    return Fit(fit.size + fit.size % 2, fit.how)


def _pictures(media: Media, origin: float, seconds: float, fit: Fit, fps: int) -> tuple[dict[str, Any] | None, bytes]:
    """What is told of the pictures, and their stream; nothing where they end before the segment begins."""
    encoder = _Encoder(fit.size, fps)
    total, aspect = max(1, _steps(seconds, fps)), 1.0
    for first in range(0, total, _STRETCH * fps):
        count = min(_STRETCH * fps, total - first)
        read = read_pictures(media, origin + first / fps, count, fps, fit)
        aspect = read.aspect
        encoder.add(read.frames[: int(read.real.sum())])
        if not read.real.all():
            break
    packets = encoder.finish()
    if not packets:
        return None, b""
    about = {"fps": fps, "width": fit.size, "height": fit.size, "fit": fit.how, "aspect": aspect, "group": GROUP}
    return about | {"sizes": [len(packet) for packet in packets]}, b"".join(packets)


def _steps(seconds: float, fps: int) -> int:
    return int(seconds * fps + 0.5)


class _Encoder:
    """H.264 of RGB pictures; every keyframe brings the parameters that its group needs."""

    def __init__(self, size: int, fps: int) -> None:
        self._packets: list[bytes] = []
        self._count, self._tick = 0, Fraction(1, fps)
        self._context: Any = av.CodecContext.create("libx264", "w")
        self._context.width = self._context.height = size
        self._context.pix_fmt, self._context.time_base, self._context.framerate = "yuv420p", self._tick, fps
        self._context.gop_size, self._context.max_b_frames = GROUP, 0
        self._context.thread_count = 1  # the same bytes on every machine
        self._context.color_range, self._context.colorspace = ColorRange.MPEG, Colorspace.ITU601
        self._context.options = X264

    def add(self, pictures: np.ndarray) -> None:
        """Takes uint8 (T, size, size, 3)."""
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG)
            frame.pts, frame.time_base = self._count, self._tick
            self._count += 1
            self._packets += map(bytes, self._context.encode(frame))

    def finish(self) -> list[bytes]:
        """A packet for each picture."""
        if self._count:
            self._packets += map(bytes, self._context.encode(None))
        return self._packets


def _sound(media: Media, origin: float, seconds: float, rate: int) -> tuple[dict[str, Any] | None, bytes]:
    """What is told of the sound, and its samples as a wav file up to the last that was heard."""
    total = max(1, round(seconds * rate))
    pieces, heard = [], []
    for first in range(0, total, _STRETCH * rate):
        read = read_sound(media, origin + first / rate, min(_STRETCH * rate, total - first), rate)
        pieces.append(read.samples)
        heard.append(read.heard)
    runs = list(_runs(np.concatenate(heard)))
    if not runs:
        return None, b""
    return {"rate": rate, "heard": runs}, write_wav(np.concatenate(pieces)[: runs[-1][1]], rate)


def _runs(heard: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and end of each stretch that is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], heard, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
