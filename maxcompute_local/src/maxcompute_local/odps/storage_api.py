"""The Storage API, version 1: Arrow streams from splits of a snapshot, and blocks that are committed as one.

It is what MaxFrame uses with ``options.use_common_table``, and ``odps.apis.storage_api``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

import pyarrow as pa
from starlette.responses import JSONResponse, Response, StreamingResponse

from maxcompute_local import json_text
from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import (
    Catalog,
    Column,
    DataFile,
    Partition,
    Table,
    table_json,
    table_of_json,
)
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.storage import Storage, cast_array
from maxcompute_local.odps.types import storage_schema
from maxcompute_local.odps.uploads import SESSION_LIFETIME_SECONDS, Uploads, new_id
from maxcompute_local.odps.wire import Call, number
from maxcompute_local.stats import Stats

MAX_BLOCKS = 20_000
_MAX_ATTEMPTS = 1 << 16
_MIN_SPLIT_BYTES = 10 << 20
_MAX_BATCH_ROWS = 20_000
_FORMATS = [{"Type": "ARROW", "Version": "V5"}]
_UNITS = {"second": "s", "milli": "ms", "micro": "us", "nano": "ns"}
_COMPRESSIONS = {"ZSTD": "zstd", "LZ4_FRAME": "lz4"}
_BY_ROWS = -1
"""Number of splits of a session whose client says which rows it wants."""

_TABLES = """
CREATE TABLE IF NOT EXISTS read_sessions (id TEXT PRIMARY KEY, created REAL NOT NULL, snapshot TEXT NOT NULL);
"""


@dataclass(frozen=True)
class ReadSession:
    """A snapshot of partitions, in splits of about as many rows each; units are those of Arrow."""

    id: str
    table: Table
    columns: tuple[Column, ...]
    partition_columns: tuple[Column, ...]
    partitions: tuple[tuple[tuple[str, ...], tuple[DataFile, ...]], ...]
    splits: int
    datetime_unit: str
    timestamp_unit: str

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(file.rows for _, files in self.partitions for file in files)

    @property
    def size(self) -> int:
        """Return the size of the files in bytes."""
        return sum(file.size for _, files in self.partitions for file in files)

    @property
    def schema(self) -> pa.Schema:
        """Return the schema of what the client gets."""
        fields = []
        for column, field in zip(self._all, storage_schema(self._all), strict=True):
            unit = {"datetime": self.datetime_unit, "timestamp": self.timestamp_unit}.get(column.type)
            fields.append(field if unit is None else field.with_type(pa.timestamp(unit, field.type.tz)))
        return pa.schema(fields)

    @property
    def _all(self) -> tuple[Column, ...]:
        return self.columns + self.partition_columns


class StorageApi:
    """Answers the calls below a table's address in the Storage API. Its sessions survive a restart."""

    def __init__(
        self, database: Database, catalog: Catalog, storage: Storage, uploads: Uploads, stats: Stats
    ) -> None:
        self._db = database
        self._catalog = catalog
        self._storage = storage
        self._uploads = uploads
        self._stats = stats
        database.create(_TABLES)

    def forget_old(self) -> None:
        """End the sessions for reading that have lived their time, and let their files go."""
        with self._db.write() as db:
            old = db.execute(
                "DELETE FROM read_sessions WHERE created < ? RETURNING id",
                (time.time() - SESSION_LIFETIME_SECONDS,),
            ).fetchall()
            self._catalog.unpin(row["id"] for row in old)

    def handle(self, call: Call, table: Table, segments: Sequence[str]) -> Response:
        """Answer a call; ``segments`` follow the table in its path."""
        kind = [call.query.get(f"data_format_{name}", "").upper() for name in ("type", "version")]
        if kind[0] not in ("", "ARROW") or kind[1] not in ("", "V5"):
            raise errors.not_supported(f"data in the format {' '.join(kind)[:100]}")
        reads = call.query.get("session_type") == "batch_read"
        match call.method, list(segments):
            case "POST", ["sessions"] if reads:
                return self._create_read_session(call, table)
            case "GET", ["sessions", session_id] if reads:
                self._stats.count("odps.storage.get_read_session")
                return _read_session_json(self._recall(session_id, table), 200)
            case "GET", ["data"]:
                return self._read(call, table)
            case "POST", ["sessions"]:
                return self._create_write_session(call, table)
            case "GET", ["sessions", session_id]:
                self._stats.count("odps.storage.get_write_session")
                return self._write_session_json(session_id, table, 200)
            case "POST", ["sessions", session_id, "data"]:
                return self._write(call, table, session_id)
            case "POST", ["commit"]:
                return self._commit(call, table)
        raise errors.not_supported(f"{call.method} {'/'.join(segments)} of the storage API")

    # Reading

    def _create_read_session(self, call: Call, table: Table) -> Response:
        self._stats.count("odps.storage.create_read_session")
        _require_data(table)
        wanted = _Request(call)
        for name in ("FilterPredicate", "RequiredBucketIds"):
            if wanted.value(name):
                raise errors.not_supported(f"{name} of the storage API")
        # Pinned before garbage can be collected: in between they would have to be garbage for minutes.
        found = [(p.values, p.files) for p in self._partitions(table, wanted.texts("RequiredPartitions"))]
        units = wanted.part("ArrowOptions")
        session = ReadSession(
            new_id(),
            table,
            _columns(table.columns, wanted.texts("RequiredDataColumns")) or table.columns,
            _columns(table.partition_columns, wanted.texts("RequiredPartitionColumns")),
            tuple(found),
            0,
            units.choice("DatetimeUnit", _UNITS, "milli"),
            units.choice("TimestampUnit", _UNITS, "nano"),
        )
        snapshot = {
            "table": table_json(table),
            "columns": [c.name for c in session.columns],
            "partition_columns": [c.name for c in session.partition_columns],
            "partitions": [
                [values, [[f.path, f.rows, f.size, f.columns] for f in files]] for values, files in found
            ],
            "splits": _splits(session, wanted.part("SplitOptions")),
            "datetime_unit": session.datetime_unit,
            "timestamp_unit": session.timestamp_unit,
        }
        with self._db.write() as db:
            db.execute(
                "INSERT INTO read_sessions VALUES (?, ?, ?)", (session.id, time.time(), json.dumps(snapshot))
            )
            self._catalog.pin(session.id, [file for _, files in found for file in files])
        return _read_session_json(self._recall(session.id, table), 201)

    def _partitions(self, table: Table, specs: Sequence[str]) -> list[Partition]:
        if not specs:
            return self._catalog.partitions(table)
        return [self._catalog.partition(table, _partition_values(table, spec)) for spec in specs]

    def _recall(self, session_id: str, table: Table) -> ReadSession:
        with self._db.read() as db:
            row = db.execute("SELECT snapshot FROM read_sessions WHERE id = ?", (session_id,)).fetchone()
        snapshot: Mapping[str, Any] = {} if row is None else json.loads(row["snapshot"])
        then = None if row is None else table_of_json(snapshot["table"])
        if then is None or then.id != table.id:
            raise errors.OdpsError(404, "NoSuchSession", f"The session {session_id} does not exist.")
        return ReadSession(
            session_id,
            then,
            _columns(then.columns, snapshot["columns"]),
            _columns(then.partition_columns, snapshot["partition_columns"]),
            tuple(
                (
                    tuple(values),
                    tuple(DataFile(path, rows, size, tuple(ids)) for path, rows, size, ids in files),
                )
                for values, files in snapshot["partitions"]
            ),
            snapshot["splits"],
            snapshot["datetime_unit"],
            snapshot["timestamp_unit"],
        )

    def _read(self, call: Call, table: Table) -> Response:
        self._stats.count("odps.storage.read_rows")
        session = self._recall(call.parameter("session_id"), table)
        if session.splits == _BY_ROWS:
            start, count = call.integer("row_index", 0), call.integer("row_count", 0)
        else:
            split = call.integer("split_index", 0)
            if not 0 <= split < session.splits:
                raise errors.invalid_argument(f"the session has {session.splits} splits, no split {split}")
            start = session.rows * split // session.splits
            count = session.rows * (split + 1) // session.splits - start
        if start < 0 or count < 0:
            raise errors.invalid_argument("row_index and row_count must not be negative")
        batch_rows = max(1, min(call.integer("max_batch_rows", _MAX_BATCH_ROWS), _MAX_BATCH_ROWS))
        compression = _COMPRESSIONS.get(call.headers.get("accept-encoding", ""))
        stream = _stream(self._batches(session, start, count, batch_rows), session.schema, compression)
        return StreamingResponse(stream, media_type="application/octet-stream")

    def _batches(
        self, session: ReadSession, start: int, count: int, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        schema = session.schema
        keys = [c.name for c in session.table.partition_columns]
        for values, files in session.partitions:
            rows = sum(file.rows for file in files)
            if start >= rows:
                start -= rows
                continue
            if count <= 0:
                return
            key = dict(zip(keys, values, strict=True))
            for batch in self._storage.read(files, session.columns, start, count):
                count -= batch.num_rows
                for first in range(0, batch.num_rows, batch_rows):
                    part = batch.slice(first, batch_rows)
                    constants = [
                        pa.repeat(pa.scalar(key[c.name]), part.num_rows) for c in session.partition_columns
                    ]
                    arrays = [
                        _as(array, field.type)
                        for array, field in zip([*part.columns, *constants], schema, strict=True)
                    ]
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            start = 0

    # Writing

    def _create_write_session(self, call: Call, table: Table) -> Response:
        self._stats.count("odps.storage.create_write_session")
        if call.query.get("session_type") != "batch_write":
            raise errors.invalid_argument("session_type is batch_read or batch_write")
        _require_data(table)
        wanted = _Request(call)
        spec = wanted.text("PartitionSpec")
        if table.partition_columns and not spec:
            raise errors.not_supported("dynamic partitions of the storage API")
        overwrite = wanted.value("Overwrite")
        upload = self._uploads.begin(table, _partition_values(table, spec), overwrite=overwrite is not False)
        return self._write_session_json(upload["id"], table, 201)

    def _write(self, call: Call, table: Table, session_id: str) -> Response:
        self._stats.count("odps.storage.write_rows")
        block, attempt = call.integer("block_number", 0), call.integer("attempt_number", 0)
        if not (0 <= block < MAX_BLOCKS and 0 <= attempt < _MAX_ATTEMPTS):
            raise errors.invalid_argument(f"there is no block {block}, attempt {attempt}")
        upload = self._uploads.get(session_id, table)
        self._uploads.add_block(upload, table, block * _MAX_ATTEMPTS + attempt, _uploaded(call.body, table))
        return JSONResponse({"CommitMessage": f"{block}:{attempt}"})

    def _commit(self, call: Call, table: Table) -> Response:
        self._stats.count("odps.storage.commit_write_session")
        session_id = call.parameter("session_id")
        chosen: dict[int, int] = {}
        for message in _Request(call).texts("CommitMessages"):
            block, _, attempt = message.partition(":")
            number_of_block = number(block, "the commit message")
            if number_of_block in chosen:
                raise errors.invalid_argument(f"two attempts of block {number_of_block} cannot both count")
            chosen[number_of_block] = number(attempt, "the commit message")
        blocks = [block * _MAX_ATTEMPTS + attempt for block, attempt in chosen.items()]
        self._uploads.commit(session_id, table, blocks, create_partition=True)
        return self._write_session_json(session_id, table, 201)

    def _write_session_json(self, session_id: str, table: Table, status: int) -> Response:
        upload = self._uploads.get(session_id, table)
        return JSONResponse(
            {
                "SessionId": session_id,
                "SessionType": "batch_write",
                "SessionStatus": "COMMITTED" if upload["status"] == "closed" else "NORMAL",
                "ExpirationTime": int((upload["created"] + SESSION_LIFETIME_SECONDS) * 1000),
                "MaxBlockNumber": MAX_BLOCKS,
                "DataSchema": _schema_json(table.columns, ()),  # the partition was chosen: blocks are without
                "SupportedDataFormat": _FORMATS,
            },
            status,
        )


class _Request:
    """The JSON object that a client sent, or a part of it; what is missing or null is empty."""

    def __init__(self, source: Call | Mapping[str, Any]) -> None:
        if isinstance(source, Call):
            try:
                source = json_text.load(source.body.read() or b"{}")
            except ValueError as error:
                raise errors.invalid_argument(f"the request body is not JSON: {error}") from error
        if not isinstance(source, Mapping):
            raise errors.invalid_argument("the request body is not a JSON object")
        self._values = source

    def value(self, name: str) -> Any:
        return self._values.get(name)

    def part(self, name: str) -> _Request:
        return _Request(self._values.get(name) or {})

    def text(self, name: str) -> str:
        value = self._values.get(name) or ""
        if not isinstance(value, str):
            raise errors.invalid_argument(f"{name} is not a text")
        return value

    def texts(self, name: str) -> list[str]:
        values = self._values.get(name) or []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise errors.invalid_argument(f"{name} is not a list of texts")
        return values

    def choice(self, name: str, choices: Mapping[str, str], default: str) -> str:
        text = self.text(name) or default
        if text not in choices:
            raise errors.invalid_argument(f"{name} is one of {', '.join(choices)}, not {text[:100]!r}")
        return choices[text]


def _require_data(table: Table) -> None:
    if table.definition.view_text is not None:
        raise errors.invalid_argument(f"{table.full_name} is a view")


def _partition_values(table: Table, spec: str) -> tuple[str, ...]:
    """Read ``a=1/b=2``."""
    return table.partition_values(spec.replace("/", ","))


def _columns(columns: Sequence[Column], names: Sequence[str]) -> tuple[Column, ...]:
    by_name = {c.name: c for c in columns}
    unknown = [name for name in names if name.lower() not in by_name]
    if unknown:
        raise errors.invalid_argument(f"there is no column {unknown[0][:100]}")
    return tuple(by_name[name.lower()] for name in names)


def _splits(session: ReadSession, options: _Request) -> int:
    """Return how many splits a session has; none is empty."""
    mode = options.text("SplitMode") or "Size"
    wanted = options.value("SplitNumber")
    if wanted is not None and (not isinstance(wanted, int) or wanted < 0):
        raise errors.invalid_argument("SplitNumber is not a number")
    match mode:
        case "RowOffset":
            return _BY_ROWS
        case "Size":
            if wanted and wanted < _MIN_SPLIT_BYTES:
                raise errors.invalid_argument(f"a split has at least {_MIN_SPLIT_BYTES} bytes")
            count = math.ceil(session.size / (wanted or 256 << 20))
        case "Parallelism":
            count = wanted or 1
        case _:
            raise errors.not_supported(f"splits by {mode[:100]} in the storage API")
    return min(count, session.rows)


def _as(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(array.type) and pa.types.is_timestamp(wanted):
        return array.cast(wanted, safe=False)  # the client asked for this precision
    return cast_array(array, wanted)


def _stream(batches: Iterator[pa.RecordBatch], schema: pa.Schema, compression: str | None) -> Iterator[bytes]:
    """Yield an Arrow IPC stream piece by piece."""
    sink = BytesIO()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def _uploaded(body: IO[bytes], table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the batches of an uploaded block, which must have the table's columns."""
    if not body.read(1):
        return
    body.seek(0)
    with pa.ipc.open_stream(body) as reader:
        names = sorted(name.lower() for name in reader.schema.names)
        if names != sorted(c.name for c in table.columns):
            raise errors.invalid_argument(f"the columns of {table.full_name} are expected, not {names}")
        yield from reader


def _read_session_json(session: ReadSession, status: int) -> Response:
    return JSONResponse(
        {
            "SessionId": session.id,
            "SessionType": "batch_read",
            "SessionStatus": "NORMAL",
            "ExpirationTime": int((time.time() + SESSION_LIFETIME_SECONDS) * 1000),
            "SplitsCount": session.splits,
            "RecordCount": session.rows,
            "DataSchema": _schema_json(session.columns, session.partition_columns),
            "SupportedDataFormat": _FORMATS,
            "SessionStats": {"EstimatedSize": session.size, "EstimatedRowCount": session.rows},
        },
        status,
    )


def _schema_json(columns: Sequence[Column], partition_columns: Sequence[Column]) -> dict[str, object]:
    def describe(column: Column) -> dict[str, object]:
        return {
            "Name": column.name,
            "Type": column.type,
            "Comment": column.comment,
            "Nullable": column.nullable,
        }

    return {
        "DataColumns": [describe(c) for c in columns],
        "PartitionColumns": [describe(c) for c in partition_columns],
    }
