"""Operators in plain pandas, where the SDK's own code generator has none, or one that gives wrong results.

A function takes the operator, with tables in the place of what stood for them, and returns the output or a
tuple of outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from maxframe.codegen.spe.core import SPEOperatorAdapter, register_op_adapter
from maxframe.core import ENTITY_TYPE
from maxframe.dataframe.arithmetic.invert import DataFrameNot
from maxframe.dataframe.datasource.from_tensor import DataFrameFromTensor
from maxframe.dataframe.datasource.index import IndexDataSource
from maxframe.dataframe.datasource.read_lance import DataFrameReadLance
from maxframe.dataframe.datastore.to_lance import DataFrameToLance
from maxframe.dataframe.groupby.aggregation import DataFrameGroupByAgg
from maxframe.dataframe.groupby.apply import GroupByApply
from maxframe.dataframe.groupby.expanding import GroupByExpandingAgg
from maxframe.dataframe.groupby.rank import GroupByRank
from maxframe.dataframe.groupby.rolling import GroupByRollingAgg
from maxframe.dataframe.groupby.sample import GroupBySample
from maxframe.dataframe.groupby.shift import GroupByShift
from maxframe.dataframe.groupby.transform import GroupByTransform
from maxframe.dataframe.indexing.iloc import IndexIlocGetItem
from maxframe.dataframe.indexing.insert import DataFrameInsert
from maxframe.dataframe.indexing.loc import DataFrameLocSetItem
from maxframe.dataframe.indexing.rename_axis import DataFrameRenameAxis
from maxframe.dataframe.indexing.reset_index import DataFrameResetIndex
from maxframe.dataframe.indexing.where import DataFrameWhere
from maxframe.dataframe.merge import DataFrameCompare
from maxframe.dataframe.misc.clip import DataFrameClip
from maxframe.dataframe.misc.explode import DataFrameExplode
from maxframe.dataframe.misc.get_dummies import DataFrameGetDummies
from maxframe.dataframe.misc.infer_dtypes import DataFrameInferDtypes
from maxframe.dataframe.misc.to_numeric import DataFrameToNumeric
from maxframe.dataframe.misc.transpose import DataFrameTranspose
from maxframe.dataframe.missing.fillna import DataFrameFillNA
from maxframe.dataframe.reduction import DataFrameKurtosis, DataFrameSkew
from maxframe.dataframe.reduction.str_concat import DataFrameStrConcat
from maxframe.dataframe.reshape.stack import DataFrameStack
from maxframe.dataframe.statistics.corr import DataFrameCorr
from maxframe.dataframe.tseries.to_datetime import DataFrameToDatetime
from maxframe.dataframe.window.ewm import DataFrameEwmAgg
from maxframe.tensor.extensions.apply_chunk import TensorApplyChunk
from maxframe.tensor.misc.unique import TensorUnique
from maxframe.udf import BuiltinFunction, MarkedFunction
from maxframe.utils import no_default

from .context import EngineContext


class Arguments:
    """An operator's inputs, and its other attributes with tables in the place of tileables."""

    def __init__(self, op: Any, inputs: tuple[Any, ...]) -> None:
        self._op = op
        self._by_key = {tileable.key: data for tileable, data in zip(op.inputs, inputs, strict=True)}
        self.data: Any = inputs[0] if inputs else None
        self.inputs = inputs
        self.name = type(op).__name__

    def __getattr__(self, name: str) -> Any:
        return self.of(getattr(self._op, name))

    def of(self, value: Any) -> Any:
        """Return a value with tables in the place of tileables."""
        if isinstance(value, ENTITY_TYPE):
            return self._by_key[value.key]
        if isinstance(value, list | tuple):
            return type(value)(map(self.of, value))
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        return value

    @property
    def output_dtype(self) -> Any:
        """The type that the SDK declares for the output, a series or an array."""
        return self._op.outputs[0].dtype

    def raw(self, name: str) -> Any:
        """Return an attribute as it is."""
        return getattr(self._op, name)

    def given(self, *names: str) -> dict[str, Any]:
        """Return the attributes that are not None, by name."""
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}

    def grouped(self) -> Any:
        """Return the grouped input of an operator with ``groupby_params``."""
        if not isinstance(self.data, pd.DataFrame | pd.Series):
            return self.data
        params = {name: value for name, value in self.groupby_params.items() if value is not None}
        selection = params.pop("selection", None)
        grouped = self.data.groupby(**params)
        return grouped if selection is None else grouped[selection]


