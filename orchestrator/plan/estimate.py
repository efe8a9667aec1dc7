"""What a trial will cost, before it runs: parameters, FLOPs, memory, GPU-hours, dollars, storage, wall time.

Parameters and FLOPs are closed forms (`counts.py`). Memory is a model of what training keeps, stated at `memory`.
Time is training and evaluation FLOPs over a rate: the site's calibration where there is one, an assumption otherwise.
A calibration corrects memory, too.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.plan import machine
from orchestrator.plan.calibration import Calibration, nearest
from orchestrator.plan.counts import evaluation_flops, flops, parameters, training_flops
from orchestrator.plan.data import DataSeen
from orchestrator.plan.memory import peak_memory
from orchestrator.plan.site import Site
from perceiver.config import RunConfig

ASSUMED_GPU_FLOPS = {"bfloat16": 150e12, "float32": 60e12}
"""FLOPs that one GPU of the H100 class is taken to sustain in training, where neither site nor calibration says."""
ASSUMED_CORE_FLOPS = 20e9
"""The same for a CPU core."""
ASSUMED_CPU_SECONDS_PER_CLIP = 0.02
"""Reading and decoding a small clip on one core; on sites without GPUs it adds to the model's time."""
_SAY_MORE = "measure with `sweep calibrate`, or say flops_per_second in a site file"
KEPT_CHECKPOINTS = 2
"""Checkpoints of a trial that storage holds."""


@dataclass(frozen=True)
class Cost:
    """What one trial costs. None where it can't be known from here."""

    parameters: int
    flops: int
    """Of one clip's forward pass."""
    memory: int
    """Peak bytes of one worker."""
    total_flops: float | None
    """Of all training and evaluation."""
    seconds: float | None
    """Wall time of the trial."""
    gpu_hours: float | None
    """On a site without GPUs: hours of a worker."""
    dollars: float | None
    storage: int
    """Bytes of its checkpoints."""


@dataclass(frozen=True)
class Totals:
    """What a plan costs altogether."""

    trials: int
    gpu_hours: float | None
    dollars: float | None
    storage: int
    side_by_side: int | None
    """Trials at the same time; None where only the cluster knows."""
    seconds: float | None
    """Wall time at that concurrency."""
    basis: str
    """What the hours are estimated from."""


