"""What the gate has found, by whom it is to be mended: mistakes in the site file, in the sweep file, what is away."""

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import Mistake, SpecError, Unreachable, UsageError
from orchestrator.plan.findings import Findings
from orchestrator.plan.planner import Plan


class Verdict:
    """Collects what is found about a plan; `lines` is the verdict."""

    def __init__(self, plan: Plan, driving: bool) -> None:
        self.plan, self.site = plan, plan.site
        self.mine = driving or self.site.is_local
        """Whether what this machine lacks no other can make up for."""
        self.unanswered: list[str] = []
        """What does not answer now, and may later."""
        self._of_site: list[Mistake] = []
        self._of_sweep = Findings(plan.sweep.document)
        self._notes: list[str] = []

    def of_site(self, path: tuple[str, ...], message: str) -> None:
        """A mistake at a path of the site file."""
        self._of_site.append(self.site.mistake(path, message))

    def of_sweep(self, key: str, message: str, changes: Mapping[str, Any] | None = None) -> None:
        """A mistake in a key of a configuration, where the sweep file varies it, sets it, or names the base that does.

        `changes`: what sets the configuration apart from the baseline.
        """
        self._of_sweep.say(self._of_sweep.place_of(key, varied=key in (changes or {})), message)

    def lacking(self, path: tuple[str, ...], message: str) -> None:
        """What this machine lacks: a mistake in the site file, if no other machine could have it."""
        if self.mine:
            self.of_site(path, message)
        else:
            self.note(f"on this machine, {message}")

    def note(self, line: str) -> None:
        """Something to be known that refuses nothing."""
        self._notes.append(line)

    def lines(self) -> list[str]:
        """What only this machine lacks.

        Raises:
            SpecError: mistakes in one file; UsageError: in both.
            Unreachable: there are no mistakes, but something does not answer.
        """
        found = {self.site.source: self._of_site, self.plan.sweep.source: self._of_sweep.mistakes}
        errors = [SpecError(source, list(dict.fromkeys(mistakes))) for source, mistakes in found.items() if mistakes]
        if len(errors) > 1:
            raise UsageError("\n".join(map(str, errors)))
        if errors:
            raise errors[0]
        if self.unanswered:
            raise Unreachable("\n".join(dict.fromkeys(self.unanswered)))
        return list(dict.fromkeys(self._notes))
