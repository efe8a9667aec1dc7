"""The classes of own clips: those of the label list that is there, else one for each label."""

import re
from collections.abc import Collection, Mapping, Sequence

from perceiver.data.files import File, join
from perceiver.data.label_list import read_classes
from perceiver.data.segments import LABELS_FILE, ClassLabel, DataSource
from perceiver.errors import DataError


def listed_classes(url: str) -> list[ClassLabel]:
    """The classes of the label list in the folder or its parent; none where there is no list that can be used."""
    try:
        return read_classes(DataSource(url))
    except DataError:
        return []


def find_classes(
    url: str, labels: Collection[str], files: Sequence[File]
) -> tuple[list[ClassLabel], Mapping[str, str], bool]:
    """The classes, label -> the id that rows have for it, and whether they are those of a list that is there.

    Raises:
        DataError: the folder's own label list does not have a label.
    """
    listed = listed_classes(url)
    known = {name: label.mid for label in listed for name in (label.name.casefold(), label.mid.casefold())}
    unknown = sorted(label for label in labels if label.casefold() not in known)
    if listed and not unknown:
        return listed, {label: known[label.casefold()] for label in labels}, True
    if listed and any(file.inner == LABELS_FILE for file in files):
        raise DataError(
            f"{join(url, LABELS_FILE)} does not list {unknown[0]!r}, which clips have; "
            "give it another name to have one made of the labels that there are"
        )
    mids: dict[str, str] = {}
    for label in sorted(labels):
        mid = re.sub(r'[\s,;"#]+', "_", label).strip("_") or "class"
        mids[label] = mid if mid not in mids.values() else f"{mid}_{len(mids)}"
    return [ClassLabel(mid, label) for label, mid in mids.items()], mids, False
