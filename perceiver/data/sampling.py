"""Which clip stands at which place of the endless training stream: pure functions of the seed and the place.

Place n belongs to step n // batch_size, whatever the number of workers or ranks, so a trial that begins at step k
sees exactly what an uninterrupted one sees from there on.
"""

from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np

from perceiver.config import RunConfig
from perceiver.data.dataset import DataSet
from perceiver.data.draws import generator, seed_for, uniform

_SPARES = 4


class Sampler(Protocol):
    """Row of `data.clips` at a place of the stream."""

    def __call__(self, place: int) -> int: ...


class Uniform:
    """One permutation of all clips after another: each clip once an epoch (the paper's)."""

    def __init__(self, data: DataSet, seed: int) -> None:
        self._seed, self._clips = seed, len(data)
        self._order = lru_cache(maxsize=2)(self._order)

    def __call__(self, place: int) -> int:
        epoch, position = divmod(place, self._clips)
        return int(self._order(epoch)[position])

    def _order(self, epoch: int) -> np.ndarray:
        return generator("order", self._seed, epoch).permutation(self._clips).astype(np.int32)


class Balanced:
    """PANNs' queue (BalancedTrainSampler): the classes in turn, from each the next clip of its own shuffled list.

    Every round visits each class that has a clip once, in an order of its own, so visit v of a class is round v.
    """

    def __init__(self, data: DataSet, seed: int) -> None:
        self._seed = seed
        self._clips_of = _clips_by_class(data)
        self._classes = [number for number, clips in enumerate(self._clips_of) if len(clips)]
        self._turns = lru_cache(maxsize=2)(self._turns)
        self._order = lru_cache(maxsize=2 * len(self._classes))(self._order)

    def __call__(self, place: int) -> int:
        visit, position = divmod(place, len(self._classes))
        number = self._classes[self._turns(visit)[position]]
        clips = self._clips_of[number]
        again, position = divmod(visit, len(clips))
        return int(clips[self._order(number, again)[position]])

    def _turns(self, visit: int) -> np.ndarray:
        return generator("turns", self._seed, visit).permutation(len(self._classes))

    def _order(self, number: int, again: int) -> np.ndarray:
        return generator("class", self._seed, number, again).permutation(len(self._clips_of[number])).astype(np.int32)


class Weighted:
    """AST's weights (also PSLA's and CAV-MAE's): with replacement, a clip's chance the sum over its labels of
    1 / (clips with that label)."""

    def __init__(self, data: DataSet, seed: int) -> None:
        self._seed = seed
        labels, ends = np.asarray(data.clips.labels), np.asarray(data.clips.label_ends)
        weights = 1000 / (np.bincount(labels, minlength=len(data.classes)) + 0.01)
        sums = np.concatenate([[0.0], np.cumsum(weights[labels])])
        self._borders = sums[ends[1:]] / sums[-1]

    def __call__(self, place: int) -> int:
        drawn = uniform(np.array([seed_for("weighted", self._seed, place)]), 0)[0]
        return int(np.searchsorted(self._borders, drawn, side="right"))


def make_sampler(data: DataSet, config: RunConfig) -> Sampler:
    """The sampler that `data.sampler` names, seeded by `train.seed`."""
    return {"uniform": Uniform, "balanced": Balanced, "weighted": Weighted}[config.data.sampler](
        data, config.train.seed
    )


def spares(data: DataSet, seed: int, place: int) -> list[int]:
    """Rows that stand in, one after the other, where the clip at a place can't be read."""
    return [seed_for("spare", seed, place, attempt) % len(data) for attempt in range(_SPARES)]


def clip_seed(seed: int, place: int) -> int:
    """Seed of everything drawn for the clip at a place: its moment, crop, colours, masks and dropout."""
    return seed_for("clip", seed, place)


def _clips_by_class(data: DataSet) -> list[np.ndarray]:
    rows = np.repeat(np.arange(len(data), dtype=np.int32), np.diff(np.asarray(data.clips.label_ends)))
    labels = np.asarray(data.clips.labels)
    order = np.argsort(labels, kind="stable")
    borders = np.searchsorted(labels[order], np.arange(len(data.classes) + 1))
    return [rows[order[first:last]] for first, last in pairwise(borders)]
