"""What table a result becomes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from maxframe.io.odpsio import pandas_to_arrow, pandas_to_odps_schema
from maxframe.io.odpsio.schema import arrow_schema_to_odps_schema
from odps import types
from odps.models import TableSchema


def table_of(tileable: Any, value: Any) -> tuple[TableSchema, Any, Any]:
    """Return a result's schema, its description for the client (None when the client knows), and its rows.

    Columns are of the types that the client was told when it built the DAG. Where it was told none (an
    ``object`` column or index, which then counts as text) they are of the types of the values.
    """
    unknown = getattr(tileable, "dtypes", ()) is None
    schema, meta = pandas_to_odps_schema(value if unknown else tileable, unknown_as_string=True)
    arrow, _ = pandas_to_arrow(value)
    found = arrow_schema_to_odps_schema(arrow.schema, unknown_as_string=True)
    if len(schema.columns) == len(found.columns):
        schema = TableSchema(
            columns=[
                types.Column(declared.name, _type(declared, actual, arrow.schema.field(position).type))
                for position, (declared, actual) in enumerate(zip(schema.columns, found.columns, strict=True))
            ]
        )
    return schema, meta if unknown else None, arrow


def _type(declared: types.Column, actual: types.Column, arrow_type: pa.DataType) -> Any:
    if declared.type == types.string and not pa.types.is_null(arrow_type):
        return actual.type
    return declared.type
