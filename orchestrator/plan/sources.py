"""Python sources read without being run: what each module defines, what it imports, and where a name leads.

Used by `closure` only. A `Symbol` is a function, class or constant at the top of a module: the statements that make
it. A name is followed through imports and re-exports to the symbol that it stands for, whatever file that lies in.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

_BLOCKS = (ast.For, ast.While, ast.With, ast.Try, ast.If)
SILENT = "COMPUTES"
"""A module that sets this to False says of itself that no result depends on it: it only words messages."""


@dataclass(frozen=True)
class Target:
    """What a name stands for: a name of a module, or (`name` None) the module itself."""

    module: str
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclass
class Module:
    """A module's top level."""

    name: str
    is_package: bool = False
    symbols: dict[str, list[ast.stmt]] = field(default_factory=dict)
    """Name -> the statements that make it, and those that later change it."""
    imports: dict[str, Target] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)
    """Statements that make no name and touch none of its own: what they do, they do to the whole process."""

    @cached_property
    def is_silent(self) -> bool:
        """Whether the module says of itself that it computes nothing."""
        made = self.symbols.get(SILENT, [])
        return any(isinstance(s, ast.Assign) and isinstance(s.value, ast.Constant) and not s.value.value for s in made)


class Sources:
    """The modules of some packages, read when they are asked for. `folders`: a package's name -> its folder."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders, self._modules = folders, dict[str, Module | None]()

    def module(self, name: str) -> Module | None:
        """The module of that dotted name; None outside the packages."""
        if name not in self._modules:
            path = self._find(name)
            self._modules[name] = None if path is None else _read(name, path)
        return self._modules[name]

    def follow(self, target: Target) -> Target:
        """The end of a chain of imports: where a symbol is made, a whole module, or a name outside the packages."""
        seen = set[Target]()
        while target not in seen:
            seen.add(target)
            if target.name is None:
                break
            inner = f"{target.module}.{target.name}"
            module = self.module(target.module)
            if module is None or target.name in module.symbols:
                break
            if target.name in module.imports:
                target = module.imports[target.name]
            elif self.module(inner) is not None:
                target = Target(inner)
            else:
                break
        return target

    def _find(self, name: str) -> Path | None:
        top, *parts = name.split(".")
        if top not in self._folders:
            return None
        path = self._folders[top].joinpath(*parts)
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def names_bound(statements: Iterable[ast.AST], module: Module) -> dict[str, Target | None]:
    """Names that statements bind in their own scope: what an import stands for, None for everything else.

    What nested functions and classes bind is theirs; so is a comprehension's target, but not what `:=` binds in one.
    """
    names, free, waiting = dict[str, Target | None](), set[str](), list(statements)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Name(ctx=ctx):
                if not isinstance(ctx, ast.Load):
                    names.setdefault(node.id)
            case ast.Constant() | ast.Lambda():
                pass
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.setdefault(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= _imported(node, module)
            case ast.Global():
                free.update(node.names)
            case ast.comprehension():
                waiting += [node.iter, *node.ifs]
            case _:
                if isinstance(name := getattr(node, "name", None) or getattr(node, "rest", None), str):
                    names.setdefault(name)  # except ... as name, and the patterns of match
                waiting += ast.iter_child_nodes(node)
    return {name: target for name, target in names.items() if name not in free}


def _imported(node: ast.Import | ast.ImportFrom, module: Module) -> dict[str, Target]:
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: Target(_origin(node, module), alias.name) for alias in node.names}
    tops = [alias.asname or alias.name.split(".")[0] for alias in node.names]
    return {top: Target(alias.name if alias.asname else top) for top, alias in zip(tops, node.names, strict=True)}


def is_left_out(statement: ast.AST) -> bool:
    """Texts that stand alone (docstrings), imports, and what runs only for a type checker or as a program."""
    match statement:
        case ast.Expr(value=ast.Constant(value=str())) | ast.Import() | ast.ImportFrom() | ast.Pass():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            return True
        case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return True
    return False


def _read(name: str, path: Path) -> Module:
    module = Module(name, path.name == "__init__.py")
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        names = {} if isinstance(statement, ast.If) and is_left_out(statement) else names_bound([statement], module)
        module.imports |= {name: target for name, target in names.items() if target is not None}
        if is_left_out(statement):
            continue
        made = [name for name, target in names.items() if target is None]
        if not made or isinstance(statement, _BLOCKS):  # it does something to names that it mentions, or to the process
            used = dict.fromkeys(node.id for node in ast.walk(statement) if isinstance(node, ast.Name))
            made += [name for name in used if name in module.symbols and name not in made]
        for symbol in made:
            module.symbols.setdefault(symbol, []).append(statement)
        if not made:
            module.effects.append(statement)
    return module


def _origin(node: ast.ImportFrom, module: Module) -> str:
    """The absolute name of the module that is imported from."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    package = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*package, *([node.module] if node.module else [])])
