"""Sound of a media file as mono samples at a constant rate, placed by their time stamps.

Mono is the arithmetic mean of the channels, each with the same weight, whatever layout they have: sound in the middle
of a stereo file is as loud as a mono recording of it, and a mean never clips. FFmpeg's own mix for floating-point
samples adds 3 dB to such sound, and more where there are more channels: it normalises its matrix for integers only.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from av import AudioFifo, AudioFrame
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from perceiver.data.media import Media
from perceiver.errors import ClipError

_LEAD, _LEAD_FRAMES = 0.15, 8
"""Seconds and codec frames decoded before the wanted ones: a decoder that starts in the middle needs a few, most of all
MP3's at low rates, whose frames hold sound of up to eight later ones."""
_KEPT_LEAD = 0.05
"""Seconds of the lead that go through the resampler."""
_TAIL = 0.005
"""Seconds beyond the end for the resampler's filter."""
_GAP = 0.015
"""Seconds by which time stamps may leave the count of samples before they are believed; below the 20 ms of sync."""
_PLANES = 8
"""PyAV counts the planes of a frame up to a null pointer, which frames of eight planes or more do not have."""
_LOUDEST = 2.0**31
"""What lies beyond is no sound: a file of floats may hold integers of any size unscaled, or garbage."""


@dataclass(frozen=True)
class Sound:
    """`samples`: float32 (S,). `heard` (S,): those that the file holds; the others are silence.

    Nominally in [-1, 1]: where sound is as loud as a file can hold it, resamplers and decoders of lossy codecs go a
    little beyond, and a file of floats may hold anything.
    """

    samples: np.ndarray
    heard: np.ndarray


def read_sound(media: Media, start: float, count: int, rate: int) -> Sound:
    """`count` samples at `rate` Hz from `start` seconds on, the mean of the channels. Samples that are NaN, infinite or
    absurdly large are silence.

    Raises:
        ClipError: damage within the stretch.
    """
    samples, heard = np.zeros(count, np.float32), np.zeros(count, bool)
    try:
        pieces = list(_pieces(media, start, start + count / rate, rate))
    except (FFmpegError, ValueError, MemoryError) as error:
        raise ClipError("damaged", f"{media.path}: sound at {start:.2f} s can't be converted: {error}") from None
    for at, piece in pieces:
        offset = round((at - start) * rate)
        left, right = max(offset, 0), min(offset + len(piece), count)
        if left < right:
            samples[left:right] = piece[left - offset : right - offset]
            heard[left:right] = True
    if not np.abs(samples).max(initial=0.0) <= _LOUDEST:  # nor is NaN
        samples[~(np.abs(samples) <= _LOUDEST)] = 0.0
    return Sound(samples, heard)


def _pieces(media: Media, start: float, end: float, rate: int) -> Iterator[tuple[float, np.ndarray]]:
    """Runs of unbroken sound at the wanted rate, each with the time of its first sample."""
    run: _Run | None = None
    context = media.audio.codec_context
    lead = max(_LEAD, _LEAD_FRAMES * (context.frame_size or 0) / context.sample_rate)
    for at, frame in media.frames(media.audio, max(start - lead, 0.0)):
        if at >= end + _TAIL:
            break
        if at + frame.samples / frame.sample_rate <= start - _KEPT_LEAD:
            continue
        if run is not None and not run.continues(at, frame):
            yield run.resampled(rate, start)
            run = None
        if run is None:
            run = _Run(at, frame)
        run.add(frame)
    if run is not None:
        yield run.resampled(rate, start)


class _Run:
    """Consecutive frames of one format."""

    def __init__(self, begins: float, frame: Any) -> None:
        self._begins, self._format, self._rate = begins, _format(frame), frame.sample_rate
        self._samples, self._frames = 0, AudioFifo()

    def continues(self, at: float, frame: Any) -> bool:
        expected = self._begins + self._samples / self._rate
        return _format(frame) == self._format and abs(at - expected) <= _GAP

    def add(self, frame: Any) -> None:
        self._samples += frame.samples
        frame.pts = None  # its time was compared; the queue would insist on the count of samples
        self._frames.write(frame)

    def resampled(self, rate: int, start: float) -> tuple[float, np.ndarray]:
        """The time of the first sample, and all samples at `rate`, mixed to one channel."""
        skipped = self._to_common_time(rate) if self._begins < start else 0
        if skipped:
            self._frames.read(skipped)
        resampler = AudioResampler(format="fltp", layout="mono", rate=rate)
        parts = (_mono(self._frames.read()), None)
        out = [piece.to_ndarray()[0] for part in parts for piece in resampler.resample(part)]
        return self._begins + skipped / self._rate, np.concatenate(out) if out else np.zeros(0, np.float32)

    def _to_common_time(self, rate: int) -> int:
        """Samples to skip until one falls on a sample of the wanted rate: every way to a clip then gives the same."""
        period = self._rate // math.gcd(self._rate, rate)
        skipped = -round(self._begins * self._rate) % period
        return skipped if skipped < self._samples else 0


def _mono(frame: Any) -> Any:
    """The mean of a frame's channels; a frame of one channel as it is."""
    if frame.layout.name in ("mono", "1 channels"):
        return frame
    first, *others = _channels(frame)
    mean = first.copy()
    for channel in others:
        mean += channel
    mean /= 1 + len(others)
    mixed = AudioFrame.from_ndarray(mean[None], format="fltp", layout="mono")
    mixed.sample_rate = frame.sample_rate
    return mixed


def _channels(frame: Any) -> np.ndarray:
    """float32 (C, S); integers of any size are scaled to [-1, 1]."""
    count = frame.layout.nb_channels
    if frame.format.name == "fltp" and count < _PLANES:
        return frame.to_ndarray()
    packer = AudioResampler(format="flt", layout=frame.layout, rate=frame.sample_rate)
    (packed,) = packer.resample(frame)
    return packed.to_ndarray().reshape(-1, count).T


def _format(frame: Any) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
