"""What a trial will cost, before it runs: parameters, FLOPs, memory, GPU-hours, dollars, storage, wall time.

Parameters and FLOPs are closed forms (`counts.py`). Memory is a model of what training keeps, stated at `memory`.
Time is training and evaluation FLOPs over a rate: the site's calibration where there is one, an assumption otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.plan.calibration import Calibration
from orchestrator.plan.counts import computed_flops, flops, parameters
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
BACKWARD = 2
"""A backward pass costs twice its forward pass; with activation checkpointing the forward pass runs once more."""
_SAY_MORE = "flops_per_second in a site file says otherwise"
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

    def cost(self, config: RunConfig) -> Cost:
        """What one trial with this config costs."""
        total = self._total_flops(config)
        seconds = None if total is None else self._seconds(config, total)
        units = self.site.workers * (self.site.resources.gpus or 1)
        hours = None if seconds is None else seconds / 3600 * units
        price = self.site.dollars_per_gpu_hour
        return Cost(
            parameters=parameters(config.model),
            flops=flops(config.model),
            memory=peak_memory(config, self.site.workers),
            total_flops=total,
            seconds=seconds,
            gpu_hours=hours,
            dollars=None if hours is None or price is None else hours * price,
            storage=KEPT_CHECKPOINTS * checkpoint_bytes(config),
        )

    def totals(self, costs: Iterable[tuple[Cost, int]]) -> Totals:
        """Sums over (cost of a trial, number of such trials)."""
        each = [cost for cost, count in costs for _ in range(count)]
        hours = _sum(cost.gpu_hours for cost in each)
        side_by_side = self.site.concurrency or self._fits_here()
        seconds = _sum(cost.seconds for cost in each)
        longest = max((cost.seconds or 0.0 for cost in each), default=0.0)
        return Totals(
            trials=len(each),
            gpu_hours=hours,
            dollars=_sum(cost.dollars for cost in each),
            storage=sum(cost.storage for cost in each),
            side_by_side=side_by_side,
            seconds=None if seconds is None or not side_by_side else max(longest, seconds / side_by_side),
            basis=self.basis(),
        )

    def basis(self) -> str:
        """What hours are estimated from, in a sentence."""
        if self.site.calibrations:
            newest = self.site.calibrations[-1]
            length = f"{newest.minutes:g} min of " if newest.minutes else ""
            day = f" ({newest.measured})" if newest.measured else ""
            spread = f", +-{newest.spread:.0%}" if newest.spread else ""
            return f"memory and hours estimated from {length}calibration on {self.site.name}{day}{spread}"
        if self.site.flops_per_second:
            return f"hours assume {self.site.flops_per_second:.3g} FLOP/s a worker, as site {self.site.name} says"
        if self.site.resources.gpus:
            rates = ", ".join(f"{rate / 1e12:g} TFLOP/s in {name}" for name, rate in ASSUMED_GPU_FLOPS.items())
            return f"hours assume {rates} a GPU; {_SAY_MORE}"
        return f"hours assume {ASSUMED_CORE_FLOPS / 1e9:g} GFLOP/s a CPU core; {_SAY_MORE}"

    def _total_flops(self, config: RunConfig) -> float | None:
        """Training and evaluation; None where the size of the data set decides and is not known."""
        train, evaluation = self.data.train_clips(config.data.set), self.data.eval_clips(config.data.set)
        if evaluation is None or train is None:
            return None
        passes = 1 + BACKWARD + config.train.activation_checkpointing
        trained = training_clips(config, train) * passes
        evaluated = evaluation * config.eval.clips * config.eval.times
        return (trained + evaluated) * float(computed_flops(config.model))

    def _seconds(self, config: RunConfig, total: float) -> float:
        rate = self._rate(config) * self.site.workers
        seconds = total / rate
        if not self.site.resources.gpus and not self.site.calibrations:
            clips = training_clips(config, self.data.train_clips(config.data.set) or 0)
            clips += (self.data.eval_clips(config.data.set) or 0) * config.eval.clips * config.eval.times
            seconds += clips * ASSUMED_CPU_SECONDS_PER_CLIP / (self.site.workers * max(1, self.site.data_workers))
        return seconds

    def _rate(self, config: RunConfig) -> float:
        """FLOPs per second that a worker sustains."""
        measured = [item for item in self.site.calibrations if item.precision == config.train.precision]
        if measured or self.site.calibrations:
            return _calibrated(measured or list(self.site.calibrations), computed_flops(config.model))
        if self.site.flops_per_second:
            return self.site.flops_per_second
        if self.site.resources.gpus:
            return ASSUMED_GPU_FLOPS[config.train.precision] * self.site.resources.gpus
        return ASSUMED_CORE_FLOPS * self.site.resources.cpus

    def _fits_here(self) -> int | None:
        """Trials that fit on a Ray started here; a cluster's size is not known before it is joined."""
        if self.site.ray_address != "local" or self.site.resources.gpus:
            return None
        import os

        cores = self.site.local_cpus or os.cpu_count() or 1
        return max(1, int(cores // (self.site.resources.cpus * self.site.workers)))


def training_clips(config: RunConfig, train_clips: int) -> int:
    """Clips that a trial trains on: its steps (`perceiver.train.total_steps`) times its batch."""
    steps = config.train.steps or max(1, round(config.train.epochs * train_clips / config.train.batch_size))
    return steps * config.train.batch_size


def checkpoint_bytes(config: RunConfig) -> int:
    """A checkpoint's size: float32 weights, two moments of the optimizer, and the raw weights beside an average."""
    copies = 4 if config.train.ema is not None else 3
    return 4 * copies * parameters(config.model)


def _calibrated(measured: list[Calibration], wanted: int) -> float:
    """Rate of a worker, from the measured model that is nearest in size."""
    nearest = min(measured, key=lambda item: max(item.flops / wanted, wanted / item.flops))
    return (1 + BACKWARD) * nearest.flops * nearest.clips_per_second / nearest.workers


def _sum(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if any(value is None for value in known) else sum(value for value in known if value is not None)
