"""Numbers with a unit as people write them: `150M` parameters, `200G` FLOPs, `70GiB` of memory; and back."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_FORM = re.compile(r"^\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([kMGTPE]?|[KMGTP]i)(B?)\s*$")


def parse_quantity(value: Any) -> float:
    """The number that is meant, above zero.

    Raises:
        ValueError: it is no such number.
    """
    match = _FORM.match(value) if isinstance(value, str) else None
    if match:
        number = float(match[1]) * (_DECIMAL | _BINARY)[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        raise ValueError(f"expected a number such as 150M, 2.5G or 70GiB, got {value!r}")
    if not 0 < number < float("inf"):
        raise ValueError(f"expected a number above 0, got {value!r}")
    return number


Quantity = Annotated[
    float,
    BeforeValidator(parse_quantity),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^\s*[0-9.eE+-]+\s*\w*\s*$"},
            ]
        }
    ),
]


def short(number: float, digits: int = 3) -> str:
    """A number with a prefix: 109.05e6 -> `109M`, or `109.0M` with four digits."""
    for prefix, size in reversed(_DECIMAL.items()):
        if abs(number) >= size:
            value = number / size
            decimals = max(0, digits - len(f"{value:.0f}")) if prefix else 0
            return f"{value:.{decimals}f}{prefix}"
    return f"{number:.{digits}g}"


def gibibytes(number: float) -> str:
    """Bytes as GiB, or MiB below one: `41 GiB`, `0.9 GiB`, `120 MiB`."""
    if number >= 0.95 * 2**30:
        return f"{number / 2**30:,.0f} GiB" if number >= 9.5 * 2**30 else f"{number / 2**30:.1f} GiB"
    return f"{max(1, number / 2**20):.0f} MiB"
