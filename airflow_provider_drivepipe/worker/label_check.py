"""Checks a label against its schema. Runs in DPE workers.

Standard library only: a light validator of the part of JSON Schema that label schemas use.
"""

from __future__ import annotations

import json
from typing import Any

_SHOWN = 80

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def violation(value: Any, schema: dict[str, Any], where: str = "$") -> str:
    """Return the first violation, with the path of the value, or an empty string.

    Knows ``type``, ``enum``, ``const``, ``minLength``, ``maxLength``, ``minimum``, ``maximum``, ``items``,
    ``minItems``, ``maxItems``, ``required``, ``properties`` and ``additionalProperties: false``.
    """
    names = type_names(schema)
    if names and not any(is_of_type(value, name) for name in names):
        return f"{where}: expected {' or '.join(names)}, got {_shown(value)}"
    if "enum" in schema and not any(same(value, allowed) for allowed in schema["enum"]):
        return f"{where}: {_shown(value)} is none of {', '.join(map(str, schema['enum']))}"
    if "const" in schema and not same(value, schema["const"]):
        return f"{where}: {_shown(value)} is not {_shown(schema['const'])}"
    if isinstance(value, str):
        return _text_violation(value, schema, where)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_violation(value, schema, where)
    if isinstance(value, list):
        return _list_violation(value, schema, where)
    if isinstance(value, dict):
        return _object_violation(value, schema, where)
    return ""


def type_names(schema: dict[str, Any]) -> list[str]:
    """Return the types that a schema allows; none named means any."""
    wanted = schema.get("type")
    return [] if wanted is None else wanted if isinstance(wanted, list) else [wanted]


def is_of_type(value: Any, name: str) -> bool:
    """Return whether a value is of one of JSON Schema's types."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, ()))


def same(value: Any, allowed: Any) -> bool:
    """Return whether two JSON values are equal: unlike in Python, true is not 1."""
    return value == allowed and isinstance(value, bool) == isinstance(allowed, bool)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:_SHOWN]


def _text_violation(value: str, schema: dict[str, Any], where: str) -> str:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    if len(value) < shortest:
        return f"{where}: shorter than {shortest} characters"
    return (
        f"{where}: longer than {longest} characters" if longest is not None and len(value) > longest else ""
    )


def _number_violation(value: float, schema: dict[str, Any], where: str) -> str:
    if "minimum" in schema and value < schema["minimum"]:
        return f"{where}: below {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        return f"{where}: above {schema['maximum']}"
    return ""


def _list_violation(value: list[Any], schema: dict[str, Any], where: str) -> str:
    if len(value) < schema.get("minItems", 0):
        return f"{where}: fewer than {schema['minItems']} items"
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        return f"{where}: more than {schema['maxItems']} items"
    items = schema.get("items")
    if isinstance(items, dict):
        for position, item in enumerate(value):
            problem = violation(item, items, f"{where}[{position}]")
            if problem:
                return problem
    return ""


def _object_violation(value: dict[str, Any], schema: dict[str, Any], where: str) -> str:
    properties = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            return f"{where}: {key} is missing"
    for key, item in value.items():
        if key in properties:
            problem = violation(item, properties[key], f"{where}.{key}")
            if problem:
                return problem
        elif schema.get("additionalProperties") is False:
            return f"{where}: {key[:_SHOWN]} is not expected"
    return ""
