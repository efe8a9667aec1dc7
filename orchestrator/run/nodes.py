"""The nodes of a site. Ray is asked in a process of its own, which has a deadline and leaves nothing behind.

    python -m orchestrator.run.nodes auto      # the nodes as JSON, or what went wrong

Runs on: the driver, and where a sweep is planned. Imports Ray only in that process.
"""

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.errors import Unreachable
from orchestrator.plan import machine
from orchestrator.plan.resources import in_rays_names
from orchestrator.plan.site import Site

Node = dict[str, float]
"""What a node has, busy or not, in Ray's names."""

_PATIENCE = 10.0
"""Seconds in which a cluster's address has to answer."""
_DEADLINE = 60.0
"""Seconds in which the cluster has to tell its nodes."""
_ROOT = Path(__file__).resolve().parents[2]


def nodes_of(site: Site) -> list[Node]:
    """The nodes that are there now: this machine, where Ray would be started here, or those of the cluster.

    Raises:
        Unreachable: no cluster answers at the site's address.
    """
    if site.is_local:
        return [in_rays_names(site.local_cpus or machine.cores(), machine.gpus() if site.resources.gpus else 0, {})]
    require_answer(site)
    command = [sys.executable, "-m", __name__, site.ray_address]
    try:
        told = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=_DEADLINE).stdout
    except subprocess.TimeoutExpired:
        raise _unreachable(site, f"it did not tell its nodes within {_DEADLINE:g} s") from None
    lines = told.strip().splitlines()
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {"error": "asking for its nodes failed"}
    if "error" in answer:
        raise _unreachable(site, answer["error"])
    return list(answer["nodes"])


def require_answer(site: Site) -> None:
    """Raises Unreachable where nothing listens at the site's host and port: Ray itself would try for many minutes."""
    address = urlsplit(site.ray_address if "://" in site.ray_address else f"//{site.ray_address}")
    try:
        if address.hostname is not None and address.port is not None:  # not local or auto
            socket.create_connection((address.hostname, address.port), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise _unreachable(site, error) from None


def alive_nodes() -> list[Node]:
    """The nodes of the cluster that this process is connected to."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _unreachable(site: Site, why: Any) -> Unreachable:
    return Unreachable(f"no Ray cluster at {site.ray_address} (site {site.name}): {why}")


def _main(address: str) -> None:
    """Prints the nodes of the cluster at an address."""
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        answer: dict[str, Any] = {"nodes": alive_nodes()}
    except Exception as error:
        answer = {"error": " ".join(str(error).split())}
    print(json.dumps(answer), flush=True)
    os._exit(0)  # there is nothing to leave in order, and Ray's own end takes seconds


if __name__ == "__main__":
    _main(sys.argv[1])
