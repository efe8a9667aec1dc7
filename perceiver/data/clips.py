"""Reads clips from media files: a stretch of pictures and the sound of the same time, as a trial's model wants them.

wants = Wants.training(config)
excerpt = read_clip(data.clips[3], wants, moment=0.37)     # 32 frames and 1.28 s of sound somewhere in the file
excerpts = read_clips(data.clips[3], wants, 16)            # the evaluation's clips, with one decode
"""

from dataclasses import dataclass

import numpy as np

from perceiver.config import AudioInput, RunConfig, VideoInput
from perceiver.data.dataset import Clip
from perceiver.data.fetching import Ahead
from perceiver.data.files import shown
from perceiver.data.habit import part_of
from perceiver.data.media import Media
from perceiver.data.pictures import Fit, Pictures, read_pictures
from perceiver.data.sounds import Sound, read_sound
from perceiver.data.stored import StoredClip, open_clip
from perceiver.errors import ClipError

DEADLINE = 60.0
"""Seconds that reading one file may take."""
_ROUNDED = 0.1
"""Seconds by which a whole video may end before a segment that counts as all there: an encoder's last frame."""
_NOTICED = 0.03
"""Seconds of sound that may be missing before a clip counts as padded: an encoder's last frame is often short."""


@dataclass(frozen=True)
class Wants:
    """What a model wants of a clip: its inputs, and the pictures' size on the way to the device."""

    video: VideoInput | None
    audio: AudioInput | None
    fit: Fit
    deadline: float = DEADLINE

    @property
    def grid(self) -> float:
        """Steps per second at which a clip may begin: frames, so that sound is cut with them, or samples."""
        return self.video.fps if self.video is not None else self._audio.sample_rate

    @property
    def length(self) -> int:
        """Steps of the grid that a clip takes."""
        return self.video.frames if self.video is not None else self._audio.samples

    @property
    def _audio(self) -> AudioInput:
        assert self.audio is not None  # the config refuses a model without inputs
        return self.audio

    @classmethod
    def training(cls, config: RunConfig) -> "Wants":
        """Whole pictures with a margin (256 for 224) where augmentation crops them later, else as in evaluation."""
        wants = cls.evaluation(config)
        if not config.train.augment:
            return wants
        return cls(wants.video, wants.audio, Fit(-(-8 * wants.fit.size // 7), "squash"))

    @classmethod
    def evaluation(cls, config: RunConfig) -> "Wants":
        inputs = config.model.inputs
        return cls(inputs.video, inputs.audio, Fit(inputs.video.size if inputs.video else 1, "crop"))


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a file. None: the file has no such stream, or the model does not want it.

    `video` uint8 (T, size, size, 3), `audio` float32 (S,) nominally in [-1, 1]; `aspect` width over height as shown;
    `padded`: the file was shorter than the stretch, the last picture was held and silence added.
    """

    video: np.ndarray | None
    audio: np.ndarray | None
    aspect: float = 1.0
    padded: bool = False


def read_clip(clip: Clip, wants: Wants, moment: float, ahead: Ahead | None = None) -> Excerpt:
    """One clip; `moment` in [0, 1) chooses its place among all that fit into the segment.

    `ahead` has asked for remote files.

    Raises:
        ClipError: the file can't be read there; `reason` says why in a word or two.
        StorageError: storage does not give it.
    """
    with _opened(clip, wants, ahead) as media:
        origin, seconds = segment(clip, media.duration)
        places = max(1, _steps(seconds, wants) - wants.length + 1)
        return _read(media, wants, origin + int(moment * places) / wants.grid, wants.length, [0])[0]


def read_clips(clip: Clip, wants: Wants, count: int, ahead: Ahead | None = None) -> list[Excerpt]:
    """`count` overlapping clips that cover the segment evenly, from one decode of the file.

    Clips begin at floor(linspace(0, steps - length, count)) of `Wants.grid`, as DMVR's `sample_linspace_sequence`
    has it: at frames, or at samples where the model has no video. Beside frames, sound is cut at the time of the clip's
    first one; DMVR takes a linspace of the samples then too, which is up to a frame (40 ms) off.

    Their arrays are views of what was decoded: a picture that several clips show is there once.

    Raises:
        ClipError: the file can't be read.
        StorageError: storage does not give it.
    """
    with _opened(clip, wants, ahead) as media:
        origin, seconds = segment(clip, media.duration)
        steps = max(_steps(seconds, wants), wants.length)
        offsets = np.linspace(0, steps - wants.length, count).astype(int).tolist()
        if steps > count * wants.length:  # more gaps than clips, in a long file: seek from one to the next
            return [_read(media, wants, origin + k / wants.grid, wants.length, [0])[0] for k in offsets]
        return _read(media, wants, origin, steps, offsets)


def segment(clip: Clip, duration: float) -> tuple[float, float]:
    """Where a clip's segment lies in its file: first second and length. Nothing outside of the segment is read.

    A file whose name does not say that it was cut may be the whole video: see `perceiver.data.habit.part_of`. A whole
    video that ends before the segment does keeps what is there.

    Raises:
        ClipError: the row begins at or behind the file's end.
    """
    length = clip.end - clip.start
    if clip.trimmed or clip.start == 0:
        return 0.0, min(length, duration)
    part = part_of(clip.start, clip.end, duration, clip.habit)
    if part is None:
        row = f"row {clip.id} at {clip.start:g} s"
        raise ClipError(
            "behind the end", f"{row} begins behind the end of {shown(clip.path)}, which lasts {duration:.2f} s"
        )
    if part == "cut":
        return 0.0, min(length, duration)
    return clip.start, length if duration >= clip.end - _ROUNDED else duration - clip.start


def _opened(clip: Clip, wants: Wants, ahead: Ahead | None) -> Media | StoredClip:
    media = open_clip(clip.path, wants.deadline, ahead)
    has = {"picture": wants.video and media.video, "sound": wants.audio and media.audio}
    if not any(has.values()):
        media.close()
        needed = " nor ".join(name for name, want in (("picture", wants.video), ("sound", wants.audio)) if want)
        raise ClipError(f"no {needed}", f"{shown(clip.path)} has no {needed}, and the model has no other input")
    return media


def _steps(seconds: float, wants: Wants) -> int:
    return int(seconds * wants.grid + 0.5)


def _read(media: Media | StoredClip, wants: Wants, start: float, steps: int, offsets: list[int]) -> list[Excerpt]:
    """Reads `steps` of the grid from `start` seconds on, once, and cuts the clips at `offsets` out of them."""
    pictures = sound = None
    cuts: list[int] = []
    if wants.video is not None and media.video is not None:
        pictures = read_pictures(media, start, steps, wants.video.fps, wants.fit)
    if wants.audio is not None and media.audio is not None:
        rate = wants.audio.sample_rate
        cuts = [round(offset / wants.grid * rate) for offset in offsets]
        samples = max(cuts) + wants.audio.samples
        sound = media.sound(start, samples, rate) if isinstance(media, StoredClip) else None
        sound = sound or read_sound(media, start, samples, rate)
    excerpts = [_cut(wants, pictures, sound, *cut) for cut in zip(offsets, cuts or offsets, strict=True)]
    if any(excerpt.video is None and excerpt.audio is None for excerpt in excerpts):
        message = (
            f"{media.path} claims {media.duration:.2f} s but holds nothing at {start + min(offsets):.2f} s or later"
        )
        raise ClipError("truncated", message)
    return excerpts


def _cut(wants: Wants, pictures: Pictures | None, sound: Sound | None, frame: int, sample: int) -> Excerpt:
    """One clip out of what was read. A stream that ended before the clip begins is missing there."""
    video = audio = None
    padded = False
    if pictures is not None and wants.video is not None:
        frames = slice(frame, frame + wants.video.frames)
        video = pictures.frames[frames] if pictures.real[frames].any() else None
        padded = not pictures.real[frames].all()
    if sound is not None and wants.audio is not None:
        samples = slice(sample, sample + wants.audio.samples)
        audio = sound.samples[samples] if sound.heard[samples].any() else None
        padded |= int(np.sum(~sound.heard[samples])) > _NOTICED * wants.audio.sample_rate
    return Excerpt(video, audio, pictures.aspect if pictures is not None else 1.0, padded)