def from_tensor(op: Arguments) -> Any:
    """``to_frame`` and frames made of arrays; the stock adapter selects columns by their new names."""
    if isinstance(op.input, pd.Series | pd.Index):
        frame = op.input.to_frame(index=False) if isinstance(op.input, pd.Index) else op.input.to_frame()
        frame.columns = pd.Index(op.columns)
        return frame if op.index is None else frame.set_axis(op.index)
    return pd.DataFrame(op.input, **op.given("index", "columns"))


def index_of(op: Arguments) -> Any:
    """``index`` of a frame or series; the stock adapter knows constants only."""
    if not op.inputs:
        return op.raw("data")
    return op.data.index if hasattr(op.data, "index") else pd.Index(op.data)


def loc_set(op: Arguments) -> Any:
    """``loc[…] = value``: the SDK keeps a mask apart from other indexes, and the stock adapter loses it."""
    result = op.data.copy()
    result.loc[(*op.inputs[1:], *op.indexes)] = op.value
    return result


def reset_index(op: Arguments) -> Any:
    """``reset_index``: the stock adapter loses ``names``."""
    if op.data.ndim == 1:
        return op.data.reset_index(drop=bool(op.drop), **op.given("level", "name"))
    return op.data.reset_index(drop=bool(op.drop), **op.given("level", "col_level", "col_fill", "names"))


def rename_axis(op: Arguments) -> Any:
    """``rename_axis``."""
    names = {name: value for name, value in op.given("index", "columns").items() if value is not no_default}
    return op.data.rename_axis(**names)


def get_dummies(op: Arguments) -> Any:
    """``get_dummies``."""
    names = ("prefix", "prefix_sep", "dummy_na", "columns", "sparse", "drop_first", "dtype")
    return pd.get_dummies(op.data, **op.given(*names))


def kurtosis(op: Arguments) -> Any:
    """``kurt``, unbiased and after Fisher as that of pandas."""
    if op.bias or op.fisher is False:
        raise NotImplementedError(f"the local engine cannot run {op.name} with bias=True or fisher=False")
    return op.data.kurt(**op.given("axis", "skipna", "numeric_only"))


def where(op: Arguments) -> Any:
    """``where`` and ``mask``."""
    method = op.data.mask if op.replace_true else op.data.where
    return method(op.cond, **op.given("other", "axis", "level"))


def transpose(op: Arguments) -> Any:
    """``transpose`` and ``T``."""
    return op.data.T


def clip(op: Arguments) -> Any:
    """``clip``: the stock adapter forgets the bounds."""
    lower, upper = op.bounds
    return op.data.clip(lower, upper, axis=op.axis)


def fill_na(op: Arguments) -> Any:
    """``fillna``, ``ffill`` and ``bfill``."""
    arguments = op.given("limit") | ({"axis": op.axis} if op.axis else {})
    if op.method in ("ffill", "pad"):
        return op.data.ffill(**arguments)
    if op.method in ("bfill", "backfill"):
        return op.data.bfill(**arguments)
    return op.data.fillna(op.value, **arguments)


def correlation(op: Arguments) -> Any:
    """``corr``, ``cov`` and ``corrwith``; the SDK calls covariance a method of correlation."""
    other = [] if op.other is None else [op.other]
    if op.method == "cov":
        return op.data.cov(*other, min_periods=op.min_periods, ddof=op.ddof)
    if op.data.ndim == 2 and other:
        return op.data.corrwith(op.other, axis=op.axis or 0, drop=bool(op.drop), method=op.method)
    return op.data.corr(*other, method=op.method, min_periods=op.min_periods or 1)


def skew(op: Arguments) -> Any:
    """``skew``."""
    return op.data.skew(**op.given("axis", "skipna", "numeric_only"))


def ewm(op: Arguments) -> Any:
    """``ewm``: the stock adapter makes it a ``rolling``."""
    window = op.data.ewm(ignore_na=bool(op.alpha_ignore_na), **op.given("alpha", "min_periods", "adjust"))
    return getattr(window, op.func)()


def to_datetime(op: Arguments) -> Any:
    """``to_datetime``."""
    names = ("errors", "dayfirst", "yearfirst", "utc", "format", "exact", "unit", "origin", "cache")
    return pd.to_datetime(op.data, **op.given(*names))


def to_numeric(op: Arguments) -> Any:
    """``to_numeric``; the SDK declares the numbers to be of the type of their texts."""
    declared = op.output_dtype
    numbers = pd.to_numeric(op.data, **op.given("errors", "downcast"))
    if pd.api.types.is_numeric_dtype(numbers.dtype) and not pd.api.types.is_numeric_dtype(declared):
        raise NotImplementedError(
            f"the local engine cannot run {op.name} on text: the SDK declares its result as {declared} and "
            "would read the numbers as that. Use astype('float64') or astype('int64') instead"
        )
    return numbers


