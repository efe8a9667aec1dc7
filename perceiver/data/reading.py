"""What a worker of a loader does: reads the clips of one batch, and hands them over as few tensors.

Training clips are stacked. The clips of an evaluation's file overlap, so the file's pictures and samples are handed
over once, with the step at which each clip begins: they are cut on the device.
"""

import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from perceiver.data.batch import BadClip
from perceiver.data.clips import Excerpt, Wants, read_clip, read_clips
from perceiver.data.dataset import Clip
from perceiver.data.draws import uniform
from perceiver.data.fetching import Ahead
from perceiver.data.files import shown
from perceiver.data.memory import give_memory_back
from perceiver.data.patience import patiently
from perceiver.errors import ClipError, StorageError

MOMENT = 0
"""Slot of the draw (see `draws.uniform`) that chooses a clip's place in its file."""
_TRIM_EVERY = 128
"""Files read between two times that freed memory goes back to the system."""


class Task(NamedTuple):
    """A place in a batch: its seed, and the clips that may fill it, the next where one can't be read."""

    seed: int
    candidates: list[tuple[int, Clip]]


class Plan(NamedTuple):
    """A batch to read, and the remote files that the same reader will open after it, as far as it is told."""

    tasks: list[Task]
    coming: list[str]


@dataclass
class Read:
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

    def pin_memory(self) -> "Read":
        """Called by the DataLoader's own thread, so that the way to a GPU costs the trial nothing."""
        self.inputs = {name: values.pin_memory() for name, values in self.inputs.items()}
        return self


class Reader(Dataset["Read | StorageError"]):
    """Runs in a worker: reads the clips of one batch. Holds no file and no data set, so it is cheap to send."""

    def __init__(self, wants: Wants, clips: int | None) -> None:
        self._wants, self._clips, self._read = wants, clips, 0
        self._ahead, self._closed = Ahead(), threading.Event()

    def __reduce__(self) -> tuple[type["Reader"], tuple[Wants, int | None]]:
        return Reader, (self._wants, self._clips)  # what it asks storage for is asked by the process that reads

    def __getitem__(self, plan: Plan) -> "Read | StorageError":
        """The batch, or, since an error loses what it holds on its way out of a process, why there is none."""
        self._ahead.expect([*first_paths(plan.tasks), *plan.coming])
        try:
            return self._read_batch(plan.tasks)
        except StorageError as error:
            return error

    def close(self) -> None:
        """Ends what another thread still waits for."""
        self._closed.set()
        self._ahead.close()

    def _read_batch(self, tasks: list[Task]) -> Read:
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
                    bad.append(BadClip(clip.id, shown(clip.path), error.reason, str(error), start=clip.start))
                    continue
                excerpts += found
                rows += [row] * len(found)
                seeds += [seed] * len(found)
                break
        read = Read({}, {}, {}, torch.tensor([one.aspect for one in excerpts]), rows, seeds, 0, bad)
        for name, (shape, kind) in shapes_of(self._wants).items():
            values = [getattr(excerpt, name) for excerpt in excerpts]
            read.present[name] = torch.tensor([value is not None for value in values], dtype=torch.bool)
            if self._clips is None:
                read.inputs[name] = stack(values, shape, kind)
            else:
                read.inputs[name], read.begins[name] = _merge(values, shape, kind)
        read.padded = sum(excerpt.padded for excerpt in excerpts)
        return read

    def _excerpts(self, clip: Clip, seed: int) -> list[Excerpt]:
        """Of a clip, whenever storage gives it. One that is bad only the first time was not bad, storage was."""
        try:
            return patiently(partial(self._try, clip, seed), self._wants.deadline, self._closed)
        except ClipError:
            return patiently(partial(self._try, clip, seed), self._wants.deadline, self._closed)

    def _try(self, clip: Clip, seed: int, deadline: float) -> list[Excerpt]:
        wants = self._wants if deadline == self._wants.deadline else replace(self._wants, deadline=deadline)
        if self._clips is not None:
            return read_clips(clip, wants, self._clips, self._ahead)
        return [read_clip(clip, wants, float(uniform(np.array([seed]), MOMENT)[0]), self._ahead)]


def first_paths(tasks: list[Task]) -> list[str]:
    """The files that tasks open, in order, where each can be read."""
    return [task.candidates[0][1].path for task in tasks]


def shapes_of(wants: Wants) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and kind of a clip's inputs."""
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {}
    if wants.audio is not None:
        shapes["audio"] = (wants.audio.samples,), torch.float32
    if wants.video is not None:
        shapes["video"] = (wants.video.frames, wants.fit.size, wants.fit.size, 3), torch.uint8
    return shapes


def stack(values: list[np.ndarray | None], shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
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
