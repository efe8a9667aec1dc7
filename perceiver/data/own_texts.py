"""The texts of segment lists and label lists, as AudioSet publishes them."""

import csv
import io
import re
from collections.abc import Mapping, Sequence

from perceiver.data.own_rows import Row
from perceiver.data.segments import ClassLabel


def segments_text(rows: Sequence[Row], mids: Mapping[str, str]) -> str:
    """Rows as AudioSet publishes them; a file is named by its path below the folder."""
    labels = {label for row in rows for label in row.labels}
    lines = [
        "# Segments csv made by `sweep data init`: each file is named by its path below this folder",
        f"# num_ytids={len({row.file for row in rows})}, num_segs={len(rows)}, num_unique_labels={len(labels)}",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    for row in rows:
        classes = ",".join(dict.fromkeys(mids[label] for label in row.labels))
        lines.append(f'{_quoted(row.file.inner)}, {row.start:.3f}, {row.end:.3f}, "{classes}"')
    return "\n".join([*lines, ""])


def _quoted(name: str) -> str:
    """A path as a CSV's cell; one that would begin a comment, or with a space, begins with ./ instead."""
    name = f"./{name}" if name[0] in "# " else name
    return '"' + name.replace('"', '""') + '"' if re.search(r'[,"]', name) else name


def labels_text(classes: Sequence[ClassLabel]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["index", "mid", "display_name"])
    writer.writerows((index, label.mid, label.name) for index, label in enumerate(classes))
    return text.getvalue()
