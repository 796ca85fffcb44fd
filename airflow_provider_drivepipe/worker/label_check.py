"""Finds the JSON object in a model's answer and checks it against a label schema. Runs in DPE workers.

Standard library only: a light validator of the part of JSON Schema that label schemas use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_drivepipe.worker.answers import parse_json

_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*\s*(.*?)```", re.DOTALL)
_MAX_STARTS = 64
"""Most opening braces that are tried: an answer may hold thousands."""
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


def find_label(answer: str, schema: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first JSON object in an answer that fits the schema, else the first one, else None.

    Fences, prose and a reasoning part around it do not matter.
    """
    first: dict[str, Any] | None = None
    for found in _objects(_THINKING.sub("", answer)):
        if not violation(found, schema):
            return found
        first = first or found
    return first


def compact(label: dict[str, Any]) -> str:
    """Return a label as one line of JSON, non-ASCII text as it is."""
    return json.dumps(label, ensure_ascii=False, separators=(",", ":"))


def _objects(answer: str) -> Iterator[dict[str, Any]]:
    for text in (*_FENCE.findall(answer), answer):
        whole = parse_json(text)
        if isinstance(whole, dict):
            yield whole
        else:
            yield from _objects_within(text)


def _objects_within(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            return
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        found = parse_json(text[start:end])
        if isinstance(found, dict):
            yield found
        start = text.find("{", end)


def violation(value: Any, schema: dict[str, Any], where: str = "$") -> str:
    """Return the first violation, with the path of the value, or an empty string.

    Knows ``type``, ``enum``, ``maxLength``, ``minimum``, ``maximum``, ``items``, ``maxItems``, ``required``,
    ``properties`` and ``additionalProperties: false``.
    """
    wanted = schema.get("type")
    names = [] if wanted is None else wanted if isinstance(wanted, list) else [wanted]
    if names and not any(_is_of_type(value, name) for name in names):
        return f"{where}: expected {' or '.join(names)}, got {_shown(value)}"
    if "enum" in schema and not any(_same(value, allowed) for allowed in schema["enum"]):
        return f"{where}: {_shown(value)} is none of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, str):
        limit = schema.get("maxLength")
        return f"{where}: longer than {limit} characters" if limit is not None and len(value) > limit else ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_violation(value, schema, where)
    if isinstance(value, list):
        return _list_violation(value, schema, where)
    if isinstance(value, dict):
        return _object_violation(value, schema, where)
    return ""


def _is_of_type(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, ()))


def _same(value: Any, allowed: Any) -> bool:
    """In JSON, unlike Python, true is not 1."""
    return value == allowed and isinstance(value, bool) == isinstance(allowed, bool)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:_SHOWN]


def _number_violation(value: float, schema: dict[str, Any], where: str) -> str:
    if "minimum" in schema and value < schema["minimum"]:
        return f"{where}: below {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        return f"{where}: above {schema['maximum']}"
    return ""


def _list_violation(value: list[Any], schema: dict[str, Any], where: str) -> str:
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
