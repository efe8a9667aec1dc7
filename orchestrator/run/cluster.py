"""The connection to Ray. Runs on: the driver."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import ray

from orchestrator.errors import OrchestratorError, Unreachable, UsageError
from orchestrator.plan import machine
from orchestrator.plan.site import Site
from orchestrator.run.ray_folder import ray_folder

_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow is the record
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # run/interrupt.py has it
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a report need not hold a score
    "RAY_AIR_NEW_OUTPUT": "0",
}

_PATIENCE = 10.0
"""Seconds in which a cluster's address has to answer."""


@contextmanager
def connected(site: Site) -> Iterator[None]:
    """Ray, started on this machine or joined at the site's address, for as long as the context lasts.

    Raises:
        Unreachable: no cluster answers at the address.
        OrchestratorError: Ray can't be started on this machine.
    """
    os.environ.update(_TUNE_ENVIRONMENT)
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # what ends a trial is shown by the display, once
    with _started(site) if site.ray_address == "local" else _joined(site):
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _started(site: Site) -> Iterator[None]:
    """Ray on this machine, with as much of it as is ours."""
    with ray_folder() as folder:
        try:
            ray.init(
                address="local",
                num_cpus=site.local_cpus or machine.cores(),
                include_dashboard=False,
                _temp_dir=str(folder),
                **_options(site),
            )
        except Exception as error:
            raise OrchestratorError(f"Ray could not be started on this machine: {error}") from error
        yield


@contextmanager
def _joined(site: Site) -> Iterator[None]:
    """The cluster at the site's address."""
    _require_answer(site)
    try:
        ray.init(address=site.ray_address, **_options(site))
    except Exception as error:
        raise Unreachable(f"no Ray cluster at {site.ray_address} (site {site.name}): {error}") from error
    yield


def _options(site: Site) -> dict[str, Any]:
    return {
        "runtime_env": {"env_vars": dict(site.env)} if site.env else None,
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }


def _require_answer(site: Site) -> None:
    """Raises Unreachable where nothing listens at the site's host and port: Ray itself would try for many minutes."""
    address = urlsplit(site.ray_address if "://" in site.ray_address else f"//{site.ray_address}")
    try:
        if address.hostname is not None and address.port is not None:  # not local or auto
            socket.create_connection((address.hostname, address.port), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise Unreachable(f"no Ray cluster at {site.ray_address} (site {site.name}): {error}") from None


def require_room(site: Site) -> None:
    """Raises UsageError if the nodes could never hold a trial's workers: Ray would wait for room without end."""
    fits = sum(_fitting(site))
    if fits >= site.workers:
        return
    wanted, nodes = site.worker_resources(), _nodes()
    trial = f"{site.workers} workers of {_shown(wanted)} each" if site.workers > 1 else _shown(wanted)
    largest = {name: max((node.get(name, 0) for node in nodes), default=0) for name in wanted}
    room = f"the nodes have room for {fits}" if fits else f"the largest node has {_shown(largest)}"
    raise UsageError(
        f"site {site.name}: a trial wants {trial}, but {room}. "
        "Lower `resources:` or `workers:` in the site file, or give more or larger nodes"
    )


def side_by_side(site: Site) -> int:
    """How many trials there is room for: what the site says, else what fits on the nodes that are there now."""
    return site.concurrency or max(1, sum(_fitting(site)) // site.workers)


def _fitting(site: Site) -> list[int]:
    """How many workers each node could hold."""
    wanted = site.worker_resources()
    return [int(min(node.get(name, 0) / amount for name, amount in wanted.items())) for node in _nodes()]


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _shown(resources: dict[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in resources.items())
