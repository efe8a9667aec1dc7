"""Every error that the orchestrator raises on purpose, and the exit code each one means.

    OrchestratorError       1   something the user can act on; the message says what, where, and what would be right
    +-- UsageError          2   a verb called with something it can't use: an unknown sweep, site or trial
    |   +-- SpecError       2   an invalid sweep or site file; holds every mistake with its line
    |   +-- Refused         2   storage answers, and does not let us write
    +-- TrialsFailed        3   the sweep finished, but some trials failed
    +-- BudgetSpent         4   a limit of the sweep was reached
    +-- InfeasiblePlan      5   a plan with trials beyond its limits
    +-- Unreachable        75   tracker, storage or cluster can't be reached or written
    +-- Interrupted       130   stopped by the user, state saved

`perceiver/errors.py` has the model's and the data's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class OrchestratorError(Exception):
    """Base of all errors raised here on purpose."""

    exit_code = 1


class UsageError(OrchestratorError):
    """Raised when a name or argument given by the user can't be used."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Mistake:
    """One mistake in a file: where it is (line and column from 1; 0 where none is known) and what is wrong."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}:{self.column}".ljust(11) if self.line else ""
        return f"{place} {self.message}".strip()


class SpecError(UsageError):
    """Raised when a sweep or site file is invalid; `mistakes` holds them all, in the file's order."""

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        self.source = source
        self.mistakes = sorted(mistakes)
        count = f"{len(self.mistakes)} mistake{'s' if len(self.mistakes) != 1 else ''}"
        lines = "\n".join(f"  {mistake}" for mistake in self.mistakes)
        super().__init__(f"{source} has {count}; nothing was started.\n{lines}")


class Refused(UsageError):
    """Raised when storage answers and does not let us write: no leave, no credentials, no such bucket."""


class TrialsFailed(OrchestratorError):
    """Raised when a sweep came to its end with failed trials."""

    exit_code = 3


class BudgetSpent(OrchestratorError):
    """Raised when a sweep stopped at one of its limits."""

    exit_code = 4


class InfeasiblePlan(OrchestratorError):
    """Raised when listed trials lie beyond the sweep's limits."""

    exit_code = 5


class Unreachable(OrchestratorError):
    """Raised when the tracker, the storage or the cluster can't be reached or written."""

    exit_code = 75


class Interrupted(OrchestratorError):
    """Raised after a Ctrl-C, once the running trials have saved."""

    exit_code = 130
