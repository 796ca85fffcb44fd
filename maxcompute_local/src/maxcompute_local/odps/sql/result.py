"""What a statement answers: nothing, a text, or rows in a Parquet file, and how rows look as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from odps import types as odps_types

from maxcompute_local.odps.catalog import Column
from maxcompute_local.odps.storage import read_parquet
from maxcompute_local.odps.types import odps_type

MAX_CSV_ROWS = 10000
"""Rows that the result of an instance shows; the rest only comes through the tunnel."""


@dataclass(frozen=True)
class Rows:
    """The rows of a SELECT in a Parquet file."""

    path: Path
    count: int
    columns: tuple[Column, ...]

    def read(
        self, start: int = 0, count: int | None = None, columns: Sequence[Column] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield a range of the rows."""
        wanted = self.columns if columns is None else columns
        return read_parquet([(self.path, self.count)], wanted, start, count)


@dataclass(frozen=True)
class Result:
    """The answer of a script: that of its last statement."""

    text: str = ""
    rows: Rows | None = None


def to_csv(columns: Sequence[Column], batches: Iterator[pa.RecordBatch], zone: str | None = None) -> str:
    """Return rows as the REST interface shows them. Datetimes appear in ``zone``, else in the local one."""
    data_types = [odps_type(c.type) for c in columns]
    time_zone = ZoneInfo(zone) if zone else None
    lines = [",".join(_quoted(c.name) for c in columns)]
    for batch in batches:
        values = [_python_values(column) for column in batch.columns]
        for row in zip(*values, strict=True):
            cells = zip(row, data_types, strict=True)
            lines.append(",".join(_cell(value, data_type, time_zone) for value, data_type in cells))
    return "\n".join(lines) + "\n"


def _python_values(array: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        array = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    return list(array.to_pylist())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _cell(value: Any, data_type: odps_types.DataType, zone: ZoneInfo | None) -> str:
    text = _text(value, data_type, zone)
    plain = value is None or isinstance(value, bool | int | float | datetime)
    return text if plain or isinstance(data_type, odps_types.Decimal | odps_types.Date) else _quoted(text)


def _text(value: Any, data_type: odps_types.DataType, zone: ZoneInfo | None) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value)
    if isinstance(data_type, odps_types.Datetime):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S}"
    if isinstance(data_type, odps_types.Timestamp):
        return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S.%f}"
    if isinstance(data_type, odps_types.Array):
        return "[" + ", ".join(_text(item, data_type.value_type, zone) for item in value) + "]"
    if isinstance(data_type, odps_types.Map):
        pairs = (
            f"{_text(k, data_type.key_type, zone)}:{_text(v, data_type.value_type, zone)}" for k, v in value
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(data_type, odps_types.Struct):
        fields = (f"{n}:{_text(value[n], t, zone)}" for n, t in data_type.field_types.items())
        return "{" + ", ".join(fields) + "}"
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value)
