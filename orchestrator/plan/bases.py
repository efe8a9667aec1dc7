"""Finding and reading the base of a sweep: a complete RunConfig in a YAML file of its own.

A base may itself start from another, `base: tiny`, and say only what differs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.errors import SpecError, UsageError
from orchestrator.plan import document as files
from orchestrator.plan.document import Document
from perceiver.config import RunConfig, parse
from perceiver.errors import ConfigError
from perceiver.wording import nearest

SHIPPED = Path(__file__).resolve().parents[2] / "sweeps" / "base"
_PROMOTED = "promoted:"


def load_base(name: str, document: Document, resolve_promoted: Callable[[str], RunConfig] | None) -> RunConfig:
    """The config that a sweep file's `base:` names.

    Raises:
        SpecError: at the sweep file's line, with the base file's own mistakes and lines.
    """
    try:
        if name.startswith(_PROMOTED):
            if resolve_promoted is None:
                raise UsageError(f"{name} needs the model registry, which is not at hand here")
            return resolve_promoted(name.removeprefix(_PROMOTED))
        return read_base(_find(name, Path(document.source).parent))
    except SpecError as error:
        mistakes = [
            document.mistake(("base",), f"base: {error.source}{_place(mistake.line)}: {mistake.message}")
            for mistake in error.mistakes
        ]
        raise SpecError(document.source, mistakes) from None
    except UsageError as error:
        raise SpecError(document.source, [document.mistake(("base",), f"base: {error}")]) from None


def read_base(path: Path) -> RunConfig:
    """The config in a base file.

    Raises:
        SpecError: with every mistake in it.
    """
    document = files.read(path)
    try:
        return parse(_merged(document, path, ()))
    except ConfigError as error:
        mistakes = [document.mistake(tuple(mistake.key.split(".")), str(mistake)) for mistake in error.mistakes]
        raise SpecError(str(path), mistakes) from None


def _merged(document: Document, path: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    """The file's data over that of the base it starts from."""
    data = dict(document.data)
    parent = data.pop("base", None)
    if parent is None:
        return data
    if not isinstance(parent, str):
        raise SpecError(str(path), [document.mistake(("base",), "base: expected the name or path of another base")])
    chain = (*chain, path.resolve())
    other = _find(parent, path.parent)
    if other.resolve() in chain:
        route = " -> ".join(step.stem for step in (*chain, other))
        raise SpecError(str(path), [document.mistake(("base",), f"base: includes itself: {route}")])
    return _over(_merged(files.read(other), other, chain), data)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        merged[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def _find(name: str, folder: Path) -> Path:
    """The file of a base: a path relative to `folder`, or a name in `base/` beside it, above it, or as shipped."""
    if "/" in name or name.endswith((".yaml", ".yml")):
        path = folder / name
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
        return path
    around = [parent / "base" for parent in (folder.resolve(), *folder.resolve().parents)]
    places = [place for place in [*around, SHIPPED] if place.is_dir()]
    for place in places:
        if (path := place / f"{name}.yaml").is_file():
            return path
    known = sorted({path.stem for place in places for path in place.glob("*.yaml")})
    raise UsageError(f"there is no base {name}. Nearest: {nearest(name, known)}. All: {', '.join(known)}")


def _place(line: int) -> str:
    return f" line {line}" if line else ""
