"""Where the next trial comes from. Runs on: the driver. `Planned` is a list; `proposals.py` has the adaptive search."""

from typing import Final, Literal, Protocol

from orchestrator.run.booking import Booking

Ended = Literal["finished", "stopped", "failed"]
"""How a trial came to its end; stopped: early, by the sweep's rule."""


class NotNow:
    """There will be a trial, but results have to come in first."""


NOT_NOW: Final = NotNow()


class Upcoming(Protocol):
    """Hands out the trials of a sweep, one at a time."""

    bookings: dict[str, Booking]
    """Trial id -> every trial of the sweep so far."""

    @property
    def expected(self) -> int:
        """How many trials the sweep will have had at its end, as far as is known."""

    @property
    def more(self) -> bool:
        """Whether trials will come that are not among the bookings yet."""

    def next(self) -> Booking | NotNow | None:
        """The next trial to run; None when there is none any more."""

    def ended(self, booking: Booking, how: Ended) -> None:
        """A trial came to its end."""


class Planned:
    """Trials that were all known before anything ran, in the plan's sequence."""

    more = False

    def __init__(self, bookings: dict[str, Booking]) -> None:
        self.bookings = bookings
        self.expected = len(bookings)
        self._waiting = iter([booking for booking in bookings.values() if not booking.there])

    def next(self) -> Booking | NotNow | None:
        """The next one that is left to run."""
        return next(self._waiting, None)

    def ended(self, booking: Booking, how: Ended) -> None:
        """Nothing follows from a planned trial's result."""
