"""Mistakes as they are found in one file, each at its place."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.errors import Mistake
from orchestrator.plan.changes import SEED, apply, dotted
from orchestrator.plan.document import Document, KeyPath
from perceiver.config import RunConfig
from perceiver.errors import ConfigError


class Findings:
    """Collects `mistakes` while the parts of a file are looked at."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.mistakes: list[Mistake] = []

    def say(self, path: Sequence[str | int], message: str) -> None:
        """Notes a mistake at a path of the file."""
        self.mistakes.append(self.document.mistake(path, message))

    def changed(self, config: RunConfig, changes: Mapping[str, Any], path: KeyPath) -> RunConfig:
        """The config with the changes at `path`; where they hold mistakes, these are noted and nothing changes."""
        name = ".".join(str(part) for part in path)
        if SEED in dotted(changes):
            self.say(self._written(path, SEED), f"{name}: {SEED} is given by `seeds:` of the sweep")
        try:
            return apply(config, changes)
        except ConfigError as error:
            for mistake in error.mistakes:
                self.say(self._written(path, mistake.key), str(mistake) if mistake.key else f"{name}: {mistake}")
            return config

    def place_of(self, key: str, varied: bool = False) -> KeyPath:
        """Where a sweep file says a key of the configuration: among its factors, in `set`, or else with its base."""
        parts: list[KeyPath] = [("vary", "factors"), ("vary", "components"), ("set",)]
        places = ((part, self._written(part, key)) for part in (parts if varied else parts[-1:]))
        return next((written for part, written in places if written != part), ("vary",) if varied else ("base",))

    def _written(self, path: KeyPath, key: str) -> KeyPath:
        """The place of a dotted key below `path`, written dotted, nested, or part and part."""
        parts = key.split(".")
        for count in range(len(parts), 0, -1):
            deeper = (*path, ".".join(parts[:count]))
            if deeper in self.document.places:
                return self._written(deeper, ".".join(parts[count:])) if count < len(parts) else deeper
        return path
