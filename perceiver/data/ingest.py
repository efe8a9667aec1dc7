"""Reads a data set once for all sweeps and writes it as shards (see `shards`) that are cheap to read at random.

    ingest(DataSource("/data/audioset"), "s3://sets/audioset-224")

What belongs into which shard follows from the rows alone. So the same command, run again, keeps the shards that are
finished and makes the rest; run once more, it finds the set complete and does nothing. A complete set never changes,
since trials may be reading it and their identity holds its digest: where the source has other rows or files by then,
that is an error which names them, and the answer is another place. Before, shards whose rows are the same are kept.
A set that an older reader made is kept where every clip, read again, gives the bytes that are stored.
"""

import csv
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from perceiver.data.audioset import LABELS_FILE, DataSource
from perceiver.data.files import PART, File, find_files, is_local, join, read_bytes, write_bytes
from perceiver.data.packing import ShardRecord, ShardTask, write_shard
from perceiver.data.renewal import renew_shard
from perceiver.data.shard_plan import Place, ShardPlan
from perceiver.data.shards import (
    INDEX_FILE,
    LEFT_OUT_FILE,
    READER,
    SHARDS_FILE,
    SPLITS,
    Form,
    IndexRows,
    Shards,
    read_shards,
    write_index,
)
from perceiver.errors import DataError, StorageError

_TRIED = 100
"""Clips after which an ingest that can't read half of them is given up."""
_FAILURES = 3
"""Shards that may fail before storage is taken to be down, unless more were written meanwhile."""
_REQUESTS = 32
"""Records that are read side by side."""

