"""Registered models: versions made of checkpoints, and the alias `champion`.

MLflow has no compare-and-set for aliases; one promotion of a model at a time is the caller's to hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from orchestrator.errors import Unreachable, UsageError

CHAMPION = "champion"
_FORMER = "former_champion"


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    model: str
    number: str
    run_id: str
    source: str
    """The checkpoint that it is made of."""
    tags: Mapping[str, str]

    @property
    def score(self) -> float:
        """The score with which it was registered."""
        return float(self.tags["score"])


class Registry:
    """The model registry of a tracker.

    Raises:
        Unreachable: the tracker does not answer.
    """

    def __init__(self, tracking: str) -> None:
        self._tracking = tracking
        self._client = MlflowClient(tracking)

    def champion(self, model: str) -> Version | None:
        """The version with the alias `champion`, None if the model or the alias is not there."""
        try:
            found = self._client.get_model_version_by_alias(model, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise Unreachable(f"The registry {self._tracking} does not answer: {error.message}") from error
        return _version(model, found)

    def register(self, model: str, source: str, run_id: str, tags: Mapping[str, str]) -> Version:
        """A new version of the model, made of a checkpoint; one that is there already for the run is returned."""
        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise Unreachable(f"The registry {self._tracking} does not answer: {error.message}") from error
        for known in self._client.search_model_versions(f"name = '{model}'"):
            if known.source == source:
                return Version(model, str(known.version), run_id, source, known.tags)
        made = self._client.create_model_version(model, source, run_id, tags=dict(tags))
        return Version(model, str(made.version), run_id, source, tags)

    def crown(self, version: Version) -> None:
        """Moves the alias `champion` to the version, which remembers whose place it takes."""
        former = self.champion(version.model)
        if former is not None and former.number != version.number:
            self._client.set_model_version_tag(version.model, version.number, _FORMER, former.number)
        self._client.set_registered_model_alias(version.model, CHAMPION, version.number)

    def rollback(self, model: str, number: str | None = None) -> tuple[Version, Version]:
        """Gives the alias `champion` back to the version before, or to a numbered one; returns old and new champion.

        Raises:
            UsageError: the model has no champion, or there was none before it.
        """
        champion = self.champion(model)
        if champion is None:
            raise UsageError(f"there is no model {model} with the alias {CHAMPION} at {self._tracking}")
        number = number or champion.tags.get(_FORMER)
        if number is None:
            raise UsageError(f"{model} v{champion.number} is its first champion; name another version with --to")
        version = self.version(model, number)
        self._client.set_registered_model_alias(model, CHAMPION, version.number)
        return champion, version

    def version(self, model: str, number: str) -> Version:
        """A version by its number. Raises UsageError if there is none."""
        try:
            found = self._client.get_model_version(model, number)
        except MlflowException:
            numbers = sorted(int(each.version) for each in self._client.search_model_versions(f"name = '{model}'"))
            known = f"Versions: {', '.join(map(str, numbers))}" if numbers else f"There is no model {model}"
            raise UsageError(f"{model} has no version {number}. {known}") from None
        return _version(model, found)


def _version(model: str, found: ModelVersion) -> Version:
    return Version(model, str(found.version), found.run_id or "", found.source or "", found.tags)
