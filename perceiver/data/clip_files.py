"""Which file is a row's clip: by the stem of its name, decided from what is there and never from the order of paths.

    <YTID>.mp4                     the segment, or the whole video; so with a Y in front
    <YTID>_<start>[_<end>].mp4     the segment, in seconds (30, 30.0, 30.000, 000030) or milliseconds (30000)
    <YTID>.mp4 beside <YTID>.wav   pictures with sound of their own, or else with the other file's
    speech/<YTID>.mp4              the file at that place, for a row whose id is `speech/<YTID>`

What lies in a folder that is called a backup, an old version or a copy gives way to what lies elsewhere. Files that are
byte for byte the same are one. A row that is left with a choice is an `ambiguous file`, and not used.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from perceiver.data.content import content_of, sized
from perceiver.data.files import File, FilePair
from perceiver.data.lists import MEDIA_SUFFIXES, SOUND_SUFFIXES, composed
from perceiver.data.names import is_backup
from perceiver.data.segments import NO_FILE, RowError

_YOUTUBE = re.compile(r"[A-Za-z0-9_-]{11}")


class Found(NamedTuple):
    """A row's clip: its path, or two as one (see `FilePair`), its bytes, and whether its name holds the start."""

    path: str
    size: int
    trimmed: bool
    note: tuple[str, str] | None = None
    """What is to be known of it: reason and message."""


class ClipFiles:
    """The media files of a listing. `numbered` gives the ids of all lists that end in a number, such as kitchen_10."""

    def __init__(self, url: str, files: Sequence[File], numbered: Callable[[], Collection[str]]) -> None:
        self._url, self._numbered = url, numbered
        self._media = [file for file in files if file.path.lower().endswith(MEDIA_SUFFIXES)]
        sounds = sum(_is_sound(file) for file in self._media)
        self._mixed = 0 < sounds < len(self._media)
        """Some files are sound and some are more, so that a row may have one of each."""

    def find(self, clip: str, start: float, end: float, named: bool = False) -> Found:
        """The clip of a row; `named`: its list names a file.

        Raises:
            RowError: no file; ambiguous file.
        """
        if named and clip in self._by_place:
            return self._chosen(clip, start, [(clip, False)], self._by_place)
        stems, found = self._by_place if "/" in clip else self._by_stem, list[tuple[str, bool]]()
        for stem, trimmed, plain in _stems(clip, start, end):
            if stem in stems and not (plain and self._is_recording(clip, stem, stems, bool(found))):
                found.append((stem, trimmed))
                if not self._mixed:
                    break
        if not found:
            raise RowError(NO_FILE, f"{clip} at {start:g} s has no file below {self._url}")
        return self._chosen(clip, start, found, stems)

    def _is_recording(self, clip: str, stem: str, stems: "dict[str, list[File]]", found: bool) -> bool:
        """Whether `kitchen_10` is a recording of that name and no cut of `kitchen`.

        Raises:
            RowError: it may be either, and nothing better was found. YouTube's ids of eleven letters leave no doubt.
        """
        if stem in self._numbered():
            return True
        if clip not in stems or _YOUTUBE.fullmatch(clip):
            return False
        if not found:
            whole, cut = stems[clip][0].inner, stems[stem][0].inner
            raise RowError("ambiguous file", f"{clip} may be a part of {whole}, or its cut {cut}")
        return True

    def _chosen(
        self, clip: str, start: float, found: Sequence[tuple[str, bool]], stems: "dict[str, list[File]]"
    ) -> Found:
        """Pictures go before sound alone; sound beside pictures is theirs, if both names say the start or neither."""
        if len(found) == 1 == len(stems[found[0][0]]):  # as nearly all rows have it
            (one,) = stems[found[0][0]]
            return Found(one.path, one.size, found[0][1])
        if len(found) == 1 and len(stems[found[0][0]]) == 1:
            (only,) = stems[found[0][0]]
            return Found(only.path, only.size, found[0][1])
        files = {(stem, trimmed): stems[stem] for stem, trimmed in found}
        trimmed = next((key[1] for key, each in files.items() if not all(map(_is_sound, each))), found[0][1])
        alike = [each for key, each in files.items() if key[1] == trimmed]
        pictures = next((some for each in alike if (some := [file for file in each if not _is_sound(file)])), [])
        sounds = next((some for each in alike if (some := [file for file in each if _is_sound(file)])), [])
        picture, sound = (_only(clip, start, each) for each in (pictures, _best_kept(sounds)))
        copies = len(pictures) > 1 or len(sounds) > 1
        if picture is None or sound is None:
            (one,) = (each for each in (picture, sound) if each is not None)
            note = ("one of several files", f"{clip} at {start:g} s is read from {one.inner}") if copies else None
            return Found(one.path, one.size, trimmed, note)
        message = f"{clip} at {start:g} s has {picture.inner} and {sound.inner}"
        path = str(FilePair(picture.path, sound.path))
        return Found(path, picture.size + sound.size, trimmed, ("pictures and sound", message))

    @cached_property
    def _by_stem(self) -> dict[str, list[File]]:
        return _grouped(self._media, lambda file: file.name)

    @cached_property
    def _by_place(self) -> dict[str, list[File]]:
        return _grouped(self._media, lambda file: file.inner)


