"""The code that a trial's result comes from, as one hash that survives whatever does not change a result.

From the function that trains, every name is followed to the content of what it names: functions, classes, constants,
through imports and re-exports, and from there on. So nothing changes the digest but what computes: not where a file
lies or what it is called, not a comment, a docstring, an annotation of a function, the formatting; not a new file that
nothing names, nor another kind of model; not a module that only words messages and says so (`COMPUTES = False`); not
the Python that runs this, since syntax trees are written in a form that all versions share.

What no name leads to is outside: methods are found through the classes that hold them, so each class must be named
somewhere on the way. A test runs a trial under a profiler and finds every function that ran in `symbols()`.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import perceiver.errors
from orchestrator.plan.sources import Module, Sources, Target, is_left_out, names_bound

ROOTS = (
    Target("perceiver.train", "train"),
    Target("perceiver.config", "parse"),
    Target("perceiver.data.audioset", "DataSource"),
)
"""Where a trial begins: its config and the place of its data are read, then it trains."""

_EFFECTS = "(effects)"
"""Name of the node that holds what a module does to the whole process when it is imported."""
_CLASS = "(class)"
"""Marks the scope of a class, whose names its methods don't see."""


def closure_digest(package: Path | None = None, roots: Sequence[Target] = ROOTS) -> str:
    """SHA-256 of the code that results come from; found and read without importing it. `package`: its folder."""
    return _Closure(package).digest(roots)


def symbols(package: Path | None = None, roots: Sequence[Target] = ROOTS) -> frozenset[str]:
    """The dotted names of all that the digest covers."""
    closure = _Closure(package)
    closure.digest(roots)
    return frozenset(str(target) for target in closure.nodes)


@dataclass
class _Node:
    """A symbol: its text, in which a list ["->", n] stands for reference n, and what these lead to."""

    text: Any = None
    references: list[Target] = field(default_factory=list)


class _Closure:
    """Everything that some symbols need."""

    def __init__(self, package: Path | None) -> None:
        self.sources = Sources({"perceiver": package or Path(perceiver.errors.__file__).parent})
        self.nodes: dict[Target, _Node] = {}

    def digest(self, roots: Iterable[Target]) -> str:
        """One hash of the roots and of all that they need."""
        found = [self.sources.follow(root) for root in roots]
        self._collect(found)
        digests = _digests({target: node.references for target, node in self.nodes.items()}, self.nodes)
        return hashlib.sha256(json.dumps([digests[target] for target in found]).encode()).hexdigest()

    def _collect(self, waiting: list[Target]) -> None:
        waiting = list(waiting)
        while waiting:
            target = waiting.pop()
            if target not in self.nodes:
                self.nodes[target] = self._node(target)
                waiting += self.nodes[target].references

    def _node(self, target: Target) -> _Node:
        module = self.sources.module(target.module)
        if module is None or module.is_silent:
            return _Node(["outside", str(target) if module is None else target.name])
        if target.name is None:  # a module as a value: all that it has
            return _Node(["module"], [Target(module.name, name) for name in sorted(module.symbols)])
        writer = _Writer(self.sources, module)
        if target.name == _EFFECTS:
            return _Node([writer.write(statement) for statement in module.effects], writer.references)
        if target.name not in module.symbols:
            raise LookupError(f"{module.name} has no {target.name}")
        if module.effects:
            writer.refer(Target(module.name, _EFFECTS))
        text = [writer.top(statement) for statement in module.symbols[target.name]]
        return _Node(text, writer.references)


