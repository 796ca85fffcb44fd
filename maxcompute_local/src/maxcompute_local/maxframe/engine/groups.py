"""Groups of ``groupby().mf.apply_chunk``: shares of whole groups, each for a process of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from maxframe.dataframe.utils import make_column_list
from numpy.typing import NDArray

from .operators import Arguments, plain_function

_MOST_SHARES = 16

Rows = NDArray[np.int_]
"""Positions of rows in a frame or series."""


def shares(op: Any, inputs: tuple[Any, ...]) -> list[Rows]:
    """Return the rows of each share. A group is in one share; shares are about equal, in order of the groups.

    Rows without a group are in none.
    """
    params = {**op.groupby_params, "selection": None}
    numbers = _grouped(Arguments(op, inputs), params).ngroup().fillna(-1).to_numpy(int)
    sizes = np.bincount(numbers[numbers >= 0])
    if not len(sizes):
        return []
    # An index that counts groups, or is that of the input, cannot be put together from parts.
    apart = params.get("as_index") is not False and params.get("group_keys") is not False
    count = _MOST_SHARES if apart else 1
    share_of_group = (np.cumsum(sizes) - sizes) * count // sizes.sum()
    share_of_row = np.where(numbers >= 0, share_of_group[numbers], -1)
    return [np.flatnonzero(share_of_row == share) for share in np.unique(share_of_group)]


def apply(op: Any, inputs: tuple[Any, ...], rows: Rows) -> Any:
    """Return what an operator's function makes of the groups in some rows, as pandas puts it together."""
    data = inputs[0].iloc[rows]
    if op.order_cols:
        ascending = op.ascending if len(op.ascending) > 1 else op.ascending[0]
        data = data.sort_values(op.order_cols, ascending=ascending, kind="stable")
    given = Arguments(op, (data, *inputs[1:]))
    function, size = plain_function(op.func), op.batch_rows

    def batched(group: Any, *args: Any, **kwargs: Any) -> Any:
        if not size or len(group) <= size:
            return function(group, *args, **kwargs)
        starts = range(0, len(group), size)
        return pd.concat([function(group.iloc[start : start + size], *args, **kwargs) for start in starts])

    # Which columns a function gets is settled by the selection, with every release of pandas.
    keywords = {name: value for name, value in (op.kwargs or {}).items() if name != "include_groups"}
    return _grouped(given, _with_selection(op, data)).apply(batched, *(op.args or ()), **keywords)


def with_declared_index(made: Any, declared: Any) -> Any:
    """Return a result with the names that the SDK declares for its index, where it declares any."""
    index = declared.index_value.to_pandas()
    if not len(made) and made.index.nlevels != index.nlevels:
        return made.set_axis(index[:0])
    return made.rename_axis(index.names) if any(index.names) else made


def _with_selection(op: Any, data: Any) -> dict[str, Any]:
    """Return the parameters of ``groupby``; a frame's function does not get the columns of the groups."""
    params = dict(op.groupby_params)
    if data.ndim == 2 and params.get("selection") is None:
        by = make_column_list(params.get("by") or [], data.dtypes) or []
        params["selection"] = [name for name in data.columns if name not in by]
    return params


def _grouped(given: Arguments, params: dict[str, Any]) -> Any:
    known = {name: given.of(value) for name, value in params.items() if value is not None}
    selection = known.pop("selection", None)
    grouped = given.data.groupby(**known)
    return grouped if selection is None else grouped[selection]
