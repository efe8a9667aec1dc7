"""Which modalities the clips of each split have, as far as the headers of a few files tell.

    python -m perceiver.data.modalities URL [LABELS]     # {"train": {"files": 64, "video": 64}, "eval": {...}}

A plan asks in a process of its own, since it loads no media library. Files are drawn by hash of their clips' ids; the
first ones are enough where both modalities are seen in them.
"""

import heapq
import json
import sys
from collections import Counter
from hashlib import blake2b

from perceiver.data.audioset import DataSource, Segment
from perceiver.data.files import File
from perceiver.data.probe import measure
from perceiver.data.shards import SPLITS, open_layout

SAMPLED = 64
"""Files of a split that are looked into before one says that none has a modality."""
MODALITIES = ("audio", "video")


def modalities(source: DataSource) -> dict[str, Counter[str]]:
    """Split -> how many `files` were looked into, and how many of them have each modality."""
    layout = open_layout(source)
    return {
        split: _of_sample(heapq.nsmallest(SAMPLED, filter(_is_usable, layout.segments(split)), key=_draw))
        for split in SPLITS
    }


def _of_sample(rows: list[Segment]) -> Counter[str]:
    found = Counter[str]()
    for row in rows:
        report = measure(File(row.path, row.size))
        if not report.reason:
            found.update(["files", *(name for name in MODALITIES if getattr(report, name))])
        if all(found[name] for name in MODALITIES):
            break
    return found


def _is_usable(row: object) -> bool:
    return isinstance(row, Segment)


def _draw(row: Segment) -> bytes:
    return blake2b(row.id.encode("utf-8", "surrogateescape"), digest_size=8).digest()


if __name__ == "__main__":
    print(json.dumps(modalities(DataSource(*sys.argv[1:3]))))
