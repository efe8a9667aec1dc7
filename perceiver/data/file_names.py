"""Which media file a name in a user's table means: a path, a bare name, a stem, a YouTube id with or without its start.

names = FileNames(media_of(list_files("mine")))
names.find("dog_003.mp4", None, ["dog"]).file
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from perceiver.data.files import File
from perceiver.data.lists import MEDIA_SUFFIXES, PICTURE_SUFFIXES

_CUT = re.compile(r"(.+?)_(\d+(?:\.\d+)?)(?:_\d+(?:\.\d+)?)?")
"""Names that a start was added to."""


_YOUTUBE = 11
"""Letters of a YouTube id."""


class Match(NamedTuple):
    """The file that a name means, or why there is none. `cut`: its own time begins where the row's segment does."""

    file: File | None
    cut: bool = False
    reason: str = ""
    message: str = ""


class FileNames:
    """The media files of a folder by every name that a table may have for them.

    `paths`: path below the folder -> file. `beside`: files of sound that have one with pictures of the same name beside
    them.
    """

    def __init__(self, media: Sequence[File]) -> None:
        self.paths = {file.inner: file for file in media}
        self.beside = _beside(self.paths)
        self._by_name: dict[str, list[str]] = {}
        self._cuts: dict[str, dict[float, list[str]]] = {}
        """Name of a source -> start that a file's name tells -> paths."""
        for path, file in self.paths.items():
            if file not in self.beside:
                for name in {path, stem(path), file.name, stem(file.name)}:
                    self._by_name.setdefault(name.casefold(), []).append(path)
                if cut := _CUT.fullmatch(stem(file.name).casefold()):
                    self._cuts.setdefault(cut[1], {}).setdefault(float(cut[2]), []).append(path)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._candidates(name) or stem(_last(_plain(name))) in self._cuts)

    def find(self, name: str, start: float | None, labels: Sequence[str] = ()) -> Match:
        """The file that a name means. A start that a file's name tells says that it was cut out of its source."""
        if start is not None and (cut := self._cut_at(name, start)):
            return Match(self.paths[cut], cut=True)
        paths = self._candidates(name)
        if len(paths) > 1:
            paths = self._narrowed(paths, name, labels)
        if len(paths) > 1:
            return Match(None, reason="several files", message=f"may mean {' or '.join(paths[:3])}")
        if not paths:
            return Match(None, reason="no file", message="is no file of the folder")
        return Match(self.paths[paths[0]])

    def _candidates(self, name: str) -> list[str]:
        name = _plain(name)
        last = _last(name)
        names = [name, last, stem(last)]
        if (cut := _CUT.fullmatch(stem(last))) and len(cut[1]) == _YOUTUBE:  # a row of AudioSet's strong labels
            names.append(cut[1])
        return next((self._by_name[each] for each in names if each in self._by_name), [])

    def _narrowed(self, paths: list[str], name: str, labels: Sequence[str]) -> list[str]:
        """Of several files those whose path or name is that very one, or that lie in the folder of their class."""
        plain, last = f"/{_plain(name)}", _last(name)
        rules: list[Callable[[str], object]] = [
            lambda path: plain.endswith(f"/{path.casefold()}") or f"/{path.casefold()}".endswith(plain),
            lambda path: last in (_last(path), stem(_last(path))),
            lambda path: set(path.split("/")[:-1]) & set(labels),
        ]
        for fits in rules:
            paths = [path for path in paths if fits(path)] or paths
        return paths

    def _cut_at(self, name: str, start: float) -> str | None:
        """The one file that was cut out of a source at a time, told in seconds or milliseconds."""
        cuts = self._cuts.get(stem(_last(_plain(name))), {})
        paths = cuts.get(start) or cuts.get(round(start * 1000)) or []
        return paths[0] if len(paths) == 1 else None


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def stem(path: str) -> str:
    """A path without a suffix of media."""
    start, dot, suffix = path.rpartition(".")
    return start if f"{dot}{suffix.lower()}" in MEDIA_SUFFIXES else path


def _plain(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./").strip("/").casefold()


def _beside(paths: dict[str, File]) -> set[File]:
    """Files of sound with one of pictures that has the same path but for its suffix."""
    pictures = {stem(path) for path in paths if path.lower().endswith(PICTURE_SUFFIXES)}
    return {
        file for path, file in paths.items() if not path.lower().endswith(PICTURE_SUFFIXES) and stem(path) in pictures
    }
