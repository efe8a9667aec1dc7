"""The connection to Ray. Runs on: the driver."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from orchestrator.errors import OrchestratorError, Unreachable
from orchestrator.plan import machine
from orchestrator.plan.resources import workers_that_fit
from orchestrator.plan.site import Site
from orchestrator.run.nodes import alive_nodes, require_answer
from orchestrator.run.ray_folder import ray_folder

_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow is the record
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # run/interrupt.py has it
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a report need not hold a score
    "RAY_AIR_NEW_OUTPUT": "0",
}


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
    require_answer(site)
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


def side_by_side(site: Site) -> int:
    """How many trials there is room for: what the site says, else what fits on the nodes that are there now."""
    return site.concurrency or max(1, workers_that_fit(alive_nodes(), site.worker_resources()) // site.workers)
