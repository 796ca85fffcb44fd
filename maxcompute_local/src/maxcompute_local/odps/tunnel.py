"""The table tunnel: uploads in blocks, committed as one; downloads of row ranges of a snapshot."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from maxcompute_local.odps import codec, errors
from maxcompute_local.odps.catalog import (
    OWNER,
    Catalog,
    Column,
    DataFile,
    Table,
    table_json,
    table_of_json,
)
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.instances import Instances
from maxcompute_local.odps.sql.result import MAX_CSV_ROWS, Rows
from maxcompute_local.odps.storage import Storage
from maxcompute_local.odps.tasks import Instance
from maxcompute_local.odps.uploads import SESSION_LIFETIME_SECONDS, Uploads, new_id
from maxcompute_local.odps.wire import Call, number, rfc822
from maxcompute_local.stats import Stats

MAX_FIELD_BYTES = 8 * 1024 * 1024
_MAX_CACHED = 1000

_TABLES = """
CREATE TABLE IF NOT EXISTS downloads (id TEXT PRIMARY KEY, created REAL NOT NULL, snapshot TEXT NOT NULL);
"""


@dataclass(frozen=True)
class TableDownload:
    """A snapshot of a partition that a client reads from."""

    id: str
    table: Table
    values: tuple[str, ...]
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(f.rows for f in self.files)


@dataclass(frozen=True)
class ResultDownload:
    """The rows of a finished SELECT that a client reads."""

    id: str
    result: Rows
    rows: int


Download = TableDownload | ResultDownload


class Tunnel:
    """Answers the tunnel's calls. Uploads and downloads survive a restart."""

    def __init__(
        self,
        database: Database,
        catalog: Catalog,
        storage: Storage,
        uploads: Uploads,
        instances: Instances,
        stats: Stats,
    ) -> None:
        self._db = database
        self._uploads = uploads
        self._catalog = catalog
        self._storage = storage
        self._instances = instances
        self._stats = stats
        self._lock = threading.Lock()
        self._downloads: OrderedDict[str, Download] = OrderedDict()
        database.create(_TABLES)

    def forget_old(self) -> None:
        """End the downloads that have lived their time, and let their files go."""
        with self._db.write() as db:
            old = db.execute(
                "DELETE FROM downloads WHERE created < ? RETURNING id",
                (time.time() - SESSION_LIFETIME_SECONDS,),
            ).fetchall()
            self._catalog.unpin(row["id"] for row in old)
        with self._lock:
            for row in old:
                self._downloads.pop(row["id"], None)

    # Tables

    def handles(self, call: Call) -> bool:
        """Return whether a call on a table is one of the tunnel's."""
        return any(name in call.query for name in ("uploads", "uploadid", "downloads", "downloadid"))

    def table(self, call: Call, table: Table) -> Response:
        """Answer a call on a table."""
        match call.method:
            case "POST" if "uploads" in call.query:
                return self._create_upload(call, table)
            case "POST" if "uploadid" in call.query:
                return self._commit_upload(call, table)
            case "PUT" if "uploadid" in call.query:
                return self._upload_block(call, table)
            case "GET" if "uploadid" in call.query:
                self._stats.count("odps.tunnel.get_upload")
                return self._upload_json(self._upload(call, table), table)
            case "POST" if "downloads" in call.query:
                return self._create_download(call, table)
            case "GET" if "downloadid" in call.query:
                return self._download(call)
        raise errors.invalid_argument(f"the tunnel has no {call.method} with these parameters")

    # Uploads

    def _create_upload(self, call: Call, table: Table) -> Response:
        self._stats.count("odps.tunnel.create_upload")
        if table.definition.view_text is not None:
            raise errors.invalid_argument(f"{table.full_name} is a view")
        values = table.partition_values(call.query.get("partition"))
        if table.partition_columns and call.query.get("create_partition") == "true":
            self._catalog.add_partitions(table, [values], if_not_exists=True)
        self._catalog.partition(table, values)
        upload = self._uploads.begin(table, values, overwrite=call.query.get("overwrite") == "true")
        return self._upload_json(upload, table)

    def _upload(self, call: Call, table: Table) -> sqlite3.Row:
        return self._uploads.get(call.parameter("uploadid"), table)

    def _upload_block(self, call: Call, table: Table) -> Response:
        self._stats.count("odps.tunnel.upload_block")
        upload = self._upload(call, table)
        read = codec.read_arrow if "arrow" in call.query else codec.read_records
        body = codec.decompressed(call.body, call.headers.get("content-encoding"))
        self._uploads.add_block(upload, table, call.integer("blockid", 0), read(body, table.columns))
        return Response(status_code=201)

    def _commit_upload(self, call: Call, table: Table) -> Response:
        self._stats.count("odps.tunnel.commit_upload")
        upload = self._uploads.commit(call.parameter("uploadid"), table)
        return self._upload_json(upload, table)

    def _upload_json(self, upload: sqlite3.Row, table: Table) -> Response:
        return JSONResponse(
            {
                "UploadID": upload["id"],
                "Status": upload["status"],
                "Schema": _schema_json(table.columns, table.partition_columns),
                "MaxFieldSize": MAX_FIELD_BYTES,
                "QuotaName": "default",
                "UploadedBlockList": [
                    {"BlockID": block_id, "CreateTime": 0, "Date": ""}
                    for block_id in self._uploads.block_ids(upload["id"])
                ],
                "Initiated": rfc822(upload["created"]),
                "Owner": OWNER,
            }
        )

    # Downloads

    def _create_download(self, call: Call, table: Table) -> Response:
        self._stats.count("odps.tunnel.create_download")
        if table.definition.view_text is not None:
            raise errors.invalid_argument(f"{table.full_name} is a view")
        values = table.partition_values(call.query.get("partition"))
        # Pinned before garbage can be collected: in between they would have to be garbage for minutes.
        partition = self._catalog.partition(table, values)
        download = TableDownload(new_id(), table, values, partition.files)
        snapshot = {
            "table": table_json(table),
            "values": values,
            "files": [[f.path, f.rows, f.size, f.columns] for f in partition.files],
        }
        return self._remember(download, snapshot)

    def result(self, call: Call, instance: Instance) -> Response:
        """Answer a call on the result of a finished instance."""
        if call.method != "POST":
            return self._download(call)
        self._stats.count("odps.tunnel.create_download")
        if instance.error is not None:
            raise errors.invalid_argument(f"the instance failed: {instance.error}")
        rows = self._instances.rows(instance)
        if rows is None:
            # By this class clients know that they have to read the text result instead.
            raise errors.OdpsError(
                400, "InstanceTypeNotSupported", "the instance is no SELECT: it has a text result and no rows"
            )
        limited = "instance_tunnel_limit_enabled" in call.query
        count = min(rows.count, MAX_CSV_ROWS) if limited else rows.count
        snapshot = {"project": instance.project, "instance": instance.id, "rows": count}
        return self._remember(ResultDownload(new_id(), rows, count), snapshot)

    def _remember(self, download: Download, snapshot: Mapping[str, object]) -> Response:
        with self._db.write() as db:
            db.execute(
                "INSERT INTO downloads VALUES (?, ?, ?)", (download.id, time.time(), json.dumps(snapshot))
            )
            if isinstance(download, TableDownload):
                self._catalog.pin(download.id, download.files)
        self._cache(download)
        return _download_json(download)

    def _cache(self, download: Download) -> None:
        with self._lock:
            self._downloads[download.id] = download
            while len(self._downloads) > _MAX_CACHED:
                self._downloads.popitem(last=False)

    def _recall(self, download_id: str) -> Download:
        with self._lock:
            download = self._downloads.get(download_id)
        if download is not None:
            return download
        with self._db.read() as db:
            row = db.execute("SELECT snapshot FROM downloads WHERE id = ?", (download_id,)).fetchone()
        download = None if row is None else self._restored(download_id, json.loads(row["snapshot"]))
        if download is None:
            raise errors.OdpsError(404, "NoSuchDownload", f"The download id {download_id} does not exist.")
        self._cache(download)
        return download

    def _restored(self, download_id: str, snapshot: Mapping[str, Any]) -> Download | None:
        if "instance" in snapshot:
            rows = self._instances.rows(self._instances.get(snapshot["project"], snapshot["instance"]))
            return None if rows is None else ResultDownload(download_id, rows, snapshot["rows"])
        files = tuple(DataFile(path, rows, size, tuple(ids)) for path, rows, size, ids in snapshot["files"])
        return TableDownload(download_id, table_of_json(snapshot["table"]), tuple(snapshot["values"]), files)

    def _download(self, call: Call) -> Response:
        download = self._recall(call.parameter("downloadid"))
        if "data" in call.query:
            self._stats.count("odps.tunnel.read")
            return self._data(call, download)
        self._stats.count("odps.tunnel.get_download")
        if isinstance(download, TableDownload):
            self._require_current(download)
        return _download_json(download)

    def _require_current(self, download: TableDownload) -> None:
        """Raise TableModified when the data has changed, upon which clients begin anew."""
        found = self._catalog.find_table(download.table.project, download.table.schema, download.table.name)
        current = None
        if found is not None and found.id == download.table.id:
            partitions = {p.values: p.files for p in self._catalog.partitions(found)}
            current = partitions.get(download.values, ())
        if current != download.files:
            raise _table_modified()

    def _data(self, call: Call, download: Download) -> Response:
        start, count = _row_range(call, download.rows)
        arrow = "arrow" in call.query
        if isinstance(download, TableDownload):
            columns = _wanted_columns(call, download.table.columns, arrow)
            batches = self._storage.read(download.files, columns, start, count)
        else:
            columns = _wanted_columns(call, download.result.columns, arrow)
            batches = download.result.read(start, count, columns)
        structs = isinstance(download, ResultDownload)
        stream: Iterator[bytes] = (
            codec.write_arrow(batches, columns, structs) if arrow else codec.write_records(batches, columns)
        )
        return StreamingResponse(stream, media_type="application/octet-stream")


