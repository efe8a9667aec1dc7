"""What a result was computed with beside our own code: libraries whose arithmetic or decoding may differ."""

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version

COMPUTES = False
"""No result depends on this module (see `orchestrator.plan.closure`): it only tells."""


@cache
def environment() -> dict[str, str]:
    """Name -> version, as major.minor, of torch, torchaudio and the FFmpeg that PyAV brings; absent ones are left out.

    Does not import torch.
    """
    found = {name: _short(version(name)) for name in ("torch", "torchaudio") if _is_there(name)}
    if _is_there("av"):
        import av

        found["ffmpeg"] = _short(av.ffmpeg_version_info)
    return found


def _is_there(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def _short(text: str) -> str:
    """The major.minor of a version, or all of it where it has none: an FFmpeg built from a commit."""
    numbers = re.match(r"n?(\d+\.\d+)", text)
    return numbers[1] if numbers else text
