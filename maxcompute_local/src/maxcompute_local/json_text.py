"""JSON from outside: whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json
from typing import Any


def load(text: str | bytes) -> Any:
    """Return the value of a JSON text; ValueError also for one that is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
