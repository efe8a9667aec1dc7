"""Which file is a row's clip: by the stem of its name, decided from what is there and never from the order of paths.

    <YTID>.mp4                     the segment, or the whole video; so with a Y in front
    <YTID>_<start>[_<end>].mp4     the segment, in seconds (30, 30.0, 30.000, 000030) or milliseconds (30000); never
                                   a start that was rounded, which may be another segment's
    <YTID>.mp4 beside <YTID>.wav   pictures with sound of their own, or else with the other file's
    speech/<YTID>.mp4              the file at that place, for a row whose id is `speech/<YTID>`

What lies in a folder that is called a backup, an old version or a copy gives way to what lies elsewhere. Files that are
byte for byte the same are one, whichever of these names they have. A row that is left with a choice is an `ambiguous
file`, and not used.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

from perceiver.data.content import content_of, sized
from perceiver.data.files import File, FilePair
from perceiver.data.lists import MEDIA_SUFFIXES, SOUND_SUFFIXES, composed
from perceiver.data.names import is_backup
from perceiver.data.segments import NO_FILE, RowError

_YOUTUBE = re.compile(r"[A-Za-z0-9_-]{11}")
Number = Literal["", "seconds", "milliseconds"]
"""What a bare number at the end of a name counts; empty where it is none."""


class Found(NamedTuple):
    """A row's clip: its path, or two as one (see `FilePair`), its bytes, and whether its name holds the start."""

    path: str
    size: int
    trimmed: bool
    note: tuple[str, str] | None = None
    """What is to be known of it: reason and message."""


class ClipFiles:
    """The media files of a listing.

    Of all lists, `numbered` gives the ids that end in a number, such as kitchen_10, and `late` the names of cuts that
    begin in whole seconds from 1000 on, such as kitchen_3000.
    """

    def __init__(
        self,
        url: str,
        files: Sequence[File],
        numbered: Callable[[], Collection[str]],
        late: Callable[[], Collection[str]],
    ) -> None:
        self._url, self._numbered, self._late = url, numbered, late
        self._media = [file for file in files if file.path.lower().endswith(MEDIA_SUFFIXES)]
        self._times = lru_cache(4096)(self._times_there)  # the segments of most videos have the same

    def find(self, clip: str, start: float, end: float, named: bool = False) -> Found:
        """The clip of a row; `named`: its list names a file.

        Raises:
            RowError: no file; ambiguous file.
        """
        if named and clip in self._by_place:
            return self._chosen(clip, start, [(clip, False)], self._by_place)
        stems, found = self._by_place if "/" in clip else self._by_stem, list[tuple[str, bool]]()
        for stem, trimmed, number in _stems(clip, self._times(start, end)):
            if stem not in stems or (number and self._is_recording(clip, stem, stems, bool(found))):
                continue
            if number != "milliseconds" or f"{clip}_{round(start * 1000)}" not in self._late():
                found.append((stem, trimmed))
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
        files = {(stem, trimmed): stems[stem] for stem, trimmed in found}
        trimmed = next((key[1] for key, each in files.items() if not all(map(_is_sound, each))), found[0][1])
        alike = [file for key, each in files.items() if key[1] == trimmed for file in each]
        pictures = [file for file in alike if not _is_sound(file)]
        sounds = [file for file in alike if _is_sound(file)]
        picture, sound = (_only(clip, start, each) for each in (pictures, _best_kept(sounds)))
        copies = len(pictures) > 1 or len(sounds) > 1
        if picture is None or sound is None:
            (one,) = (each for each in (picture, sound) if each is not None)
            note = ("one of several files", f"{clip} at {start:g} s is read from {one.inner}") if copies else None
            return Found(one.path, one.size, trimmed, note)
        message = f"{clip} at {start:g} s has {picture.inner} and {sound.inner}"
        path = str(FilePair(picture.path, sound.path))
        return Found(path, picture.size + sound.size, trimmed, ("pictures and sound", message))

    def _times_there(self, start: float, end: float) -> list[tuple[str, Number]]:
        """Those of `_times` that any file's name ends in: a row costs few look-ups."""
        first, *others = _times(start, end).items()
        return [first, *(each for each in others if each[0] in self._endings)]

    @cached_property
    def _endings(self) -> set[str]:
        """The last one and two numbers of all names."""
        endings = set[str]()
        for stem in self._by_stem:
            name, _, last = stem.rpartition("_")
            if name and last[:1].isdigit():
                endings.add(f"_{last}")
                before = name.rpartition("_")[2]
                if before[:1].isdigit():
                    endings.add(f"_{before}_{last}")
        return endings

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


def _stems(clip: str, times: Sequence[tuple[str, Number]]) -> Iterator[tuple[str, bool, Number]]:
    """The names that a segment's file may have, likeliest first; whether each says that the file is trimmed, and so by
    a bare number that a recording's own name may end in."""
    folder, slash, stem = clip.rpartition("/")
    for at, (said, number) in enumerate(times):
        yield f"{clip}{said}", True, number
        if at == 0:
            yield clip, False, ""
    clip = f"{folder}{slash}Y{stem}"
    for said, number in times:
        yield f"{clip}{said}", True, number
    yield clip, False, ""


def _times(start: float, end: float) -> dict[str, Number]:
    """How a name says a segment's start, or both times, and whether by a bare number. No start is rounded to another
    segment's: only the end may be, since the row says it too."""
    bare: Number = "seconds" if start % 1 == 0 else ""
    said = [(f"{start}".removesuffix(".0"), f"{end}".removesuffix(".0"), bare)]
    if bare:
        said += [(f"{start:.0f}", f"{end:.0f}", bare), (f"{int(start):06d}", f"{int(end):06d}", "")]
    if round(start, 1) == start:
        said.append((f"{start:.1f}", f"{end:.1f}", ""))
    said.append((f"{start:.3f}", f"{end:.3f}", ""))
    if start == 0 or start >= 1:  # less would be a number of seconds
        said.append((f"{round(start * 1000)}", f"{round(end * 1000)}", "milliseconds"))
    names: dict[str, Number] = {}
    for first, last, number in said:
        names.setdefault(f"_{first}", number)
        names.setdefault(f"_{first}_{last}", "")
    return names
