"""Prompts: built-in texts with a name and a version, and the statement of a schema in words.

A prompt is data: whatever it holds, braces and quotes included, is sent as it stands.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema

BUILT_IN = ("driving-scene-en/v1", "driving-scene-zh/v1")
"""Names with versions. A version never changes: other words are another version."""

_IDEOGRAPH = re.compile("[\u4e00-\u9fff]")
_MOSTLY_CHINESE = 0.2


@dataclass(frozen=True)
class _Language:
    """The words in which a schema is stated."""

    head: str
    optional: str
    types: Mapping[str, str]
    any_value: str
    list_of: str
    keys_below: str
    between: str
    at_least: str
    at_most: str
    characters: str
    items: str


_ENGLISH = _Language(
    head="Answer with one JSON object and nothing else. Its keys and their allowed values:",
    optional="may be left out",
    types={"string": "text", "array": "list"},
    any_value="any value",
    list_of=" of ",
    keys_below=" with the keys below",
    between=" or ",
    at_least="at least ",
    at_most="at most ",
    characters=" characters",
    items=" items",
)
_CHINESE = _Language(
    head="只回答一个 JSON 对象，不要输出其他内容。键名与取值一律使用下列英文：",
    optional="可省略",
    types={
        "string": "文本",
        "array": "列表",
        "object": "对象",
        "boolean": "布尔值 true 或 false",
        "integer": "整数",
        "number": "数字",
    },
    any_value="任意值",
    list_of="，每项为 ",
    keys_below="，键名如下",
    between=" 或 ",
    at_least="至少 ",
    at_most="至多 ",
    characters=" 个字符",
    items=" 项",
)


def prompt_styles() -> tuple[str, ...]:
    """Return what ``label_prompt_style`` may be: names with a version, and names alone."""
    return tuple(dict.fromkeys((*(name.partition("/")[0] for name in BUILT_IN), *BUILT_IN)))


def full_name(style: str) -> str:
    """Return name and version. A name alone means version 1, so that an upgrade changes nothing."""
    return style if "/" in style else f"{style}/v1"


@lru_cache(maxsize=16)
def load_prompt(style: str) -> str:
    """Return the text of a built-in prompt such as ``driving-scene-en`` or ``driving-scene-en/v1``."""
    name = full_name(style)
    if name not in BUILT_IN:
        raise ValueError(f"no such prompt; built in: {', '.join(prompt_styles())}")
    resource = files("airflow_provider_drivepipe.stages").joinpath("prompt_texts", f"{name}.txt")
    return resource.read_text("utf-8").strip()


def is_chinese(text: str) -> bool:
    """Return whether a prompt is written in Chinese."""
    return len(_IDEOGRAPH.findall(text)) > _MOSTLY_CHINESE * len(text.strip() or " ")


def state_schema(schema: str, chinese: bool) -> str:
    """Return a schema's keys and allowed values in words, one line per key."""
    words = _CHINESE if chinese else _ENGLISH
    return "\n".join([words.head, *_properties(load_answer_schema(schema), "", words)])


def _properties(schema: Mapping[str, Any], indent: str, words: _Language) -> Iterator[str]:
    required = schema.get("required", ())
    for name, content in schema.get("properties", {}).items():
        notes = [] if name in required else [words.optional]
        notes += [content["description"]] if content.get("description") else []
        ending = f" ({'; '.join(notes)})" if notes else ""
        yield f"{indent}- {name}: {_values(content, words)}{ending}"
        inner = content
        while "items" in inner:
            inner = inner["items"]
        yield from _properties(inner, f"{indent}  ", words)


def _values(schema: Mapping[str, Any], words: _Language) -> str:
    if "const" in schema:
        return _spelled(schema["const"])
    if "enum" in schema:
        return " | ".join(map(_spelled, schema["enum"]))
    declared = schema.get("type", [])
    names = declared if isinstance(declared, list) else [declared]
    return words.between.join(_type(name, schema, words) for name in names) or words.any_value


def _type(name: str, schema: Mapping[str, Any], words: _Language) -> str:
    said = words.types.get(name, name)
    if name == "array":
        said += _limits(schema, "minItems", "maxItems", words.items, words)
        return f"{said}{words.list_of}{_values(schema['items'], words)}" if "items" in schema else said
    if name == "object" and schema.get("properties"):
        return f"{said}{words.keys_below}"
    if name == "string":
        return f"{said}{_limits(schema, 'minLength', 'maxLength', words.characters, words)}"
    if name in ("integer", "number"):
        return f"{said}{_limits(schema, 'minimum', 'maximum', '', words)}"
    return said


def _limits(schema: Mapping[str, Any], low: str, high: str, unit: str, words: _Language) -> str:
    named = ((words.at_least, low), (words.at_most, high))
    parts = [f"{word}{schema[key]}" for word, key in named if key in schema]
    return f" ({', '.join(parts)}{unit})" if parts else ""


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sha256(text: str) -> str:
    """Return 64 hex digits over a text, whatever characters it holds."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
