"""Times as a clock shows them, for prompts. Runs in DPE workers: standard library and pandas only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_drivepipe.worker.rows import text_of


def clock_text(milliseconds: object) -> str | None:
    """Return ``MM:SS.s`` for whole milliseconds, None for NULL; a tenth that has begun counts."""
    text = text_of(milliseconds)
    if not text:
        return None
    tenths = int(float(text)) // 100
    return f"{tenths // 600:02}:{tenths % 600 // 10:02}.{tenths % 10}"


def with_clocks(rows: Any, columns: Mapping[str, str]) -> Any:
    """Return ``rows`` (a pandas DataFrame) with clock texts, each of the column that it maps to."""
    import pandas as pd

    made = {
        name: pd.Series([clock_text(cell) for cell in rows[column]], index=rows.index, dtype="object")
        for name, column in columns.items()
    }
    return rows.assign(**made)
