"""What table a result becomes."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
from maxframe.io.odpsio import pandas_to_arrow, pandas_to_odps_schema
from maxframe.io.odpsio.schema import arrow_schema_to_odps_schema
from odps import types
from odps.models import TableSchema


def table_of(tileable: Any, value: Any) -> tuple[TableSchema, Any, Any]:
    """Return a result's schema, its description for the client (None when the client knows), and its rows.

    Columns are of the types that the client was told when it built the DAG. Where it was told none (an
    ``object`` column or index, which then counts as text) they are of the types of the values.

    Raises NotImplementedError when values would be lost on the way: the client reads what it was told.
    """
    if tileable.ndim and tileable.index_value is None:
        raise NotImplementedError(
            f"the local engine cannot return the result of {type(tileable.op).__name__}: the SDK knows "
            "nothing of its index and could not read it"
        )
    unknown = getattr(tileable, "dtypes", ()) is None
    if not unknown:
        value = _checked(tileable, value)
    _check_index_names(tileable, value)
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


def _checked(tileable: Any, value: Any) -> Any:
    """Return a result under the names that the client expects; refuse one that it could not be given."""
    name = type(tileable.op).__name__
    if isinstance(value, pd.Series):
        _check_whole_numbers(name, value.name, value, tileable.dtype)
        return value.rename(tileable.name)
    if isinstance(value, pd.DataFrame):
        declared, returned = list(tileable.dtypes.index), list(value.columns)
        if len(declared) != len(returned) or any(column not in declared for column in returned):
            raise NotImplementedError(
                f"the local engine cannot return the result of {name}: it has the columns {returned}, but "
                f"the SDK expects {declared}"
            )
        if value.columns.is_unique:
            for column in returned:
                _check_whole_numbers(name, column, value[column], tileable.dtypes[column])
    return value


def _check_index_names(tileable: Any, value: Any) -> None:
    """Refuse a result whose index the client would call by the names that ``unstack`` uses meanwhile."""
    declared = list(tileable.index_value.names)
    if any(str(name).startswith("__level_") for name in declared) and list(value.index.names) != declared:
        raise NotImplementedError(
            f"the local engine cannot return the result of unstack ({type(tileable.op).__name__}): the SDK "
            f"names its index {declared} rather than {list(value.index.names)}. Use pivot instead"
        )


def _check_whole_numbers(name: str, column: Any, values: pd.Series[Any], declared: Any) -> None:
    if not pd.api.types.is_integer_dtype(declared) or not pd.api.types.is_float_dtype(values.dtype):
        return
    if (values.dropna() % 1 != 0).any():
        raise NotImplementedError(
            f"the local engine cannot return the result of {name}: column {column!r} has fractions, but the "
            "SDK expects whole numbers and would cut them. Turn the column into float64 first"
        )
