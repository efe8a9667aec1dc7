"""Limits: those of a sweep file, and the memory of the site's GPUs. A plan beyond them is infeasible."""

from collections.abc import Iterable, Iterator

from orchestrator.plan.counts import flops, parameters
from orchestrator.plan.estimate import Cost
from orchestrator.plan.quantity import gibibytes, short
from orchestrator.plan.site import Site
from orchestrator.plan.spec import Limits
from perceiver.config import ModelConfig


def oversized(model: ModelConfig, limits: Limits) -> bool:
    """Whether a model has more parameters or FLOPs than the limits allow; samplers propose no such model."""
    too_large = limits.parameters is not None and parameters(model) > limits.parameters
    return too_large or (limits.flops is not None and flops(model) > limits.flops)


def beyond(cost: Cost, limits: Limits, site: Site) -> Iterator[str]:
    """What of one trial's cost lies beyond the limits: `memory 80 GiB is above limits.memory_per_gpu 70 GiB`."""
    if limits.parameters is not None and cost.parameters > limits.parameters:
        yield f"{short(cost.parameters)} parameters are above limits.parameters {short(limits.parameters)}"
    if limits.flops is not None and cost.flops > limits.flops:
        yield f"{short(cost.flops)} FLOPs a clip are above limits.flops {short(limits.flops)}"
    memories = {
        "limits.memory_per_gpu": limits.memory_per_gpu,
        f"memory_per_gpu of site {site.name}": site.memory_per_gpu,
    }
    for name, most in memories.items():
        if most is not None and cost.memory > most:
            yield f"memory {gibibytes(cost.memory)} is above {name} {gibibytes(most)}"


def altogether(costs: Iterable[Cost], limits: Limits) -> Iterator[str]:
    """What the trials that are left cost together beyond the limits."""
    left = list(costs)
    hours = sum(cost.gpu_hours or 0.0 for cost in left)
    dollars = sum(cost.dollars or 0.0 for cost in left)
    if limits.gpu_hours is not None and hours > limits.gpu_hours:
        yield f"{hours:,.3g} GPU-hours are above limits.gpu_hours {limits.gpu_hours:,g}"
    if limits.dollars is not None and dollars > limits.dollars:
        yield f"${dollars:,.0f} are above limits.dollars {limits.dollars:,g}"
