"""Ray Tune's events in the driver's words. Runs on: the driver."""

from typing import Any, Protocol

from ray import tune


class Listener(Protocol):
    """Who hears what happens to trials."""

    def on_report(self, report: dict[str, Any]) -> None:
        """A worker's report arrived."""

    def on_died(self, trial: str, error: str) -> None:
        """A trial's process is gone for good."""

    def tick(self) -> None:
        """Time has passed."""


class Reports(tune.Callback):
    """Passes on what Tune hears of trials."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles what it is given for a restore that nobody asks for."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A report came in."""
        self._listener.on_report(result["report"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process died, and was started again as often as is allowed."""
        error = trial.get_error()
        self._listener.on_died(trial.config["order"]["trial"], str(error) if error else "the trial's process died")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Tune has gone once around its loop."""
        self._listener.tick()
