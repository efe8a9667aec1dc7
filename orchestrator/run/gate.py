"""What stands between a plan and its run: what no machine of the site could do is refused before anything starts.

    look(plan)               # lines on what only this machine lacks; SpecError, Unreachable
    ask_for_room(site)       # a line where trials wait for nodes that can come; InfeasiblePlan, Unreachable

Called where a sweep is planned, and by the driver.
"""

import os

from orchestrator.errors import Refused, Unreachable
from orchestrator.plan.planner import Plan
from orchestrator.plan.site import Site
from orchestrator.run.gate_data import look_at_configs, look_at_data
from orchestrator.run.gate_modalities import look_at_modalities
from orchestrator.run.nodes import nodes_of
from orchestrator.run.room import require_room
from orchestrator.run.verdict import Verdict
from orchestrator.track.paths import SweepPaths
from orchestrator.track.sqlite import sqlite_file
from orchestrator.track.writable import require_writable


def look(plan: Plan, driving: bool = False) -> list[str]:
    """Lines on what this machine lacks, which another one of the site may have.

    `driving`: the driver is to run here, so what it needs itself must be here.

    Raises:
        SpecError: mistakes in the sweep or site file, with all of their lines.
        Unreachable: data, storage or tracker do not answer.
    """
    verdict = Verdict(plan, driving)
    look_at_data(verdict)
    look_at_configs(verdict)
    look_at_modalities(verdict)
    _look_at_storage(verdict)
    return verdict.lines()


def ask_for_room(site: Site) -> list[str]:
    """A line where a trial would have to wait for nodes that can come.

    Raises:
        InfeasiblePlan: no node could ever hold a trial.
        Unreachable: the cluster does not answer.
    """
    return require_room(site, nodes_of(site))


def _look_at_storage(verdict: Verdict) -> None:
    """Whether results and the tracker's file can be written; a tracker that is a server was asked for its runs."""
    site = verdict.site
    _try(verdict, "storage", SweepPaths(site.storage, verdict.plan.sweep.name).root)
    if (file := sqlite_file(site.tracking)) is not None:
        _try(verdict, "tracking", str(file.parent))
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            verdict.lacking(("tracking",), f"tracking: {file} can't be written: Permission denied")


def _try(verdict: Verdict, key: str, url: str) -> None:
    try:
        require_writable(url)
    except Refused as error:
        verdict.lacking((key,), f"{key}: {error}")
    except Unreachable as error:
        verdict.unanswered.append(str(error))
