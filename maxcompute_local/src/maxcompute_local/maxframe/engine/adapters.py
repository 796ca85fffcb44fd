"""Operators that the SDK's code generator lacks or gets wrong, run as the service runs them."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from maxframe.codegen.spe import dataframe as _stock  # noqa: F401  (stock adapters must be registered first)
from maxframe.codegen.spe.core import SPEOperatorAdapter, register_op_adapter
from maxframe.codegen.spe.dataframe.datasource import (
    DataFrameReadODPSQueryAdapter,
    DataFrameReadODPSTableAdapter,
)
from maxframe.codegen.spe.dataframe.datastore import DataFrameToODPSTableAdapter
from maxframe.codegen.spe.dataframe.misc import DataFrameApplyAdapter
from maxframe.config import options
from maxframe.dataframe.datasource.read_odps_query import DataFrameReadODPSQuery
from maxframe.dataframe.datasource.read_odps_table import DataFrameReadODPSTable
from maxframe.dataframe.datastore.to_odps import DataFrameToODPSTable
from maxframe.dataframe.extensions import DataFrameApplyChunk
from maxframe.dataframe.extensions.flatmap import DataFrameFlatMapOperator
from maxframe.dataframe.extensions.rebalance import DataFrameRebalance
from maxframe.dataframe.groupby.apply_chunk import GroupByApplyChunk
from maxframe.dataframe.indexing.set_axis import DataFrameSetAxis
from maxframe.dataframe.indexing.setitem import DataFrameSetitem
from maxframe.dataframe.misc.apply import DataFrameApply
from maxframe.dataframe.misc.rechunk import DataFrameRechunk
from maxframe.protocol import ResultInfo
from maxframe.udf import MarkedFunction
from maxframe.utils import build_temp_table_name
from odps import ODPS, types

from . import frames, groups, operators
from .chunks import map_chunks
from .context import EngineContext
from .events import Events
from .limits import Limits, parallel_workers
from .progress import Progress
from .spread import Spread, evenly, rechunked

SPLITS = "odps.sql.split.dop"
"""MaxCompute's flag, in ``options.sql.settings``: JSON with a number of splits by table."""
_STAND_IN = re.compile(r"_idx_\d+")


def register() -> None:
    """Let the code generator use these adapters."""
    operators.register()
    register_op_adapter(DataFrameApplyChunk)(ApplyChunkAdapter)
    register_op_adapter(GroupByApplyChunk)(GroupApplyChunkAdapter)
    register_op_adapter(DataFrameFlatMapOperator)(FlatMapAdapter)
    register_op_adapter([DataFrameRebalance, DataFrameRechunk])(RechunkAdapter)
    register_op_adapter(DataFrameApply)(ApplyAdapter)
    register_op_adapter(DataFrameReadODPSTable)(ReadTableAdapter)
    register_op_adapter(DataFrameReadODPSQuery)(ReadQueryAdapter)
    register_op_adapter(DataFrameToODPSTable)(ToTableAdapter)
    register_op_adapter(DataFrameSetAxis)(SetAxisAdapter)
    register_op_adapter(DataFrameSetitem)(SetItemAdapter)


def call(context: EngineContext, op: Any, function: Callable[[Any], Any]) -> list[str]:
    """Return code that sets an operator's output to ``function(input)``."""
    name = context.register_operator_constants(function)
    source = context.get_input_tileable_variable(op.inputs[0])
    target = context.get_output_tileable_variable(op.outputs[0])
    return [f"{target} = {name}({source})"]


def plain_function(op: Any) -> Callable[..., Any]:
    """Return an operator's function with its arguments bound, without the markers of ``maxframe.udf``."""
    function = op.func.func if isinstance(op.func, MarkedFunction) else op.func
    args, kwargs = op.args or (), op.kwargs or {}
    # The chunk or row comes first, before the bound positional arguments.
    return (lambda value: function(value, *args, **kwargs)) if args or kwargs else function


