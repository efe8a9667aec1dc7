"""What was measured at a site, for plans that rest on more than an assumption; kept in `runs/profiles/<site>.json`.

`run/calibrate.py` measures; here is the arithmetic, and the file.
"""

import itertools
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.console import Column
from orchestrator.errors import UsageError
from orchestrator.plan.quantity import gibibytes
from orchestrator.plan.vary import Part

PROFILES = "runs/profiles"
"""Folder of the profiles, below the one in which the command is called."""

Positive = Annotated[float, Field(gt=0)]


class Calibration(Part):
    """What a short run measured here."""

    clips_per_second: Positive
    """Training clips of one trial, all its workers together."""
    training_flops: Positive
    """FLOPs of a training step on one clip (`counts.training_flops`)."""
    evaluation_clips_per_second: Positive | None = None
    """Clips of an evaluation, in the same way."""
    evaluation_flops: Positive | None = None
    """FLOPs of measuring one clip (`counts.evaluation_flops`)."""
    memory: Positive | None = None
    """Bytes at the peak of one worker."""
    expected_memory: Positive | None = None
    """What `memory.peak_memory` said of that worker."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Precision it trained with."""
    workers: Annotated[int, Field(ge=1)] = 1
    """Workers of the measured trial."""
    cpus: Positive | None = None
    """Cores that each worker had; a site that gives others is not the one that was measured. Null fits any."""
    gpus: Annotated[float, Field(ge=0)] | None = None
    """The same of GPUs."""
    minutes: Positive | None = None
    """How long it was measured, warm-up aside."""
    spread: Annotated[float, Field(ge=0)] | None = None
    """Half the range of the throughput's tenths, relative to it."""
    measured: date | None = None
    """The day."""

    def table(self) -> tuple[list[Column], list[list[str]]]:
        """What was measured, for people."""
        rows = [["training", f"{self.clips_per_second:,.3g} clips/s +-{self.spread or 0:.0%}"]]
        if self.evaluation_clips_per_second is not None:
            rows.append(["evaluation", f"{self.evaluation_clips_per_second:,.3g} clips/s"])
        if self.memory is not None:
            expected = "" if self.expected_memory is None else f", {gibibytes(self.expected_memory)} were expected"
            rows.append(["memory", f"{gibibytes(self.memory)}{expected}"])
        return [Column("phase"), Column("measured")], rows

    @property
    def training_rate(self) -> float:
        """FLOPs per second that a worker sustains in training."""
        return self.clips_per_second * self.training_flops / self.workers

    @property
    def evaluation_rate(self) -> float:
        """The same in evaluation; that of training where evaluation was not measured."""
        if self.evaluation_clips_per_second is None or self.evaluation_flops is None:
            return self.training_rate
        return self.evaluation_clips_per_second * self.evaluation_flops / self.workers

    @property
    def memory_ratio(self) -> float | None:
        """Memory measured over memory expected."""
        return None if self.memory is None or self.expected_memory is None else self.memory / self.expected_memory


_PROFILE = TypeAdapter(list[Calibration])
_PARTS = 10


def throughput(marks: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Clips per second, and their spread, from marks of (seconds, clips so far).

    The spread is half the distance between the slowest and the fastest tenth of the marks, relative to the whole:
    what a trial that meets only one or the other would differ by. Two marks have none.
    """
    (first, before), (last, after) = marks[0], marks[-1]
    rate = (after - before) / (last - first)
    size = max(1, (len(marks) - 1) / _PARTS)
    cuts = [marks[round(part * size)] for part in range(int((len(marks) - 1) / size) + 1)]
    rates = [(clips - c) / (seconds - s) for (s, c), (seconds, clips) in itertools.pairwise(cuts)]
    return rate, (max(rates) - min(rates)) / 2 / rate


def nearest(measured: Sequence[Calibration], training_flops: float) -> Calibration:
    """The measurement of the model that is nearest in compute; of equals, the newest."""
    return min(
        reversed(measured),
        key=lambda each: max(each.training_flops / training_flops, training_flops / each.training_flops),
    )


def measured_at(site: str) -> list[Calibration]:
    """The measurements in a site's profile, the newest last.

    Raises:
        UsageError: the profile is no longer readable.
    """
    path = profile(site)
    if not path.is_file():
        return []
    try:
        return _PROFILE.validate_json(path.read_bytes())
    except ValidationError:
        raise UsageError(f"{path} is no profile of a site: remove it or mend it") from None


def save_calibration(site: str, measured: Calibration) -> Path:
    """Adds a measurement to a site's profile; returns the profile's path."""
    path = profile(site)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_bytes(_PROFILE.dump_json([*measured_at(site), measured], indent=1))
    beside.replace(path)
    return path


def profile(site: str) -> Path:
    """Where the measurements of a site are kept."""
    return Path(PROFILES) / f"{site}.json"
