"""Measures how fast a config trains and evaluates on this device, and what memory it takes. Keeps nothing.

Training is the real one, on real data, for some minutes; evaluation is the real one on a part of the files.
"""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from perceiver.config import RunConfig, with_changes
from perceiver.data.audioset import DataSource
from perceiver.data.dataset import DataSet, open_data
from perceiver.evaluate import evaluate
from perceiver.train import Progress, train

WARM_UP = 0.25
"""Share of the asked time that passes first: kernels are compiled, readers start, caches fill."""
EVALUATION = 0.25
"""Share of the asked time that evaluation may take after it."""
_MARKS = 60
"""Marks in the asked time, if a step is shorter than the time between them."""
_LEAST_MARKS = 2
"""Marks that a phase of training has, however long a step takes."""
_ENDLESS = 10**9


@dataclass(frozen=True)
class Mark:
    """What was done by when."""

    phase: str
    """warm-up, training or evaluation."""
    seconds: float
    """Since the phase began; of an evaluation, its length."""
    clips: int
    """In these seconds."""
    memory: int
    """Bytes at the peak so far: what torch had allocated on a GPU; without one, the whole process."""


def measure(
    config: RunConfig, data: DataSource, *, device: torch.device, seconds: float, data_workers: int = 0
) -> Iterator[Mark]:
    """Marks of a warm-up, of `seconds` of training, and of evaluations that grow until they take long enough.

    Raises:
        DataError, NumericError: as `train` and `evaluate` do.
        torch.OutOfMemoryError: the GPU is too small.
    """
    config = with_changes(config, {"train.steps": _ENDLESS, "eval.times": 1})
    running = train(config, data=data, device=device, data_workers=data_workers, heartbeat=seconds / _MARKS)
    phase, length = "warm-up", WARM_UP * seconds
    began, before, marks = time.monotonic(), 0, 0
    for progress in running:
        passed, marks = time.monotonic() - began, marks + 1
        yield Mark(phase, passed, progress.clips - before, _peak_memory(device))
        if passed < length or marks < _LEAST_MARKS:
            continue
        if phase == "training":
            break
        phase, length = "training", seconds
        began, before, marks = time.monotonic(), progress.clips, 0
    running.close()  # its readers make room for those of the evaluation
    yield from _evaluations(progress, open_data(data, config, "eval"), device, EVALUATION * seconds, data_workers)


def _evaluations(
    trained: Progress, data: DataSet, device: torch.device, seconds: float, data_workers: int
) -> Iterator[Mark]:
    """Evaluations of a few files, of twice as many, and so on: the last one is hardly slowed by its beginning."""
    model, config = trained.state.eval_model, trained.state.config
    files, took = 1, 0.0
    while took < seconds / 2 and files < 2 * len(data):
        part = _first(data, files)
        began = time.monotonic()
        evaluate(model, part, config, device, data_workers)
        took = time.monotonic() - began
        yield Mark("evaluation", took, len(part) * config.eval.clips, _peak_memory(device))
        files *= 2


def _first(data: DataSet, files: int) -> DataSet:
    part = DataSet(data.source, data.split, data.classes)
    for clip in data.clips[:files]:
        part.clips.append(clip)
    return part


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