class ChunkedAdapter(SPEOperatorAdapter):
    """An adapter that runs the user's function over chunks, each batch in a process of its own."""

    def mapper(
        self, op: Any, context: EngineContext, function: Callable[[Any], Any]
    ) -> Callable[..., list[Any]]:
        """Return what applies a function to chunks, in parallel and within the operator's limits."""
        allowed, progress = Limits.of(op, context.job.settings), context.progress
        return functools.partial(
            map_chunks,
            function,
            workers=parallel_workers(allowed),
            directory=Path(context.job.directory),
            on_done=progress.step_fraction,
            on_poll=progress.limit_output,
            on_retry=progress.warn,
            allowed=allowed,
            operator=type(op).__name__,
        )


class ApplyChunkAdapter(ChunkedAdapter):
    """``apply_chunk``: the stock adapter drops the function's arguments and calls it once with all rows."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        mapped = self.mapper(op, context, plain_function(op))

        def run(data: Any) -> Any:
            chunks = frames.split(data, context.spread.given, op.batch_rows)
            return apply_chunk(chunks, rows=len(data), map_chunks=mapped, **_declared(op, context))

        return call(context, op, run)


class GroupApplyChunkAdapter(ChunkedAdapter):
    """``groupby().mf.apply_chunk``: the stock adapter runs the function on all groups in one process."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""

        def run(*inputs: Any) -> Any:
            made = apply_chunk(
                [[share] for share in groups.shares(op, inputs)],
                rows=len(inputs[0]),
                map_chunks=self.mapper(op, context, functools.partial(groups.apply, op, inputs)),
                **_declared(op, context),
            )
            return groups.with_declared_index(made, op.outputs[0])

        name = context.register_operator_constants(run)
        sources = ", ".join(context.get_input_tileable_variable(tileable) for tileable in op.inputs)
        return [f"{context.get_output_tileable_variable(op.outputs[0])} = {name}({sources})"]


def _declared(op: Any, context: EngineContext) -> dict[str, Any]:
    return {
        "declared": op.outputs[0],
        "check": (op.extra_params or {}).get("check_output_dtypes") or "warns",
        "progress": context.progress,
        "events": context.events,
        "spread": context.spread,
        "mounted": bool(getattr(op, "fs_mount", None)),
    }


def apply_chunk(
    chunks: Sequence[Sequence[Any]],
    *,
    rows: int,
    map_chunks: Callable[..., list[Any]],
    declared: Any,
    check: str,
    progress: Progress,
    events: Events,
    spread: Spread,
    mounted: bool,
) -> Any:
    """Apply a function to chunks of a frame or series, side by side, and return one frame or series.

    :param rows: how many rows all chunks have.
    :param map_chunks: ``chunks.map_chunks`` with all that does not depend on the rows.
    :param mounted: whether the function sees object storage as a folder; the server then counts its rows and
        reads once more, apart.
    """
    progress.chunks(len(chunks))
    if not chunks:
        return frames.empty_like(declared)

    def add(name: str, count: int) -> None:
        events.add({f"{kind}.{name}": count for kind in (("udf", "mounted_udf") if mounted else ("udf",))})

    add("rows_in", rows)
    parts = map_chunks(
        chunks=chunks,
        on_begin=lambda: events.begin("udf.chunk"),
        on_read=lambda read: add("read_bytes", read),
    )
    declared_types = getattr(declared, "dtypes", None) if getattr(declared, "ndim", 2) == 2 else None
    for position, part in enumerate(parts):
        if not isinstance(part, pd.DataFrame | pd.Series):
            raise TypeError(
                f"apply_chunk's function returned {type(part).__name__} for batch {position + 1} of "
                f"{len(parts)}; expected a pandas DataFrame or Series"
            )
        if declared_types is not None and isinstance(part, pd.DataFrame):
            parts[position] = frames.conform(part, declared_types, check=check, warn=progress.warn)
    made = iter(map(len, parts))
    spread.made = [sum(islice(made, len(chunk))) for chunk in chunks]
    add("rows_out", sum(spread.made))
    return frames.combine(parts)