def explode(op: Arguments) -> Any:
    """``explode``; the stock adapter hands a series the name of a column."""
    columns = [] if op.data.ndim == 1 else [op.column]
    return op.data.explode(*columns, ignore_index=bool(op.ignore_index))


def concatenate_text(op: Arguments) -> Any:
    """``Series.str.cat`` of one series."""
    return op.data.str.cat(sep=op.sep, na_rep=op.na_rep)


def infer_dtypes(op: Arguments) -> Any:
    """``convert_dtypes`` and ``infer_objects``."""
    given = dict(op.infer_kwargs or {})
    if given.get("dtype_backend") == "numpy":
        del given["dtype_backend"]
    return getattr(op.data, op.infer_method)(**given)


def insert(op: Arguments) -> Any:
    """``insert``, which in pandas changes its frame and returns nothing."""
    result = op.data.copy(deep=False)
    result.insert(op.loc, op.column, op.value, allow_duplicates=bool(op.allow_duplicates))
    return result


def invert(op: Arguments) -> Any:
    """``~``."""
    return ~op.data


def compare(op: Arguments) -> Any:
    """``compare``."""
    names = op.given("align_axis", "keep_shape", "keep_equal", "result_names")
    return op.data.compare(op.inputs[1], **names)


def stack(op: Arguments) -> Any:
    """``stack``; rows of nothing but NULL are left out unless ``dropna=False``, as before pandas 3."""
    stacked = op.data.stack(level=-1 if op.level is None else op.level, future_stack=True)
    if op.dropna is False:
        return stacked
    return stacked.dropna(how="all") if stacked.ndim == 2 else stacked.dropna()


def group_aggregate(op: Arguments) -> Any:
    """``groupby().agg``, named aggregations included."""
    named = op.raw_func_kw or {}
    return op.grouped().agg(**named) if op.raw_func is None else op.grouped().agg(op.raw_func, **named)


def group_apply(op: Arguments) -> Any:
    """``groupby().apply``."""
    return op.grouped().apply(plain_function(op.func), *(op.args or ()), **(op.kwds or {}))


def group_transform(op: Arguments) -> Any:
    """``groupby().transform``, and what the SDK makes of it: an aggregation."""
    grouped, function = op.grouped(), plain_function(op.func)
    method = grouped.agg if op.call_agg else grouped.transform
    return method(function, *(op.args or ()), **(op.kwds or {}))


def group_rank(op: Arguments) -> Any:
    """``groupby().rank``."""
    ascending = op.ascending
    if isinstance(ascending, list):
        if len(set(ascending)) > 1:
            raise NotImplementedError(f"the local engine cannot run {op.name} with a direction per column")
        ascending = ascending[0]
    _window(op)
    return op.grouped().rank(ascending=ascending, pct=bool(op.pct), **op.given("method", "na_option"))


def group_shift(op: Arguments) -> Any:
    """``groupby().shift``."""
    _window(op)
    return op.grouped().shift(**op.given("periods", "freq", "fill_value"))


def group_rolling(op: Arguments) -> Any:
    """``groupby().rolling``; in MaxFrame its result has the rows of its input, in their order."""
    window = op.grouped().rolling(**_window(op))
    return _in_order_of_input(op, window.agg(op.func, **(op.kwargs or {})))


def group_expanding(op: Arguments) -> Any:
    """``groupby().expanding``, and what the SDK makes of it: ``cumsum`` and its like."""
    arguments = dict(op.kwargs or {})
    counts_rows = arguments.pop("cumcount", False)
    window, cumulative = _window(op), f"cum{op.func}"
    if window.get("min_periods", 1) == 1 and (
        counts_rows or op.func in ("sum", "prod", "min", "max", "count")
    ):
        return getattr(op.grouped(), cumulative)(**arguments)
    return _in_order_of_input(op, op.grouped().expanding(**window).agg(op.func, **arguments))


def _in_order_of_input(op: Arguments, result: Any) -> Any:
    if not op.data.index.is_unique:
        raise NotImplementedError(f"the local engine cannot run {op.name} on an index with duplicates")
    groups = result.index.nlevels - op.data.index.nlevels
    return result.droplevel(list(range(groups))).reindex(op.data.index)


def group_sample(op: Arguments) -> Any:
    """``groupby().sample``."""
    names = op.given("frac", "replace", "weights", "random_state")
    return op.grouped().sample(n=op.size, **names)


def plain_function(function: Any) -> Any:
    """Return a function without the markers of ``maxframe.udf``."""
    return function.func if isinstance(function, MarkedFunction) else function


def index_iloc(op: Arguments) -> Any:
    """``index[…]``."""
    return op.data[op.indexes[0]]


