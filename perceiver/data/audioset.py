"""AudioSet's files as published: segment CSVs, the label list, and the clips that belong to the rows.

    class_labels_indices.csv       index,mid,display_name          (in the folder, in its parent, or named apart)
    train_segments.csv             YTID, start_seconds, end_seconds, "mid,mid"     after three lines of #
    eval_segments.csv              the published names balanced_train_segments.csv and unbalanced_train_segments.csv
                                   also do: the training clips are those of every *train_segments.csv
    clips/<YTID>.mp4               anywhere below the folder; also <YTID>_<start> and <YTID>_<start>_<end>, in seconds
                                   (30, 30.0, 30.000, 000030) or milliseconds (30000), with or without a Y in front

A row that can't be used is a `Problem`, counted by reason and named, never a crash: a wrong one, one without a file, a
training row that is in the evaluation too. Imports nothing heavy: a plan reads through this module.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from perceiver.data.files import File, join, list_files, parent, read_bytes
from perceiver.data.recipe import Recipe
from perceiver.errors import DataError

Split = Literal["train", "eval"]

LABELS_FILE = "class_labels_indices.csv"
MEDIA_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".m4v", ".avi", ".ts", ".m4a", ".wav", ".flac", ".mp3", ".ogg")

_NAMED_PROBLEMS = 1_000
"""Problems kept with their rows; a mirror of AudioSet lacks 300,000 files, and counting those is enough."""


@dataclass(frozen=True)
class DataSource:
    """Where a data set lies: a folder or fsspec URL, and its label list where that lies apart.

    With a recipe the folder is a synthetic set, made on first use.
    """

    url: str
    labels: str | None = None
    recipe: Recipe | None = None

    def __post_init__(self) -> None:
        if isinstance(self.recipe, dict):  # a source travels to workers as plain data
            object.__setattr__(self, "recipe", Recipe(**self.recipe))


class ClassLabel(NamedTuple):
    """One class of the label list: its machine id and its name."""

    mid: str
    name: str


class Segment(NamedTuple):
    """A row that can be used: when the segment starts and ends in its source, its classes, and its clip's file."""

    id: str
    start: float
    end: float
    labels: tuple[int, ...]
    path: str
    size: int
    trimmed: bool
    """The file's name holds the start, so its own time begins with the segment."""


class Problem(NamedTuple):
    """A row that can't be used: its file and line, the reason's class, and what would be right."""

    where: str
    reason: str
    message: str


@dataclass
class Problems:
    """Rows that can't be used: how many by reason, and the first of them by name."""

    counts: Counter[str] = field(default_factory=Counter)
    named: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        self.counts[problem.reason] += 1
        if len(self.named) < _NAMED_PROBLEMS:
            self.named.append(problem)

    def __str__(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.counts.most_common())


class Layout:
    """The files of a data set, from one listing: its CSVs, and its clips by the stem of their names.

    Raises:
        DataError: nothing there, or no label list; the message names the places.
    """

    def __init__(self, source: DataSource) -> None:
        self.source = source
        self.files = list_files(source.url)
        self.classes = read_classes(source)
        self.clips = _by_stem(self.files)

    def segment_files(self, split: Split) -> list[File]:
        """The CSVs of a split, sorted by name.

        Raises:
            DataError: there is none; names what was looked for and what is there.
        """
        found = self._tables(split)
        if not found:
            tables = ", ".join(sorted(file.name for file in self.files if file.name.endswith(".csv"))) or "none"
            raise DataError(f"{self.source.url} has no {split}_segments.csv; CSV files there: {tables}")
        return found

    def _tables(self, split: Split) -> list[File]:
        return [file for file in self.files if file.name.endswith(f"{split}_segments.csv")]

    def segments(self, split: Split) -> Iterator[Segment | Problem]:
        """The rows of a split in the order of its CSVs, each with its clip's file, or what is wrong with it.

        A training row that overlaps a row of the evaluation is wrong: what a model was trained on can't measure it.
        """
        index = {label.mid: number for number, label in enumerate(self.classes)}
        seen: set[tuple[str, float]] = set()
        held_out = self._held_out() if split == "train" else {}
        for file in self.segment_files(split):
            for line, fields in _rows(file.path):
                where = f"{file.name} line {line}"
                try:
                    yield self._segment(fields, index, seen, held_out)
                except _RowError as error:
                    yield Problem(where, error.reason, f"{where}: {error}")

    def _held_out(self) -> dict[str, list[tuple[float, float]]]:
        """Where the evaluation's segments lie in their sources, by id."""
        times: dict[str, list[tuple[float, float]]] = {}
        for file in self._tables("eval"):
            for _, fields in _rows(file.path):
                try:
                    clip, start, end, _ = _parse_row(fields)
                except _RowError:
                    continue  # told where the evaluation itself is read
                times.setdefault(clip, []).append((start, end))
        return times

    def _segment(
        self,
        fields: list[str],
        index: Mapping[str, int],
        seen: set[tuple[str, float]],
        held_out: Mapping[str, list[tuple[float, float]]],
    ) -> Segment:
        clip, start, end, mids = _parse_row(fields)
        unknown = [mid for mid in mids if mid not in index]
        if unknown:
            raise _RowError("unknown label", f"{clip} has label {unknown[0]}, which {LABELS_FILE} does not list")
        if (clip, start) in seen:
            raise _RowError("duplicate row", f"{clip} at {start:g} s was listed before")
        seen.add((clip, start))
        for first, last in held_out.get(clip, ()):
            if start < last and first < end:
                raise _RowError("in eval too", f"{clip} at {start:g} s overlaps the evaluation's at {first:g} s")
        file, trimmed = self._file(clip, start, end)
        labels = tuple(dict.fromkeys(index[mid] for mid in mids))
        return Segment(clip, start, end, labels, file.path, file.size, trimmed)

    def _file(self, clip: str, start: float, end: float) -> tuple[File, bool]:
        for stem, trimmed in _stems(clip, start, end):
            if stem in self.clips:
                return self.clips[stem], trimmed
        raise _RowError("no file", f"{clip} at {start:g} s has no file below {self.source.url}")


