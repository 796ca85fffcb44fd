"""Prompts of labels: built-in texts with a name and a version, and the statement of the label schema.

A prompt is data: whatever it holds, braces and quotes included, is sent as it stands.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any

from airflow_provider_drivepipe.scenario.label_schemas import load_label_schema, schema_name, schema_text
from airflow_provider_drivepipe.scenario.options import LabelOptions

BUILT_IN = ("driving-scene-en/v1", "driving-scene-zh/v1")
"""Names with versions. A version never changes: other words are another version."""

_CHINESE = re.compile("[\u4e00-\u9fff]")
_MOSTLY_CHINESE = 0.2
_ENGLISH_HEAD = "Answer with one JSON object and nothing else. Its keys and their allowed values:"
_CHINESE_HEAD = "只回答一个 JSON 对象,不要输出其他内容。键名与取值一律使用下列英文:"
_REPORTED = 2000
"""Most characters of a prompt that a report shows."""
_OPTIONAL = {False: "may be left out", True: "可省略"}


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
    resource = files("airflow_provider_drivepipe.scenario").joinpath("prompt_texts", f"{name}.txt")
    return resource.read_text("utf-8").strip()


def whole_prompt(options: LabelOptions) -> str:
    """Return what a model is told with each picture: the prompt and, with a label schema, its statement."""
    if not options.label_schema:
        return options.prompt
    return f"{options.prompt.rstrip()}\n\n{state_schema(options.label_schema, is_chinese(options.prompt))}"


def is_chinese(text: str) -> bool:
    """Return whether a prompt is written in Chinese."""
    return len(_CHINESE.findall(text)) > _MOSTLY_CHINESE * len(text.strip() or " ")


def state_schema(schema: str, chinese: bool) -> str:
    """Return a schema's keys and allowed values in words, one line per key."""
    lines = _properties(load_label_schema(schema), "", chinese)
    return "\n".join([_CHINESE_HEAD if chinese else _ENGLISH_HEAD, *lines])


def _properties(schema: Mapping[str, Any], indent: str, chinese: bool) -> Iterator[str]:
    required = schema.get("required", ())
    for name, content in schema.get("properties", {}).items():
        notes = [] if name in required else [_OPTIONAL[chinese]]
        notes += [content["description"]] if content.get("description") else []
        ending = f" ({'; '.join(notes)})" if notes else ""
        yield f"{indent}- {name}: {_values(content)}{ending}"
        inner = content
        while "items" in inner:
            inner = inner["items"]
        yield from _properties(inner, f"{indent}  ", chinese)


def _values(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return _spelled(schema["const"])
    if "enum" in schema:
        return " | ".join(map(_spelled, schema["enum"]))
    declared = schema.get("type")
    names = declared if isinstance(declared, list) else [declared or "any value"]
    return " or ".join(_type(name, schema) for name in names)


def _type(name: str, schema: Mapping[str, Any]) -> str:
    if name == "array":
        sizes = _limits(schema, "minItems", "maxItems", " items")
        return f"list{sizes} of {_values(schema.get('items', {}))}"
    if name == "object":
        return "object with the keys below" if schema.get("properties") else "object"
    if name == "string":
        return f"text{_limits(schema, 'minLength', 'maxLength', ' characters')}"
    if name in ("integer", "number"):
        return f"{name}{_limits(schema, 'minimum', 'maximum', '')}"
    return name


def _limits(schema: Mapping[str, Any], low: str, high: str, unit: str) -> str:
    parts = [f"{word} {schema[key]}" for word, key in (("at least", low), ("at most", high)) if key in schema]
    return f" ({', '.join(parts)}{unit})" if parts else ""


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def prompt_report(options: LabelOptions) -> dict[str, Any]:
    """Return for reports with what pictures were labelled.

    ``name`` and ``version`` of the prompt, the beginning of its ``text``, ``sha256`` of all that is sent;
    ``schema`` (a name) and ``schema_sha256``, both None without one. Hashes are 64 hex digits.
    """
    schema = options.label_schema
    return {
        "name": options.prompt_name,
        "version": options.prompt_version,
        "text": options.prompt[:_REPORTED],
        "sha256": _sha256(whole_prompt(options)),
        "schema": schema_name(schema) if schema else None,
        "schema_sha256": _sha256(schema_text(schema)) if schema else None,
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
