"""A pydantic error in words for the person who wrote the file.

Used for every file that the project reads: a RunConfig here, sweep and site files in the orchestrator.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

COMPUTES = False
"""No result depends on this module (see `orchestrator.plan.closure`): it only words messages."""

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "is below its least value, {}"),
    "less_than_equal": ("le", "is above its greatest value, {}"),
    "greater_than": ("gt", "must be above {}"),
    "less_than": ("lt", "must be below {}"),
}


def in_words(error: Mapping[str, Any]) -> str:
    """What is wrong and what is allowed, with the value, without the key: `1.7 is above its greatest value, 1.0`."""
    kind, context, value = error["type"], error.get("ctx", {}), shown(error.get("input"))
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {value}"
    if kind in _BOUNDS:
        name, text = _BOUNDS[kind]
        return f"{value} {text.format(context[name])}"
    if kind == "literal_error":
        return _choice(error["input"], context["expected"], value)
    if kind in ("too_short", "too_long"):
        wanted = context.get("min_length", context.get("max_length"))
        items = "1 entry" if wanted == 1 else f"{wanted} entries"
        return f"expected {'at least' if kind == 'too_short' else 'at most'} {items}, got {value}"
    if kind == "missing":
        return "missing"
    if kind == "union_tag_invalid":
        return _choice(context["tag"], context["expected_tags"], shown(context["tag"]))
    if kind == "value_error":
        return str(context["error"])
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, got {value}"


def nearest(name: str, names: Iterable[str], cutoff: float = 0.0) -> str | None:
    """The name that is spelled most like this one."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def shown(value: Any) -> str:
    """A value as its file has it, cut to a line's length."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _choice(given: Any, expected: str, value: str) -> str:
    names = [name.strip("'") for name in expected.replace(" or ", ", ").split(", ")]
    close = nearest(given, names, cutoff=0.5) if isinstance(given, str) else None
    return f"{value} is none of {', '.join(names)}" + (f". Nearest: {close}" if close else "")
