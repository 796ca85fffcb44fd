"""Templates of prompts and inputs: ``{column}`` stands for the row's value."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from string import Formatter
from typing import Any

import pandas as pd

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_ESCAPED_OR_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def render(template: str, row: Mapping[str, Any]) -> str:
    """Fill a template with a row's values; NULL becomes an empty text.

    A template whose braces are all either doubled or placeholders of existing columns is read as Python's
    ``str.format`` reads it, so ``{{`` and ``}}`` stand for single braces. In any other one, such as a prompt
    with unescaped JSON, only placeholders of existing columns are replaced. Values are not read as templates.
    """
    if _is_strict(template, row):
        return _ESCAPED_OR_PLACEHOLDER.sub(
            lambda match: match[0][0] if match[1] is None else _text(row[match[1]]), template
        )
    return _PLACEHOLDER.sub(lambda match: _text(row[match[1]]) if match[1] in row else match[0], template)


def column_of(template: Any, columns: Collection[str]) -> str | None:
    """Return the column when the template is nothing but its placeholder."""
    match = _PLACEHOLDER.fullmatch(template) if isinstance(template, str) else None
    return match[1] if match and match[1] in columns else None


def is_null(value: Any) -> bool:
    """Return whether a cell holds NULL."""
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _is_strict(template: str, row: Mapping[str, Any]) -> bool:
    try:
        fields = [
            (name, spec, conversion)
            for _, name, spec, conversion in Formatter().parse(template)
            if name is not None
        ]
    except ValueError:
        return False
    return all(name in row and not spec and not conversion for name, spec, conversion in fields)


def _text(value: Any) -> str:
    return "" if is_null(value) else str(value)
