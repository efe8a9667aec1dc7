"""A YAML file with the place of every key, read so that no file can hurt or surprise its reader.

    document = read(Path("sweeps/smoke.yaml"))
    document.data["seeds"]                      # 3
    document.mistake(("seeds",), "seeds: ...")  # a Mistake with the line and column of `seeds`

Used for sweep and site files. Keys are text as they are written, so that `on:` or `2:` mean themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import Mistake, SpecError
from perceiver.config import YamlLoader

MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
_MERGE = "tag:yaml.org,2002:merge"
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")

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
    try:
        loader = YamlLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise SpecError(source, [Mistake(1, 1, "expected a mapping of keys, such as `sweep: my-name`")])
        _check_size(root, source)
        builder = _Builder(loader)
        data = builder.mapping(root, ())
    except yaml.MarkedYAMLError as error:
        raise SpecError(source, [_syntax_mistake(error)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character {error.character:#04x} is not allowed in YAML"
        raise SpecError(source, [Mistake(line, 1, problem)]) from None
    except RecursionError:
        raise _refuse(source, "values are nested too deeply") from None
    if builder.mistakes:
        raise SpecError(source, builder.mistakes)
    return Document(source, data, builder.places)


class _Builder:
    """Turns YAML nodes into plain data, noting places and duplicate keys on the way."""

    def __init__(self, loader: YamlLoader) -> None:
        self.loader = loader
        self.places: dict[KeyPath, Place] = {}
        self.mistakes: list[Mistake] = []

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
            self.mistakes.append(Mistake(*_place(node), f"{node.tag} is not allowed"))
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
                self.mistakes.append(Mistake(*_place(key_node), "a key must be a word (and << takes one mapping)"))
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


def _syntax_mistake(error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "this is no YAML"
    if "'\\t'" in problem:
        problem = "a tab indents this line; YAML wants spaces"
    if problem.startswith("could not determine a constructor"):
        problem = f"{problem.split()[-1]} is not allowed"
    if problem.startswith("but found another document"):
        problem = "the file holds several documents (---); one is allowed"
    place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Mistake(*place, problem)


def _place(node: yaml.Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _refuse(source: str | Path, message: str) -> SpecError:
    return SpecError(str(source), [Mistake(0, 0, message)])
