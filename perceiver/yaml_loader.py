"""YAML as an editor shows it: the core schema of YAML 1.2 (section 10.3.2), in which `010` is ten, `1e-3` is a number,
and `yes`, `1_000` and `12:30` are words. PyYAML's own loaders read YAML 1.1, where they are 8, a word, true, 1000 and
750. A date, which is a word in the one and none in the other, is refused.
"""

import re
from typing import Any, ClassVar

import yaml

_CORE = {
    "null": (r"~|null|Null|NULL|", "~nN\0"),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    "timestamp": (
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?"
        r"([ \t]*(Z|[-+][0-9]{1,2}(:[0-9]{2})?))?",
        "0123456789",
    ),
    "merge": (r"<<", "<"),
}
"""Tag -> what plain scalars have it, the first that fits; and the characters that they begin with."""
_FORMS = {name: re.compile(f"(?:{form})$") for name, (form, _) in _CORE.items()}


class YamlLoader(yaml.SafeLoader):
    """Plain data: text, numbers, true, false, null, lists and mappings, in which no key is given twice; no other type,
    whatever tag asks for it. `<<` merges, which YAML 1.2 dropped and editors know.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]
    yaml_constructors = {
        f"tag:yaml.org,2002:{name}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{name}"]
        for name in ("null", "str", "seq", "map")
    } | {None: yaml.SafeLoader.construct_undefined}

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._flat: set[yaml.MappingNode] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Puts merged keys in front of the mapping's own, which are doubles only before that."""
        if node in self._flat:
            return
        self._flat.add(node)
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for number, name in enumerate(names):
            if name in names[:number] and name != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"the key {name} is given twice", node.start_mark)
        super().flatten_mapping(node)

    def construct_bool(self, node: yaml.ScalarNode) -> bool:
        return self._text(node, "bool").lower() == "true"

    def construct_int(self, node: yaml.ScalarNode) -> int:
        text = self._text(node, "int")
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)

    def construct_float(self, node: yaml.ScalarNode) -> float:
        text = self._text(node, "float").lower()
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))

    def construct_timestamp(self, node: yaml.ScalarNode) -> None:
        self._text(node, "timestamp")
        self.construct_yaml_timestamp(node)  # which says what is wrong in one that is none
        raise ValueError("a date is no value here; in quotes it is text")

    def _text(self, node: yaml.ScalarNode, kind: str) -> str:
        """The scalar, if it is one of its kind; a tag may claim that of any text."""
        text = str(self.construct_scalar(node))
        if not _FORMS[kind].match(text):
            raise yaml.constructor.ConstructorError(None, None, f"{text[:40]} is no {kind}", node.start_mark)
        return text


for _name, (_, _first) in _CORE.items():
    YamlLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", _FORMS[_name], list(_first) + [""] * (_name == "null")
    )
for _name in ("bool", "int", "float", "timestamp"):
    YamlLoader.add_constructor(f"tag:yaml.org,2002:{_name}", getattr(YamlLoader, f"construct_{_name}"))