class Estimator:
    """Costs of trials at one site."""

    def __init__(self, site: Site, data: DataSeen) -> None:
        self.site = site
        self.data = data
        own = site.resources
        self._measured = [
            each for each in site.calibrations if each.cpus in (None, own.cpus) and each.gpus in (None, own.gpus)
        ]

    def cost(self, config: RunConfig) -> Cost:
        """What one trial with this config costs."""
        clips = self._clips(config)
        seconds = None if clips is None else self._seconds(config, *clips)
        units = self.site.workers * (self.site.resources.gpus or 1)
        hours = None if seconds is None else seconds / 3600 * units
        price = self.site.dollars_per_gpu_hour
        return Cost(
            parameters=parameters(config.model),
            flops=flops(config.model),
            memory=self._memory(config),
            total_flops=None if clips is None else float(sum(_flops(config, *clips))),
            seconds=seconds,
            gpu_hours=hours,
            dollars=None if hours is None or price is None else hours * price,
            storage=KEPT_CHECKPOINTS * checkpoint_bytes(config),
        )

    def totals(self, costs: Iterable[tuple[Cost, float]]) -> Totals:
        """Sums over (cost of a trial, number of such trials); the share of a trial that is left counts as such."""
        each = [(cost, count) for cost, count in costs if count > 0]
        hours = _sum((cost.gpu_hours, count) for cost, count in each)
        side_by_side = self.site.concurrency or self._fits_here()
        seconds = _sum((cost.seconds, count) for cost, count in each)
        longest = max(((cost.seconds or 0.0) * min(count, 1) for cost, count in each), default=0.0)
        return Totals(
            trials=sum(math.ceil(count) for _, count in each),
            gpu_hours=hours,
            dollars=_sum((cost.dollars, count) for cost, count in each),
            storage=sum(cost.storage * math.ceil(count) for cost, count in each),
            side_by_side=side_by_side,
            seconds=None if seconds is None or not side_by_side else max(longest, seconds / side_by_side),
            basis=self.basis(),
        )

    def basis(self) -> str:
        """What hours are estimated from, in a sentence."""
        unit = "GPU" if self.site.resources.gpus else "worker"
        if self._measured:
            newest = self._measured[-1]
            what = f"memory and {unit}-hours" if newest.memory_ratio else f"{unit}-hours"
            length = f"{newest.minutes:.2g} min of " if newest.minutes else ""
            day = f" ({newest.measured})" if newest.measured else ""
            spread = f", +-{max(newest.spread, 0.01):.0%}" if newest.spread is not None else ""
            return f"{what} estimated from {length}calibration on {self.site.name}{day}{spread}"
        if self.site.flops_per_second:
            return f"hours assume {self.site.flops_per_second:.3g} FLOP/s a worker, as site {self.site.name} says"
        if self.site.resources.gpus:
            rates = ", ".join(f"{rate / 1e12:g} TFLOP/s in {name}" for name, rate in ASSUMED_GPU_FLOPS.items())
            return f"hours assume {rates} a GPU; {_SAY_MORE}"
        return f"hours assume {ASSUMED_CORE_FLOPS / 1e9:g} GFLOP/s a CPU core; {_SAY_MORE}"

    def _clips(self, config: RunConfig) -> tuple[int, int] | None:
        """Clips of training and of evaluation; None where the size of the data set decides and is not known."""
        train, evaluation = self.data.train_clips(config.data.set), self.data.eval_clips(config.data.set)
        if evaluation is None or train is None:
            return None
        return training_clips(config, train), evaluation * config.eval.clips * config.eval.times

    def _seconds(self, config: RunConfig, trained: int, evaluated: int) -> float:
        """Wall time of a trial: what its workers compute, and without GPUs the reading of clips where it is assumed."""
        training, evaluation = _flops(config, trained, evaluated)
        training_rate, evaluation_rate = self._rates(config)
        seconds = (training / training_rate + evaluation / evaluation_rate) / self.site.workers
        if not self.site.resources.gpus and not self._measured:
            readers = self.site.workers * max(1, self.site.data_workers)
            seconds += (trained + evaluated) * ASSUMED_CPU_SECONDS_PER_CLIP / readers
        return seconds

    def _rates(self, config: RunConfig) -> tuple[float, float]:
        """FLOPs per second that a worker sustains in training and in evaluation."""
        if self._measured:
            near = self._nearest(config)
            return near.training_rate, near.evaluation_rate
        if self.site.flops_per_second:
            rate = self.site.flops_per_second
        elif self.site.resources.gpus:
            rate = ASSUMED_GPU_FLOPS[config.train.precision] * self.site.resources.gpus
        else:
            rate = ASSUMED_CORE_FLOPS * self.site.resources.cpus
        return rate, rate

    def _memory(self, config: RunConfig) -> int:
        expected = peak_memory(config, self.site.workers, gpu=self.site.resources.gpus > 0)
        ratio = self._nearest(config).memory_ratio if self._measured else None
        return round(expected * (ratio or 1.0))

    def _nearest(self, config: RunConfig) -> Calibration:
        same = [each for each in self._measured if each.precision == config.train.precision]
        return nearest(same or self._measured, training_flops(config))

    def _fits_here(self) -> int | None:
        """Trials that fit on a Ray started here; a cluster's size is not known before it is joined."""
        if not self.site.is_local or self.site.resources.gpus:
            return None
        cores = self.site.local_cpus or machine.cores()
        return max(1, int(cores // (self.site.resources.cpus * self.site.workers)))


def training_clips(config: RunConfig, train_clips: int) -> int:
    """Clips that a trial trains on: its steps (`perceiver.train.total_steps`) times its batch."""
    steps = config.train.steps or max(1, round(config.train.epochs * train_clips / config.train.batch_size))
    return steps * config.train.batch_size


def checkpoint_bytes(config: RunConfig) -> int:
    """A checkpoint's size: float32 weights, two moments of the optimizer, and the raw weights beside an average."""
    copies = 4 if config.train.ema is not None else 3
    return 4 * copies * parameters(config.model)


def _flops(config: RunConfig, trained: int, evaluated: int) -> tuple[int, int]:
    """FLOPs of all training and of all evaluation."""
    return trained * training_flops(config), evaluated * evaluation_flops(config)


def _sum(values: Iterable[tuple[float | None, float]]) -> float | None:
    known = list(values)
    if any(value is None for value, _ in known):
        return None
    return sum(value * count for value, count in known if value is not None)
