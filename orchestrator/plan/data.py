"""What a plan can know of data sets: their digests and sizes, where they can be seen from here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import OrchestratorError
from orchestrator.plan.site import Site
from orchestrator.progress import Ticker


@dataclass(frozen=True)
class DataSeen:
    """Data set name -> its description, or why there is none."""

    descriptions: Mapping[str, Any] = field(default_factory=dict)
    """`perceiver.data.digest.DataDescription` of each set that can be seen."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why a set can't be seen from here."""
    causes: Mapping[str, Exception] = field(default_factory=dict, compare=False)
    """The errors behind the problems."""

    def digest(self, name: str) -> str | None:
        """The set's digest; None where it can't be seen."""
        return self.descriptions[name].digest if name in self.descriptions else None

    @property
    def classes(self) -> dict[str, int]:
        """Classes of each set's label list, where it can be seen."""
        return {name: seen.classes for name, seen in self.descriptions.items()}

    def train_clips(self, name: str) -> int | None:
        """Training clips of the set; None where it can't be seen."""
        return self.descriptions[name].train_clips if name in self.descriptions else None

    def eval_clips(self, name: str) -> int | None:
        """Evaluation clips of the set; None where it can't be seen."""
        return self.descriptions[name].eval_clips if name in self.descriptions else None

    def source(self, site: Site, name: str) -> dict[str, Any]:
        """The fields of `DataSource` as workers get them: where the set lies, and what was found out about it here."""
        seen = {"planned": self.descriptions[name].planned} if name in self.descriptions else {}
        return site.data_source(name) | seen

    def told(self) -> list[str]:
        """Lines on rows that are not used, and on what a user should know of others."""
        return [f"data {name}, {line}" for name, seen in self.descriptions.items() for line in seen.told]


def look_at(site: Site, names: Iterable[str]) -> DataSeen:
    """Describes the data sets as they lie at the site; one that can't be seen from here is a problem, not an error.

    The first look at a large set takes long: it says on standard error how far it is.
    """
    from perceiver.data.audioset import DataSource
    from perceiver.data.digest import describe

    descriptions, problems, causes = {}, {}, dict[str, Exception]()
    for name in sorted(names):
        try:
            with Ticker(f"looking for the files of data set {name}", f"files of {name} looked into") as ticker:
                descriptions[name] = describe(DataSource(**site.data_source(name)), ticker.show)
        except Exception as error:  # another storage may raise anything; the gate tells what goes on without
            known = isinstance(error, OrchestratorError)
            problems[name] = str(error) if known else f"data set {name} can't be seen from here: {error}"
            causes[name] = error
    return DataSeen(descriptions, problems, causes)
