"""Registered models: versions made of checkpoints, and the alias `champion`.

MLflow has no compare-and-set for aliases; one promotion of a model at a time is the caller's to hold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from orchestrator.errors import UsageError
from orchestrator.track.connection import explained, is_recorded, without_password
from orchestrator.track.server import make_client

CHAMPION = "champion"
_FORMER = "former_champion"
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


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
    def score(self) -> float | None:
        """The score with which it was registered; None for a version that another tool made."""
        try:
            return float(self.tags["score"])
        except (KeyError, ValueError):
            return None


class Registry:
    """The model registry of a tracker. Looking things up never makes a database.

    Raises:
        Unreachable: every call does when the tracker does not answer.
    """

    def __init__(self, tracking: str) -> None:
        self._tracking = tracking

    def champion(self, model: str) -> Version | None:
        """The version with the alias `champion`, None if the model or the alias is not there."""
        with explained(self._tracking):
            if not is_recorded(self._tracking):
                return None
            try:
                return _version(model, self._client.get_model_version_by_alias(model, CHAMPION))
            except MlflowException as error:
                if error.error_code in _ABSENT:
                    return None
                raise

    def register(self, model: str, source: str, run_id: str, tags: Mapping[str, str]) -> Version:
        """A new version of the model, made of a checkpoint; the one that is made of it already is returned."""
        with explained(self._tracking):
            is_recorded(self._tracking)
            try:
                self._client.create_registered_model(model)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            for known in self._client.search_model_versions(f"name = '{model}'"):
                if known.source == source:
                    return _version(model, known)
            made = self._client.create_model_version(model, source, run_id, tags=dict(tags))
            return Version(model, str(made.version), run_id, source, tags)

    def crown(self, version: Version) -> None:
        """Moves the alias `champion` to the version, which remembers whose place it takes."""
        former = self.champion(version.model)
        with explained(self._tracking):
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
            where = without_password(self._tracking)
            raise UsageError(f"there is no model {model} with the alias {CHAMPION} at {where}")
        number = number or champion.tags.get(_FORMER)
        if number is None:
            raise UsageError(f"{model} v{champion.number} is its first champion; name another version with --to")
        version = self.version(model, number)
        with explained(self._tracking):
            self._client.set_registered_model_alias(model, CHAMPION, version.number)
        return champion, version

    def version(self, model: str, number: str) -> Version:
        """A version by its number. Raises UsageError if there is none."""
        with explained(self._tracking):
            if not is_recorded(self._tracking):
                raise UsageError(f"there is no model {model} at {without_password(self._tracking)}")
            try:
                return _version(model, self._client.get_model_version(model, number))
            except MlflowException as error:
                if error.error_code not in _ABSENT:
                    raise
            numbers = sorted(int(each.version) for each in self._client.search_model_versions(f"name = '{model}'"))
        known = f"Versions: {', '.join(map(str, numbers))}" if numbers else f"There is no model {model}"
        raise UsageError(f"{model} has no version {number}. {known}")

    @cached_property
    def _client(self) -> MlflowClient:
        return make_client(self._tracking)


def _version(model: str, found: ModelVersion) -> Version:
    return Version(model, str(found.version), found.run_id or "", found.source or "", found.tags)
