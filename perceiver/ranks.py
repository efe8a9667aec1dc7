"""The processes that train one model together, each with its share of every batch: torch.distributed's ranks.

Whoever starts them, torchrun or Ray Train, initialises the process group; alone, a process is the only rank and none
of this costs anything. Gradients travel as DistributedDataParallel sends them; what is here is small, and goes between
CPUs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

SILENCE = timedelta(minutes=30)
"""After which a rank is taken for dead: longer than a reader waits for storage (see `perceiver.data.patience`)."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train a model. Every rank has to make the same calls in the same order."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """As the process group says; one of one where there is none."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that saves and reports."""
        return self.rank == 0

    @property
    def are_several(self) -> bool:
        """Whether there is anybody to talk to."""
        return self.world > 1

    def sum(self, values: Tensor) -> Tensor:
        """The sum of all ranks' values, which have one shape; on this rank's device again."""
        if not self.are_several:
            return values
        total = values.to("cpu", copy=True)
        dist.all_reduce(total, group=_between_cpus(dist.group.WORLD))
        return total.to(values.device)

    def gather(self, value: T) -> list[T]:
        """What every rank has, in their order."""
        if not self.are_several:
            return [value]
        gathered: list[Any] = [None] * self.world
        dist.all_gather_object(gathered, value, group=_between_cpus(dist.group.WORLD))
        return gathered

    def first(self, value: T) -> T:
        """What the first rank has: what clocks and files decide has to be decided once for all."""
        if not self.are_several:
            return value
        said = [value]
        dist.broadcast_object_list(said, 0, group=_between_cpus(dist.group.WORLD))
        return said[0]


def meeting_point(host: str, world: int, port: int = 0) -> Any:
    """Where ranks find each other: the first opens it at a free port of its host, the others give that port."""
    return dist.TCPStore(host, port, world, is_master=not port, wait_for_workers=False)


@contextmanager
def meeting(point: Any, ranks: Ranks, gpus: bool) -> Iterator[None]:
    """The process group of all ranks that come to a point, for as long as the context lasts."""
    backend = "nccl" if gpus else "gloo"
    dist.init_process_group(backend, timeout=SILENCE, store=point, rank=ranks.rank, world_size=ranks.world)
    try:
        yield
    finally:
        _between_cpus.cache_clear()
        dist.destroy_process_group()


@lru_cache(maxsize=1)
def _between_cpus(everybody: Any) -> Any:
    """NCCL carries only what lies on GPUs, and a look at its results would stop them."""
    return everybody if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")
