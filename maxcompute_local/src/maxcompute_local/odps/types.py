"""MaxCompute types as the storage (Arrow, Parquet), the SQL engine (DuckDB) and the wire know them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import pyarrow as pa
from odps import types as odps_types
from odps.tunnel.io.types import odps_type_to_arrow_type

from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import Column

MAX_DECIMAL_DIGITS = 38
_DEFAULT_DECIMAL_SCALE = 18

_DUCK_TYPES = {
    "string": "VARCHAR",
    "json": "VARCHAR",
    "bigint": "BIGINT",
    "int": "INTEGER",
    "smallint": "SMALLINT",
    "tinyint": "TINYINT",
    "double": "DOUBLE",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "datetime": "TIMESTAMPTZ",
    "timestamp": "TIMESTAMPTZ_NS",
    "timestamp_ntz": "TIMESTAMP_NS",
    "date": "DATE",
    "binary": "BLOB",
}


@lru_cache(maxsize=1024)
def odps_type(text: str) -> odps_types.DataType:
    """Return the SDK's type for ``array<string>`` and the like; an InvalidArgument error if there is none."""
    one_digit_count = re.fullmatch(r"(?i)\s*decimal\s*\(\s*(\d+)\s*\)\s*", text)
    try:
        return odps_types.validate_data_type(
            f"decimal({one_digit_count[1]},0)" if one_digit_count else text.strip()
        )
    except ValueError as error:
        raise errors.semantic_error(f"unknown type {text}") from error


def type_name(text: str) -> str:
    """Return the canonical spelling of a type, e.g. ``array<string>`` for ``ARRAY < STRING >``.

    Raises an error for a type that does not exist or that cannot be stored.
    """
    parsed = odps_type(text)
    duck_type(parsed)
    return str(parsed).lower()


def _decimal_size(decimal: odps_types.Decimal) -> tuple[int, int]:
    if not decimal.precision:
        return MAX_DECIMAL_DIGITS, _DEFAULT_DECIMAL_SCALE
    return min(decimal.precision, MAX_DECIMAL_DIGITS), decimal.scale or 0


def storage_type(data_type: odps_types.DataType) -> pa.DataType:
    """Return the Arrow type of stored data: datetime and timestamp are instants in UTC."""
    if isinstance(data_type, odps_types.Datetime):
        return pa.timestamp("ms", "UTC")
    if isinstance(data_type, odps_types.Timestamp):
        return pa.timestamp("ns", "UTC")
    if isinstance(data_type, odps_types.TimestampNTZ):
        return pa.timestamp("ns")
    if isinstance(data_type, odps_types.Array):
        return pa.list_(storage_type(data_type.value_type))
    if isinstance(data_type, odps_types.Map):
        return pa.map_(storage_type(data_type.key_type), storage_type(data_type.value_type))
    if isinstance(data_type, odps_types.Struct):
        return pa.struct([(name, storage_type(inner)) for name, inner in data_type.field_types.items()])
    if isinstance(data_type, odps_types.Decimal):
        return pa.decimal128(*_decimal_size(data_type))
    if isinstance(data_type, odps_types.Json):
        return pa.string()
    return odps_type_to_arrow_type(data_type)


def storage_schema(columns: Iterable[Column], by_id: bool = False) -> pa.Schema:
    """Return the Arrow schema of stored data, with the columns' names or, as in files, their ids."""
    return pa.schema([(c.id if by_id else c.name, storage_type(odps_type(c.type))) for c in columns])


def duck_type(data_type: odps_types.DataType | str) -> str:
    """Return the DuckDB type; an error for types that the local cloud does not store."""
    if isinstance(data_type, str):
        data_type = odps_type(data_type)
    if isinstance(data_type, odps_types.Array):
        return f"{duck_type(data_type.value_type)}[]"
    if isinstance(data_type, odps_types.Map):
        return f"MAP({duck_type(data_type.key_type)}, {duck_type(data_type.value_type)})"
    if isinstance(data_type, odps_types.Struct):
        fields = (f'"{name}" {duck_type(inner)}' for name, inner in data_type.field_types.items())
        return f"STRUCT({', '.join(fields)})"
    if isinstance(data_type, odps_types.Decimal):
        precision, scale = _decimal_size(data_type)
        return f"DECIMAL({precision},{scale})"
    if isinstance(data_type, odps_types.Char | odps_types.Varchar):
        return "VARCHAR"
    known = _DUCK_TYPES.get(str(data_type).lower())
    if known is None:
        raise errors.semantic_error(f"type {data_type} is not supported by the local cloud")
    return known