class FlatMapAdapter(ChunkedAdapter):
    """``flatmap``: rows in, any number of rows out; the stock code generator has none."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        flat = functools.partial(
            flatmap, function=plain_function(op), raw=bool(op.raw), declared=op.outputs[0]
        )
        mapped = self.mapper(op, context, flat)

        def run(data: Any) -> Any:
            chunks = frames.split(data, context.spread.given, None)
            context.progress.chunks(len(chunks))
            return pd.concat(mapped(chunks=chunks)) if chunks else frames.empty_like(op.outputs[0])

        return call(context, op, run)


def flatmap(data: Any, *, function: Callable[[Any], Any], raw: bool, declared: Any) -> Any:
    """Apply a function that returns or yields rows to each row; all rows from one row get its index."""
    if isinstance(data, pd.DataFrame):
        rows: Iterable[Any] = data.to_numpy() if raw else (row for _, row in data.iterrows())
    else:
        rows = data
    index, values = [], []
    for label, row in zip(data.index if hasattr(data, "index") else range(len(data)), rows, strict=True):
        for value in _rows(function(row)):
            index.append(label)
            values.append(value)
    if getattr(declared, "ndim", 2) == 1:
        return pd.Series(values, index=index, dtype=declared.dtype, name=declared.name)
    columns = list(declared.dtypes.index)
    one_column = [value if isinstance(value, list | tuple) else [value] for value in values]
    return pd.DataFrame(one_column, index=index, columns=columns).astype(dict(declared.dtypes))


def _rows(returned: Any) -> Iterable[Any]:
    if isinstance(returned, pd.DataFrame):
        return returned.itertuples(index=False, name=None)
    return (
        returned if isinstance(returned, Iterable) and not isinstance(returned, str | bytes) else [returned]
    )


class RechunkAdapter(SPEOperatorAdapter):
    """``rebalance`` and ``rechunk`` change how rows are spread over workers, not the rows."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""

        def run(data: Any) -> Any:
            context.spread.made = rechunked(op, len(data), context.spread.given)
            return data

        return call(context, op, run)


class ApplyAdapter(DataFrameApplyAdapter):
    """``apply``: the stock adapter drops arguments, and gives the function of a series one too many."""

    @classmethod
    def generate_call_args_with_attributes(
        cls, op: Any, context: EngineContext, *args: str, **kwargs: Any
    ) -> str:
        """Return the arguments of pandas' ``apply``."""
        kwargs["kw_keys"] = [key for key in kwargs["kw_keys"] if key != "convert_dtype"]
        given = super().generate_call_args_with_attributes(op, context, *args, **kwargs)
        own = cls._translate_call_args(context, args=tuple(op.args or ()), **(op.kwds or {}))
        return ", ".join([given, *own])


class ReadTableAdapter(SPEOperatorAdapter):
    """``read_odps_table``; also what the SDK makes of a frame that it uploads."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        lines = list(DataFrameReadODPSTableAdapter().generate_code(op, context))
        splits = _splits(context.job.settings).get(op.table_name.rpartition(".")[2].strip("`"))
        if splits is not None:
            name = context.register_operator_constants(functools.partial(_read_in, context.spread, splits))
            lines.append(f"{name}({context.get_output_tileable_variable(op.outputs[0])})")
        if build_temp_table_name(context.job.session_id, "").lower() not in op.table_name.lower():
            return lines
        target = context.get_output_tileable_variable(op.outputs[0])
        return [*lines, f"{target} = {context.register_operator_constants(without_stand_ins)}({target})"]


def _splits(settings: Mapping[str, Any]) -> dict[str, int]:
    """Return into how many splits tables are read, by name; others are one chunk."""
    asked = json.loads((settings.get("sql.settings") or {}).get(SPLITS) or "{}")
    return {str(name).rpartition(".")[2].lower(): int(number) for name, number in asked.items()}


def _read_in(spread: Spread, splits: int, data: Any) -> None:
    spread.made = evenly(len(data), splits)


def without_stand_ins(data: Any) -> Any:
    """Return an uploaded frame, series or index as it was: no level of its index is called ``_idx_0``."""
    index = data if isinstance(data, pd.Index) else data.index
    names = [None if _STAND_IN.fullmatch(str(name)) else name for name in index.names]
    return data.set_names(names) if isinstance(data, pd.Index) else data.rename_axis(index=names)


class ReadQueryAdapter(SPEOperatorAdapter):
    """``read_odps_query``; the stock adapter cannot run one whose columns the client did not ask for."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        if op.outputs[0].dtypes is not None:
            return list(DataFrameReadODPSQueryAdapter().generate_code(op, context))
        name = context.register_operator_constants(functools.partial(read_query, op.query, op.nrows))
        return [f"{context.get_output_tileable_variable(op.outputs[0])} = {name}()"]