class _Writer:
    """Writes statements of a module as plain lists, names at its top level replaced by references."""

    def __init__(self, sources: Sources, module: Module) -> None:
        self.sources, self.module = sources, module
        self.references: list[Target] = []
        self._scopes: list[dict[str, Target | None]] = []
        """Names bound around the place that is being written, the innermost last; None for what is no import."""

    def top(self, statement: ast.stmt) -> Any:
        """A statement at the top of the module, without the name that it makes: it can be moved and renamed."""
        written = self.write(statement)
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return [part for part in written if part != ["name", statement.name]]
        if isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets):
            return ["constant", self.write(statement.value)]
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            return ["constant", self.write(statement.value)]
        return written

    def refer(self, target: Target) -> Any:
        """What stands in the text for something outside of the symbol."""
        target = self.sources.follow(target)
        if target not in self.references:
            self.references.append(target)
        return ["->", self.references.index(target)]

    def write(self, node: Any) -> Any:
        """Any part of a syntax tree; empty fields are left out, since newer Pythons have more of them."""
        match node:
            case list():
                return [self.write(item) for item in node if not is_left_out(item)]
            case ast.Constant():
                return ["Constant", type(node.value).__name__, ascii(node.value)]
            case ast.Name() | ast.Attribute():
                return self._reference(node) or self._fields(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return self._function(node)
            case ast.ClassDef():
                return self._class(node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
            case ast.AnnAssign() if self._scopes and _CLASS not in self._scopes[-1]:
                return self._fields(node, annotation=None)  # in a class it makes a field
            case ast.AST():
                return self._fields(node)
        return node

    def _fields(self, node: ast.AST, **written: Any) -> list[Any]:
        parts: list[Any] = [type(node).__name__]
        for name in node._fields:
            if name in ("ctx", "type_comment", "kind"):
                continue
            text = written[name] if name in written else self.write(getattr(node, name, None))
            if text not in (None, []):
                parts.append([name, text])
        return parts

    def _reference(self, node: ast.Name | ast.Attribute) -> Any:
        """What stands for a name that leads out of the symbol, or for an attribute of a module; None for others."""
        names = list[str]()
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            names.insert(0, inner.attr)
            inner = inner.value
        target = self._look_up(inner.id) if isinstance(inner, ast.Name) else None
        if target is None:
            return None
        target = self.sources.follow(target)
        while names and self._is_module(target):
            target = self.sources.follow(Target(str(target), names.pop(0)))
        text: Any = self.refer(target)
        for name in names:
            text = ["Attribute", ["value", text], ["attr", name]]
        return text

    def _is_module(self, target: Target) -> bool:
        """Whether an attribute of it can be named, as of each module; outside the packages all that is imported."""
        return target.name is None or self.sources.module(target.module) is None

    def _look_up(self, name: str) -> Target | None:
        for scope in reversed(self._scopes):
            if name in scope and (_CLASS not in scope or scope is self._scopes[-1]):
                return scope[name]
        if name in self.module.symbols:
            return Target(self.module.name, name)
        return self.module.imports.get(name)

    def _inside(self, scope: dict[str, Target | None], node: Any) -> Any:
        """A part of a function, class or comprehension, written with the names that are bound there."""
        self._scopes.append(scope)
        try:
            return self.write(node)
        finally:
            self._scopes.pop()

    def _function(self, node: Any) -> Any:
        """Defaults and decorators belong to the scope around; annotations of arguments and results compute nothing."""
        a, body = node.args, node.body if isinstance(node.body, list) else [node.body]
        kinds = [a.posonlyargs, a.args, a.kwonlyargs, [a.vararg] if a.vararg else [], [a.kwarg] if a.kwarg else []]
        names = [[argument.arg for argument in kind] for kind in kinds]
        scope = dict.fromkeys(name for kind in names for name in kind) | names_bound(body, self.module)
        arguments = [names, self.write(a.defaults), self.write(a.kw_defaults)]
        return self._fields(node, args=arguments, body=self._inside(scope, body), returns=None)

    def _class(self, node: ast.ClassDef) -> Any:
        scope = names_bound(node.body, self.module) | {_CLASS: None}
        return self._fields(node, body=self._inside(scope, node.body))

    def _comprehension(self, node: Any) -> Any:
        bound = names_bound([each.target for each in node.generators], self.module)
        parts = {name: self._inside(bound, getattr(node, name)) for name in node._fields}
        return self._fields(node, **parts)


def _digests(references: Mapping[Target, Sequence[Target]], nodes: Mapping[Target, _Node]) -> dict[Target, str]:
    """The digest of each symbol: of its text and of the digests that it refers to.

    Symbols that need one another are hashed together: inside such a circle a reference is its place among the names.
    """
    digests: dict[Target, str] = {}
    for circle in _circles(references):
        members = sorted(circle, key=lambda target: (target.name or "", target.module))
        inside = {target: number for number, target in enumerate(members)}
        texts = []
        for target in members:
            leads = [inside[to] if to in inside else digests[to] for to in references[target]]
            texts.append([nodes[target].text, leads])
        whole = json.dumps(texts, separators=(",", ":"))
        for target, number in inside.items():
            digests[target] = hashlib.sha256(f"{number} {whole}".encode()).hexdigest()
    return digests


def _circles(references: Mapping[Target, Sequence[Target]]) -> list[list[Target]]:
    """Tarjan's strongly connected components, each after those that it refers to; without recursion."""
    order, low, stack, on_stack, found = dict[Target, int](), dict[Target, int](), [], set[Target](), []
    for root in references:
        if root in order:
            continue
        path = [(root, iter(references[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while path:
            target, rest = path[-1]
            to = next(rest, None)
            if to is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[target])
                if low[target] == order[target]:
                    circle = [stack.pop()]
                    while circle[-1] != target:
                        circle.append(stack.pop())
                    on_stack.difference_update(circle)
                    found.append(circle)
            elif to not in order:
                order[to] = low[to] = len(order)
                stack.append(to)
                on_stack.add(to)
                path.append((to, iter(references[to])))
            elif to in on_stack:
                low[target] = min(low[target], order[to])
    return found
