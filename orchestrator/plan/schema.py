"""JSON Schemas of sweep and site files, so that editors complete and check them.

    python -m orchestrator.plan.schema        # writes sweeps/sweep.schema.json and cluster/sites/site.schema.json

Made from the pydantic classes; the dotted keys of the configuration, with their types and descriptions, are put in
wherever a file may name one.
"""

import json
from pathlib import Path
from typing import Any

from orchestrator.plan.site import SHIPPED as SITES
from orchestrator.plan.site import Site
from orchestrator.plan.spec import SweepFile
from perceiver.config import RunConfig, is_speed_only

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ROOT = Path(__file__).resolve().parents[2]


def sweep_schema() -> dict[str, Any]:
    """The schema of sweep files."""
    schema = SweepFile.model_json_schema()
    definitions, keys = schema["$defs"], _config_keys()
    definitions["Changes"] = {"type": "object", "properties": keys}
    definitions["LevelsByKey"] = _by_key(keys, [])
    definitions["RangesByKey"] = _by_key(keys, [{"$ref": "#/$defs/Range"}])
    changes = {"$ref": "#/$defs/Changes"}
    for name in ("OneFactor", "Grid"):
        definitions[name]["properties"]["factors"] |= {"$ref": "#/$defs/LevelsByKey"}
    for name in ("Sampled", "Adaptive"):
        definitions[name]["properties"]["factors"] |= {"$ref": "#/$defs/RangesByKey"}
    definitions["Listed"]["properties"]["points"]["items"] = changes | {"properties": {"name": {"type": "string"}}}
    definitions["LeaveOneOut"]["properties"]["components"] |= changes
    schema["properties"]["set"] |= changes
    schema["properties"]["final"] |= changes
    return _finished(schema, "Sweep file")


def site_schema() -> dict[str, Any]:
    """The schema of site files."""
    schema = Site.model_json_schema()
    places = schema["properties"]["data"]["additionalProperties"]
    schema["properties"]["data"]["additionalProperties"] = {"anyOf": [{"type": "string"}, places]}
    return _finished(schema, "Site file")


def as_text(schema: dict[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=1) + "\n"


def _by_key(keys: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """A mapping of dotted keys to lists of their values, or to one of `others`. Nested forms stay allowed."""
    factors = {}
    for key, value in keys.items():
        if not is_speed_only(key):
            levels = {"type": "array", "items": {"$ref": f"#/$defs/Changes/properties/{key}"}, "minItems": 1}
            factors[key] = {"description": value["description"]} | ({"anyOf": [levels, *others]} if others else levels)
    return {"type": "object", "properties": factors}


def _finished(schema: dict[str, Any], title: str) -> dict[str, Any]:
    """The schema with its dialect, and without the titles that pydantic makes of every name."""

    def untitled(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: untitled(value) for key, value in part.items() if key != "title" or not isinstance(value, str)}
        return [untitled(item) for item in part] if isinstance(part, list) else part

    return {"$schema": _DIALECT, "title": title, **untitled(schema)}


def _config_keys() -> dict[str, Any]:
    """Dotted key -> the schema of its value, for every leaf of the configuration and each part that may be null."""
    schema = RunConfig.model_json_schema()
    keys: dict[str, Any] = {}

    def walk(definition: dict[str, Any], prefix: str) -> None:
        for name, value in definition["properties"].items():
            options = value.get("anyOf", [value])
            parts = [option["$ref"].rsplit("/", 1)[-1] for option in options if "$ref" in option]
            if not parts:
                keys[prefix + name] = {key: item for key, item in value.items() if key not in ("title", "default")}
            elif len(options) > 1:
                keys[prefix + name] = {"type": ["null", "object"], "description": value.get("description", "")}
            for part in parts:
                walk(schema["$defs"][part], f"{prefix}{name}.")

    walk(schema, "")
    return keys


def files() -> dict[Path, str]:
    """The schema files of the repository and what they should hold."""
    return {
        _ROOT / "sweeps" / "sweep.schema.json": as_text(sweep_schema()),
        SITES / "site.schema.json": as_text(site_schema()),
    }


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
        print(path.relative_to(_ROOT))
