"""What Ray Tune asks for its next trial. Runs on: the driver.

Tune's own ways of listing trials make them all at once and can't be added to; this hands trials out one by one, when
there is room for one, and none any more once the sweep shall stop.
"""

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from orchestrator.run.upcoming import NotNow
from orchestrator.run.worker import Order


class NextTrials(Searcher):
    """Hands out orders as they are asked for."""

    def __init__(self, next_order: Callable[[], Order | NotNow | None]) -> None:
        super().__init__()
        self._next_order = next_order

    def suggest(self, trial_id: str) -> Any:
        """The next order; None for `not now`, after which Tune asks again; or that there is none any more."""
        order = self._next_order()
        if isinstance(order, NotNow):
            return None
        return Searcher.FINISHED if order is None else {"order": vars(order)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing to learn here: results come in through the session."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: what is left to run is asked of the ledger, not of Tune."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was saved."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles what it is given for a restore that nobody asks for."""
        return {}
