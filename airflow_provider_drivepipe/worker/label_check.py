"""Checks a label against its schema. Runs in DPE workers.

Standard library only: a light validator of the part of JSON Schema that label schemas use.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
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


def violations(value: Any, schema: dict[str, Any], where: str = "$") -> Iterator[str]:
    """Yield what does not fit, each with the path of the value.

    Knows ``type``, ``enum``, ``const``, ``minLength``, ``maxLength``, ``minimum``, ``maximum``, ``items``,
    ``minItems``, ``maxItems``, ``required``, ``properties`` and ``additionalProperties: false``.
    """
    if "enum" in schema and not any(same(value, allowed) for allowed in schema["enum"]):
        yield f"{where}: {_shown(value)} is none of {', '.join(map(str, schema['enum']))}"
        return
    names = type_names(schema)
    if names and not any(is_of_type(value, name) for name in names):
        yield f"{where}: expected {' or '.join(names)}, got {_shown(value)}"
        return
    if "const" in schema and not same(value, schema["const"]):
        yield f"{where}: {_shown(value)} is not {_shown(schema['const'])}"
        return
    if isinstance(value, str):
        yield from _text_violations(value, schema, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_violations(value, schema, where)
    elif isinstance(value, list):
        yield from _list_violations(value, schema, where)
    elif isinstance(value, dict):
        yield from _object_violations(value, schema, where)


def label_violations(label: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """Yield what does not fit in a label; one with ``abstain: true`` may leave out whatever else is required.

    That is so where the schema has a boolean property ``abstain``.
    """
    abstain = schema.get("properties", {}).get("abstain", {})
    if label.get("abstain") is True and abstain.get("type") == "boolean":
        schema = {**schema, "required": ["abstain"]}
    yield from violations(label, schema)


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


def _text_violations(value: str, schema: dict[str, Any], where: str) -> Iterator[str]:
    if len(value) < schema.get("minLength", 0):
        yield f"{where}: shorter than {schema['minLength']} characters"
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        yield f"{where}: longer than {schema['maxLength']} characters"


def _number_violations(value: float, schema: dict[str, Any], where: str) -> Iterator[str]:
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{where}: below {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{where}: above {schema['maximum']}"


def _list_violations(value: list[Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{where}: fewer than {schema['minItems']} items"
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield f"{where}: more than {schema['maxItems']} items"
    for position, item in enumerate(value if "items" in schema else ()):
        yield from violations(item, schema["items"], f"{where}[{position}]")


def _object_violations(value: dict[str, Any], schema: dict[str, Any], where: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{where}: {key} is missing"
    for key, item in value.items():
        if key in properties:
            yield from violations(item, properties[key], f"{where}.{key}")
        elif schema.get("additionalProperties") is False:
            yield f"{where}: {key[:_SHOWN]} is not expected"
