"""What the columns of a table of clips hold: their roles by headings, else by values; and what is in a cell."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping

_HEADINGS = {
    "file": (
        "file filename file_name filepath file_path path clip clip_name fname slice_file_name wav wav_file audio "
        "audio_file audio_path audio_filename video video_file video_path video_name media recording_file ytid "
        "youtube_id video_id clip_id sample sample_id id name"
    ),
    "labels": (
        "labels label classes class class_name category categories tags tag display_name positive_labels event_label "
        "event annotation annotations species emotion genre word command action verb target y"
    ),
    "start": "start start_seconds start_time start_time_seconds start_s onset begin time_start t_start start_ms from",
    "end": "end end_seconds end_time end_time_seconds end_s offset stop time_end t_end end_ms to",
    "split": "split subset partition fold usage set",
    "group": "group group_id speaker speaker_id subject subject_id source source_id src_file fsid recording_id",
}
"""Role -> the headings that mean it, the likeliest first."""

_KNOWN = {name for names in _HEADINGS.values() for name in names.split()}

SPLIT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "dev", "development", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "vali"), "validation"),
    **dict.fromkeys(("eval", "evaluation", "test", "testing", "tst", "holdout", "heldout"), "eval"),
}
"""Words for a split -> the split that they mean."""


def is_header(first: list[str], others: list[tuple[int, list[str]]], is_file: Callable[[str], bool]) -> bool:
    """Whether a row is a header: it has two of the known headings, or names no file though the rows below do."""
    if sum(_plain(cell) in _KNOWN for cell in first) >= min(2, len(first)):
        return True
    has_values = any(is_file(cell) or seconds_of(cell) is not None for cell in first)
    return not has_values and any(is_file(cell) for _, cells in others for cell in cells)


def roles_of(header: list[str], rows: list[tuple[int, list[str]]], is_file: Callable[[str], bool]) -> dict[str, int]:
    """Role -> the column that has it, for as many as are to be found; empty where no column names files."""
    width = Counter(len(cells) for _, cells in rows).most_common(1)[0][0] if rows else 0
    columns = [[cells[index] for _, cells in rows if index < len(cells)] for index in range(width)]
    found = _by_heading(header)
    matching = [sum(map(is_file, column)) for column in columns]
    file = found.get("file", 0)
    if not any(matching):
        return {}
    if file >= width or not matching[file]:
        file = max(range(width), key=lambda index: matching[index])
    found = {role: index for role, index in found.items() if index != file and index < width} | {"file": file}
    if "labels" not in found or not header:
        guessed = _by_values(columns, file, set(found.values()))
        found = {role: at for role, at in guessed.items() if not header or role in ("labels", "split")} | found
    if "labels" not in found and "start" in found and "end" not in found and not header:
        found["labels"] = found.pop("start")  # classes that are numbers
    return found


def means_file(heading: str) -> bool:
    """Whether a heading is one of those for files."""
    return _plain(heading) in _HEADINGS["file"].split()


def split_of(word: str) -> str | None:
    """The split that a word means; None where it means none."""
    return SPLIT_WORDS.get(word.strip().casefold())


def seconds_of(text: str) -> float | None:
    """A time: seconds, or h:mm:ss; None where it is no time."""
    parts = text.strip().replace(",", ".").split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        return None
    if not all(map(math.isfinite, numbers)):
        return None
    return sum(number * 60**power for power, number in enumerate(reversed(numbers)))


def labels_of(text: str, separator: str) -> list[str]:
    """The labels of a cell, without the brackets and quotes of a list."""
    text = text.strip().strip("[](){}") if re.match(r"^\s*[\[({]", text) else text
    return [label for part in text.split(separator) if (label := part.strip().strip("'\"").strip())]


def _by_heading(header: list[str]) -> dict[str, int]:
    plain = [_plain(heading) for heading in header]
    found: dict[str, int] = {}
    for role, names in _HEADINGS.items():
        index = next((plain.index(name) for name in names.split() if name in plain), None)
        if index is not None and index not in found.values():
            found[role] = index
    return found


def _by_values(columns: list[list[str]], file: int, taken: set[int]) -> dict[str, int]:
    """Roles by what a column holds: numbers are start and end, words for a split are one, other words are labels."""
    found: dict[str, int] = {}
    for index, column in enumerate(columns):
        values = [value for value in column if value]
        if index == file or index in taken or not values:
            continue
        if all(split_of(value) for value in values):
            found.setdefault("split", index)
        elif all(seconds_of(value) is not None for value in values):
            found.setdefault("end" if "start" in found else "start", index)
        else:
            found.setdefault("labels", index)
    return found


def _plain(heading: str) -> str:
    return re.sub(r"[\s\-.]+", "_", heading.strip().casefold().lstrip("# "))
