"""A document against the form that it should have: pydantic's findings in the user's words, at their lines."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from orchestrator.errors import Mistake, SpecError
from orchestrator.plan.document import Document, KeyPath
from perceiver.config import all_keys
from perceiver.wording import in_words, nearest

M = TypeVar("M", bound=BaseModel)

_OUR_DOING = ("missing", "too_short")
"""Errors that come of leaving entries out."""


def validate(document: Document, model: type[M]) -> M:
    """The document's data as a pydantic model.

    Raises:
        SpecError: with every mistake in it.
    """
    form, mistakes = examine(document, model, {})
    if form is None or mistakes:
        raise SpecError(document.source, mistakes)
    return form


def examine(document: Document, model: type[M], stand_ins: Mapping[str, Any]) -> tuple[M | None, list[Mistake]]:
    """The document as a model, and its mistakes.

    Where there are some, the model is made without what is wrong, so that a deeper look at the rest can go on: a
    choice that is spelled wrong becomes the nearest one, other wrong entries are left out, and with them the part that
    can't be without; `stand_ins` take the place of keys that must be there. None if that does not help.
    """
    data, errors = document.data, _errors(model, document.data)
    mistakes = [_mistake(document, model, item) for item in errors]
    while errors:
        mended = data
        for path, item in sorted(((_wrong_part(document, item), item) for item in errors), key=str, reverse=True):
            mended = _mended(mended, path, item)
        mended = {**stand_ins, **mended}
        if mended == data:
            return None, mistakes
        looked_inside = all(item["type"] != "union_tag_invalid" for item in errors)
        data, errors = mended, _errors(model, mended)
        if not looked_inside:  # a wrong `by:` has hidden what is below it
            mistakes += [_mistake(document, model, item) for item in errors if item["type"] not in _OUR_DOING]
    return model.model_validate(data), mistakes


def _errors(model: type[BaseModel], data: Any) -> list[Any]:
    try:
        model.model_validate(data)
    except ValidationError as error:
        return list(error.errors())
    return []


def _wrong_part(document: Document, error: Any) -> KeyPath:
    """Where to cut: at the wrong entry, or around one that is missing."""
    return document.known(error["loc"][:-1] if error["type"] == "missing" else error["loc"])


def _mended(data: Any, path: KeyPath, error: Any) -> Any:
    """The data without the entry that is wrong, or with the choice that was probably meant."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "union_tag_invalid":
        path = (*path, context["discriminator"].strip("'"))
    given = context.get("tag", error.get("input"))
    if kind in ("union_tag_invalid", "literal_error") and isinstance(given, str):
        choices = re.split(", | or ", context.get("expected_tags") or context["expected"])
        if meant := nearest(given, [name.strip("'") for name in choices], cutoff=0.5):
            return _with_at(data, path, meant)
    return _without(data, path)


def overridden(document: Document, overrides: Mapping[str, Any], keys: Sequence[str], into: str) -> Document:
    """The document with dotted keys set: those of the configuration inside its `into`, others at their own place.

    Raises:
        SpecError: a key that is neither.
    """
    data, places = dict(document.data), dict(document.places)
    mistakes = []
    for key, value in overrides.items():
        path = [into, key] if key in all_keys() else _split(key)
        if path[0] in (into, *keys):
            data[path[0]] = _with(data.get(path[0]), path[1:], value)
            places = {tuple(path[:count]): (0, 0) for count in range(1, len(path) + 1)} | places
        else:
            close = nearest(key, [*all_keys(), *keys])
            mistakes.append(Mistake(0, 0, f"--set {key}: no such key. Nearest: {close}"))
    if mistakes:
        raise SpecError(document.source, mistakes)
    return replace(document, data=data, places=places)


def _split(key: str) -> list[str]:
    """The path of a dotted key; what lies below these mappings is named by keys with dots of their own."""
    for mapping in ("vary.factors.", "vary.components."):
        if key.startswith(mapping):
            return [*mapping.split(".")[:2], key.removeprefix(mapping)]
    return key.split(".")


def _with(below: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    mapping = dict(below) if isinstance(below, dict) else {}
    return mapping | {path[0]: _with(mapping.get(path[0]), path[1:], value)}


def _with_at(data: Any, path: KeyPath, value: Any) -> Any:
    """The data with another value at a path of keys."""
    return {**data, path[0]: _with_at(data[path[0]], path[1:], value)} if path else value


def _without(data: Any, path: KeyPath) -> Any:
    """The data less the entry at a path."""
    if not path:
        return data
    first, rest = path[0], path[1:]
    entries = dict(enumerate(data)) if isinstance(data, list) else dict(data) if isinstance(data, dict) else {}
    if first not in entries:
        return data
    inner = entries.pop(first)
    if rest:
        entries[first] = _without(inner, rest)
    return [entries[index] for index in sorted(entries)] if isinstance(data, list) else entries


def _mistake(document: Document, model: type[BaseModel], error: Any) -> Mistake:
    """A pydantic error at its place, in the user's words."""
    kind, path = error["type"], document.known(error["loc"])
    if kind == "missing":
        path = (*path, error["loc"][-1])
    elif kind.startswith("union_tag"):
        path = (*path, error["ctx"]["discriminator"].strip("'"))
    name = ".".join(str(part) for part in path)
    if kind == "extra_forbidden":
        return document.mistake(
            path, f"{name} is not a key here. {_suggest(str(path[-1]), _names_at(model, error['loc']))}"
        )
    if kind == "union_tag_not_found":
        return document.mistake(path, f"{name}: missing; give one of {', '.join(_tags(model, error['loc']))}")
    return document.mistake(path, f"{name}: {in_words(error)}" if name else in_words(error))


def _suggest(name: str, names: Sequence[str]) -> str:
    close = nearest(name, names, cutoff=0.6)
    return f"Nearest: {close}" if close else f"Known: {', '.join(names)}"


def _names_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that are allowed beside the one at pydantic's `loc`."""
    return list(dict.fromkeys(key for each in _models_at(model, loc[:-1]) for key in _keys(each)))


def _tags(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The values of `by:` among which the file has to choose."""
    return [tag for each in _models_at(model, loc) for tag in get_args(each.model_fields["by"].annotation)]


def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that a path of keys, and of values of `by:`, leads to."""
    models = [model]
    for part in loc:
        inside = [_keys(each)[part].annotation for each in models if part in _keys(each)]
        tagged = [each for each in models if "by" in _keys(each) and part in get_args(_keys(each)["by"].annotation)]
        deeper = [found for annotation in inside for found in _models_in(annotation)]
        models = deeper or tagged or models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for option in get_args(annotation) for found in _models_in(option)]


def _keys(model: type[BaseModel]) -> dict[Any, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}
