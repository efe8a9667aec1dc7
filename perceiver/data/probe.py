"""Looks into one file: decodes it from beginning to end and says what it holds; damage shows nowhere else.

report = probe(File("clips/a.mp4", 120_331))
report.verdict, report.seconds, report.video
"""

from collections.abc import Callable
from typing import Any

from perceiver.data.files import File
from perceiver.data.stored import open_clip
from perceiver.data.verdicts import FileReport
from perceiver.errors import ClipError, StorageError

DEADLINE = 120.0
"""Seconds that decoding one file may take."""
_EARLY = 1.0
"""Seconds by which a stream may end before its header says."""


def probe(file: File) -> FileReport:
    """Decodes a file to its end and says what it holds."""
    return _report(file, _decode_all)


def measure(file: File) -> FileReport:
    """What a file's header says, without decoding it."""
    return _report(file, lambda media: {})


def _report(file: File, look: Callable[[Any], dict[str, Any]]) -> FileReport:
    """The file's streams and length, and what `look` finds; or why it can't be read."""
    report: dict[str, Any] = {"path": file.path, "size": file.size}
    try:
        with open_clip(file.path, DEADLINE) as media:
            report |= {"seconds": round(media.duration, 3)} | _streams(media) | look(media)
    except ClipError as error:
        report |= {"reason": error.reason, "message": str(error)}
    except StorageError as error:
        report |= {"reason": "forbidden" if error.is_refusal else "storage", "message": str(error)}
    return FileReport(**report)


def _streams(media: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if media.video is not None:
        context = media.video.codec_context
        found |= {"video": context.name, "width": context.width, "height": context.height}
    if media.audio is not None:
        context = media.audio.codec_context
        found |= {"audio": context.name, "rate": context.sample_rate, "channels": context.channels}
    return found


def _decode_all(media: Any) -> dict[str, Any]:
    """Pictures per second.

    Raises:
        ClipError: damage, or an end long before the one that the header claims.
    """
    ends, fps = 0.0, 0.0
    if media.video is not None:
        pictures, begins, ends = _decode(media, media.video)
        fps = round((pictures - 1) / (ends - begins), 3) if ends > begins else 0.0
    if media.audio is not None:
        ends = max(ends, _decode(media, media.audio)[2])
    if ends < media.duration - _EARLY:  # containers such as Matroska tell no length of a stream
        raise _truncated(media, "all", ends)
    return {"fps": fps}


def _decode(media: Any, stream: Any) -> tuple[int, float, float]:
    """Frames of a stream, and the seconds of the first and the last.

    Raises:
        ClipError: damage, or an end long before the one that the header claims.
    """
    count, first, last = 0, 0.0, 0.0
    for at, _ in media.frames(stream, 0.0):
        first, last, count = at if not count else first, at, count + 1
    if not count or (stream.duration and last < float(stream.duration * stream.time_base) - _EARLY):
        raise _truncated(media, stream.type, last)
    return count, first, last


def _truncated(media: Any, what: str, ends: float) -> ClipError:
    return ClipError(
        "truncated", f"{media.path}: {what} ends at {ends:.2f} s, its header claims {media.duration:.2f} s"
    )
