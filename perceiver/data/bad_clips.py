"""Clips that can't be read: each is told once, and too many end a trial."""

from collections.abc import Collection, Iterable

from perceiver.config import RunConfig
from perceiver.data.batch import BadClip
from perceiver.data.dataset import DataSet
from perceiver.errors import DataError


class BadClips:
    """A split's unreadable clips; each is told once, and too many end the trial."""

    def __init__(self, data: DataSet, config: RunConfig, known: Iterable[BadClip] = ()) -> None:
        self._data, self._config = data, config
        self._found = {clip.row: clip for clip in known if clip.split == data.split}

    def new(self, found: Iterable[BadClip]) -> list[BadClip]:
        """Those that were not told yet.

        Raises:
            DataError: with them there are too many.
        """
        told = (clip._replace(split=self._data.split) for clip in found)
        new = {clip.row: clip for clip in told if clip.row not in self._found}
        self._found |= new
        refuse_too_many(self._found.values(), self._data, self._config)
        return list(new.values())

    def __str__(self) -> str:
        return _listed(self._found.values())


def refuse_too_many(bad: Collection[BadClip], data: DataSet, config: RunConfig) -> None:
    """Raises DataError, with the list, where more of a split's clips are bad than `data.max_bad_fraction` allows."""
    bad, fraction = [clip for clip in bad if clip.split == data.split], config.data.max_bad_fraction
    # One bad clip is always allowed, or small sets could have none; a fraction of 0 means none.
    allowed = max(1, int(fraction * len(data))) if fraction else 0
    if len(bad) > allowed:
        of = f"{len(data)} {data.split} clips of {data.source.url}"
        limit = f"more than data.max_bad_fraction allows ({allowed})"
        raise DataError(f"{len(bad)} of the {of} can't be read, {limit}: {_listed(bad)}")


def _listed(bad: Iterable[BadClip]) -> str:
    return "; ".join(f"{clip.id} ({clip.reason}): {clip.message}" for clip in bad)
