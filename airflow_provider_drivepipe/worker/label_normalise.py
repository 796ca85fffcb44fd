"""Puts a label's values right where their meaning is certain. Runs in DPE workers: standard library only.

Only what does not fit the schema as it stands is touched: other words for allowed values, numbers and
booleans as text, one value where a list is wanted, other names of properties. What a word means is data of
the schema (``x-synonyms``, ``x-empty``, ``x-names``).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from airflow_provider_drivepipe.worker.label_check import is_of_type, same, type_names

_WORDS_APART = re.compile(r"[\s_/-]+")
_IN_BRACKETS = re.compile(r"([^()]+)\(([^()]+)\)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,2})?")
_YES = frozenset(("true", "yes", "y", "1", "是", "有", "对", "真"))
_NO = frozenset(("false", "no", "n", "0", "否", "没有", "无", "不是", "不", "假"))


def normalise(label: dict[str, Any], schema: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return a label with its values put right, and how many of them had to be."""
    counter = _Counter()
    return _object(label, schema, counter), counter.changed


class _Counter:
    """How many values were changed."""

    def __init__(self) -> None:
        self.changed = 0

    def to(self, value: Any) -> Any:
        """Count one change; return what the value was changed to."""
        self.changed += 1
        return value


def fold(text: str) -> str:
    """Return a word as it is compared: width, case, punctuation at the ends and word breaks do not matter."""
    plain = unicodedata.normalize("NFKC", text).casefold().strip(" \t\r\n.。!\"'`“”‘’")
    return _WORDS_APART.sub("_", plain)


def _value(value: Any, schema: dict[str, Any], counter: _Counter) -> Any:
    names = type_names(schema)
    if "enum" in schema and not isinstance(value, dict | list):
        return _enum(value, schema, counter)
    if isinstance(value, dict) and ("object" in names or "properties" in schema):
        return _object(value, schema, counter)
    if "array" in names:
        if not isinstance(value, list) and any(is_of_type(value, name) for name in names):
            return value
        return _list(value, schema, counter)
    if not isinstance(value, str) and not ("boolean" in names and value in (0, 1)):
        return value
    if any(is_of_type(value, name) for name in names):
        return value
    return _scalar(value, names, counter)


def _enum(value: Any, schema: dict[str, Any], counter: _Counter) -> Any:
    allowed = schema["enum"]
    if any(same(value, one) for one in allowed):
        return value
    if not isinstance(value, str):
        return value
    meant = _meant(value, schema)
    return value if meant is None else counter.to(meant[0])


def _meant(text: str, schema: dict[str, Any]) -> tuple[Any] | None:
    """Return the allowed value that a text means, in a tuple; None where that is not certain."""
    words: dict[str, Any] = {fold(word): value for word, value in schema.get("x-synonyms", {}).items()}
    words.update((fold(str(value)), value) for value in schema["enum"])
    word = fold(text)
    if word in words:
        return (words[word],)
    both = _IN_BRACKETS.fullmatch(unicodedata.normalize("NFKC", text).strip())
    # As in "晴(clear)": both parts are known and mean the same, or only one is known.
    known = [words[fold(part)] for part in both.groups() if fold(part) in words] if both else []
    if known and all(same(value, known[0]) for value in known):
        return (known[0],)
    return None


def _scalar(value: Any, names: list[str], counter: _Counter) -> Any:
    text = fold(str(int(value))) if isinstance(value, int | float) else fold(value)
    if "boolean" in names and text in _YES | _NO:
        return counter.to(text in _YES)
    plain = unicodedata.normalize("NFKC", str(value)).strip()
    if "integer" in names and _INTEGER.fullmatch(plain):
        return counter.to(int(plain.partition(".")[0]))
    if "number" in names and _NUMBER.fullmatch(plain):
        return counter.to(float(plain))
    return value


def _list(value: Any, schema: dict[str, Any], counter: _Counter) -> Any:
    empty = {fold(word) for word in schema.get("x-empty", ())}
    if value is None:
        return value
    if not isinstance(value, list):
        if isinstance(value, str) and fold(value) in empty:
            return counter.to([])
        counter.changed += 1
        value = [value]
    items = schema.get("items", {})
    kept = []
    for item in value:
        # A word for "nothing" among the items counts as such unless it is an allowed item itself.
        if isinstance(item, str) and fold(item) in empty and item not in items.get("enum", ()):
            counter.changed += 1
            continue
        kept.append(_value(item, items, counter))
    return kept


def _object(value: dict[str, Any], schema: dict[str, Any], counter: _Counter) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    names = {fold(other): name for name, one in properties.items() for other in one.get("x-names", ())}
    names.update((fold(name), name) for name in properties)
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = key
        if key not in properties:
            name = names.get(fold(key), key)
            if name in value or name in found:
                name = key
            counter.changed += name != key
        content = properties.get(name)
        if content is None:
            found[name] = item
        elif item is None and name not in required and not _takes_null(content):
            counter.changed += 1
        else:
            found[name] = _value(item, content, counter)
    return found


def _takes_null(schema: dict[str, Any]) -> bool:
    if "enum" in schema:
        return None in schema["enum"]
    names = type_names(schema)
    return not names or "null" in names
