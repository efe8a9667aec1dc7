"""Clips of a folder that has no segment lists yet: which files, with which labels, by a table or by their folders.

    found = find_clips(list_files("mine"))
    found.form, found.items, found.assumed, found.left_out

A folder per class (dog/001.mp4), also below train/ and test/, or a table that has a column with the files' names and
one with labels; AudioSet's own CSVs are such tables. Whatever had to be guessed is said in `assumed`.
"""

from collections import Counter
from collections.abc import Sequence

from perceiver.data.file_names import FileNames
from perceiver.data.files import File
from perceiver.data.own_items import Found, Item, media_of
from perceiver.data.own_tables import Columns, from_tables, tables_of
from perceiver.data.segments import Problem
from perceiver.data.table_columns import split_of

_NO_CLASSES = {"audio", "audios", "video", "videos", "clips", "wav", "wavs", "mp4", "media", "sound", "sounds", "data"}
"""Folders that say how clips are stored, not what they are."""


def find_clips(files: Sequence[File], columns: Columns | None = None) -> Found | None:
    """The clips of a folder's files; None where neither tables nor folders say what they are.

    Raises:
        DataError: a column that the user names is not there.
    """
    names = FileNames(media_of(files))
    tables = tables_of(files, names)
    if tables:
        return from_tables(tables, names, columns or Columns())
    return _from_folders(names)


def _from_folders(names: FileNames) -> Found | None:
    """Clips whose folder is their class: the first below that of the split, or below the one that holds all."""
    paths = {path: path.split("/") for path in names.paths}
    depth = _shared_depth(list(paths.values()))
    tops = {parts[depth] for parts in paths.values() if len(parts) > depth + 1}
    splits = bool(tops) and all(split_of(top) for top in tops)
    at = depth + splits
    classes = Counter(parts[at] for parts in paths.values() if len(parts) > at + 1)
    if len(classes) < 2 or all(name.casefold() in _NO_CLASSES for name in classes):
        return None
    found = Found(
        f"a folder per class ({len(classes)}, such as {', '.join(repr(name) for name in sorted(classes)[:3])})"
    )
    found.assumed.append("each file has one label, the name of its folder")
    if splits:
        found.assumed.append(f"the split is that of the folders {', '.join(sorted(tops))}")
    for path, parts in paths.items():
        if len(parts) <= at + 1:
            found.left_out.add(Problem(path, "in no class's folder", f"{path} lies in no class's folder"))
        elif names.paths[path] in names.beside:
            found.left_out.add(
                Problem(path, "beside pictures", f"{path} is the sound of the file with pictures beside it")
            )
        else:
            split = parts[depth] if splits else ""
            found.items.append(Item(names.paths[path], (parts[at],), split=split, where=path))
    return found


def _shared_depth(paths: Sequence[Sequence[str]]) -> int:
    """How many folders hold all files, so that they are no classes."""
    depth = 0
    while paths and all(len(parts) > depth + 2 and parts[depth] == paths[0][depth] for parts in paths):
        depth += 1
    return depth
