"""Plans, runs, tracks and ranks sweeps of the Perceiver.

    from orchestrator import load_sweep, plan_sweep, run_sweep, board, promote

    sweep = load_sweep("sweeps/smoke.yaml")
    plan_sweep(sweep).trials            # nothing is started
    run_sweep(sweep)                    # Ray Tune; safe to run again
    board("smoke").rows                 # the leaderboard
    promote("smoke")                    # a final run and a registered model

The names are loaded when they are first used: planning needs neither Ray nor MLflow nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.plan.planner import plan_sweep
    from orchestrator.plan.site import load_site
    from orchestrator.plan.spec import load_sweep
    from orchestrator.promote import promote
    from orchestrator.rank.board import board
    from orchestrator.run.driver import run_sweep

__all__ = ["board", "load_site", "load_sweep", "plan_sweep", "promote", "run_sweep"]

_HOMES = {
    "board": "orchestrator.rank.board",
    "load_site": "orchestrator.plan.site",
    "load_sweep": "orchestrator.plan.spec",
    "plan_sweep": "orchestrator.plan.planner",
    "promote": "orchestrator.promote",
    "run_sweep": "orchestrator.run.driver",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # a sub-module of the same name must not take its place
    return value
