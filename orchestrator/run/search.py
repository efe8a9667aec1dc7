"""What Ray Tune asks for its next trial. Runs on: the driver.

Tune's own ways of listing trials make them all at once and can't be added to; this hands planned trials out one by one,
when there is room for one, and none any more once the sweep shall stop.
"""

from collections.abc import Callable, Iterator
from typing import Any

from ray.tune.search import Searcher

from orchestrator.run.worker import Order


class PlannedTrials(Searcher):
    """Hands out orders in the plan's sequence."""

    def __init__(self, orders: Iterator[Order], shall_stop: Callable[[], bool]) -> None:
        super().__init__()
        self._orders = orders
        self._shall_stop = shall_stop

    def suggest(self, trial_id: str) -> Any:
        """The next order, or that there is none."""
        order = None if self._shall_stop() else next(self._orders, None)
        return Searcher.FINISHED if order is None else {"order": vars(order)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to learn from a planned trial."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: what is left to run is asked of the ledger, not of Tune."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was saved."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles what it is given for a restore that nobody asks for."""
        return {}
