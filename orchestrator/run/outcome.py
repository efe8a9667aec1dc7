"""What came of running a plan."""

from dataclasses import dataclass, field

from orchestrator.plan.report import shortened
from orchestrator.run.failures import EndedEarly

_LONGEST = 600
"""Characters of an error that lists very many clips; its log has all of it."""
_NAMED = 8
"""Trials named of an error that many failed of."""


@dataclass
class Outcome:
    """What came of running a plan: ids of trials."""

    already: list[str] = field(default_factory=list)
    """Their results were there before."""
    finished: list[str] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)
    """With where `stop_early` ended them."""
    failed: dict[str, str] = field(default_factory=dict)
    """With their error in a line."""
    ended_early: EndedEarly | None = None
    """Why trials were not started, where so many failed alike that all would."""
    not_started: dict[str, str] = field(default_factory=dict)
    """Of a sweep that ended early; with configuration and seed."""
    interrupted: bool = False
    waiting: list[str] = field(default_factory=list)
    """Not finished when the sweep was interrupted."""

    @property
    def complete(self) -> bool:
        """Whether every trial of the plan has a result."""
        return not (self.failed or self.interrupted or self.waiting)

    def errors(self) -> dict[str, list[str]]:
        """Error -> the trials that failed of it."""
        found: dict[str, list[str]] = {}
        for trial, error in self.failed.items():
            found.setdefault(error, []).append(trial)
        return found


def failure_lines(outcome: Outcome) -> list[str]:
    """What failed, each error once with its trials; and what was not started for it."""
    errors, ended = outcome.errors(), outcome.ended_early
    if ended is None:
        return [f"{counted(len(outcome.failed))} failed:", *(_failed(error, each) for error, each in errors.items())]
    configurations = f"{ended.configurations} configuration{'s' if ended.configurations > 1 else ''}"
    others = {
        error: left for error, each in errors.items() if (left := [one for one in each if one not in ended.trials])
    }
    return [
        f"{len(ended.trials)} trials of {configurations} failed alike before any had trained; the sweep ended early:",
        _failed(ended.error, ended.trials),
        *(_failed(error, each) for error, each in others.items()),
        f"{counted(len(outcome.not_started))} not started; once that is mended, the same command starts them:",
        *(f"  {name}" for name in shortened(outcome.not_started)),
    ]


def counted(trials: int) -> str:
    """`1 trial`, `2 trials`."""
    return f"{trials} trial{'s' if trials != 1 else ''}"


def _failed(error: str, trials: list[str]) -> str:
    named = ", ".join(trials[:_NAMED]) + (f" and {len(trials) - _NAMED} more" if len(trials) > _NAMED else "")
    return f"  {named}  {error if len(error) <= _LONGEST else f'{error[:_LONGEST]} ...'}"
