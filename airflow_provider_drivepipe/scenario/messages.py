"""What is wrong with a value, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from airflow_provider_drivepipe.scenario.rules import looks_like_credential

_TABLE_NAME = "not a table name: lower-case letters, digits and underscores, or project.table"
_IN_OTHER_WORDS = {
    "string_pattern_mismatch": _TABLE_NAME,
    "extra_forbidden": "there is no such key here",
}
_PREFIX = "Value error, "


def value_problems(error: ValidationError, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield key and message of every value that its own key does not allow; a missing key is none."""
    yield from dict.fromkeys(_value_problems(error, values))


def _value_problems(error: ValidationError, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for detail in error.errors():
        key = str(detail["loc"][0])
        nested = "".join(f"{part}: " for part in detail["loc"][1:] if isinstance(part, str))
        if detail["type"] == "missing" and not nested:
            continue
        if detail["type"] == "too_short" and values.get(key):
            # What stood there is reported item by item.
            continue
        message = _IN_OTHER_WORDS.get(detail["type"]) or detail["msg"].removeprefix(_PREFIX)
        yield key, f"{nested}{message[0].lower()}{message[1:]}"


def shown(key: str, value: Any) -> str:
    """Return a value as the end of a message; nothing where it may hold a credential."""
    text = repr(value)
    return "" if looks_like_credential(key) or "@" in text else f", got {text}"
