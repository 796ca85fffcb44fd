"""Fields that a scenario file leaves open: values that say ``FILL IN: …`` instead of what they are to be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MARKED = re.compile(r"\s*FILL IN\s*(?::\s*(?P<what>.*))?", re.DOTALL)


def fill_in(what: str) -> str:
    """Return the value of a field that is still open; ``what`` says what belongs there."""
    return f"FILL IN: {what}"


def open_field(value: Any) -> str | None:
    """Return what a value still waits for, also inside of lists and mappings; None when it is no open field.

    The text is empty when the mark stands alone.
    """
    if isinstance(value, str):
        marked = _MARKED.fullmatch(value)
        return None if marked is None else (marked["what"] or "").strip()
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return next((what for what in map(open_field, value) if what is not None), None)
    return None
