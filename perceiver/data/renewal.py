"""Shards of an older reader that this one would make alike: they are kept, and with them the digest of their set."""

from dataclasses import replace

from perceiver.data.files import read_bytes, shown, write_bytes
from perceiver.data.packing import ShardRecord, ShardTask, digest_of, members_of
from perceiver.data.shards import READER
from perceiver.errors import ClipError, PerceiverError


def renew_shard(task: ShardTask) -> ShardRecord:
    """Makes a shard of an older reader this one's, where each of its clips, read and encoded again, is the same bytes.

    Else, or where a file can't be looked into, the shard stays as it is, and the record's `failure` says why. It takes
    as long as an ingest: no header tells whether two readers find the same pictures and samples in a file.
    """
    try:
        record = ShardRecord.parse(read_bytes(task.record))
        if record is None:
            return ShardRecord(task.split, task.number, task.key(), failure=f"{task.record} can't be read")
        if told := _difference(task, record):
            return replace(record, failure=told)
        record = replace(record, reader=READER)
        write_bytes(task.record, record.to_text().encode())
    except PerceiverError as error:
        return ShardRecord(task.split, task.number, task.key(), failure=str(error))
    return record


def _difference(task: ShardTask, record: ShardRecord) -> str:
    """Which clip the older reader read differently; empty where there is none."""
    for packed in record.clips:
        if digest_of(members_of(task, packed.row)) != packed.sha256:
            return f"{_named(task, packed.row)} is read differently now"
    careful = replace(task, careful=True)  # one of them may have killed its reader
    for left_out in record.left_out:
        try:
            members_of(careful, left_out.row)
        except ClipError:
            continue
        return f"{_named(task, left_out.row)} was left out ({left_out.reason}), and can be read now"
    return ""


def _named(task: ShardTask, number: int) -> str:
    row = task.rows[number]
    return f"row {row.id} at {row.start:g} s of {shown(row.path)}"
