"""A SQLite file of what plain files cannot say: ETags, CRCs, headers, unfinished multipart uploads."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STORAGE_CLASS_HEADER = "x-oss-storage-class"
DEFAULT_STORAGE_CLASS = "Standard"
STORAGE_CLASSES = (DEFAULT_STORAGE_CLASS, "IA")
"""Those whose objects can be read at once; objects of the others would have to be restored first."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  bucket TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  etag TEXT NOT NULL, crc64 TEXT NOT NULL, kind TEXT NOT NULL, headers TEXT NOT NULL,
  PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pathless (
  bucket TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, storage_class TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending_puts (
  bucket TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  etag TEXT NOT NULL, crc64 TEXT NOT NULL, kind TEXT NOT NULL, headers TEXT NOT NULL, upload_id TEXT,
  PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
  id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, initiated REAL NOT NULL, headers TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS uploads_by_key ON uploads (bucket, key, id);
CREATE TABLE IF NOT EXISTS parts (
  upload_id TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE, number INTEGER NOT NULL,
  size INTEGER NOT NULL, etag TEXT NOT NULL, crc64 TEXT NOT NULL, modified REAL NOT NULL,
  PRIMARY KEY (upload_id, number)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class ObjectRecord:
    """What is known of an object whose file has this ``size`` (bytes) and modification time."""

    size: int
    mtime_ns: int
    etag: str
    crc64: str
    kind: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class PendingPut:
    """An object that was about to get its file, and the multipart upload that this was to end."""

    bucket: str
    key: str
    record: ObjectRecord
    upload_id: str | None


@dataclass(frozen=True)
class Upload:
    """An unfinished multipart upload; ``initiated`` in seconds since the epoch."""

    id: str
    bucket: str
    key: str
    initiated: float
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Part:
    """An uploaded part; ``modified`` in seconds since the epoch, ``etag`` without quotes."""

    number: int
    size: int
    etag: str
    crc64: str
    modified: float


class Metadata:
    """The SQLite file. One connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def find_object(self, bucket: str, key: str) -> ObjectRecord | None:
        """Return the record of an object, or None."""
        sql = "SELECT size, mtime_ns, etag, crc64, kind, headers FROM objects WHERE bucket = ? AND key = ?"
        row = self._one(sql, bucket, key)
        return None if row is None else _record(row)

    def find_objects(self, bucket: str, keys: Sequence[str]) -> dict[str, ObjectRecord]:
        """Return the records of those objects that are known, by key."""
        rows = self._all(
            "SELECT size, mtime_ns, etag, crc64, kind, headers, key FROM objects "
            "WHERE bucket = ? AND key IN (SELECT value FROM json_each(?))",
            bucket,
            json.dumps(keys),
        )
        return {row[-1]: _record(row[:-1]) for row in rows}

    def put_object(self, bucket: str, key: str, record: ObjectRecord) -> None:
        """Add or replace the record of an object."""
        self._run(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", bucket, key, *_values(record)
        )

    def note_object(self, bucket: str, key: str, record: ObjectRecord) -> None:
        """Do the same for what a crash of the machine may undo, since it can be found out again."""
        sql = "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        with self._cursor() as cursor:
            cursor.execute("PRAGMA synchronous=NORMAL")
            try:
                cursor.execute(sql, (bucket, key, *_values(record)))
            finally:
                cursor.execute("PRAGMA synchronous=FULL")

    def begin_put(self, put: PendingPut) -> None:
        """Note what the object will be once its file is in place; ``end_put`` or ``drop_put`` follows."""
        self._run(
            "INSERT OR REPLACE INTO pending_puts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            put.bucket,
            put.key,
            *_values(put.record),
            put.upload_id,
        )

    def end_put(self, put: PendingPut, *, pathless: bool) -> None:
        """Make the record that of the object, whose file is in place, and forget the upload it came from.

        :param pathless: the file is not at the path of the key.
        """
        with self._cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (put.bucket, put.key, *_values(put.record)),
            )
            where = (put.bucket, put.key.encode())
            if pathless:
                cursor.execute("INSERT OR REPLACE INTO pathless VALUES (?, ?)", where)
            else:
                cursor.execute("DELETE FROM pathless WHERE bucket = ? AND key = ?", where)
            cursor.execute("DELETE FROM pending_puts WHERE bucket = ? AND key = ?", (put.bucket, put.key))
            cursor.execute("DELETE FROM uploads WHERE id = ?", (put.upload_id,))
            cursor.execute("COMMIT")

    def drop_put(self, put: PendingPut) -> None:
        """Forget an object whose file did not get into place."""
        self._run("DELETE FROM pending_puts WHERE bucket = ? AND key = ?", put.bucket, put.key)

    def pending_puts(self) -> list[PendingPut]:
        """Return the puts of which the last server did not see the end."""
        rows = self._all(
            "SELECT size, mtime_ns, etag, crc64, kind, headers, bucket, key, upload_id FROM pending_puts"
        )
        return [PendingPut(row[6], row[7], _record(row[:6]), row[8]) for row in rows]

    def delete_object(self, bucket: str, key: str) -> None:
        """Forget an object; does nothing when it is unknown."""
        with self._cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket, key))
            cursor.execute("DELETE FROM pathless WHERE bucket = ? AND key = ?", (bucket, key.encode()))
            cursor.execute("COMMIT")

    def is_pathless(self, bucket: str, key: str) -> bool:
        """Return whether an object of this key is kept elsewhere than at the path of the key."""
        sql = "SELECT 1 FROM pathless WHERE bucket = ? AND key = ?"
        return self._one(sql, bucket, key.encode()) is not None

    def pathless(self, bucket: str, prefix: bytes, least: bytes, limit: int) -> list[bytes]:
        """Return up to ``limit`` keys of such objects with a prefix, in order, from ``least`` on."""
        sql = (
            "SELECT key FROM pathless WHERE bucket = ? AND key >= ? AND substr(key, 1, ?) = ? "
            "ORDER BY key LIMIT ?"
        )
        rows = self._all(sql, bucket, max(least, prefix), len(prefix), prefix, limit)
        return [key for (key,) in rows]

    def all_pathless(self) -> list[tuple[str, str]]:
        """Return bucket and key of all such objects."""
        return [(bucket, key.decode()) for bucket, key in self._all("SELECT bucket, key FROM pathless")]

    def has_markers_below(self, bucket: str, folder: str) -> bool:
        """Return whether a folder marker is recorded at or below ``folder`` (which ends in ``/``)."""
        sql = (
            "SELECT 1 FROM objects WHERE bucket = ? AND key >= ? AND key < ? "
            "AND key LIKE '%/' AND size = 0 LIMIT 1"
        )
        return self._one(sql, bucket, folder, folder[:-1] + "0") is not None

    def put_bucket(self, bucket: str, storage_class: str) -> None:
        """Record the storage class that objects of a bucket have by default."""
        self._run("INSERT OR REPLACE INTO buckets VALUES (?, ?)", bucket, storage_class)

    def bucket_storage_class(self, bucket: str) -> str | None:
        """Return what was recorded, None for a bucket that came as a mere folder."""
        row = self._one("SELECT storage_class FROM buckets WHERE name = ?", bucket)
        return str(row[0]) if row else None

    def delete_bucket(self, bucket: str) -> None:
        """Forget a bucket and all its objects."""
        self._run("DELETE FROM objects WHERE bucket = ?", bucket)
        self._run("DELETE FROM pathless WHERE bucket = ?", bucket)
        self._run("DELETE FROM buckets WHERE name = ?", bucket)

    def add_upload(self, upload: Upload) -> None:
        """Record a new multipart upload."""
        headers = json.dumps(dict(upload.headers))
        self._run(
            "INSERT INTO uploads VALUES (?, ?, ?, ?, ?)",
            upload.id,
            upload.bucket,
            upload.key,
            upload.initiated,
            headers,
        )

    def find_upload(self, upload_id: str) -> Upload | None:
        """Return an unfinished upload, or None."""
        row = self._one("SELECT id, bucket, key, initiated, headers FROM uploads WHERE id = ?", upload_id)
        return _upload(row) if row else None

    def uploads(self, bucket: str, prefix: str, after: tuple[str, str], limit: int) -> list[Upload]:
        """Return up to ``limit`` uploads ordered by (key, id), beyond ``after``, whose key has the prefix."""
        sql = (
            "SELECT id, bucket, key, initiated, headers FROM uploads WHERE bucket = ? AND (key, id) > (?, ?) "
            "AND substr(key, 1, length(?)) = ? ORDER BY key, id LIMIT ?"
        )
        rows = self._all(sql, bucket, *after, prefix, prefix, limit)
        return [_upload(row) for row in rows]

    def count_uploads(self, bucket: str) -> int:
        """Return how many uploads of a bucket are unfinished."""
        row = self._one("SELECT count(*) FROM uploads WHERE bucket = ?", bucket)
        return int(row[0]) if row else 0

    def upload_ids(self, idle_since: float = math.inf) -> list[str]:
        """Return the ids of the unfinished uploads to which nothing was added after a time."""
        sql = (
            "SELECT id FROM uploads WHERE initiated < ? "
            "AND NOT EXISTS (SELECT 1 FROM parts WHERE upload_id = id AND modified >= ?)"
        )
        return [row[0] for row in self._all(sql, idle_since, idle_since)]

    def delete_upload(self, upload_id: str) -> None:
        """Forget an upload and its parts."""
        self._run("DELETE FROM uploads WHERE id = ?", upload_id)

    def put_part(self, upload_id: str, part: Part) -> None:
        """Add or replace a part."""
        self._run(
            "INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)",
            upload_id,
            part.number,
            part.size,
            part.etag,
            part.crc64,
            part.modified,
        )

    def parts(self, upload_id: str, after: int = 0, limit: int = -1) -> list[Part]:
        """Return up to ``limit`` parts (-1: all) numbered above ``after``, in order."""
        sql = (
            "SELECT number, size, etag, crc64, modified FROM parts "
            "WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?"
        )
        return [Part(*row) for row in self._all(sql, upload_id, after, limit)]

    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._all(sql, *values)
        return rows[0] if rows else None

    def _all(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            return cursor.execute(sql, values).fetchall()

    def _run(self, sql: str, *values: object) -> None:
        with self._cursor() as cursor:
            cursor.execute(sql, values)

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        with self._lock:
            cursor = self._connection.cursor()
            try:
                yield cursor
            finally:
                if self._connection.in_transaction:
                    cursor.execute("ROLLBACK")
                cursor.close()


def _record(row: tuple[Any, ...]) -> ObjectRecord:
    size, mtime_ns, etag, crc64, kind, headers = row
    return ObjectRecord(size, mtime_ns, etag, crc64, kind, json.loads(headers))


def _values(record: ObjectRecord) -> tuple[object, ...]:
    headers = json.dumps(dict(record.headers))
    return record.size, record.mtime_ns, record.etag, record.crc64, record.kind, headers


def _upload(row: tuple[Any, ...]) -> Upload:
    upload_id, bucket, key, initiated, headers = row
    return Upload(upload_id, bucket, key, initiated, json.loads(headers))
