"""Uploads to a table: blocks that are written one by one and become the table's all at once."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence

import pyarrow as pa
from odps.errors import ChecksumError
from odps.tunnel.pb.errors import DecodeError

from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import Catalog, DataFile, Table
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.storage import Storage

SESSION_LIFETIME_SECONDS = 86400.0
"""How long uploads and downloads may last, as in the service."""

_TABLES = """
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, table_id TEXT NOT NULL, partition_values TEXT NOT NULL,
    overwrite INTEGER NOT NULL, status TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS upload_blocks (
    upload_id TEXT NOT NULL REFERENCES uploads ON DELETE CASCADE, block_id INTEGER NOT NULL,
    path TEXT NOT NULL, rows INTEGER NOT NULL, size INTEGER NOT NULL, columns TEXT NOT NULL,
    PRIMARY KEY (upload_id, block_id));
"""


class Uploads:
    """Uploads, which survive a restart."""

    def __init__(self, database: Database, catalog: Catalog, storage: Storage) -> None:
        self._db = database
        self._catalog = catalog
        self._storage = storage
        database.create(_TABLES)

    def open_files(self) -> set[str]:
        """Return the files of uploads that may still be committed."""
        with self._db.read() as db:
            rows = db.execute(
                "SELECT b.path FROM upload_blocks b JOIN uploads u ON u.id = b.upload_id "
                "WHERE u.status = 'normal'"
            ).fetchall()
        return {row["path"] for row in rows}

    def forget_old(self) -> None:
        """End the uploads that have lived their time, and remove their files."""
        limit = time.time() - SESSION_LIFETIME_SECONDS
        with self._db.write() as db:
            files = db.execute(
                "SELECT b.path FROM upload_blocks b JOIN uploads u ON u.id = b.upload_id "
                "WHERE u.status = 'normal' AND u.created < ?",
                (limit,),
            ).fetchall()
            db.execute("DELETE FROM uploads WHERE created < ?", (limit,))
        self._storage.remove(row["path"] for row in files)

    def begin(self, table: Table, values: Sequence[str], *, overwrite: bool) -> sqlite3.Row:
        """Start an upload to a partition and return its row."""
        upload_id = new_id()
        with self._db.write() as db:
            db.execute(
                "INSERT INTO uploads VALUES (?, ?, ?, ?, 'normal', ?)",
                (upload_id, table.id, json.dumps(values), overwrite, time.time()),
            )
        return self.get(upload_id, table)

    def get(self, upload_id: str, table: Table) -> sqlite3.Row:
        """Return the row of an upload; NoSuchUpload unless it is one to this table."""
        with self._db.read() as db:
            row: sqlite3.Row | None = db.execute(
                "SELECT * FROM uploads WHERE id = ?", (upload_id,)
            ).fetchone()
        if row is None or row["table_id"] != table.id:
            raise errors.OdpsError(404, "NoSuchUpload", f"The upload id {upload_id} does not exist.")
        return row

    def block_ids(self, upload_id: str) -> list[int]:
        """Return the blocks that an upload has, in order."""
        with self._db.read() as db:
            rows = db.execute(
                "SELECT block_id FROM upload_blocks WHERE upload_id = ? ORDER BY block_id", (upload_id,)
            )
            return [row["block_id"] for row in rows]

    def add_block(
        self, upload: sqlite3.Row, table: Table, block_id: int, batches: Iterable[pa.RecordBatch]
    ) -> None:
        """Write a block, in place of an earlier one of its number.

        :raises OdpsError: StatusConflict, InvalidArgument for batches that cannot be read or stored.
        """
        _require_open(upload)
        file = self._write(table, json.loads(upload["partition_values"]), batches)
        try:
            with self._db.write() as db:
                # Committed meanwhile, the block that this one comes too late to replace is the table's.
                _require_open(self.get(upload["id"], table))
                replaced = db.execute(
                    "SELECT path FROM upload_blocks WHERE upload_id = ? AND block_id = ?",
                    (upload["id"], block_id),
                ).fetchall()
                db.execute(
                    "INSERT OR REPLACE INTO upload_blocks VALUES (?, ?, ?, ?, ?, ?)",
                    (upload["id"], block_id, file.path, file.rows, file.size, json.dumps(file.columns)),
                )
        except BaseException:
            self._storage.remove([file.path])
            raise
        self._storage.remove(row["path"] for row in replaced)

    def _write(self, table: Table, values: Sequence[str], batches: Iterable[pa.RecordBatch]) -> DataFile:
        try:
            return self._storage.write(table, values, batches)
        except UnicodeDecodeError as error:
            raise errors.invalid_argument(
                f"strings that are not UTF-8 are not supported by the local cloud: {error}"
            ) from error
        except (
            ChecksumError,
            DecodeError,
            pa.ArrowException,
            ValueError,
            OverflowError,
            zlib.error,
        ) as error:
            raise errors.invalid_argument(f"the block cannot be read: {error}") from error
        except OSError as error:
            if error.errno is not None:
                raise  # of the disk; those of decompression have no number
            raise errors.invalid_argument(f"the block cannot be read: {error}") from error

    def commit(
        self,
        upload_id: str,
        table: Table,
        wanted: Sequence[int] | None = None,
        *,
        create_partition: bool = False,
    ) -> sqlite3.Row:
        """Make blocks the table's; does nothing when the upload was committed before. Return its row.

        :param wanted: the blocks, all of them by default; the rest is thrown away.
        :raises OdpsError: StatusConflict, NoSuchPartition, InvalidArgument for a block that does not exist.
        """
        unwanted: list[str] = []
        with self._db.write() as db:
            upload = self.get(upload_id, table)
            if upload["status"] != "closed":
                _require_open(upload)
                blocks = self._blocks(db, upload_id)
                chosen = list(blocks) if wanted is None else sorted(wanted)
                if not blocks.keys() >= set(chosen):
                    raise errors.invalid_argument(f"the upload {upload_id} has not all of these blocks")
                unwanted = [file.path for block_id, file in blocks.items() if block_id not in chosen]
                values = tuple(json.loads(upload["partition_values"]))
                self._catalog.publish(
                    table,
                    {values: [blocks[block_id] for block_id in chosen]},
                    bool(upload["overwrite"]),
                    create_partitions=create_partition,
                )
                db.execute("UPDATE uploads SET status = 'closed' WHERE id = ?", (upload_id,))
        self._storage.remove(unwanted)
        return self.get(upload_id, table)

    def _blocks(self, db: sqlite3.Connection, upload_id: str) -> dict[int, DataFile]:
        rows = db.execute("SELECT * FROM upload_blocks WHERE upload_id = ? ORDER BY block_id", (upload_id,))
        return {
            r["block_id"]: DataFile(r["path"], r["rows"], r["size"], tuple(json.loads(r["columns"])))
            for r in rows
        }


def new_id() -> str:
    """Return an id for an upload or a download."""
    return time.strftime("%Y%m%d%H%M%S", time.gmtime()) + secrets.token_hex(9)


def _require_open(upload: sqlite3.Row) -> None:
    if upload["status"] != "normal":
        raise errors.OdpsError(400, "StatusConflict", f"The upload {upload['id']} is {upload['status']}.")
