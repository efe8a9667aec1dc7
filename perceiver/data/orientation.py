"""How a picture is turned, mirrored or tilted before it is shown, as its container or codec says.

FFmpeg attaches a display matrix to a frame, from wherever it was told: an mp4's track header, Matroska's projection, a
message of H.264 or HEVC, EXIF in a JPEG. What its program does with that matrix (`-autorotate`) is done here: quarter
turns and mirrors exactly, any other angle within the picture's own frame, whose corners become black.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from av.sidedata.sidedata import Type

from perceiver.data.filters import Filter

_KNOWN: set[Any] = {kind.value for kind in Type}
_FORGET_UNKNOWN = tuple(("sidedata", f"mode=delete:type={kind}") for kind in range(64) if kind not in _KNOWN)


class Orientation(NamedTuple):
    """`mirrored`: the picture is turned upside down in a mirror, and then counter-clockwise by quarter `turns`.

    `tilt`: whole degrees clockwise, where they are no quarter turns.
    """

    turns: int = 0
    mirrored: bool = False
    tilt: int = 0

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) as it is shown but for its tilt; a view."""
        return np.rot90(picture[::-1] if self.mirrored else picture, self.turns)


class Orienter:
    """Tells the orientation of one stream's frames, whose `metadata` may have the old tag `rotate`.

    FFmpeg wrote that tag, degrees clockwise, before 5.0; it counts only where nothing else is said.
    """

    def __init__(self, metadata: Mapping[str, str]) -> None:
        tag = next((value for key, value in metadata.items() if key.lower() == "rotate"), "0")
        self._tagged = _turned(int(tag)) if tag.lstrip("-").isdecimal() else Orientation()
        self._forget, self._tilt = Filter(), Filter()
        self._rotation, self._orientation = math.nan, Orientation()

    def __call__(self, frame: Any) -> Orientation:
        """Looked up where the rotation changes: a frame that was asked for its side data holds on to its memory until
        Python looks for cycles, so the decoder would need new memory for each picture.
        """
        if frame.rotation != self._rotation:
            self._rotation, self._orientation = frame.rotation, self._look(frame)
        return self._orientation

    def _look(self, frame: Any) -> Orientation:
        try:
            matrix = frame.side_data.get(Type.DISPLAYMATRIX)
        except ValueError:  # PyAV does not know every kind of side data, EXIF's among them
            matrix = self._forget(frame, *_FORGET_UNKNOWN).side_data.get(Type.DISPLAYMATRIX)
        return self._tagged if matrix is None else _of_matrix(struct.unpack("=9i", bytes(matrix)))

    def tilted(self, frame: Any, tilt: int) -> Any:
        """The frame turned clockwise by some degrees, its size as before."""
        return self._tilt(frame, ("rotate", f"{tilt}*PI/180"))


def _of_matrix(matrix: tuple[int, ...]) -> Orientation:
    """A matrix (a, b, u, c, d, v, x, y, w) takes one step to the right to (a, b), and one step down to (c, d)."""
    a, b, _, c, d = matrix[:5]
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down:
        return Orientation()
    return _turned(round(math.degrees(math.atan2(b / down, a / across))), mirrored=a * d < b * c)


def _turned(degrees: int, mirrored: bool = False) -> Orientation:
    """Clockwise by some degrees."""
    quarters, rest = divmod(degrees % 360, 90)
    return Orientation(tilt=degrees % 360) if rest else Orientation(-quarters % 4, mirrored)
