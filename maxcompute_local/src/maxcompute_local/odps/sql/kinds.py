"""MaxCompute's types inside queries: canonical names such as ``array<string>``, and their families."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from odps import types as odps_types

from maxcompute_local.odps import errors
from maxcompute_local.odps.types import MAX_DECIMAL_DIGITS, odps_type

VOID = "void"
"""The type of a bare NULL; it becomes any other."""
INTERVAL = "interval"
"""The type of an INTERVAL, which only the step of a SEQUENCE has."""
MAX_DECIMAL_SCALE = 18
DEFAULT_DECIMAL = f"decimal({MAX_DECIMAL_DIGITS},{MAX_DECIMAL_SCALE})"

INTEGERS = ("tinyint", "smallint", "int", "bigint")
INTEGER_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}
FLOATS = ("float", "double")
INSTANTS = ("datetime", "timestamp")
MOMENTS = ("date", "datetime", "timestamp", "timestamp_ntz")

_WITHOUT_ODPS2 = {"tinyint": "bigint", "smallint": "bigint", "int": "bigint", "float": "double"}


def canonical(text: str) -> str:
    """Return the canonical name of a type as it stands in SQL or in the catalog."""
    name = str(odps_type(text)).lower()
    for field in re.findall("`([^`]*)`", name):
        if not re.fullmatch(r"\w+", field):
            raise errors.semantic_error(f"the field name {field!r} is not supported by the local cloud")
    name = name.replace(" ", "").replace("`", "")
    return DEFAULT_DECIMAL if name == "decimal" else name


def widened(kind: str) -> str:
    """Return the type without the 2.0 number types: INT and smaller are BIGINT, FLOAT is DOUBLE."""
    if is_array(kind):
        return array_of(widened(element(kind)))
    if is_map(kind):
        return map_of(*(widened(part) for part in key_and_value(kind)))
    if is_struct(kind):
        return struct_of((name, widened(inner)) for name, inner in fields(kind))
    return _WITHOUT_ODPS2.get(kind, kind)


def is_decimal(kind: str) -> bool:
    """Return whether this is a DECIMAL."""
    return kind.startswith("decimal")


def is_number(kind: str) -> bool:
    """Return whether this is a number type."""
    return kind in INTEGERS or kind in FLOATS or is_decimal(kind)


def is_text(kind: str) -> bool:
    """Return whether this is STRING, VARCHAR(n) or CHAR(n)."""
    return kind == "string" or kind.startswith(("varchar(", "char("))


def is_array(kind: str) -> bool:
    """Return whether this is an ARRAY."""
    return kind.startswith("array<")


def is_map(kind: str) -> bool:
    """Return whether this is a MAP."""
    return kind.startswith("map<")


def is_struct(kind: str) -> bool:
    """Return whether this is a STRUCT."""
    return kind.startswith("struct<")


def is_nested(kind: str) -> bool:
    """Return whether this is an ARRAY, MAP or STRUCT."""
    return kind.startswith(("array<", "map<", "struct<"))


def decimal_size(kind: str) -> tuple[int, int]:
    """Return precision and scale that hold every value of a number type other than FLOAT and DOUBLE."""
    if kind in INTEGERS:
        return INTEGER_DIGITS[kind], 0
    precision, scale = kind[len("decimal(") : -1].split(",")
    return int(precision), int(scale)


def decimal(precision: int, scale: int) -> str:
    """Return a DECIMAL, at most of the size that MaxCompute has."""
    scale = min(scale, MAX_DECIMAL_SCALE)
    return f"decimal({max(1, scale, min(precision, MAX_DECIMAL_DIGITS))},{scale})"


def array_of(kind: str) -> str:
    """Return the ARRAY type of an element type."""
    return f"array<{kind}>"


def map_of(key: str, value: str) -> str:
    """Return the MAP type of a key and a value type."""
    return f"map<{key},{value}>"


def struct_of(members: Iterable[tuple[str, str]]) -> str:
    """Return the STRUCT type of named fields."""
    return f"struct<{','.join(f'{name}:{kind}' for name, kind in members)}>"


def lambda_of(kind: str) -> str:
    """Return the type of ``x -> ...``, which only arguments of functions have."""
    return f"lambda<{kind}>"


def element(kind: str) -> str:
    """Return the element type of an ARRAY."""
    return kind[len("array<") : -1]


def key_and_value(kind: str) -> tuple[str, str]:
    """Return key and value type of a MAP."""
    key, value = split(kind[len("map<") : -1])
    return key, value


def fields(kind: str) -> list[tuple[str, str]]:
    """Return names and types of a STRUCT's fields."""
    pairs = (part.split(":", 1) for part in split(kind[len("struct<") : -1]))
    return [(name, inner) for name, inner in pairs]


def limited_length(kind: str) -> int | None:
    """Return n of VARCHAR(n) and CHAR(n), None for other types."""
    parsed = odps_type(kind)
    return parsed.size_limit if isinstance(parsed, odps_types.SizeLimitedString) else None


def widest_number(kinds: Sequence[str]) -> str:
    """Return the number type that numbers of these types become together."""
    if any(k == "double" for k in kinds) or (any(k == "float" for k in kinds) and len(set(kinds)) > 1):
        return "double"
    if any(is_decimal(k) for k in kinds):
        sizes = [decimal_size(k) for k in kinds]
        scale = max(s for _, s in sizes)
        return decimal(max(p - s for p, s in sizes) + scale, scale)
    if "float" in kinds:
        return "float"
    return max(kinds, key=INTEGERS.index)


def split(text: str) -> list[str]:
    """Return the parts of a type's inner text between its own commas."""
    parts, depth, start = [], 0, 0
    for i, character in enumerate(text):
        depth += {"<": 1, "(": 1, ">": -1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]
