"""Sound of a media file as mono samples at a constant rate, placed by their time stamps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.audio.resampler import AudioResampler

from perceiver.data.media import Media

_LEAD = 0.15
"""Seconds decoded before the wanted ones: an AAC or MP3 decoder that starts in the middle needs a few frames."""
_KEPT_LEAD = 0.05
_GAP = 0.015
"""Seconds by which time stamps may leave the count of samples before they are believed; below the 20 ms of sync."""


@dataclass(frozen=True)
class Sound:
    """`samples`: float32 (S,) in [-1, 1]. `heard` (S,): those that the file holds; the others are silence."""

    samples: np.ndarray
    heard: np.ndarray


def read_sound(media: Media, start: float, count: int, rate: int) -> Sound:
    """`count` samples at `rate` Hz from `start` seconds on. Channels are mixed down by FFmpeg's rules.

    Raises:
        ClipError: damage within the stretch.
    """
    samples, heard = np.zeros(count, np.float32), np.zeros(count, bool)
    for at, piece in _pieces(media, start, start + count / rate, rate):
        offset = round((at - start) * rate)
        left, right = max(offset, 0), min(offset + len(piece), count)
        if left < right:
            samples[left:right] = piece[left - offset : right - offset]
            heard[left:right] = True
    np.nan_to_num(samples, copy=False)
    return Sound(np.clip(samples, -1.0, 1.0, out=samples), heard)


def _pieces(media: Media, start: float, end: float, rate: int) -> Iterator[tuple[float, np.ndarray]]:
    """Runs of unbroken sound at the wanted rate, each with the time of its first sample."""
    run: _Run | None = None
    for at, frame in media.frames(media.audio, max(start - _LEAD, 0.0)):
        if at >= end:
            break
        if at + frame.samples / frame.sample_rate <= start - _KEPT_LEAD:
            continue
        if run is not None and not run.continues(at, frame):
            yield run.begins, run.finish()
            run = None
        if run is None:
            run = _Run(at, frame, rate)
        run.add(frame)
    if run is not None:
        yield run.begins, run.finish()


class _Run:
    """Consecutive frames of one format going through one resampler."""

    def __init__(self, begins: float, frame: Any, rate: int) -> None:
        self.begins, self._format, self._rate, self._samples = begins, _format(frame), rate, 0
        self._resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
        self._out: list[np.ndarray] = []

    def continues(self, at: float, frame: Any) -> bool:
        expected = self.begins + self._samples / frame.sample_rate
        return _format(frame) == self._format and abs(at - expected) <= _GAP

    def add(self, frame: Any) -> None:
        self._samples += frame.samples
        frame.pts = None  # the resampler would pad or drop by time stamps; `continues` has judged them
        self._out += [out.to_ndarray()[0] for out in self._resampler.resample(frame)]

    def finish(self) -> np.ndarray:
        self._out += [out.to_ndarray()[0] for out in self._resampler.resample(None)]
        return np.concatenate(self._out) if self._out else np.zeros(0, np.float32)


def _format(frame: Any) -> tuple[Any, ...]:
    return frame.format.name, frame.layout.name, frame.sample_rate
