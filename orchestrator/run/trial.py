"""One trial as Ray Tune sees it. Runs on: the trial's actor, which Tune reuses for the next trial.

What goes wrong inside a trial is a result that the driver records; Tune itself retries only when a process dies.
"""

import traceback
from typing import Any

from ray import tune

from orchestrator.run.failures import in_a_line, kind_of
from orchestrator.run.group import WorkerLost, work_together
from orchestrator.run.worker import Order, Report


def run_trial(parameters: dict[str, Any]) -> None:
    """Works an order and passes its reports on; `tune.report` returns once the driver has heard the report."""
    order = Order(**parameters["order"])
    try:
        for report in work_together(order):
            tune.report({"report": report.to_json()})
    except WorkerLost:
        raise  # as if this process had died: Tune starts the trial again
    except Exception as error:
        failed = Report(
            trial=order.trial,
            state="failed",
            error=traceback.format_exc(),
            message=in_a_line(error),
            kind=kind_of(error),
        )
        tune.report({"report": failed.to_json()})