def _grouped(files: Sequence[File], name: Callable[[File], str]) -> dict[str, list[File]]:
    groups: dict[str, list[File]] = {}
    for file in files:
        groups.setdefault(composed(name(file).rpartition(".")[0]), []).append(file)
    return groups


def _only(clip: str, start: float, files: Sequence[File]) -> File | None:
    """The file, or any of several that hold the same.

    Raises:
        RowError: ambiguous file.
    """
    if len(files) > 1:
        files = [file for file in files if not is_backup(file.inner.rpartition("/")[0])] or files
    if len({file.size for file in files}) > 1 or (len(files) > 1 and len({content_of(sized(f)) for f in files}) > 1):
        names = " and ".join(file.inner for file in files[:3])
        raise RowError("ambiguous file", f"{clip} at {start:g} s may be {names}, which differ")
    return files[0] if files else None


def _best_kept(sounds: Sequence[File]) -> Sequence[File]:
    """Those of the suffix that keeps sound best: a recording and its compressed copy are no two clips."""
    rank = min((SOUND_SUFFIXES.index(_suffix(file)) for file in sounds), default=0)
    return [file for file in sounds if _suffix(file) == SOUND_SUFFIXES[rank]]


def _is_sound(file: File) -> bool:
    return file.name.lower().endswith(SOUND_SUFFIXES)


def _suffix(file: File) -> str:
    return f".{file.name.rpartition('.')[2].lower()}"


def _stems(clip: str, start: float, end: float) -> Iterator[tuple[str, bool, bool]]:
    """The names that a segment's file may have, likeliest first; whether each says that the file is trimmed, and so by
    a bare number that a recording's own name may end in."""
    yield (f"{clip}_{start:g}" if start < 1e5 else f"{clip}_{start:.0f}"), True, start % 1 == 0
    yield clip, False, False
    starts, ends = _spellings(start), _spellings(end)
    folder, slash, stem = clip.rpartition("/")
    for name in (clip, f"{folder}{slash}Y{stem}"):
        for at, first in enumerate(starts):
            yield f"{name}_{first}", True, at in (0, 4)
        for first, last in zip(starts, ends, strict=True):
            yield f"{name}_{first}_{last}", True, False
    yield f"{folder}{slash}Y{stem}", False, False


def _spellings(seconds: float) -> tuple[str, ...]:
    whole = f"{seconds:.0f}"
    return whole, f"{seconds:.1f}", f"{seconds:.3f}", f"{int(seconds):06d}", f"{round(seconds * 1000)}"
