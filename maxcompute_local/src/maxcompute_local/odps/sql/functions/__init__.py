"""The functions that queries may call, each with MaxCompute's meaning. All others are refused by name."""

from __future__ import annotations

from maxcompute_local.odps.sql.functions import (
    aggregates,
    dates,
    nested,
    numbers,
    texts,
    values,
)
from maxcompute_local.odps.sql.functions.registry import FUNCTIONS, Call, Function

__all__ = ["FUNCTIONS", "Call", "Function", "aggregates", "dates", "nested", "numbers", "texts", "values"]
