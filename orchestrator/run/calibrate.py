"""Measures what a sweep's baseline does at a site, for the plans made there. Runs on: the driver.

One worker trains on the site's Ray with the site's resources, as a trial's worker would, for some minutes. Nothing is
recorded and nothing is left on storage; what was measured goes into the site's profile when it has come to its end.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import ray

from orchestrator.errors import Interrupted, OrchestratorError, UsageError
from orchestrator.plan.calibration import Calibration, throughput
from orchestrator.plan.counts import evaluation_flops, training_flops
from orchestrator.plan.data import look_at
from orchestrator.plan.memory import FIXED, peak_memory
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Sweep
from orchestrator.run.cluster import connected
from orchestrator.run.interrupt import Interrupt
from orchestrator.run.nodes import alive_nodes
from orchestrator.run.room import require_room
from orchestrator.run.worker import Mark, Order, measure
from perceiver.config import RunConfig, dump, with_changes
from perceiver.errors import PerceiverError

Watch = Callable[[Mark | None], None]
"""Called with every mark, and with None each second in which there is no new one."""


def calibrate(sweep: Sweep, site: Site, minutes: float, watch: Watch = lambda mark: None) -> Calibration:
    """What one worker of the site makes of the sweep's baseline in so many minutes of training.

    With several workers to a trial it gets a worker's share of the batch; what workers exchange is not measured.

    Raises:
        UsageError: the data can't be seen.
        InfeasiblePlan: no node could hold a worker.
        Unreachable: no Ray cluster at the site.
        OrchestratorError: the worker ran out of memory or died.
        PerceiverError: what training raises: unreadable data, a loss that is not finite.
        Interrupted: Ctrl-C.
    """
    data = look_at(site, {sweep.baseline.data.set})
    if data.problems:
        raise UsageError("\n".join(data.problems.values()))
    config = _share(sweep.completed(data.classes).baseline, site.workers)
    order = Order(
        trial="calibration",
        config=dump(config),
        root="",
        data=data.source(site, config.data.set),
        stop="",
        cpus=max(1, int(site.resources.cpus)),
        gpus=site.resources.gpus,
        data_workers=site.data_workers,
    )
    with Interrupt() as interrupt, connected(site):
        require_room(site, alive_nodes())
        marks = list(_marks(order, site, 60 * minutes, watch, interrupt))
    return _calibration(marks, config, site)


def _share(config: RunConfig, workers: int) -> RunConfig:
    """The config of one worker: its part of the global batch."""
    batch = -(-config.train.batch_size // workers)
    micro = None if config.train.micro_batch is None else min(config.train.micro_batch, batch)
    return with_changes(config, {"train.batch_size": batch, "train.micro_batch": micro})


def _marks(order: Order, site: Site, seconds: float, watch: Watch, interrupt: Interrupt) -> Iterator[Mark]:
    """What the worker tells, while it tells it."""
    task: Any = ray.remote(measure)
    told = task.options(
        num_cpus=site.resources.cpus,
        num_gpus=site.resources.gpus,
        resources=site.resources.custom,
        num_returns="streaming",
        max_retries=0,
    ).remote(order, seconds)
    while True:
        ready, _ = ray.wait([told], timeout=1.0)
        if interrupt.requested:
            ray.cancel(told, force=True)
            raise Interrupted("Stopped; nothing was stored.")
        if not ready:
            watch(None)
            continue
        try:
            mark: Mark = ray.get(next(told))
        except StopIteration:
            return
        except ray.exceptions.RayError as error:
            raise _in_words(error, order) from error
        watch(mark)
        yield mark


def _in_words(error: Any, order: Order) -> Exception:
    """What ended the worker, as an error for the user."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, PerceiverError):
        return cause
    on_gpu, on_cpu = type(cause).__name__ == "OutOfMemoryError", "can't allocate memory" in str(cause)
    if on_gpu or on_cpu or isinstance(error, ray.exceptions.OutOfMemoryError):
        train = order.config["train"]
        size = train["micro_batch"] or train["batch_size"]
        return OrchestratorError(
            f"a worker ran out of memory with {size} clips at once. Try fewer, with the same results: "
            f"--set train.micro_batch={max(1, size // 2)}, and then in `set:` of the sweep file"
        )
    what = f"{type(cause).__name__}: {cause}" if cause else str(error).splitlines()[0]
    return OrchestratorError(f"the worker failed, and nothing was stored. {what}")


def _calibration(marks: list[Mark], config: RunConfig, site: Site) -> Calibration:
    training = [(0.0, 0), *((mark.seconds, mark.clips) for mark in marks if mark.phase == "training")]
    rate, spread = throughput(training)
    last = [mark for mark in marks if mark.phase == "evaluation"][-1]
    context = FIXED if site.resources.gpus else 0  # what a process holds of a GPU beside torch's allocations
    return Calibration(
        clips_per_second=rate,
        training_flops=training_flops(config),
        evaluation_clips_per_second=last.clips / last.seconds,
        evaluation_flops=evaluation_flops(config),
        memory=marks[-1].memory + context,
        expected_memory=peak_memory(config, gpu=site.resources.gpus > 0),
        precision=config.train.precision,
        cpus=site.resources.cpus,
        gpus=site.resources.gpus,
        minutes=training[-1][0] / 60,
        spread=spread,
        measured=date.today(),
    )
