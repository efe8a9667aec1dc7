"""Batches of clips for training and evaluation, decoded ahead of the model in worker processes or one thread.

    for batch in train_batches(data, config, first_step=resumed_at, workers=8):      # endless
        augmented = augment(batch.to(device), config)

    for batch in eval_batches(data, config):                                        # every file once
        scores[batch.rows] += model(batch.inputs) ...

A training batch is a pure function of (train.seed, step): the same clips, moments and draws for any number of
workers; rank r of w reads a contiguous part of it. Unreadable clips are replaced by a drawn one and told in `bad`.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from perceiver.config import RunConfig
from perceiver.data.batch import BadClip, Batch
from perceiver.data.clips import Excerpt, Wants, read_clip, read_clips
from perceiver.data.dataset import Clip, DataSet
from perceiver.data.draws import uniform
from perceiver.data.memory import give_memory_back
from perceiver.data.sampling import clip_seed, make_sampler, spares
from perceiver.errors import ClipError, DataError

_AHEAD = 2
"""Batches decoded ahead, per worker."""
_TRIM_EVERY = 128
"""Files read between two times that freed memory goes back to the system."""
MOMENT = 0
"""Slot of the draw (see `draws.uniform`) that chooses a clip's place in its file."""


def train_batches(
    data: DataSet,
    config: RunConfig,
    *,
    first_step: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    known_bad: Iterable[BadClip] = (),
) -> Iterator[Batch]:
    """Batches from `first_step` on, without end; each holds this rank's part of `train.batch_size` clips.

    With mixup a part holds whole pairs, so parts may differ in size by two where the ranks can't share the pairs.
    `known_bad` are the clips that earlier attempts found unreadable; they count towards `data.max_bad_fraction`.

    Raises:
        DataError: more clips are unreadable than `data.max_bad_fraction` allows; lists them.
    """
    sampler, seed, size = make_sampler(data, config), config.train.seed, config.train.batch_size
    mine = _share(size, rank, world, 2 if config.train.mixup else 1)

    def plan(step: int) -> list[_Task]:
        places = [step * size + slot for slot in mine]
        return [_task(data, clip_seed(seed, n), [sampler(n), *spares(data, seed, n)]) for n in places]

    bad = _BadClips(data, config, known_bad)
    for read in _read_ahead(_Reader(Wants.training(config), None), map(plan, count(first_step)), workers):
        yield _batch(data, read, bad.new(read))


