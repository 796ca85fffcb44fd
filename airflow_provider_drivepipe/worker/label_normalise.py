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
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,2})?")
_LONGEST_WORD = 200
"""Longer texts are no words: they are not looked up."""
_YES = frozenset(("true", "yes", "y", "1", "是", "有", "对", "真"))
_NO = frozenset(("false", "no", "n", "0", "否", "没有", "无", "不是", "不", "假"))


def normalise(label: dict[str, Any], schema: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return a label with its values put right, and how many of them had to be."""
    changes = _Changes()
    return _object(label, schema, changes), changes.count


class _Changes:
    """How many values were changed; and the words of enums, which long lists need again and again."""

    def __init__(self) -> None:
        self.count = 0
        self._words: dict[int, dict[str, Any]] = {}

    def to(self, value: Any) -> Any:
        """Count one change; return what the value was changed to."""
        self.count += 1
        return value

    def words(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return what words mean for a schema with an enum, folded."""
        words = self._words.get(id(schema))
        if words is None:
            words = {fold(word): value for word, value in schema.get("x-synonyms", {}).items()}
            words.update((fold(str(value)), value) for value in schema["enum"])
            self._words[id(schema)] = words
        return words


def fold(text: str) -> str:
    """Return a word as it is compared: width, case, punctuation at the ends and word breaks do not matter.

    A text that is too long for a word stays as it is.
    """
    if len(text) > _LONGEST_WORD:
        return text
    plain = unicodedata.normalize("NFKC", text).casefold().strip(" \t\r\n.。!\"'`“”‘’")
    return _WORDS_APART.sub("_", plain)


def _value(value: Any, schema: dict[str, Any], changes: _Changes) -> Any:
    names = type_names(schema)
    if isinstance(value, list) and "array" not in names and (names or "enum" in schema):
        value = _only_item(value, changes)
    if "enum" in schema and not isinstance(value, dict | list):
        return _enum(value, schema, changes)
    if isinstance(value, dict) and ("object" in names or "properties" in schema):
        return _object(value, schema, changes)
    if "array" in names:
        if not isinstance(value, list) and any(is_of_type(value, name) for name in names):
            return value
        return _list(value, schema, changes)
    if not isinstance(value, str) and not ("boolean" in names and value in (0, 1)):
        return value
    if any(is_of_type(value, name) for name in names):
        return value
    return _scalar(value, names, changes)


def _only_item(value: Any, changes: _Changes) -> Any:
    """Return the item of a list of one where no list is wanted."""
    only = value
    while isinstance(only, list) and len(only) == 1:
        only = only[0]
    return value if only is None or isinstance(only, list) else changes.to(only)


def _enum(value: Any, schema: dict[str, Any], changes: _Changes) -> Any:
    allowed = schema["enum"]
    if any(same(value, one) for one in allowed):
        return value
    if not isinstance(value, str) or len(value) > _LONGEST_WORD:
        return value
    meant = _meant(value, schema, changes)
    return value if meant is None else changes.to(meant[0])


def _meant(text: str, schema: dict[str, Any], changes: _Changes) -> tuple[Any] | None:
    """Return the allowed value that a text means, in a tuple; None where that is not certain."""
    words = changes.words(schema)
    word = fold(text)
    if word in words:
        return (words[word],)
    both = _IN_BRACKETS.fullmatch(unicodedata.normalize("NFKC", text).strip())
    # As in "晴(clear)": both parts are known and mean the same.
    meanings = [words[fold(part)] for part in both.groups() if fold(part) in words] if both else []
    return (meanings[0],) if len(meanings) == 2 and same(*meanings) else None


def _scalar(value: Any, names: list[str], changes: _Changes) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST_WORD:
        return value
    text = fold(str(int(value))) if isinstance(value, int | float) else fold(value)
    if "boolean" in names and text in _YES | _NO:
        return changes.to(text in _YES)
    plain = unicodedata.normalize("NFKC", str(value)).strip()
    if "integer" in names and _INTEGER.fullmatch(plain):
        return changes.to(int(plain.partition(".")[0]))
    if "number" in names and _DECIMAL.fullmatch(plain):
        return changes.to(float(plain))
    return value


def _list(value: Any, schema: dict[str, Any], changes: _Changes) -> Any:
    empty = {fold(word) for word in schema.get("x-empty", ())}
    if value is None:
        return value
    if not isinstance(value, list):
        if isinstance(value, str) and fold(value) in empty:
            return changes.to([])
        changes.count += 1
        value = [value]
    items = schema.get("items", {})
    kept = []
    for item in value:
        # A word for "nothing" among the items counts as such unless it is an allowed item itself.
        if isinstance(item, str) and fold(item) in empty and item not in items.get("enum", ()):
            changes.count += 1
            continue
        kept.append(_value(item, items, changes))
    return kept


def _object(value: dict[str, Any], schema: dict[str, Any], changes: _Changes) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    names = {fold(other): name for name, one in properties.items() for other in one.get("x-names", ())}
    names.update((fold(name), name) for name in properties)
    dropped = {name for name, one in properties.items() if name not in required and not _takes_null(one)}
    given = {key: item for key, item in value.items() if item is not None or key not in dropped}
    changes.count += len(value) - len(given)
    found: dict[str, Any] = {}
    for key, item in given.items():
        name = key if key in properties else names.get(fold(key), key)
        if name != key and (name in given or name in found):
            name = key
        changes.count += name != key
        if item is not None or name not in dropped:
            found[name] = _value(item, properties[name], changes) if name in properties else item
    return found


def _takes_null(schema: dict[str, Any]) -> bool:
    if "enum" in schema:
        return None in schema["enum"]
    names = type_names(schema)
    return not names or "null" in names
