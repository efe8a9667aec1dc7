"""Shards of an older reader that this one would make alike: they are kept, and with them the digest of their set."""

from dataclasses import replace

from perceiver.data.clips import DEADLINE, segment
from perceiver.data.dataset import Clip
from perceiver.data.files import read_bytes, write_bytes
from perceiver.data.media import Media
from perceiver.data.orientation import Orientation, Orienter
from perceiver.data.packing import ShardRecord, ShardTask, clip_of
from perceiver.data.shards import READER
from perceiver.errors import PerceiverError


def renew_shard(task: ShardTask) -> ShardRecord:
    """Makes a shard of an older reader this one's, where both read its clips alike, but for peaks beyond full scale,
    which the older one cut off.

    Else, or where a file can't be looked into, the shard stays as it is, and the record's `failure` says why. Of each
    file the header and one picture are read.
    """
    try:
        record = ShardRecord.parse(read_bytes(task.record))
        if record is None:
            return ShardRecord(task.split, task.number, task.key(), failure=f"{task.record} can't be read")
        for packed in record.clips:
            if told := _difference(clip_of(task, task.rows[packed.row])):
                return replace(record, failure=told)
        record = replace(record, reader=READER)
        write_bytes(task.record, record.to_text().encode())
    except PerceiverError as error:
        return ShardRecord(task.split, task.number, task.key(), failure=str(error))
    return record


def _difference(clip: Clip) -> str:
    """Why the first reader read a clip differently; empty where it did not."""
    with Media(clip.path, DEADLINE) as media:
        if media.audio is not None and (channels := media.audio.codec_context.channels) > 1:
            return f"{clip.path} has {channels} channels"
        place = segment(clip, media.duration)
        if place != _older_segment(clip, media.duration):
            return f"row {clip.id} at {clip.start:g} s was read elsewhere: {clip.path} lasts {media.duration:.2f} s"
        if media.video is not None and _is_turned_otherwise(media, place[0]):
            return f"{clip.path} is mirrored, tilted or turned in a way that was not seen"
    return ""


def _older_segment(clip: Clip, duration: float) -> tuple[float, float]:
    """Where the first reader took a clip's segment to lie in its file."""
    length = clip.end - clip.start
    is_whole = not clip.trimmed and clip.start > 0 and duration >= clip.end - 0.1
    return (clip.start, length) if is_whole else (0.0, min(length, duration))


def _is_turned_otherwise(media: Media, start: float) -> bool:
    """Whether the first reader, which knew quarter turns only, showed pictures in another orientation."""
    for _, frame in media.frames(media.video, start):
        return Orienter(media.video.metadata)(frame) != Orientation(round(frame.rotation / 90) % 4)
    return False