def eval_batches(
    data: DataSet,
    config: RunConfig,
    *,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Batch]:
    """`eval.clips` clips of every file, file i on rank i % world; batches of at most `eval.batch_size` clips.

    `rows` tells which clips belong to one file. Unreadable files are left out and told in `bad`. The clips of a file
    overlap: they are cut out of it on `device`, so that each picture is read, copied and moved there once.

    Raises:
        DataError: more files are unreadable than `data.max_bad_fraction` allows, or all of them.
    """
    mine = range(rank, len(data), world)
    if not mine:
        return  # more ranks than files
    files = iter(mine)
    at_once = max(1, config.eval.batch_size // config.eval.clips)
    plans = iter(lambda: [_task(data, 0, [row]) for row in islice(files, at_once)], [])
    bad = _BadClips(data, config)
    wants, size = Wants.evaluation(config), config.eval.batch_size
    waiting: _Read | None = None  # the newest files wait, so that those found bad after them can still be told
    told: list[BadClip] = []
    for read in _read_ahead(_Reader(wants, config.eval.clips), plans, workers):
        told += bad.new(read)
        if not read.rows:
            continue
        if waiting is not None:
            yield from _cut_batches(data, waiting, told, wants, size, device)
            told = []
        waiting = read
    if waiting is None:
        raise DataError(f"none of the {len(data)} {data.split} clips of {data.source.url} could be read: {bad}")
    yield from _cut_batches(data, waiting, told, wants, size, device)


def _share(size: int, rank: int, world: int, together: int) -> range:
    """A rank's places of a batch of `size`: consecutive ones, in groups of `together` that no border parts."""
    groups = -(-size // together)
    return range(*(min(together * (groups * border // world), size) for border in (rank, rank + 1)))


class _Task(NamedTuple):
    """A place in a batch: its seed, and the clips that may fill it, the next where one can't be read."""

    seed: int
    candidates: list[tuple[int, Clip]]


def _task(data: DataSet, seed: int, rows: list[int]) -> _Task:
    return _Task(seed, [(row, data.clips[row]) for row in rows])


@dataclass
class _Read:
    """What a worker sends back: the clips that were read, and what could not be.

    `inputs` holds clips one after the other, (B, ...), or where clips overlap what they are cut from, (steps, ...):
    clip i is then the one that begins at step `begins[i]`.
    """

    inputs: dict[str, Tensor]
    begins: dict[str, list[int]]
    present: dict[str, Tensor]
    aspect: Tensor
    rows: list[int]
    seeds: list[int]
    padded: int
    bad: list[BadClip]

    def pin_memory(self) -> "_Read":
        """Called by the DataLoader's own thread, so that the way to a GPU costs the trial nothing."""
        self.inputs = {name: values.pin_memory() for name, values in self.inputs.items()}
        return self


class _Reader(Dataset[_Read]):
    """Runs in a worker: reads the clips of one batch. Holds no file and no data set, so it is cheap to send."""

    def __init__(self, wants: Wants, clips: int | None) -> None:
        self._wants, self._clips, self._read = wants, clips, 0

    def __getitem__(self, tasks: list[_Task]) -> _Read:
        self._read += len(tasks)
        if self._read >= _TRIM_EVERY:
            self._read = 0
            give_memory_back()
        excerpts: list[Excerpt] = []
        rows, seeds, bad = [], [], []
        for seed, candidates in tasks:
            for row, clip in candidates:
                try:
                    found = self._excerpts(clip, seed)
                except ClipError as error:
                    bad.append(BadClip(clip.id, clip.path, error.reason, str(error), start=clip.start))
                    continue
                excerpts += found
                rows += [row] * len(found)
                seeds += [seed] * len(found)
                break
        read = _Read({}, {}, {}, torch.tensor([one.aspect for one in excerpts]), rows, seeds, 0, bad)
        for name, (shape, kind) in _shapes(self._wants).items():
            values = [getattr(excerpt, name) for excerpt in excerpts]
            read.present[name] = torch.tensor([value is not None for value in values], dtype=torch.bool)
            if self._clips is None:
                read.inputs[name] = _stack(values, shape, kind)
            else:
                read.inputs[name], read.begins[name] = _merge(values, shape, kind)
        read.padded = sum(excerpt.padded for excerpt in excerpts)
        return read

    def _excerpts(self, clip: Clip, seed: int) -> list[Excerpt]:
        if self._clips is not None:
            return read_clips(clip, self._wants, self._clips)
        return [read_clip(clip, self._wants, float(uniform(np.array([seed]), MOMENT)[0]))]


def _shapes(wants: Wants) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and kind of a clip's inputs."""
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
    if wants.audio is not None:
        shapes["audio"] = (wants.audio.samples,), torch.float32
    if wants.video is not None:
        shapes["video"] = (wants.video.frames, wants.fit.size, wants.fit.size, 3), torch.uint8
    return shapes


def _stack(values: list[np.ndarray | None], shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
    """The clips one after the other, zeros where one is missing."""
    stacked = torch.empty(len(values), *shape, dtype=kind)
    for place, value in zip(stacked, values, strict=True):
        place.zero_() if value is None else place.copy_(torch.from_numpy(value))
    return stacked


def _merge(values: list[np.ndarray | None], shape: tuple[int, ...], kind: torch.dtype) -> tuple[Tensor, list[int]]:
    """The arrays that the clips are views of, one after the other, and the step at which each clip begins."""
    begins, wholes, length = [], dict[int, tuple[np.ndarray, int]](), 0
    for value in values:
        if value is None:
            begins.append(0)
            continue
        whole = value if value.base is None else value.base
        if id(whole) not in wholes:
            wholes[id(whole)] = whole, length
            length += len(whole)
        steps = (value.ctypes.data - whole.ctypes.data) // whole.strides[0]
        begins.append(wholes[id(whole)][1] + steps)
    tensors = [torch.from_numpy(whole) for whole, _ in wholes.values()]
    if len(tensors) == 1:
        return tensors[0], begins
    return torch.cat([torch.empty(0, *shape[1:], dtype=kind), *tensors]), begins


class _BadClips:
    """A split's unreadable clips; each is told once, and too many end the trial."""

    def __init__(self, data: DataSet, config: RunConfig, known: Iterable[BadClip] = ()) -> None:
        self._data, self._config = data, config
        self._found = {clip.row: clip for clip in known if clip.split == data.split}

    def new(self, read: _Read) -> list[BadClip]:
        told = (clip._replace(split=self._data.split) for clip in read.bad)
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


def _batch(data: DataSet, read: _Read, bad: list[BadClip]) -> Batch:
    ids = [data.clips.ids[row] for row in read.rows]
    labels = torch.from_numpy(data.labels(read.rows))
    rows, seeds = torch.tensor(read.rows), torch.tensor(read.seeds)
    return Batch(read.inputs, read.present, labels, ids, rows, seeds, read.aspect, read.padded, bad)


def _cut_batches(
    data: DataSet, read: _Read, bad: list[BadClip], wants: Wants, size: int, device: torch.device | str
) -> Iterator[Batch]:
    """Batches of at most `size` clips, cut on the device out of what holds their overlap once."""
    wholes = {name: whole.to(device, non_blocking=True) for name, whole in read.inputs.items()}
    for first in range(0, len(read.rows), size):
        part = slice(first, first + size)
        inputs, present = {}, {name: there[part] for name, there in read.present.items()}
        for name, (shape, _) in _shapes(wants).items():
            cuts = [wholes[name][begin : begin + shape[0]] for begin in read.begins[name][part]]
            nothing = wholes[name].new_zeros(shape)
            shown = zip(cuts, present[name].tolist(), strict=True)
            inputs[name] = torch.stack([cut if there else nothing for cut, there in shown])
        of_part = replace(read, inputs=inputs, present=present, aspect=read.aspect[part])
        of_part.rows, of_part.seeds, of_part.padded = read.rows[part], read.seeds[part], read.padded * (first == 0)
        yield _batch(data, of_part, bad if first == 0 else []).to(device)


def _read_ahead(reader: _Reader, plans: Iterable[list[_Task]], workers: int) -> Iterator[_Read]:
    """What the reader makes of each plan, in order, a few ahead of the consumer.

    Workers come from a fork server: neither CUDA nor the threads of PyAV and fsspec survive a fork of the trial.
    """
    if workers == 0:
        yield from _thread_ahead(reader.__getitem__, plans)
        return
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])  # torch is imported once, not by every worker of every evaluation
    yield from DataLoader(
        reader,
        batch_size=None,
        sampler=plans,
        num_workers=workers,
        prefetch_factor=_AHEAD,
        pin_memory=torch.cuda.is_available(),
        collate_fn=_unchanged,
        worker_init_fn=partial(_begin_worker, dict(os.environ)),
        multiprocessing_context=processes,
    )


def _begin_worker(environment: dict[str, str], _: int) -> None:
    """The fork server may be older than the credentials of the storage."""
    os.environ.update(environment)


def _unchanged(read: _Read) -> _Read:
    return read


def _thread_ahead(call: Callable[[list[_Task]], _Read], plans: Iterable[list[_Task]]) -> Iterator[_Read]:
    """One thread suffices to decode while the model computes: PyAV releases the interpreter's lock."""
    pending: deque[Any] = deque()
    executor = ThreadPoolExecutor(1, thread_name_prefix="read-clips")
    try:
        for plan in plans:
            pending.append(executor.submit(call, plan))
            if len(pending) > _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
