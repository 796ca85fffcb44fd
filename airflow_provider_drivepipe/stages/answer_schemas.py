"""Schemas of answers: JSON Schema documents that a model's answer has to fit, built in or a user's own.

Besides JSON Schema's own keywords, three say how an answer is put right before it is checked, see
:data:`KEYWORDS`. A schema travels as text: the name of a built-in one, or its JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any

BUILT_IN = ("driving-scene/v1",)

KEYWORDS = (
    "type",
    "enum",
    "const",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "items",
    "minItems",
    "maxItems",
    "required",
    "properties",
    "additionalProperties",
    "x-synonyms",
    "x-empty",
    "x-names",
)
"""Keywords that the workers' validator knows.

``x-synonyms`` maps other words to allowed values, ``x-empty`` lists what stands for no item in a list, and
``x-names`` lists other names of a property.
"""
ANNOTATIONS = ("$schema", "$id", "$comment", "title", "description", "examples")
"""Keywords that decide nothing."""

TYPES = ("object", "array", "string", "boolean", "integer", "number", "null")
_PYTHON_TYPES = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (type(None), "null"),
)
MAX_DEPTH = 8
MAX_SCHEMA_LENGTH = 200_000
"""Longest schema, in characters."""

RESERVED_FIELDS = (
    "text",
    "json_valid",
    "input_token",
    "output_token",
    "response",
    "normalised",
    "embedding",
    "embedding_total_token",
)
"""Properties that cannot be columns of their own: ``<name>_<property>`` means something else."""

_MAX_PROBLEMS = 10
_FIELD = re.compile(r"[a-z_][a-z0-9_]{0,99}")
_COLUMN_TYPES = {"string": "string", "boolean": "boolean", "integer": "bigint", "number": "double"}
_LIMITS = (("minLength", "maxLength"), ("minimum", "maximum"), ("minItems", "maxItems"))
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")


@dataclass(frozen=True)
class AnswerField:
    """A top-level property of a schema as a column: the property's name and the column's name and type."""

    property: str
    column: str
    type: str
    """MaxCompute type; lists and objects are ``string`` and hold JSON."""


def load_answer_schema(schema: str) -> dict[str, Any]:
    """Return the JSON Schema that a text names or is; raise ValueError that says what is wrong with it."""
    loaded: dict[str, Any] = json.loads(check_answer_schema(schema))
    return loaded


def read_answer_schema(text: str) -> str:
    """Return the content of a schema file on one line; raise ValueError that says what is wrong with it."""
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        raise ValueError("not a JSON object")
    return json.dumps(load_answer_schema(text.lstrip("\ufeff")), ensure_ascii=False, separators=(",", ":"))


def schema_text(schema: str) -> str:
    """Return a schema's content in one canonical spelling, for fingerprints."""
    return json.dumps(load_answer_schema(schema), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def schema_name(schema: str) -> str:
    """Return what people call a schema: its built-in name, its title, or ``inline``."""
    if schema in BUILT_IN:
        return schema
    title = load_answer_schema(schema).get("title")
    return title if isinstance(title, str) and title else "inline"


@lru_cache(maxsize=64)
def check_answer_schema(schema: str) -> str:
    """Return the JSON that a text names or is; raise ValueError that says what is wrong with it."""
    if not schema.lstrip().startswith("{"):
        return _built_in(schema)
    if len(schema) > MAX_SCHEMA_LENGTH:
        raise ValueError(f"a schema has at most {MAX_SCHEMA_LENGTH} characters")
    try:
        content = json.loads(schema, object_pairs_hook=_without_doubles, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON: {error}") from error
    problems = list(islice(schema_problems(content), _MAX_PROBLEMS))
    if problems:
        raise ValueError("; ".join(problems))
    return schema


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands twice in one object")
    return dict(pairs)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _built_in(name: str) -> str:
    if name not in BUILT_IN:
        raise ValueError(
            f"no such schema; built in: {', '.join(BUILT_IN)}. A schema of your own is given as its JSON, "
            "in a scenario as label_schema: file:my_schema.json"
        )
    resource = name.replace("-", "_").replace("/", "_") + ".json"
    return files("airflow_provider_drivepipe.stages").joinpath("schemas", resource).read_text("utf-8")


def answer_fields(schema: str, name: str) -> tuple[AnswerField, ...]:
    """Return the columns ``<name>_<property>`` into which an answer is flattened, in the schema's order.

    Raises ValueError for a property whose name cannot be that of a column.
    """
    fields = []
    for property_name, content in load_answer_schema(schema)["properties"].items():
        own = property_name.lower()
        if not _FIELD.fullmatch(own):
            raise ValueError(
                f"property {property_name!r} cannot be a column: use letters, digits and underscores, "
                f"or do without columns for single properties ({name}_columns)"
            )
        if own in RESERVED_FIELDS:
            raise ValueError(
                f"property {property_name!r} cannot be a column: {name}_{own} has a meaning already"
            )
        fields.append(AnswerField(property_name, f"{name}_{own}", _column_type(content)))
    columns = [field.column for field in fields]
    twice = next((field.property for field in fields if columns.count(field.column) > 1), None)
    if twice is not None:
        raise ValueError(f"property {twice!r} stands twice, apart from upper and lower case")
    return tuple(fields)


def _column_type(content: Mapping[str, Any]) -> str:
    declared = content.get("type")
    names = declared if isinstance(declared, list) else [declared]
    given = [name for name in names if name not in (None, "null")]
    if len(given) == 1:
        return _COLUMN_TYPES.get(given[0], "string")
    return "string"


def schema_problems(schema: Any) -> Iterator[str]:
    """Yield what keeps a document from being a schema of answers, each with the place where it stands."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield "$: an answer is a JSON object, so the schema needs type: object"
        return
    if not schema.get("properties"):
        yield "$: the schema names no properties"
        return
    yield from _problems(schema, "$", 0)


def _problems(schema: Any, where: str, depth: int) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"{where}: expected a schema, an object"
        return
    if depth > MAX_DEPTH:
        yield f"{where}: nested deeper than {MAX_DEPTH} levels"
        return
    for keyword in schema:
        if keyword not in KEYWORDS and keyword not in ANNOTATIONS:
            yield (
                f"{where}: unsupported keyword {keyword!r}; supported: {', '.join((*KEYWORDS, *ANNOTATIONS))}"
            )
    yield from _wrong_values(schema, where)
    properties = schema.get("properties", {})
    if isinstance(properties, dict):
        for name, content in properties.items():
            yield from _problems(content, f"{where}.{name}", depth + 1)
    if "items" in schema:
        yield from _problems(schema["items"], f"{where}[]", depth + 1)


def _wrong_values(schema: dict[str, Any], where: str) -> Iterator[str]:
    """Yield keywords whose values make no sense."""
    declared = schema.get("type", [])
    names = declared if isinstance(declared, list) else [declared]
    if any(name not in TYPES for name in names):
        yield f"{where}: type is one or more of {', '.join(TYPES)}"
    for keyword in _COUNTS:
        if keyword in schema and not _is_count(schema[keyword]):
            yield f"{where}: {keyword} is a whole number from 0 up"
    for keyword in ("minimum", "maximum"):
        limit = schema.get(keyword, 0)
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            yield f"{where}: {keyword} is a number"
    for lowest, highest in _LIMITS:
        low, high = schema.get(lowest), schema.get(highest)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            yield f"{where}: {lowest} is above {highest}"
    enum = schema.get("enum", [None])
    if not isinstance(enum, list) or not enum or any(isinstance(value, dict | list) for value in enum):
        yield f"{where}: enum is a list of texts, numbers, booleans or null"
    elif "enum" in schema and names:
        for value in enum:
            if _type_of(value) not in (*names, *(["integer"] if "number" in names else [])):
                yield f"{where}: enum has {value!r}, which is not of type {' or '.join(map(str, names))}"
    if not isinstance(schema.get("description", ""), str):
        yield f"{where}: description is a text"
    if not isinstance(schema.get("additionalProperties", True), bool):
        yield f"{where}: additionalProperties is true or false"
    yield from _wrong_names(schema, where)


def _wrong_names(schema: dict[str, Any], where: str) -> Iterator[str]:
    """Yield names and words that do not go with the rest of a schema."""
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        yield f"{where}: properties maps names to schemas"
        properties = {}
    required = schema.get("required", [])
    if not _are_texts(required):
        yield f"{where}: required is a list of names"
    else:
        for name in required:
            if name not in properties:
                yield f"{where}: {name!r} is required but not among the properties"
    for keyword in ("x-empty", "x-names"):
        if not _are_texts(schema.get(keyword, [])):
            yield f"{where}: {keyword} is a list of texts"
    synonyms = schema.get("x-synonyms", {})
    if not isinstance(synonyms, dict):
        yield f"{where}: x-synonyms maps words to allowed values"
    elif isinstance(schema.get("enum"), list):
        for word, value in synonyms.items():
            if value not in schema["enum"]:
                yield f"{where}: x-synonyms gives {word!r} the value {value!r}, which enum does not allow"
    elif synonyms:
        yield f"{where}: x-synonyms needs an enum"


def _type_of(value: Any) -> str:
    return next(name for kinds, name in _PYTHON_TYPES if isinstance(value, kinds))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