def read_query(query: str, rows: int | None) -> pd.DataFrame:
    """Return the result of a query, at most so many rows, with the columns that it has."""
    odps = ODPS.from_environments()
    instance = odps.execute_sql(query, hints=DataFrameReadODPSQueryAdapter._build_hints(odps))
    with instance.open_reader(tunnel=True) as reader:
        result: pd.DataFrame = reader.to_pandas()
    return result.iloc[:rows]


class ToTableAdapter(SPEOperatorAdapter):
    """``to_odps_table``: the stock adapter makes the table before it looks at what it is to hold."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        context.put_tileable_result_info(op.outputs[0], ResultInfo())
        write = functools.partial(
            DataFrameToODPSTableAdapter._write_as_table,
            table_name=op.table_name,
            partition_spec=op.partition_spec,
            partition_columns=op.partition_columns,
            index=op.index,
            index_label=op.index_label,
            overwrite=op.overwrite,
            lifecycle=op.lifecycle or options.session.table_lifecycle,
            table_properties=op.table_properties,
        )
        return call(context, op, functools.partial(write_table, write=write, name=op.table_name))


def write_table(data: Any, *, write: Callable[[Any], None], name: str) -> None:
    """Write a frame into a table; a table that was made for it goes when that fails."""
    odps = ODPS.from_environments()
    known = {}
    if odps.exist_table(name):
        known = {column.name: column.type for column in odps.get_table(name).table_schema.columns}
    try:
        write(_with_json(data, known))
    except BaseException:
        if not known:
            odps.delete_table(name, if_exists=True)
        raise


def _with_json(data: Any, known: Mapping[str, Any]) -> Any:
    """Return a frame with JSON in the place of lists and dicts that a string column is to hold.

    :param known: types of the table's columns where it is there; a new one has strings for objects.
    """
    if not isinstance(data, pd.DataFrame):
        return data
    changed = data.copy(deep=False)
    for name, dtype in data.dtypes.items():
        if dtype.kind == "O" and known.get(str(name).lower(), types.string) == types.string:
            changed[name] = data[name].map(_as_json)
    return changed


def _as_json(value: Any) -> Any:
    if not isinstance(value, list | tuple | dict | np.ndarray):
        return value
    return json.dumps(value, ensure_ascii=False, default=lambda item: item.tolist())


class SetAxisAdapter(SPEOperatorAdapter):
    """``set_axis`` and ``df.columns = …``: the stock adapter reads the output where it means the input."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        source = context.get_input_tileable_variable(op.inputs[0])
        target = context.get_output_tileable_variable(op.outputs[0])
        return [f"{target} = {source}.set_axis({self.translate_var(context, op.value)}, axis={op.axis!r})"]


class SetItemAdapter(SPEOperatorAdapter):
    """``df[name] = …``: the stock adapter changes the input, which other operators may still read."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        source = context.get_input_tileable_variable(op.target)
        target = context.get_output_tileable_variable(op.outputs[0])
        value = self.translate_var(context, op.value)
        indexes = self.translate_var(context, op.indexes)
        return [f"{target} = {source}.copy(deep=False)", f"{target}[{indexes}] = {value}"]
