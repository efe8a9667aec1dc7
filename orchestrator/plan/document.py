"""A YAML file with the place of every key, read so that no file can hurt or surprise its reader.

    document = read(Path("sweeps/smoke.yaml"))
    document.data["seeds"]                      # 3
    document.mistake(("seeds",), "seeds: ...")  # a Mistake with the line and column of `seeds`

Used for sweep and site files. Keys are text as they are written, so that `on:` or `2:` mean themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from orchestrator.errors import Mistake, SpecError
from perceiver.config import YamlLoader, all_keys
from perceiver.wording import in_words, nearest, shown

__all__ = ["Document", "overridden", "parse", "read", "shown", "validate"]

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
_MERGE = "tag:yaml.org,2002:merge"

KeyPath = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass(frozen=True)
class Document:
    """Plain data, where it came from, and the line and column (from 1) of each key path."""

    source: str
    data: dict[str, Any]
    places: dict[KeyPath, Place] = field(repr=False)

    def mistake(self, path: Sequence[str | int], message: str) -> Mistake:
        """A mistake at the place of `path`, or of the longest part of it that the file has."""
        place = self.places.get(self.known(path), (0, 0))
        return Mistake(*place, message)

    def known(self, path: Sequence[str | int]) -> KeyPath:
        """The parts of a path that exist in the file; pydantic's own names for alternatives fall out."""
        found: KeyPath = ()
        for part in path:
            if (*found, part) in self.places:
                found = (*found, part)
        return found


def read(path: str | Path) -> Document:
    """The YAML mapping in a file.

    Raises:
        SpecError: the file can't be read, is too large, is no YAML, or is no mapping.
    """
    path = Path(path)
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise _refuse(path, f"{size / 1e6:,.1f} MB is more than the {MAX_BYTES / 1e6:g} MB such a file may have")
        return parse(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise _refuse(path, f"byte {error.start} is no UTF-8 text") from None
    except OSError as error:
        raise _refuse(path, f"can't be read: {error.strerror}") from None


def parse(text: str, source: str) -> Document:
    """The YAML mapping in a text; `source` names it in messages.

    Raises:
        SpecError: with the first mistake of syntax, or all duplicate keys.
    """
    loader = YamlLoader(text) if "\0" not in text else None
    if loader is None:
        raise _refuse(source, "the file holds a NUL character, so it is no text")
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise SpecError(source, [Mistake(1, 1, "expected a mapping of keys, such as `sweep: my-name`")])
        _check_size(root, source)
        builder = _Builder(loader)
        data = builder.mapping(root, ())
    except yaml.MarkedYAMLError as error:
        raise SpecError(source, [_syntax_mistake(error)]) from None
    except yaml.YAMLError as error:
        raise _refuse(source, str(error).splitlines()[0]) from None
    except RecursionError:
        raise _refuse(source, "values are nested too deeply") from None
    if builder.mistakes:
        raise SpecError(source, builder.mistakes)
    return Document(source, data, builder.places)


def validate(document: Document, model: type[BaseModel], data: dict[str, Any] | None = None) -> Any:
    """The document's data (or other data of the same layout) as a pydantic model.

    Raises:
        SpecError: with every mistake in it.
    """
    try:
        return model.model_validate(document.data if data is None else data)
    except ValidationError as error:
        raise SpecError(document.source, [_mistake(document, item) for item in error.errors()]) from None


def overridden(document: Document, overrides: Mapping[str, Any], keys: Sequence[str], into: str) -> Document:
    """The document with dotted keys set: those of the configuration inside its `into`, others at their own place.

    Raises:
        SpecError: a key that is neither.
    """
    data = dict(document.data)
    mistakes = []
    for key, value in overrides.items():
        first, *rest = key.split(".")
        if key in all_keys():
            data[into] = _with(data.get(into), [key], value)
        elif first in keys:
            data[first] = _with(data.get(first), rest, value)
        else:
            close = nearest(key, [*all_keys(), *keys])
            mistakes.append(Mistake(0, 0, f"--set {key}: no such key. Nearest: {close}"))
    if mistakes:
        raise SpecError(document.source, mistakes)
    return replace(document, data=data)


def _with(below: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    mapping = dict(below) if isinstance(below, dict) else {}
    return mapping | {path[0]: _with(mapping.get(path[0]), path[1:], value)}


class _Builder:
    """Turns YAML nodes into plain data, noting places and duplicate keys on the way."""

    def __init__(self, loader: YamlLoader) -> None:
        self.loader = loader
        self.places: dict[KeyPath, Place] = {}
        self.mistakes: list[Mistake] = []

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.places[(*path, index)] = _place(item)
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            return self.loader.construct_object(node)
        except ValueError as error:
            self.mistakes.append(Mistake(*_place(node), f"{node.value[:40]}: {error}"))
            return None

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        own: set[str] = set()
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE and isinstance(value_node, yaml.MappingNode):
                data = self.mapping(value_node, path) | data
                continue
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _MERGE:
                self.mistakes.append(Mistake(*_place(key_node), "a key must be a single word"))
                continue
            key = key_node.value
            if key in own:
                first = self.places[(*path, key)][0]
                self.mistakes.append(Mistake(*_place(key_node), f"{key} is here twice; first in line {first}"))
                continue
            own.add(key)
            self.places[(*path, key)] = _place(key_node)
            data[key] = self.value(value_node, (*path, key))
        return data


def _check_size(root: yaml.Node, source: str) -> None:
    """Refuses anchors that expand to more values than any real file has, or that hold themselves."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = MAX_VALUES + 1  # what a node that holds itself sees
            children: list[yaml.Node] = []
            if isinstance(node, yaml.MappingNode):
                children = [child for pair in node.value for child in pair]
            elif isinstance(node, yaml.SequenceNode):
                children = node.value
            sizes[id(node)] = 1 + sum(size(child) for child in children)
        return sizes[id(node)]

    if size(root) > MAX_VALUES:
        raise _refuse(source, f"anchors and lists expand to more than {MAX_VALUES:,} values")


def _mistake(document: Document, error: Any) -> Mistake:
    """A pydantic error at its place, in the user's words."""
    path = document.known(error["loc"])
    name = ".".join(str(part) for part in path if isinstance(part, str))
    if error["type"] == "missing":
        field_name = f"{name}.{error['loc'][-1]}" if name else str(error["loc"][-1])
        return document.mistake(path, f"{field_name} is missing")
    if error["type"] == "extra_forbidden":
        allowed = error.get("ctx", {}).get("allowed", [])
        return document.mistake(path, f"{name} is not a key here{_suggest(path, allowed)}")
    return document.mistake(path, f"{name}: {in_words(error)}" if name else in_words(error))


def _suggest(path: KeyPath, allowed: Sequence[str]) -> str:
    close = nearest(str(path[-1]), allowed) if allowed else None
    return f". Nearest: {close}" if close else ""


def _syntax_mistake(error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "this is no YAML"
    if "'\\t'" in problem:
        problem = "a tab indents this line; YAML wants spaces"
    if problem.startswith("but found another document"):
        problem = "the file holds several documents (---); one is allowed"
    place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Mistake(*place, problem)


def _place(node: yaml.Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _refuse(source: str | Path, message: str) -> SpecError:
    return SpecError(str(source), [Mistake(0, 0, message)])
