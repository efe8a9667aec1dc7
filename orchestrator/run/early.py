"""Carries the rule of `stop_early` out: hears the trials' scores and asks those that fall behind to stop.

Runs on: the driver. The rungs are rebuilt from what is recorded of every trial, whether it runs in this driver or not.
A trial is asked by a file in its own folder: its worker looks for it after each evaluation, saves, and ends.
"""

from collections.abc import Iterable

from orchestrator.errors import Unreachable
from orchestrator.plan.planner import Plan
from orchestrator.run.booking import Booking
from orchestrator.run.stopping import Stopping
from orchestrator.track import storage
from orchestrator.track.records import EarlyStop


class EarlyStopping:
    """One sweep's rule; without `stop_early` it stops nothing."""

    def __init__(self, plan: Plan, bookings: Iterable[Booking]) -> None:
        sweep = plan.sweep
        self._plan = plan
        self._rule: Stopping | None = None
        if sweep.stop_early is not None:
            maximize = sweep.score.goal == "maximize"
            self._rule = Stopping(sweep.stop_early, sweep.baseline.eval.times, maximize)
        for booking in bookings:
            self._remember(booking)

    def judge(self, booking: Booking, fraction: float) -> EarlyStop | None:
        """Where the trial, whose newest evaluation has just come in, was asked to stop; None if it goes on.

        `fraction`: the share of the trial that is done; at its end there is nothing to stop.

        Storage that is away for a moment costs nothing: the trial is asked again at its next evaluation.
        """
        self._remember(booking)
        if self._rule is None or not booking.may_stop or not booking.scores or fraction >= 1:
            return None
        evaluation = len(booking.scores)
        if not self._rule.hear(booking.trial.id, evaluation, booking.scores[-1][0]):
            return None
        stop = EarlyStop(self._rule.rule.rule, evaluation, booking.trial.config.eval.times)
        try:
            storage.write_text(booking.paths.stop, str(stop))
        except Unreachable:
            return None
        return stop

    def _remember(self, booking: Booking) -> None:
        if self._rule is not None and self._plan.competes(booking.trial):
            for evaluation, scores in enumerate(booking.scores, 1):
                self._rule.remember(booking.trial.id, evaluation, scores[0])