def _table_modified() -> errors.OdpsError:
    return errors.OdpsError(
        400, "TableModified", "The specified table has been modified since the download initiated."
    )


def _row_range(call: Call, rows: int) -> tuple[int, int]:
    text = call.parameter("rowrange").strip("()")
    try:
        start, count = (number(part, "the row range") for part in text.split(","))
    except ValueError as error:
        raise errors.invalid_argument(f"cannot read the row range {text[:100]!r}") from error
    # MaxFrame's reader of several partitions asks for negative starts from the second one on.
    start = max(start, 0)
    return start, max(0, min(count, rows - start))


def _wanted_columns(call: Call, columns: Sequence[Column], arrow: bool) -> list[Column]:
    names = call.query.get("columns")
    if not names:
        return list(columns)
    by_name = {c.name: c for c in columns}
    wanted = [name.strip().lower() for name in names.split(",")]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise errors.invalid_argument(f"there is no column {unknown[0]}")
    # Records come in the order asked for, Arrow in that of the table.
    return [c for c in columns if c.name in wanted] if arrow else [by_name[name] for name in wanted]


def _schema_json(columns: Sequence[Column], partition_columns: Sequence[Column] = ()) -> dict[str, object]:
    def describe(column: Column, position: int) -> dict[str, object]:
        return {
            "name": column.name,
            "type": column.type,
            "nullable": column.nullable,
            "comment": column.comment,
            "column_id": str(position),
        }

    return {
        "columns": [describe(c, i) for i, c in enumerate(columns)],
        "partitionKeys": [describe(c, i) for i, c in enumerate(partition_columns)],
    }


def _download_json(download: Download) -> Response:
    if isinstance(download, TableDownload):
        schema = _schema_json(download.table.columns, download.table.partition_columns)
    else:
        schema = _schema_json(download.result.columns)
    return JSONResponse(
        {
            "DownloadID": download.id,
            "Status": "normal",
            "RecordCount": download.rows,
            "Schema": schema,
            "QuotaName": "default",
            "SupportReadByRawSize": False,
        }
    )
