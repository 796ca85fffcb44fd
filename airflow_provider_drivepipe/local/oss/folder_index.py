"""Sorted names of large folders, so that a page of a listing does not read a whole folder.

An index is an immutable SQLite file that says which version of the folder (inode and modification time) it
is of. It is a cache: the folder alone says what there is, and any change of it makes a new index necessary.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

LARGE = 10_000
"""Entries from which on a folder is worth an index."""

SETTLED_SECONDS = 1.0
"""A folder that changed later than this ago may change again without a new modification time."""

_CACHE_KIB = 32 * 1024


def entries(folder: bytes) -> Iterator[bytes]:
    """Yield the names of files, and of folders with a slash at the end, as the system gives them.

    Symbolic links, special files and names that are no UTF-8 are left out.
    """
    try:
        found = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return  # removed by somebody else meanwhile
    with found:
        for entry in found:
            if not _is_utf8(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield entry.name + b"/"
            elif entry.is_file(follow_symlinks=False):
                yield entry.name


class FolderIndex:
    """Indexes of the folders that ``note`` has called large, as files below ``cache``; for any thread."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        cache.mkdir(exist_ok=True)
        for unfinished in cache.glob("*.new"):
            unfinished.unlink()
        self._lock = threading.Lock()
        self._building: dict[bytes, threading.Lock] = {}

    def note(self, folder: bytes, count: int) -> None:
        """Say how many entries a folder has been seen to have."""
        if count > LARGE:
            with self._lock:
                self._building.setdefault(folder, threading.Lock())

    def names(self, folder: bytes, least: bytes, limit: int) -> list[bytes] | None:
        """Return up to ``limit`` names of a folder, sorted, from ``least`` (inclusive) on.

        None for a folder that is not large, is changing, or is gone: read it.
        """
        with self._lock:
            building = self._building.get(folder)
        if building is None:
            return None
        with building:
            version = _version(folder)
            if version is None:
                return None
            path = self._cache / f"{hashlib.sha256(folder).hexdigest()}.sqlite"
            if not _is_of(path, version) and not self._build(folder, path):
                return None
        with closing(_open(path)) as index:
            sql = "SELECT name FROM names WHERE name >= ? ORDER BY name LIMIT ?"
            return [name for (name,) in index.execute(sql, (least, limit))]

    def _build(self, folder: bytes, path: Path) -> bool:
        """Make a new index; return False when the folder changes meanwhile."""
        version = _version(folder)
        if version is None or time.time_ns() - version[1] < SETTLED_SECONDS * 1e9:
            return False
        new = self._cache / f"{uuid.uuid4().hex}.new"
        try:
            with closing(sqlite3.connect(new, isolation_level=None)) as index:
                # Nobody reads the file before it is whole.
                index.execute("PRAGMA journal_mode=OFF")
                index.execute("PRAGMA synchronous=OFF")
                index.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
                index.execute("ATTACH '' AS unsorted")  # a temporary file
                index.execute("CREATE TABLE unsorted.names (name BLOB)")
                index.execute("CREATE TABLE main.names (name BLOB PRIMARY KEY) WITHOUT ROWID")
                index.execute("CREATE TABLE version (inode INTEGER, modified INTEGER)")
                index.execute("INSERT INTO version VALUES (?, ?)", version)
                index.execute("BEGIN")
                index.executemany(
                    "INSERT INTO unsorted.names VALUES (?)", ((name,) for name in entries(folder))
                )
                index.execute(
                    "INSERT OR IGNORE INTO main.names SELECT name FROM unsorted.names ORDER BY name"
                )
                index.execute("COMMIT")
            if _version(folder) != version:
                return False
            new.replace(path)
            return True
        finally:
            new.unlink(missing_ok=True)


def _is_utf8(name: bytes) -> bool:
    if name.isascii():
        return True
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _version(folder: bytes) -> tuple[int, int] | None:
    try:
        status = os.lstat(folder)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _is_of(path: Path, version: tuple[int, int]) -> bool:
    """Return whether an index is there and of a version of its folder."""
    if not path.exists():
        return False
    try:
        with closing(_open(path)) as index:
            found: tuple[int, int] | None = index.execute("SELECT inode, modified FROM version").fetchone()
    except sqlite3.DatabaseError:
        return False  # the machine went down before it was on disk
    return found == version


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)
