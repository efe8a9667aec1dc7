"""What the names of files say: which are a split's lists, and which are old copies of something."""

import re
from collections.abc import Sequence

from perceiver.data.files import File
from perceiver.data.segments import Split
from perceiver.errors import DataError

_PUBLISHED = {
    "train": ("train_segments.csv", "balanced_train_segments.csv", "unbalanced_train_segments.csv"),
    "eval": ("eval_segments.csv",),
}
_BACKUP = {"backup", "backups", "bak", "old", "copy", "copies", "trash"}


def is_backup(inner: str) -> bool:
    """Whether a file or one of its folders is called a backup, an old version or a copy."""
    return not _BACKUP.isdisjoint(re.split("[^a-z0-9]+", inner.lower()))


def segment_lists(files: Sequence[File], split: Split) -> tuple[list[File], list[File]]:
    """The lists of a split, and those that look like one and are not used: backups, copies, lists deeper down.

    AudioSet's names go before others such as `music_train_segments.csv`. Training may have several lists.

    Raises:
        DataError: more than one list of the evaluation, and nothing says which one counts.
    """
    files = [file for file in files if f"{split}_segments" in file.path.lower()]  # quickly, of a million
    tables = [file for file in files if "_segments" in file.path.lower()]  # of two million files, these few
    alike = [file for file in tables if f"{split}_segments" in file.name.lower() and ".csv" in file.name.lower()]
    lists = [f for f in alike if f.name.lower().endswith(f"{split}_segments.csv") and not is_backup(f.inner)]
    published = [file for file in lists if file.name.lower() in _PUBLISHED[split]]
    named = published or lists
    depth = min((file.inner.count("/") for file in named), default=0)
    used = [file for file in named if file.inner.count("/") == depth]
    if split == "eval" and len(used) > 1:
        names = " and ".join(file.inner for file in used)
        raise DataError(f"{names} are both a list of the evaluation: leave one, named {_PUBLISHED[split][0]}")
    return used, [file for file in alike if file not in used]


def are_published(lists: Sequence[File]) -> bool:
    """Whether several training lists are the two that AudioSet has."""
    return {file.name.lower() for file in lists} <= set(_PUBLISHED["train"][1:]) and len(lists) <= 2