def read_classes(source: DataSource) -> list[ClassLabel]:
    """The label list in order of its index.

    Raises:
        DataError: not found (names the places looked in), or not a list with indices 0, 1, 2, ...
    """
    path, text = _labels_text(source)
    rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True))
    try:
        numbered = sorted((int(row["index"]), ClassLabel(row["mid"], row["display_name"])) for row in rows)
    except (KeyError, TypeError, ValueError):
        raise DataError(
            f"{path} is no label list: expected columns index,mid,display_name with a number first"
        ) from None
    if not numbered or [number for number, _ in numbered] != list(range(len(numbered))):
        raise DataError(f"{path}: the indices of its {len(numbered)} classes are not 0, 1, 2, ... without gaps")
    doubled = [mid for mid, count in Counter(label.mid for _, label in numbered).items() if count > 1]
    if doubled:
        raise DataError(f"{path} lists {doubled[0]} more than once")
    return [label for _, label in numbered]


def _labels_text(source: DataSource) -> tuple[str, str]:
    if source.labels is None:
        places = [join(source.url, LABELS_FILE), join(parent(source.url), LABELS_FILE)]
    else:
        places = [source.labels] if source.labels.endswith(".csv") else [join(source.labels, LABELS_FILE)]
    for place in places:
        try:
            return place, _decode(place)
        except (FileNotFoundError, NotADirectoryError):
            continue
    raise DataError(f"no label list at {' or '.join(places)}; the site may name one: labels: <folder or file>")


class _RowError(Exception):
    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def _rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row of a segment CSV; lines of # and empty lines are left out."""
    lines = io.StringIO(_decode(path))
    reader = csv.reader(lines, skipinitialspace=True)
    for fields in reader:
        if fields and not fields[0].startswith("#"):
            yield reader.line_num, fields


def _decode(path: str) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}") from None


def _parse_row(fields: Sequence[str]) -> tuple[str, float, float, list[str]]:
    """Id, start, end and mids. Labels that someone's tool left unquoted are further fields, and taken as meant."""
    try:
        clip, start, end = fields[0].strip(), float(fields[1]), float(fields[2])
    except (IndexError, ValueError):
        raise _RowError("malformed row", f"expected YTID, start, end, labels, got {', '.join(fields)!r}") from None
    mids = [mid.strip() for part in fields[3:] for mid in part.split(",") if mid.strip()]
    if not mids:
        raise _RowError("no label", f"{clip} has no label")
    if not 0 <= start < end < float("inf"):
        raise _RowError("bad times", f"{clip} starts at {start:g} s and ends at {end:g} s; expected 0 <= start < end")
    return clip, start, end, mids


def _by_stem(files: Sequence[File]) -> dict[str, File]:
    clips: dict[str, File] = {}
    for file in files:
        stem, dot, suffix = file.name.rpartition(".")
        if dot and f".{suffix.lower()}" in MEDIA_SUFFIXES:
            clips.setdefault(stem, file)
    return clips


def _stems(clip: str, start: float, end: float) -> Iterator[tuple[str, bool]]:
    """The names that a segment's file may have, likeliest first, and whether each says that the file is trimmed."""
    yield f"{clip}_{start:g}" if start < 1e5 else f"{clip}_{start:.0f}", True
    yield clip, False
    starts, ends = _spellings(start), _spellings(end)
    for name in (clip, f"Y{clip}"):
        for first in starts:
            yield f"{name}_{first}", True
        for first, last in zip(starts, ends, strict=True):
            yield f"{name}_{first}_{last}", True
    yield f"Y{clip}", False


def _spellings(seconds: float) -> tuple[str, ...]:
    whole = f"{seconds:.0f}"
    return whole, f"{seconds:.1f}", f"{seconds:.3f}", f"{int(seconds):06d}", f"{round(seconds * 1000)}"
