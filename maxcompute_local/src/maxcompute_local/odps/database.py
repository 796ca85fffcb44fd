"""The one SQLite file of catalog, instances, sessions, tokens and uploads: connections and transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from maxcompute_local.errors import LocalCloudError
from maxcompute_local.faults.current import check_disk

_BUSY_TIMEOUT_SECONDS = 60.0


class Database:
    """A SQLite file in WAL mode with one connection per thread.

    Readers never wait for writers; writers wait for each other. Raises LocalCloudError when the file
    cannot be opened or is damaged.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def create(self, script: str) -> None:
        """Run ``CREATE TABLE IF NOT EXISTS`` statements."""
        self._connection().executescript(script)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection on which several reads see one state."""
        connection = self._connection()
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection inside a write transaction: all of it happens, or nothing.

        Inside another ``write`` of the same thread it joins that one.
        """
        connection = self._connection()
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            for sql, values in getattr(self._local, "also", ()):
                connection.execute(sql, values)
            check_disk()
            connection.execute("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    @contextmanager
    def also(self, sql: str, values: Sequence[object]) -> Iterator[None]:
        """Make a statement part of every ``write`` of this thread."""
        self._local.also = [(sql, values)]
        try:
            yield
        finally:
            del self._local.also

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def _check(self) -> None:
        """Raise LocalCloudError unless the file can be worked with: better now than amid a job."""
        try:
            (found,) = self._connection().execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError as error:
            raise LocalCloudError(f"cannot open {self._path}: {error}") from error
        except sqlite3.DatabaseError as error:
            found = str(error)
        if found != "ok":
            raise LocalCloudError(
                f"{self._path} is damaged: {' '.join(found.split())}. Put back a copy of the whole root "
                "folder that was made while its server was stopped, or use another folder with --root"
            )

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # Each connection is used by its own thread only; close() is the exception.
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
            )
            with self._lock:
                self._connections.append(connection)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            self._local.connection = connection
        return connection


def _roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction, unless the failure of its COMMIT has ended it already."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