_UNIQUE_OUTPUTS = ("return_index", "return_inverse", "return_counts")


def tensor_unique(op: Arguments) -> Any:
    """``unique`` of arrays and ``factorize``; the stock adapter sorts always, and knows no code for NULL."""
    if op.data.ndim > 1 or op.return_index or op.return_counts:
        if not op.sort or op.use_na_sentinel:
            raise NotImplementedError(f"the local engine cannot run {op.name} with these arguments")
        wanted: dict[str, Any] = {name: bool(getattr(op, name)) for name in _UNIQUE_OUTPUTS}
        return np.unique(np.asarray(op.data), axis=op.axis if op.data.ndim > 1 else None, **wanted)
    codes, values = pd.factorize(op.data, sort=bool(op.sort), use_na_sentinel=bool(op.use_na_sentinel))
    values = np.asarray(values)
    return (values, codes) if op.return_inverse else values


def tensor_apply_chunk(op: Arguments) -> Any:
    """``apply_chunk`` of an array; also the SDK's ``first_valid_index``, whose function cannot be pickled."""
    keywords = dict(op.kwargs or {})
    if op.with_chunk_index:
        keywords["chunk_index"] = (0,) * op.data.ndim
    return plain_function(op.func)(op.data, *(op.args or ()), **keywords)


def calls_user_code(op: Any) -> bool:
    """Return whether an operator was given a function of the user, rather than the name of a known one."""
    given = [getattr(op, name, None) for name in ("func", "raw_func", "raw_func_kw")]
    while given:
        value = given.pop()
        if isinstance(value, dict):
            given += value.values()
        elif isinstance(value, list | tuple):
            given += value
        elif callable(value) and not isinstance(value, BuiltinFunction):
            return True
    return False


def _window(op: Arguments) -> dict[str, Any]:
    """Return a window's parameters; NotImplementedError for those that pandas has not."""
    known = {"window", "min_periods", "center", "win_type", "on", "closed", "step", "method"}
    given = {name: value for name, value in (op.window_params or {}).items() if value not in (None, False, 0)}
    extra = sorted(given.keys() - known - {"ascending"})
    if extra:
        raise NotImplementedError(f"the local engine cannot run {op.name} with {', '.join(extra)}")
    return {name: value for name, value in given.items() if name in known}


_FUNCTIONS: dict[type, Callable[[Arguments], Any]] = {
    DataFrameFromTensor: from_tensor,
    IndexDataSource: index_of,
    DataFrameLocSetItem: loc_set,
    DataFrameResetIndex: reset_index,
    DataFrameRenameAxis: rename_axis,
    DataFrameGetDummies: get_dummies,
    DataFrameKurtosis: kurtosis,
    DataFrameWhere: where,
    DataFrameTranspose: transpose,
    DataFrameClip: clip,
    DataFrameFillNA: fill_na,
    DataFrameCorr: correlation,
    DataFrameSkew: skew,
    DataFrameEwmAgg: ewm,
    DataFrameToDatetime: to_datetime,
    DataFrameToNumeric: to_numeric,
    DataFrameExplode: explode,
    DataFrameStrConcat: concatenate_text,
    DataFrameInferDtypes: infer_dtypes,
    DataFrameInsert: insert,
    DataFrameNot: invert,
    DataFrameCompare: compare,
    DataFrameStack: stack,
    DataFrameGroupByAgg: group_aggregate,
    GroupByApply: group_apply,
    GroupByTransform: group_transform,
    GroupByRank: group_rank,
    GroupByShift: group_shift,
    GroupByRollingAgg: group_rolling,
    GroupByExpandingAgg: group_expanding,
    GroupBySample: group_sample,
    TensorApplyChunk: tensor_apply_chunk,
    TensorUnique: tensor_unique,
    IndexIlocGetItem: index_iloc,
}


REFUSED = frozenset({DataFrameReadLance, DataFrameToLance})
"""Operators that the stock code generator has, but not in a way that runs here."""


class PandasAdapter(SPEOperatorAdapter):
    """Runs one of the functions above."""

    def generate_code(self, op: Any, context: EngineContext) -> list[str]:
        """Return the code of one operator."""
        function = _FUNCTIONS[type(op)]

        def run(*inputs: Any) -> Any:
            return function(Arguments(op, inputs))

        name = context.register_operator_constants(run)
        sources = ", ".join(context.get_input_tileable_variable(tileable) for tileable in op.inputs)
        targets = ", ".join(context.get_output_tileable_variable(tileable) for tileable in op.outputs)
        return [f"{targets} = {name}({sources})"]


def register() -> None:
    """Let the code generator use these functions."""
    register_op_adapter(list(_FUNCTIONS))(PandasAdapter)
