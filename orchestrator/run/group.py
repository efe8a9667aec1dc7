"""The workers that share one trial. Runs on: the trial's actor, the first of them, and a Ray task for each other one.

Tune reserves room for all of them at once, in the bundles of the trial's placement group: a trial starts when all its
workers fit, and however it ends, Tune gives everything back. (A Ray Train trainer inside a trial reserves on its own:
Tune does not count that, and a stopped trial leaves it reserved.)
"""

from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import RayTaskError
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.run.worker import Order, Report, work
from perceiver.ranks import Ranks, meeting, meeting_point

_PATIENCE = 10.0
"""Seconds in which the others tell why they failed, once the first worker has lost them."""


class WorkerLost(Exception):
    """Raised when the process of another worker died: the trial starts again, from its newest checkpoint."""


def work_together(order: Order) -> Iterator[Report]:
    """The work of a trial by as many workers as its order says; the first one's reports.

    Raises:
        WorkerLost: another worker's process died.
        Exception: what went wrong in any of the workers.
    """
    if order.workers == 1:
        yield from work(order)
        return
    host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    point = meeting_point(host, order.workers)
    others = [_start(order, rank, host, point.port) for rank in range(1, order.workers)]
    try:
        with meeting(point, Ranks(0, order.workers), gpus=bool(order.gpus)):
            try:
                yield from work(order)
            except RuntimeError as error:  # as torch tells of a lost connection; any other error is this worker's own
                _raise_cause(others, error)
    finally:
        for other in others:
            ray.cancel(other, force=True)


def _start(order: Order, rank: int, host: str, port: int) -> Any:
    """The task of another worker, in its own bundle of what Tune reserved for the trial."""
    reserved = get_current_placement_group()
    assert reserved is not None  # Tune starts no trial outside of what it reserved
    place = PlacementGroupSchedulingStrategy(reserved, placement_group_bundle_index=rank)
    task = _follow.options(num_cpus=0, num_gpus=order.gpus, scheduling_strategy=place)  # the bundle holds the cores
    return task.remote(vars(order), rank, host, port)


@ray.remote(max_retries=0)
def _follow(order: dict[str, Any], rank: int, host: str, port: int) -> None:
    """Does the same steps as the first worker, which alone is heard."""
    mine = Order(**order)
    with meeting(meeting_point(host, mine.workers, port), Ranks(rank, mine.workers), gpus=bool(mine.gpus)):
        for _ in work(mine):
            pass


def _raise_cause(others: list[Any], error: Exception) -> None:
    """Where the first worker failed because another one did, that one's error is the trial's.

    Asked before the meeting is over: until then the others end only for reasons of their own, or of one another.
    """
    ended, _ = ray.wait(others, num_returns=len(others), timeout=_PATIENCE)
    causes = []
    for other in ended:
        try:
            ray.get(other)
        except RayTaskError as cause:
            causes.append(cause.as_instanceof_cause())  # type: ignore[no-untyped-call]
        except Exception as cause:
            raise WorkerLost(f"a worker of the trial died: {cause}") from error
    causes.sort(key=lambda cause: isinstance(cause, RuntimeError))  # those that lost a connection themselves come last
    raise (causes or [error])[0]
