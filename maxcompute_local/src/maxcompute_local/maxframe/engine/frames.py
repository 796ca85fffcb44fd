"""Makes one frame of the chunks that a function returned, as the function's declaration says it should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import pandas as pd

MOST_BATCH_ROWS = 10_000
"""Most rows of a batch where nobody says how many: so the results of a large chunk are not held twice."""


def split(data: Any, chunks: Sequence[int], batch_rows: int | None) -> list[list[Any]]:
    """Cut a frame or series into chunks of so many rows, each into batches of at most ``batch_rows``.

    Chunks without rows are left out.
    """
    rows = batch_rows or MOST_BATCH_ROWS
    ends = accumulate(chunks)
    return [
        [data.iloc[start : min(start + rows, end)] for start in range(end - size, end, rows)]
        for size, end in zip(chunks, ends, strict=True)
        if size
    ]


def empty_like(declared: Any) -> Any:
    """Return an empty frame or series of the declared types (a tileable, or anything with its attributes)."""
    if getattr(declared, "ndim", 2) == 1:
        return pd.Series([], dtype=declared.dtype, name=declared.name)
    if declared.dtypes is None:
        return pd.DataFrame()
    return pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in declared.dtypes.items()})


def combine(parts: Sequence[Any]) -> Any:
    """Concatenate chunk results in order.

    Each chunk's function counts its rows from 0, so default indexes are replaced by one that counts through;
    indexes that tell rows apart, and named ones, stay.
    """
    if len(parts) == 1:
        return parts[0]
    whole = pd.concat(list(parts))
    if not whole.index.is_unique and all(_is_default_like(part.index) for part in parts):
        whole.index = pd.RangeIndex(len(whole))
    return whole


def _is_default_like(index: pd.Index[Any]) -> bool:
    return index.nlevels == 1 and index.name is None and pd.api.types.is_integer_dtype(index.dtype)


def conform(
    frame: pd.DataFrame, declared: pd.Series[Any], *, check: str, warn: Callable[[str], None]
) -> pd.DataFrame:
    """Bring a result into the declared columns, order and types.

    ``check`` is ``apply_chunk``'s ``check_output_dtypes``: with ``ignore`` the frame is left alone; with
    ``warns`` a column that cannot take its declared type is left alone with a warning; with ``raises`` that
    is a TypeError. Missing or unexpected columns are a ValueError: later operators look them up by name.
    """
    if check == "ignore":
        return frame
    _check_columns(list(frame.columns), list(declared.index))
    converted = frame[list(declared.index)].copy(deep=False)
    problems = []
    for name, dtype in declared.items():
        column = converted[name]
        if column.dtype == dtype or pd.api.types.is_object_dtype(dtype):
            continue
        try:
            converted[name] = _convert(column, dtype)
        except (TypeError, ValueError, OverflowError) as error:
            problems.append(
                f"{name!r} is declared {dtype}, but the function returned {column.dtype} ({error})"
            )
    if problems:
        text = f"types of apply_chunk's result differ from the declared ones: {'; '.join(problems)}"
        if check == "raises":
            raise TypeError(text)
        warn(text)
    return converted


def _check_columns(returned: list[Any], declared: list[Any]) -> None:
    missing = [name for name in declared if name not in returned]
    unexpected = [name for name in returned if name not in declared]
    duplicate = sorted({str(name) for name in returned if returned.count(name) > 1})
    problems = [
        f"{what}: {names}"
        for what, names in (("missing", missing), ("not declared", unexpected), ("duplicate", duplicate))
        if names
    ]
    if problems:
        raise ValueError(
            "columns of apply_chunk's result differ from the declared dtypes; "
            f"{'; '.join(problems)} (returned: {returned}, declared: {declared})"
        )


def _convert(column: pd.Series[Any], dtype: Any) -> pd.Series[Any]:
    """Return a column in its declared type; TypeError or ValueError when values would mean another thing."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if pd.api.types.is_string_dtype(dtype) and kind not in ("string", "empty"):
        raise TypeError(f"its values are {kind}")
    if pd.api.types.is_bool_dtype(dtype) and kind not in ("boolean", "empty"):
        raise TypeError(f"its values are {kind}")
    missing = column.isna()
    # NumPy's integers and booleans have no NULL; pandas' own do.
    if missing.any() and pd.api.types.is_integer_dtype(dtype):
        return column.astype("object").where(~missing, pd.NA).astype("Int64")
    if missing.any() and pd.api.types.is_bool_dtype(dtype):
        return column.astype("object").where(~missing, pd.NA).astype("boolean")
    converted = column.astype(dtype)
    if pd.api.types.is_integer_dtype(dtype) and not (converted == column).all():
        raise ValueError("values would change")
    return converted