Run = Callable[[Callable[[ShardTask], ShardRecord], Iterable[ShardTask]], Iterable[ShardRecord]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Ingested:
    """A complete set, and what this run did for it: shards that it wrote, and those that were there."""

    url: str
    shards: Shards
    written: int
    kept: int
    renewed: int = 0
    """Of those that were there: shards of an older reader that this one would write alike."""

    @property
    def compared(self) -> str:
        """What of the source's files was compared: of older shards, which don't say what contents they were made from,
        only names and sizes."""
        return "contents" if self.shards.content else "names and sizes"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        about = asdict(self.shards)
        told = {key: about[key] for key in ("digest", "clips", "left_out", "classes", "size", "form")}
        counts = {"shards_written": self.written, "shards_kept": self.kept, "compared": self.compared}
        return {"url": self.url} | counts | told


def ingest(
    source: DataSource,
    dest: str,
    form: Form | None = None,
    progress: Progress | None = None,
    *,
    looking: Progress | None = None,
    run: Run = map,
) -> Ingested:
    """Makes `dest` a complete ingested set, or finds that it is one.

    `progress(done, total)` counts clips; before that `looking` counts the files that are looked into, since only their
    contents tell whether what is there was made from them. `run` is `map` or something like it that spreads the work
    over machines, in any order. It may be stopped at any moment: finished shards count, half-written ones don't.

    Raises:
        DataError: the source is no data set; the destination holds something else, or a set of other clips; less than
            half of the clips can be read.
        StorageError: storage failed; running it again makes what is missing.
    """
    plan = ShardPlan(source, dest, form or Form(), looking)
    there, listed = read_shards(dest), {file.name: file for file in find_files(dest)}
    if there is None:
        _claim(plan, listed)
    elif there.form != plan.form:
        raise DataError(f"{dest} holds a set for {there.form.pixels} pixels, not {plan.form.pixels}: choose another")
    elif there.complete and (there.source != plan.source_digest or there.content not in ("", plan.content)):
        raise DataError(_changes(plan, there))
    elif there.complete and there.reader == READER and _is_whole(there, listed):
        return Ingested(dest, there, 0, len(plan.tasks))
    records = _finished(plan, listed)
    progress = progress or (lambda done, total: None)
    renewed = _renew(plan, records, there is not None and there.complete, progress, run)
    kept = len(records)
    _write(plan, records, progress, run)
    return Ingested(dest, _finish(plan, records), len(records) - kept, kept, renewed)


def _claim(plan: ShardPlan, listed: dict[str, File]) -> None:
    """Marks an empty place as ours."""
    others = [name for name in listed if not name.endswith(PART)]
    if others:
        raise DataError(
            f"{plan.dest} holds something that is no ingested set, such as {others[0]}: name an empty place"
        )
    write_bytes(join(plan.dest, SHARDS_FILE), Shards(plan.form).to_json())


def _read_records(urls: Iterable[str]) -> Iterator[ShardRecord | None]:
    """What the record of each shard says, many at a time."""

    def read(url: str) -> ShardRecord | None:
        try:
            return ShardRecord.parse(read_bytes(url))
        except FileNotFoundError:
            return None

    with ThreadPoolExecutor(_REQUESTS, thread_name_prefix="read-records") as pool:
        yield from pool.map(read, urls)


def _finished(plan: ShardPlan, listed: dict[str, File]) -> dict[Place, ShardRecord]:
    """Shards that can be kept: of the same rows and contents, whole, and not of a time when little could be read."""
    found = {}
    tasks = [task for task in plan.tasks if task.name in listed]
    for task, record in zip(tasks, _read_records(task.record for task in tasks), strict=True):
        place = task.split, task.number
        if record is None or record.key != plan.keys[place] or record.content not in ("", plan.contents[place]):
            continue
        if record.size == listed[task.name].size and 2 * len(record.left_out) <= len(task.rows):
            found[place] = record
    return found


def _renew(plan: ShardPlan, records: dict[Place, ShardRecord], complete: bool, progress: Progress, run: Run) -> int:
    """Makes an older reader's records this one's where both read alike; drops the others, whose shards are made again.

    Raises:
        DataError: shards of a complete set would have to be made again.
    """
    older = [task for task in plan.tasks if (found := records.get((task.split, task.number))) and found.reader < READER]
    clips = 0
    for record in run(renew_shard, older) if older else ():
        if record.failure and complete:
            raise DataError(
                f"{plan.dest} was made by an older reader: stereo sound in it is 3 dB loud and clipped, surround sound "
                f"worse. It can't be kept: {record.failure}. A complete set never changes, since trials may be reading "
                "it: ingest to another place"
            )
        records[record.split, record.number] = record
        clips += len(record.files)
        progress(clips, plan.clips)
    for task in older:
        if records[task.split, task.number].failure:
            del records[task.split, task.number]
    return sum((task.split, task.number) in records for task in older)


def _is_whole(there: Shards, listed: dict[str, File]) -> bool:
    names = [name for split in SPLITS for name in there.shards[split]]
    needed = {*names, INDEX_FILE, LABELS_FILE, LEFT_OUT_FILE}
    return needed <= listed.keys() and sum(listed[name].size for name in names) == there.size


def _write(plan: ShardPlan, records: dict[Place, ShardRecord], progress: Progress, run: Run) -> None:
    """Adds the records of the missing shards to those that are there."""
    kept, failures = len(records), list[str]()
    clips = sum(len(record.files) for record in records.values())
    progress(clips, plan.clips)
    for record in run(write_shard, [task for task in plan.tasks if (task.split, task.number) not in records]):
        if record.failure:
            failures.append(record.failure)
            if len(failures) >= max(_FAILURES, len(records) - kept):
                break
            continue
        records[record.split, record.number] = record
        clips += len(record.files)
        _refuse_unreadable(plan, records, clips)
        progress(clips, plan.clips)
    if failures:
        missing = len(plan.tasks) - len(records)
        raise StorageError(
            f"{missing} of {len(plan.tasks)} shards are not written, {len(failures)} of them since storage failed; the "
            f"same command makes just these. First: {failures[0]}"
        )


def _refuse_unreadable(plan: ShardPlan, records: dict[Place, ShardRecord], clips: int) -> None:
    left_out = [clip for record in records.values() for clip in record.left_out]
    if clips >= min(_TRIED, plan.clips) and 2 * len(left_out) > clips:
        counts = ", ".join(f"{n} {reason}" for reason, n in Counter(clip.reason for clip in left_out).most_common())
        named = "; ".join(clip.message for clip in left_out[:3])
        raise DataError(
            f"{len(left_out)} of the first {clips} clips of {plan.source.url} can't be read ({counts}): {named}"
        )


def _finish(plan: ShardPlan, records: dict[Place, ShardRecord]) -> Shards:
    """Writes the index and what belongs to it; shards.json, which makes the set complete, last."""
    sha = hashlib.sha256(json.dumps([asdict(plan.form), plan.mids]).encode())
    rows = {split: IndexRows() for split in SPLITS}
    left_out = list(plan.problems)
    for task in plan.tasks:
        record = records[task.split, task.number]
        for clip in record.clips:
            row = task.rows[clip.row]
            place = (task.number, clip.offset, clip.length)
            rows[task.split].append(row.id, row.start, row.end, row.labels, place)
            sha.update(f"{task.split} {row.id} {row.start!r} {row.end!r} {row.labels} {clip.sha256}\n".encode())
        for missing in record.left_out:
            row = task.rows[missing.row]
            left_out.append((task.split, f"{row.id} at {row.start:g} s", missing.reason, missing.message))
    index = write_index(rows)
    classes = [(number, label.mid, label.name) for number, label in enumerate(plan.classes)]
    write_bytes(join(plan.dest, INDEX_FILE), index)
    write_bytes(join(plan.dest, LABELS_FILE), _table(("index", "mid", "display_name"), classes))
    write_bytes(join(plan.dest, LEFT_OUT_FILE), _table(("split", "row", "reason", "message"), left_out))
    shards = Shards(
        plan.form,
        complete=True,
        digest=sha.hexdigest(),
        source=plan.source_digest,
        content=plan.content if all(record.content for record in records.values()) else "",
        clips={split: len(rows[split].ids) for split in SPLITS},
        left_out=dict(Counter(reason for _, _, reason, _ in left_out).most_common()),
        classes=len(plan.classes),
        shards={split: [task.name for task in plan.tasks if task.split == split] for split in SPLITS},
        index=hashlib.sha256(index).hexdigest(),
        size=sum(record.size for record in records.values()),
    )
    write_bytes(join(plan.dest, SHARDS_FILE), shards.to_json())
    _remove_parts(plan.dest)
    return shards


def _table(header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode()


def _remove_parts(dest: str) -> None:
    """Files that a killed worker left half written; on object storage there are none."""
    for file in find_files(dest) if is_local(dest) else ():
        if file.name.endswith(PART):
            os.unlink(file.path)


def _changes(plan: ShardPlan, there: Shards) -> str:
    """How the source differs from the one that a complete set was made from."""
    records = [join(plan.dest, f"{name.removesuffix('.tar')}.json") for split in SPLITS for name in there.shards[split]]
    before = {
        (record.split, *file[:2]): file[2:] for record in _read_records(records) if record for file in record.files
    }
    now = {(task.split, *file[:2]): file[2:] for task in plan.tasks for file in task.files()}
    groups = {
        "new": [row for row in now if row not in before],
        "gone": [row for row in before if row not in now],
        "with another file": [row for row in now if before.get(row, now[row])[:2] != now[row][:2]],
        "with another content": [row for row in now if _differs(before.get(row, now[row]), now[row])],
    }
    told = ", ".join(f"{len(rows)} {what} ({_named(rows)})" for what, rows in groups.items() if rows)
    told = told or "with other labels or times, or read as other parts of their files"
    return (
        f"{plan.source.url} is not what {plan.dest} was made from: rows {told}. "
        "A complete set never changes, since trials may be reading it: ingest to another place"
    )


def _differs(before: Sequence[Any], now: Sequence[Any]) -> bool:
    """Whether a file of the same name and size holds something else, as far as a record tells."""
    return len(before) == len(now) and before[:2] == now[:2] and before[2:] != now[2:]


def _named(rows: list[tuple[str, str, float]]) -> str:
    return ", ".join([*(f"{id} at {start:g} s" for _, id, start in rows[:3]), *["..."] * (len(rows) > 3)])
