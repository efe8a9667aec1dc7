"""What came of running a plan."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What came of running a plan: ids of trials."""

    already: list[str] = field(default_factory=list)
    """Their results were there before."""
    finished: list[str] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)
    """With where `stop_early` ended them."""
    failed: dict[str, str] = field(default_factory=dict)
    """With the last line of their error."""
    interrupted: bool = False
    waiting: list[str] = field(default_factory=list)
    """Not finished when the sweep was interrupted."""

    @property
    def complete(self) -> bool:
        """Whether every trial of the plan has a result."""
        return not (self.failed or self.interrupted or self.waiting)
