"""Table data as immutable Parquet files below one folder: writing, reading row ranges, removing.

A file's columns carry the ids of the table's columns, so that renaming one touches no data. Its folder
carries the partition values (``p0=v20261120``), so that the SQL engine skips files without opening them.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider_drivepipe.local.faults.current import check_disk
from airflow_provider_drivepipe.local.odps import errors
from airflow_provider_drivepipe.local.odps.catalog import Catalog, Column, DataFile, Table
from airflow_provider_drivepipe.local.odps.types import storage_schema

BATCH_ROWS = 16384
_MAX_FOLDER_NAME_BYTES = 250
_ROW_GROUP_ROWS = 131072
_COMPRESSION = "zstd"


class Storage:
    """The data folder."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()

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
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{uuid.uuid4().hex}.parquet"

    def describe(self, path: Path) -> DataFile:
        """Return the description of a Parquet file that was written at a path of ``new_path``."""
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
                for batch in batches:
                    cast = cast_batch(batch, by_name)
                    renamed = pa.RecordBatch.from_arrays(cast.columns, schema=by_id)
                    writer.write_batch(renamed, row_group_size=_ROW_GROUP_ROWS)
                check_disk()
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return self.describe(path)

    def link(self, table: Table, values: Sequence[str], file: DataFile) -> DataFile:
        """Make a file part of another partition without copying it."""
        path = self.new_path(table, values)
        os.link(self.absolute(file), path)
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

    def remove(self, paths: Iterable[str]) -> None:
        """Delete files; those that are gone already are fine."""
        for path in paths:
            (self._root / path).unlink(missing_ok=True)

    def files(self) -> set[str]:
        """Return the paths of all files there are."""
        return {str(path.relative_to(self._root)) for path in self._root.rglob("*.parquet")}

    def remove_empty_folders(self) -> None:
        """Delete folders without files. Only safe while nothing writes."""
        for folder, _, _ in os.walk(self._root, topdown=False):
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
    for batch in parquet.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=wanted):
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
    """Delete files that no table names since at least ``min_age_seconds``; return how many."""
    paths = catalog.garbage(time.time() - min_age_seconds)
    storage.remove(paths)
    catalog.forget_garbage(paths)
    return len(paths)
