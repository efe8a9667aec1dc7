"""Batches of clips for training and evaluation, decoded ahead of the model in worker processes or one thread.

    for batch in train_batches(data, config, first_step=resumed_at, workers=8):      # endless
        augmented = augment(batch.to(device), config)

    for batch in eval_batches(data, config):                                        # every file once
        scores[batch.rows] += model(batch.inputs) ...

A training batch is a pure function of (train.seed, step): the same clips, moments and draws for any number of
workers; rank r of w reads a contiguous part of it. Unreadable clips are replaced by a drawn one and told in `bad`;
those that storage can't give now are waited for.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count, islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from perceiver.config import RunConfig
from perceiver.data.bad_clips import BadClips
from perceiver.data.batch import BadClip, Batch
from perceiver.data.clips import Wants
from perceiver.data.dataset import DataSet
from perceiver.data.fetching import REQUESTS
from perceiver.data.files import is_local
from perceiver.data.reading import Plan, Read, Reader, Task, first_paths, shapes_of
from perceiver.data.sampling import clip_seed, make_sampler, spares
from perceiver.data.sockets import have_short_sockets
from perceiver.errors import DataError, StorageError

_AHEAD = 2
"""Batches decoded ahead, per worker."""


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
        StorageError: storage did not give a clip for as long as one waits for it.
    """
    sampler, seed, size = make_sampler(data, config), config.train.seed, config.train.batch_size
    mine = _share(size, rank, world, 2 if config.train.mixup else 1)

    def plan(step: int) -> list[Task]:
        places = [step * size + slot for slot in mine]
        return [_task(data, clip_seed(seed, n), [sampler(n), *spares(data, seed, n)]) for n in places]

    bad = BadClips(data, config, known_bad)
    for read in _read_ahead(Reader(Wants.training(config), None), map(plan, count(first_step)), workers):
        yield _batch(data, read, bad.new(read.bad))


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
        StorageError: storage did not give a file for as long as one waits for it.
    """
    mine = range(rank, len(data), world)
    if not mine:
        return  # more ranks than files
    files = iter(mine)
    at_once = max(1, config.eval.batch_size // config.eval.clips)
    plans = iter(lambda: [_task(data, 0, [row]) for row in islice(files, at_once)], [])
    bad = BadClips(data, config)
    wants, size = Wants.evaluation(config), config.eval.batch_size
    waiting: Read | None = None  # the newest files wait, so that those found bad after them can still be told
    told: list[BadClip] = []
    for read in _read_ahead(Reader(wants, config.eval.clips), plans, workers):
        told += bad.new(read.bad)
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


def _task(data: DataSet, seed: int, rows: list[int]) -> Task:
    return Task(seed, [(row, data.clips[row]) for row in rows])


def _batch(data: DataSet, read: Read, bad: list[BadClip]) -> Batch:
    ids = [data.clips.ids[row] for row in read.rows]
    labels = torch.from_numpy(data.labels(read.rows))
    rows, seeds = torch.tensor(read.rows), torch.tensor(read.seeds)
    return Batch(read.inputs, read.present, labels, ids, rows, seeds, read.aspect, read.padded, bad)


def _cut_batches(
    data: DataSet, read: Read, bad: list[BadClip], wants: Wants, size: int, device: torch.device | str
) -> Iterator[Batch]:
    """Batches of at most `size` clips, cut on the device out of what holds their overlap once."""
    wholes = {name: whole.to(device, non_blocking=True) for name, whole in read.inputs.items()}
    for first in range(0, len(read.rows), size):
        part = slice(first, first + size)
        inputs, present = {}, {name: there[part] for name, there in read.present.items()}
        for name, (shape, _) in shapes_of(wants).items():
            cuts = [wholes[name][begin : begin + shape[0]] for begin in read.begins[name][part]]
            nothing = wholes[name].new_zeros(shape)
            shown = zip(cuts, present[name].tolist(), strict=True)
            inputs[name] = torch.stack([cut if there else nothing for cut, there in shown])
        of_part = replace(read, inputs=inputs, present=present, aspect=read.aspect[part])
        of_part.rows, of_part.seeds, of_part.padded = read.rows[part], read.seeds[part], read.padded * (first == 0)
        yield _batch(data, of_part, bad if first == 0 else []).to(device)


def _read_ahead(reader: Reader, batches: Iterable[list[Task]], workers: int) -> Iterator[Read]:
    """What the reader makes of each batch's tasks, in order, a few batches ahead of the consumer.

    Workers come from a fork server: neither CUDA nor the threads of PyAV and fsspec survive a fork of the trial.

    Raises:
        StorageError: storage did not give a clip for as long as one waits for it.
    """
    plans = _with_coming(batches, max(1, workers))
    for read in _thread_ahead(reader, plans) if workers == 0 else _processes_ahead(reader, plans, workers):
        if isinstance(read, StorageError):
            raise read
        yield read


def _with_coming(batches: Iterable[list[Task]], readers: int) -> Iterator[Plan]:
    """The batches as plans. They are dealt to the readers in turn, so each can be told what it will open next."""
    left = iter(batches)
    known = deque(islice(left, 1))
    while known:
        batch, coming = known.popleft(), list[str]()
        remote = not is_local(batch[0].candidates[0][1].path)
        known.extend(islice(left, (readers * -(-REQUESTS // len(batch)) if remote else 1) - len(known)))
        if remote:
            coming = [path for number in range(readers - 1, len(known), readers) for path in first_paths(known[number])]
        yield Plan(batch, coming)


def _processes_ahead(reader: Reader, plans: Iterable[Plan], workers: int) -> Iterator[Read | StorageError]:
    have_short_sockets()
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


def _unchanged(read: Read | StorageError) -> Read | StorageError:
    return read


def _thread_ahead(reader: Reader, plans: Iterable[Plan]) -> Iterator[Read | StorageError]:
    """One thread suffices to decode while the model computes: PyAV releases the interpreter's lock."""
    pending: deque[Any] = deque()
    executor = ThreadPoolExecutor(1, thread_name_prefix="read-clips")
    try:
        for plan in plans:
            pending.append(executor.submit(reader.__getitem__, plan))
            if len(pending) > _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        reader.close()
        executor.shutdown(wait=True, cancel_futures=True)
