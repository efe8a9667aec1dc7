"""A clip in two files, offering what `Media` offers: pictures of one, sound of the other where the first is silent."""

from types import TracebackType
from typing import Any

from perceiver.data.fetching import Ahead
from perceiver.data.files import FilePair
from perceiver.data.media import Media
from perceiver.errors import ClipError

_APART = 1.0
"""Seconds by which two files of one clip may differ; beyond it they hardly hold the same stretch of time."""


class PairedMedia(Media):
    """Two open files; use it in a `with` block.

    Raises:
        ClipError: one of them can't be opened, or they are of different lengths.
    """

    def __init__(self, pair: FilePair, deadline: float, ahead: Ahead | None = None) -> None:
        self._sound: Media | None = None
        super().__init__(pair.pictures, deadline, ahead)
        if self.audio is None:
            try:
                self._add_sound(Media(pair.sound, deadline, ahead))
            except BaseException:
                self.close()
                raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._sound is not None:
            self._sound.__exit__(kind, error, tb)
        super().__exit__(kind, error, tb)

    def close(self) -> None:
        if self._sound is not None:
            self._sound.close()
        super().close()

    def frames(self, stream: Any, start: float) -> Any:
        """As `Media` has it, of the file that has the stream."""
        if self._sound is not None and stream is self.audio:
            return self._sound.frames(stream, start)
        return super().frames(stream, start)

    def _add_sound(self, sound: Media) -> None:
        self._sound = sound
        if abs(sound.duration - self.duration) > _APART:
            lengths = f"{self.path} lasts {self.duration:.2f} s, its sound {sound.path} {sound.duration:.2f} s"
            raise ClipError("ambiguous file", f"{lengths}: they don't fit")
        self.audio = sound.audio
        if not 0 <= sound.duration - self.duration < 0.1:  # sound comes in whole frames of its codec
            self.duration = max(self.duration, sound.duration)
