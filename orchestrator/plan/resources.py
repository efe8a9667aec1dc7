"""What a worker holds, what nodes have, and how many workers fit on them."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field, model_validator

from orchestrator.plan.vary import Part

Custom = dict[str, Annotated[float, Field(gt=0)]]


class Resources(Part):
    """What each worker of a trial holds."""

    cpus: Annotated[float, Field(gt=0, le=1024)] = 1
    """CPU cores, for the model and for reading clips."""
    gpus: Annotated[float, Field(ge=0, le=64)] = 0
    """GPUs; below 1, several trials share one."""
    custom: Custom = Field(default_factory=dict)
    """Custom resources of the Ray cluster, such as {H200: 1}."""

    @model_validator(mode="after")
    def _gpus_are_whole(self) -> "Resources":
        if self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"gpus {self.gpus:g}: more than one GPU must be a whole number of them")
        return self


class Nodes(Part):
    """Nodes of one kind that can come."""

    count: Annotated[int, Field(ge=1, le=100_000)] = 1
    """How many."""
    cpus: Annotated[float, Field(ge=0, le=100_000)]
    """CPU cores of each."""
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    """GPUs of each."""
    custom: Custom = Field(default_factory=dict)
    """Custom resources of each, such as {H200: 8}."""

    def each(self) -> list[dict[str, float]]:
        """What every one of them has, in Ray's names."""
        return [in_rays_names(self.cpus, self.gpus, self.custom)] * self.count


def in_rays_names(cpus: float, gpus: float, custom: Mapping[str, float]) -> dict[str, float]:
    """Amounts of resources by the names that Ray has for them; what there is none of is left out."""
    return {name: amount for name, amount in ({"CPU": cpus, "GPU": gpus} | dict(custom)).items() if amount}


def workers_that_fit(nodes: Iterable[Mapping[str, float]], wanted: Mapping[str, float]) -> int:
    """How many workers the nodes could hold together, each worker on one of them."""
    least = 1e-9  # 0.3 / 0.1 is 2.9999999999999996
    return sum(int(min(node.get(name, 0) / amount for name, amount in wanted.items()) + least) for node in nodes)
