"""What a trial failed of, and whether several that fail alike mean that all would. Made by the worker, heard by the
driver.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UsageError
from perceiver.errors import CheckpointError, ConfigError, DataError

if TYPE_CHECKING:
    from orchestrator.run.booking import Booking  # it imports MLflow, and workers come here too

_ENOUGH = 3
"""Trials that fail alike before any has trained, after which the others are not started."""
_DATA = (DataError, CheckpointError)
_CODE = (TypeError, ValueError, LookupError, AttributeError, NameError, ImportError, AssertionError, ArithmeticError)
_USER = (ConfigError, UsageError, NotImplementedError, SyntaxError, *_CODE)
"""What code or a file is wrong of, wherever it runs. OSError and RuntimeError are not among them: so storage, nodes
and GPUs fail too."""


def kind_of(error: BaseException) -> str:
    """`data` or `user` for what no other node, no later time and no other seed would change; else empty."""
    return "data" if isinstance(error, _DATA) else "user" if isinstance(error, _USER) else ""


def in_a_line(error: BaseException) -> str:
    """`DataError: what is wrong, where, what would be right`; of another worker's error, what it was there."""
    cause = getattr(error, "cause", None)
    error = cause if isinstance(cause, BaseException) else error
    text = str(error)
    if "\nOriginal Traceback" in text:  # a reading process's, as torch tells it: the error is the last line
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return f"{type(error).__name__}: {' '.join(text.split()) or 'no message'}"


@dataclass(frozen=True)
class EndedEarly:
    """Why no more trials are started."""

    error: str
    trials: list[str]
    """Those that failed of it."""
    configurations: int
    """So many they belong to."""


class FailingAlike:
    """Hears how trials fail until one trains: then the others may, too."""

    def __init__(self) -> None:
        self._failed: dict[str, dict[str, tuple[str, str]]] = {}
        self._trains = False

    def trained(self) -> list[str]:
        """A trial has trained a step. What was not shown of those that failed before, once for each error."""
        held = [] if self._trains else [f"! {', '.join(each)}  {_first(each)[1]}" for each in self._failed.values()]
        self._trains = True
        return held

    def holds(self, report: dict[str, Any]) -> bool:
        """Whether the failure is one that the sweep may end with, so that its error is shown then."""
        return not self._trains and bool(report.get("kind"))

    def hear(
        self, booking: "Booking", report: dict[str, Any], bookings: "Iterable[Booking]", more: bool = False
    ) -> EndedEarly | None:
        """A trial has failed; of the sweep's `bookings`, those that were there already are none that could.

        `more`: others will come, which a search has not proposed yet.
        """
        if not self.holds(report):
            return None
        alike = self._failed.setdefault(_without_names(report["message"], booking), {})
        alike[booking.trial.id] = (booking.trial.configuration, report["message"])
        failed_of = {configuration for configuration, _ in alike.values()}
        to_run = {each.trial.configuration for each in bookings if not each.there}
        if len(alike) < _ENOUGH or len(failed_of) < (2 if more else min(2, len(to_run))):
            return None
        return EndedEarly(report["message"], list(alike), len(failed_of))


def _without_names(message: str, booking: "Booking") -> str:
    """What the message says is wrong, without the clips or keys that it lists behind a colon, and without what only
    this trial has in it: its names, places and numbers.
    """
    message = ": ".join(message.split(": ")[:2])  # the first is the error's class
    for name in (booking.root, booking.run_id, booking.trial.id):
        message = message.replace(name, "_")
    return re.sub(r"\btrial-_\w*|\b0x[0-9a-f]+|\d+", "_", message)


def _first(failed: dict[str, tuple[str, str]]) -> tuple[str, str]:
    return next(iter(failed.values()))
