"""How rows are spread over chunks, as over a cluster's workers.

The rows of a chunk are worked on one after the other, batch by batch; several chunks, side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, chain
from typing import Any

import pandas as pd

Table = pd.DataFrame | pd.Series | pd.Index


class Spread:
    """The chunks of a DAG's variables, each as its number of rows.

    What is read is one chunk; ``rebalance`` and ``rechunk`` make more. Other operators leave rows in their
    chunks; those that make rows of which that cannot be told, even ones in as many chunks as they were given.
    """

    def __init__(self) -> None:
        self._chunks: dict[str, list[int]] = {}
        self._inputs: list[tuple[list[int], Any]] = []
        self.made: list[int] | None = None
        """Set by an operator that knows the chunks of its output."""

    @property
    def given(self) -> list[int]:
        """The chunks of the running operator's first table."""
        return self._inputs[0][0] if self._inputs else []

    def begin(self, inputs: Iterable[tuple[str, Any]]) -> None:
        """Note the tables that the next operator takes, by variable."""
        self._inputs = [(self._chunks_of(name, len(table)), table) for name, table in inputs]
        self.made = None

    def _chunks_of(self, name: str, rows: int) -> list[int]:
        # What an operator has changed in place may have other rows now; none may be lost for that.
        chunks = self._chunks.get(name, [])
        return chunks if sum(chunks) == rows else [rows]

    def end(self, outputs: Iterable[tuple[str, Any]]) -> None:
        """Note the tables that it has made."""
        for name, table in outputs:
            self._chunks[name] = self._of_output(len(table)) if self.made is None else self.made

    def _of_output(self, rows: int) -> list[int]:
        if not self._inputs:
            return [rows]
        (given, table), *others = self._inputs
        if rows == len(table):
            return given
        if rows == sum(len(each) for _, each in self._inputs):
            return list(chain.from_iterable(chunks for chunks, _ in self._inputs))
        mask = others[0][1] if len(others) == 1 else None
        if isinstance(mask, pd.Series) and len(mask) == len(table) and pd.api.types.is_bool_dtype(mask.dtype):
            ends = list(accumulate(given))
            return [int(mask.iloc[end - size : end].sum()) for size, end in zip(given, ends, strict=True)]
        return evenly(rows, len(given))


def evenly(rows: int, chunks: int) -> list[int]:
    """Return at most so many chunks, all of one size but for the last."""
    return of_size(rows, -(-rows // max(1, chunks)))


def of_size(rows: int, size: int) -> list[int]:
    """Return chunks of so many rows, fewer in the last; none for no rows."""
    return [min(size, rows - start) for start in range(0, rows, max(1, size))]


def rechunked(op: Any, rows: int, given: list[int]) -> list[int]:
    """Return the chunks that ``rebalance`` or ``rechunk`` makes of rows."""
    if op.num_partitions is not None or op.factor is not None:
        wanted = len(given) * op.factor if op.num_partitions is None else op.num_partitions
        return given if op.axis else evenly(rows, int(wanted))
    size = op.chunk_size
    if isinstance(size, dict):
        size = size.get(0)
    elif isinstance(size, tuple | list):
        size = size[0]
    if isinstance(size, tuple | list):
        return list(size)
    return given if size is None else of_size(rows, size)
