"""Table data as immutable Parquet files below one folder: writing, reading row ranges, removing.

A file's columns carry the ids of the table's columns, so that renaming one touches no data. Its folder
carries the partition values (``p0=v20261120``), so that the SQL engine skips files without opening them.
"""

from __future__ import annotations

import math
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from odps import types as odps_types

from maxcompute_local.durable import make_folders, sync
from maxcompute_local.faults.current import check_disk
from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import Catalog, Column, DataFile, Table
from maxcompute_local.odps.types import odps_type, storage_schema

BATCH_ROWS = 16384
BATCH_BYTES = 8 << 20
"""Largest batch in memory, where rows are large; a single row may be larger."""
_MAX_FOLDER_NAME_BYTES = 250
_ROW_GROUP_ROWS = 131072
_ROW_GROUP_BYTES = 32 << 20
_COMPRESSION = "zstd"


class Storage:
    """The data folder."""

    def __init__(self, root: Path) -> None:
        make_folders(root)
        self._root = root.resolve()
        self._lock = threading.Lock()
        self._readers: dict[object, tuple[float, float]] = {}

    def absolute(self, file: DataFile) -> Path:
        """Return where a file is."""
        return self._root / file.path

    def new_path(self, table: Table, values: Sequence[str]) -> Path:
        """Return the path of a file to be written for a partition; its folder exists afterwards."""
        folder = self._root / table.id
        for i, value in enumerate(values):
            # The letter keeps the engine from taking a value for its own NULL marker.
            name = f"p{i}=v{quote(value, safe='')}"
            if len(name) > _MAX_FOLDER_NAME_BYTES:
                raise errors.invalid_partition(f"the value {value!r} is too long for the local cloud")
            folder /= name
        make_folders(folder)
        return folder / f"{uuid.uuid4().hex}.parquet"

    def describe(self, path: Path) -> DataFile:
        """Write a Parquet file at a path of ``new_path`` to disk and return its description."""
        sync(path)
        sync(path.parent)
        with pq.ParquetFile(path) as parquet:
            rows, columns = parquet.metadata.num_rows, tuple(parquet.schema_arrow.names)
        return DataFile(str(path.relative_to(self._root)), rows, path.stat().st_size, columns)

    def write(self, table: Table, values: Sequence[str], batches: Iterable[pa.RecordBatch]) -> DataFile:
        """Write batches, whose columns carry the names of the table's, into one new file."""
        by_name = storage_schema(table.columns)
        by_id = storage_schema(table.columns, by_id=True)
        path = self.new_path(table, values)
        try:
            with pq.ParquetWriter(path, by_id, compression=_COMPRESSION) as writer:
                stored = (_filled(cast_batch(batch, by_name), table.columns) for batch in batches)
                for group in _row_groups(stored):
                    writer.write_table(pa.Table.from_arrays(group.columns, schema=by_id))
                check_disk()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return self.describe(path)

    def link(self, table: Table, values: Sequence[str], file: DataFile) -> DataFile:
        """Make a file part of another partition without copying it."""
        path = self.new_path(table, values)
        os.link(self.absolute(file), path)
        sync(path.parent)
        return DataFile(str(path.relative_to(self._root)), file.rows, file.size, file.columns)

    def read(
        self,
        files: Sequence[DataFile],
        columns: Sequence[Column],
        start: int = 0,
        count: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows ``start`` to ``start + count`` of a snapshot; columns that a file lacks are NULL."""
        named = [(self.absolute(f), f.rows) for f in files]
        return read_parquet(named, columns, start, count)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep what becomes garbage from now on until the end of the context."""
        reader = object()
        with self._lock:
            self._readers[reader] = (time.time(), time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                del self._readers[reader]

    def oldest_reader(self) -> float:
        """Return since when somebody has been ``reading``, infinity when nobody is."""
        now, ticks = time.time(), time.monotonic()
        with self._lock:
            # By the clock of then and by that of now, whichever way it was put meanwhile.
            begun = [min(at, now - (ticks - tick)) for at, tick in self._readers.values()]
        return min(begun, default=math.inf)

    def remove(self, paths: Iterable[str]) -> None:
        """Delete files; those that are gone already are fine."""
        for path in paths:
            (self._root / path).unlink(missing_ok=True)

    def files(self) -> set[str]:
        """Return the paths of all files there are."""
        return {str(path.relative_to(self._root)) for path in self._root.rglob("*.parquet")}

    def remove_empty_folders(self, table_id: str = "") -> None:
        """Delete folders without files, of one table or all. Only safe while nothing writes there."""
        for folder, _, _ in os.walk(self._root / table_id, topdown=False):
            path = Path(folder)
            if path != self._root and not any(path.iterdir()):
                path.rmdir()


def read_parquet(
    files: Sequence[tuple[Path, int]], columns: Sequence[Column], start: int, count: int | None
) -> Iterator[pa.RecordBatch]:
    """Yield a range of the rows of Parquet files, given with their row counts, under the columns' names."""
    for path, rows in files:
        if count is not None and count <= 0:
            return
        if start >= rows:
            start -= rows
            continue
        with pq.ParquetFile(path) as parquet:
            for batch in _batches(parquet, columns, start, count):
                if count is not None:
                    count -= batch.num_rows
                yield batch
        start = 0


def _batches(
    parquet: pq.ParquetFile, columns: Sequence[Column], start: int, count: int | None
) -> Iterator[pa.RecordBatch]:
    groups = list(range(parquet.num_row_groups))
    while groups and start >= (in_group := parquet.metadata.row_group(groups[0]).num_rows):
        start -= in_group
        groups.pop(0)
    in_file = parquet.schema_arrow.names
    # A file that has none of the wanted columns still says how many rows there are.
    wanted = [c.id for c in columns if c.id in in_file] or in_file[:1]
    schema = storage_schema(columns)
    # One group after the other: a batch over several could be as large as all of them.
    found = (
        batch
        for group in groups
        for batch in parquet.iter_batches(
            _rows_at_a_time(parquet.metadata.row_group(group)), row_groups=[group], columns=wanted
        )
    )
    for batch in found:
        if count is not None and count <= 0:
            return
        if start >= batch.num_rows:
            start -= batch.num_rows
            continue
        part = batch.slice(start, count)
        start = 0
        if count is not None:
            count -= part.num_rows
        arrays = [
            cast_array(part.column(c.id), field.type)
            if c.id in in_file
            else pa.nulls(part.num_rows, field.type)
            for c, field in zip(columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _rows_at_a_time(group: pq.RowGroupMetaData) -> int:
    """Return how many rows of a group fit into one batch of bounded size."""
    row_bytes = group.total_byte_size / max(group.num_rows, 1)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(row_bytes, 1))))


def _row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Gather batches into row groups that are bounded in rows and bytes."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _ROW_GROUP_ROWS or size >= _ROW_GROUP_BYTES:
            yield pa.Table.from_batches(group)
            group, rows, size = [], 0, 0
    if group:
        yield pa.Table.from_batches(group)


def _filled(batch: pa.RecordBatch, columns: Sequence[Column]) -> pa.RecordBatch:
    """Fill up values of CHAR(n) with blanks, so that values that differ only by them are one."""
    for i, column in enumerate(columns):
        kind = odps_type(column.type)
        if isinstance(kind, odps_types.Char):
            plain = pc.utf8_rtrim(batch.column(i), characters=" ")
            padded = pc.utf8_rpad(plain, width=kind.size_limit, padding=" ")
            batch = batch.set_column(i, batch.schema.field(i), padded)
    return batch


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with exactly the columns and types of a schema; missing columns become NULL."""
    if batch.schema.equals(schema):
        return batch
    positions = {name.lower(): i for i, name in enumerate(batch.schema.names)}
    arrays = []
    for wanted in schema:
        position = positions.get(wanted.name.lower())
        if position is None:
            arrays.append(pa.nulls(batch.num_rows, wanted.type))
        else:
            arrays.append(cast_array(batch.column(position), wanted.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def cast_array(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return an array as another type. Timestamps without a zone count from the epoch in UTC.

    Raises an InvalidArgument error for values that do not fit.
    """
    if array.type == wanted:
        return array
    try:
        return _cast(array, wanted)
    except pa.ArrowInvalid as error:
        raise errors.invalid_argument(f"cannot store {array.type} as {wanted}: {error}") from error


def _cast(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    both_timestamps = pa.types.is_timestamp(wanted) and pa.types.is_timestamp(array.type)
    if both_timestamps:
        # Between clock readings finer than the wanted unit, the rest is cut off, as the service does.
        same_zone = array.cast(pa.timestamp(wanted.unit, array.type.tz), safe=False)
        return same_zone.view(wanted)
    if pa.types.is_nested(wanted) and not pa.types.is_null(array.type):
        return _cast_nested(array, wanted)
    return array.cast(wanted)


def _cast_nested(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    try:
        return array.cast(wanted)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        # Arrow has no cast between some nested types (e.g. of other field orders); values always work.
        return pa.array(array.to_pylist(), wanted)


def collect_garbage(catalog: Catalog, storage: Storage, min_age_seconds: float) -> int:
    """Delete files that no table names since ``min_age_seconds`` and nobody reads; return how many."""
    paths = catalog.garbage(min(time.time() - min_age_seconds, storage.oldest_reader()))
    storage.remove(paths)
    for table_id in {path.partition("/")[0] for path in paths} - catalog.table_ids():
        storage.remove_empty_folders(table_id)
    catalog.forget_garbage(paths)
    return len(paths)
