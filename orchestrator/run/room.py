"""Whether a site can hold a trial: on nodes that are there, be they busy, or on nodes that can come."""

from orchestrator.errors import InfeasiblePlan
from orchestrator.plan.resources import workers_that_fit
from orchestrator.plan.site import Site
from orchestrator.run.nodes import Node


def require_room(site: Site, nodes: list[Node]) -> list[str]:
    """A line where a trial has to wait for nodes that can come.

    Raises:
        InfeasiblePlan: no node could ever hold a trial's workers: Ray would wait for room without end.
    """
    wanted, coming = site.worker_resources(), [node for kind in site.nodes for node in kind.each()]
    if workers_that_fit(nodes, _told_by(site, wanted)) >= site.workers:
        return []
    fits = workers_that_fit([*nodes, *coming], _told_by(site, wanted))
    trial = f"{site.workers} workers of {_shown(wanted)} each" if site.workers > 1 else _shown(wanted)
    if fits >= site.workers:
        return [f"no node that is there now has room for a trial ({trial}): it waits for those of `nodes:`"]
    there = [*nodes, *coming]
    largest = {name: max((node.get(name, 0) for node in there), default=0) for name in wanted}
    has = "this machine has" if site.is_local else "the largest node has"
    room = f"the nodes have room for {fits}" if fits else f"{has} {_shown(largest)}"
    cure = "lower `resources:` or `workers:` in the site file"
    more = "" if site.is_local else ", give more or larger nodes, or say under `nodes:` which can come"
    raise InfeasiblePlan(f"site {site.name}: a trial wants {trial}, but {room}. To run it, {cure}{more}")


def _told_by(site: Site, wanted: Node) -> Node:
    """What can be held against the nodes: of its own machine's labels Ray tells only once it runs."""
    labels = ("accelerator_type:", "node:", "memory", "object_store_memory")
    return {name: amount for name, amount in wanted.items() if not (site.is_local and name.startswith(labels))}


def _shown(resources: Node) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items())
