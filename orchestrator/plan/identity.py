"""What determines a trial's result, as hashes: its config with its seed, its data, the code that computes.

    config   8 hex digits of the config's hash are the trial's id
    data     the digest that `perceiver.data` gives of a data set; None where the set can't be seen from here
    code     the sources of `perceiver` that compute, without comments, docstrings and formatting

Nothing else does: not the resources, the paths, the order of keys, the number of workers.
"""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import perceiver.config
from perceiver.config import RunConfig, determining

ID_LENGTH = 8

_NOT_COMPUTING = {
    *("errors.py", "wording.py"),  # word messages
    *("alone.py", "attention_maps.py", "speed.py", "data/cache.py", "data/check.py"),  # look at what others compute
    *(
        "data/encode.py",
        "data/ingest.py",
        "data/packing.py",
        "data/shard_plan.py",
    ),  # a set's digest holds what they make
}
"""Files of the package that no result comes from."""


def canonical(config: RunConfig) -> str:
    """The determining keys of a config as one JSON text: sorted, validated, so that 1 and 1.0 are the same level."""
    return json.dumps(determining(config), sort_keys=True, separators=(",", ":"))


def config_digest(config: RunConfig) -> str:
    """SHA-256 of the canonical config, in hex."""
    return hashlib.sha256(canonical(config).encode()).hexdigest()


def identity(config_digest: str, data_digest: str | None, code_digest: str) -> str:
    """One hash of everything that determines a result; data that can't be seen has its own, which matches nothing."""
    parts = {"config": config_digest, "data": data_digest, "code": code_digest}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def code_digest(package: Path | None = None) -> str:
    """SHA-256 of what the perceiver package computes; found and read without importing it."""
    folder = package or Path(perceiver.config.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if name not in _NOT_COMPUTING:
            digest.update(name.encode() + b"\0")
            digest.update(code_text(path.read_text(encoding="utf-8")).encode() + b"\0")
    return digest.hexdigest()


def code_text(source: str) -> str:
    """A Python source as its syntax tree, without comments, docstrings and formatting; the same on every Python."""
    tree = ast.parse(source)
    return json.dumps(_plain(tree), separators=(",", ":"))


def _plain(node: Any) -> Any:
    """A syntax tree as lists; empty fields are left out, since newer Pythons have more of them."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if not isinstance(node, ast.AST):
        return node
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = [item for item in value if not _is_docstring(item)]
        if value not in (None, []) and name != "type_comment":
            fields.append([name, _plain(value)])
    return [type(node).__name__, *fields]


def _is_docstring(node: ast.AST) -> bool:
    """A text that stands alone: a docstring, or one below an attribute."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
