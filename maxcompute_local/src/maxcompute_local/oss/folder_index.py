"""Sorted names of large folders, so that a page of a listing does not read a whole folder.

An index is a set of sorted files, made by reading the folder once, and a table of what has changed since: the
system tells every change, through this server or not, before the call that makes it returns. It is a cache:
whenever something about it is uncertain it is dropped, and made anew at the next listing.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import shutil
import sqlite3
import stat as statmodes
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from itertools import groupby, islice
from pathlib import Path

from maxcompute_local.oss import sorted_names
from maxcompute_local.oss.folder_watch import Change, ChangesLost, FolderWatch
from maxcompute_local.oss.sorted_names import RUN_NAMES, Run, is_utf8

LARGE = 10_000
"""Entries from which on a folder is worth an index."""

MOST_REMOVED = RUN_NAMES
"""Removed names after which a new index is faster than to pass over them."""

SETTLED_SECONDS = 1.0
"""A folder that changed later than this ago may change again without a new modification time."""

_NOTICE_SECONDS = 0.05
"""How long after a folder's modification time its change may be told."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS changed (name BLOB PRIMARY KEY, present INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settled (inode INTEGER, modified INTEGER, removed INTEGER);
"""

Version = tuple[int, int]
"""Inode and modification time of a folder."""


class FolderIndexes:
    """Indexes of large folders, below ``cache``; for any thread."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        cache.mkdir(exist_ok=True)
        for path in cache.iterdir():
            if not (path / "changed.sqlite").exists():
                _remove(path)
        self._lock = threading.RLock()
        """Held while changes are read and noted, and while names are read."""
        self._indexes: dict[bytes, _Index] = {}
        self._building: dict[bytes, threading.Lock] = {}
        try:
            self._watch: FolderWatch | None = FolderWatch()
        except OSError:
            self._watch = None  # then an index is good only while its folder does not change
        self._keeper: threading.Thread | None = None
        self._stopping = False

    def close(self) -> None:
        """Leave the indexes to the next server."""
        self._stopping = True
        if self._watch is not None and self._keeper is not None:
            self._watch.wake()
            self._keeper.join()
        with self._lock:
            self._note_changes()
            for index in self._indexes.values():
                index.sync()
                index.settle()
                index.close()
            self._indexes.clear()
            if self._watch is not None:
                self._watch.close()
                self._watch = None

    def names(self, folder: bytes, least: bytes, limit: int) -> list[bytes] | None:
        """Return up to ``limit`` names of a folder, sorted, from ``least`` (inclusive) on.

        None for a folder without an index: read it, and if it is large call ``build``.
        """
        with self._lock:
            index = self._find(folder)
            return index.names(least, limit) if index is not None else None

    def build(self, folder: bytes) -> bool:
        """Make an index; return False when the folder changes meanwhile and it cannot be said how."""
        with self._lock:
            building = self._building.setdefault(folder, threading.Lock())
        with building:
            with self._lock:
                if self._find(folder) is not None:
                    return True  # somebody else made it meanwhile
            return self._build(folder)

    def _build(self, folder: bytes) -> bool:
        with self._lock:
            self._drop(folder)
            version = _version(folder)
            if version is None:
                return False
            watch = self._watched(folder)
            if watch is None and not _is_settled(version):
                return False
            try:
                index = _Index(folder, self._path(folder), version, watch)
            except FileNotFoundError:
                self._unwatch(watch)
                return False
            self._indexes[folder] = index
            self._start_keeper()
        try:
            written = _write_runs(folder, index.path)
            with self._lock:
                if written and self._indexes.get(folder) is index:
                    index.complete()
                return self._find(folder) is index
        finally:
            with self._lock:
                if not index.is_complete:
                    self._drop(folder)

    def _find(self, folder: bytes) -> _Index | None:
        """Return the index of a folder as it is now."""
        self._note_changes()
        index = self._indexes.get(folder) or self._open(folder)
        if index is None or not index.is_complete:
            return None
        version = _version(folder)
        if version is not None and version != index.version and not index.was_told:
            time.sleep(_NOTICE_SECONDS)
            self._note_changes()
        if self._indexes.get(folder) is not index:
            return None
        explained = version == index.version or index.was_told
        if version is None or version[0] != index.version[0] or not explained or index.removed > MOST_REMOVED:
            self._drop(folder)
            return None
        index.version, index.was_told = version, False
        return index

    def _open(self, folder: bytes) -> _Index | None:
        """Return the index that an earlier server left, if nothing has changed since."""
        path = self._path(folder)
        if not path.exists():
            return None
        watch = self._watched(folder)
        version = _version(folder)
        try:
            index = _Index(folder, path, version, watch) if version else None
        except (sqlite3.DatabaseError, FileNotFoundError):
            index = None
        if index is None or not index.was_settled():
            if index is not None:
                index.close()
            self._unwatch(watch)
            _remove(path)
            return None
        index.complete()
        self._indexes[folder] = index
        self._start_keeper()
        return index

    def _path(self, folder: bytes) -> Path:
        return self._cache / hashlib.sha256(folder).hexdigest()

    def _watched(self, folder: bytes) -> int | None:
        with suppress(OSError):  # too many watches, or the folder is gone
            return self._watch.add(folder) if self._watch is not None else None
        return None

    def _unwatch(self, watch: int | None) -> None:
        if self._watch is not None and watch is not None:
            self._watch.remove(watch)

    def _drop(self, folder: bytes) -> None:
        index = self._indexes.pop(folder, None)
        if index is not None:
            self._unwatch(index.watch)
            index.close()
        _remove(self._path(folder))

    def _start_keeper(self) -> None:
        if self._watch is not None and self._keeper is None:
            self._keeper = threading.Thread(target=self._keep, name="folder-indexes", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        """Note changes as they come, before the system loses them for their number."""
        assert self._watch is not None
        while not self._stopping:
            self._watch.wait(2 * SETTLED_SECONDS)
            with self._lock:
                if self._note_changes():
                    continue
                indexes = list(self._indexes.values())
            for index in indexes:
                index.sync()
            with self._lock:
                if not self._note_changes():
                    for index in self._indexes.values():
                        index.settle()

    def _note_changes(self) -> bool:
        """Take in what has changed; return whether anything has."""
        if self._watch is None:
            return False
        try:
            changes = self._watch.changes()
        except ChangesLost:
            for folder in list(self._indexes):
                self._drop(folder)
            return True
        if changes:
            for index in list(self._indexes.values()):
                index.note([change for change in changes if change.watch == index.watch])
        return bool(changes)


class _Index:
    """The index of one folder. ``version`` is that of the folder which it is known to describe."""

    def __init__(self, folder: bytes, path: Path, version: Version, watch: int | None) -> None:
        self.path = path
        self.version = version
        self.watch = watch
        self.was_told = False
        self.is_complete = False
        self.removed = 0
        self._runs: Sequence[Path] = ()
        self._is_synced = False
        self._is_settled = False
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # wherever it is moved
        path.mkdir(exist_ok=True)
        self._changed = sqlite3.connect(
            path / "changed.sqlite", isolation_level=None, check_same_thread=False
        )
        self._changed.execute("PRAGMA journal_mode=WAL")
        self._changed.execute("PRAGMA synchronous=OFF")
        self._changed.executescript(_SCHEMA)

    def close(self) -> None:
        self._changed.close()
        os.close(self._folder)

    def complete(self) -> None:
        """Use the sorted files, which are all there."""
        self._runs = sorted(self.path.glob("*.names"))
        self.is_complete = True

    def names(self, least: bytes, limit: int) -> list[bytes]:
        with ExitStack() as stack:
            runs = [stack.enter_context(closing(Run(path))) for path in self._runs]
            read = (name for name, _ in groupby(heapq.merge(*(run.names(least) for run in runs))))
            sql = "SELECT name, present FROM changed WHERE name >= ? ORDER BY name"
            changed = stack.enter_context(closing(self._changed.execute(sql, (least,))))
            return list(islice(_overlaid(read, changed), limit))

    def note(self, changes: Iterable[Change]) -> None:
        """Take in what has changed in the folder: names that are there now, or are not."""
        names = {change.name + b"/" if change.is_folder else change.name for change in changes if change.name}
        if not names:
            return
        rows = [(name, _is_present(self._folder, name)) for name in names if is_utf8(name)]
        self._changed.execute("BEGIN")
        if self._is_settled:
            self._changed.execute("DELETE FROM settled")
        self._changed.executemany("INSERT OR REPLACE INTO changed VALUES (?, ?)", rows)
        self._changed.execute("COMMIT")
        self._is_settled = False
        self.was_told = True
        self.removed += sum(not present for _, present in rows)

    def sync(self) -> None:
        """Have the sorted files on disk, which may take seconds."""
        if not self.is_complete or self._is_synced:
            return
        with suppress(FileNotFoundError):  # dropped meanwhile
            for path in self._runs:
                with closing(Run(path)) as run:
                    run.sync()
            self._is_synced = True

    def settle(self) -> None:
        """Write down that the index is that of the folder now, once no later change can look the same."""
        version = _version(self._folder)
        if self._is_settled or not self._is_synced or version is None or not _is_settled(version):
            return
        if not self.was_told and version != self.version:
            return
        self._changed.execute("INSERT INTO settled VALUES (?, ?, ?)", (*version, self.removed))
        self._is_settled = True

    def was_settled(self) -> bool:
        """Return whether the index was left as that of the folder as it is."""
        row = self._changed.execute("SELECT inode, modified, removed FROM settled").fetchone()
        if row is None or (row[0], row[1]) != self.version:
            return False
        self.removed, self._is_settled, self._is_synced = row[2], True, True
        return True


def _write_runs(folder: bytes, target: Path) -> bool:
    """Write the sorted files in a process of its own; return whether it could."""
    # -I -S: it needs nothing that is installed, and starts four times as fast.
    command = [sys.executable, "-I", "-S", sorted_names.__file__, os.fsdecode(folder), os.fspath(target)]
    return subprocess.run(command, check=False).returncode == 0


def _overlaid(names: Iterator[bytes], changed: Iterator[tuple[bytes, int]]) -> Iterator[bytes]:
    """Yield sorted names, with those that have changed since as they are now."""
    change = next(changed, None)
    for name in names:
        while change is not None and change[0] < name:
            if change[1]:
                yield change[0]
            change = next(changed, None)
        if change is None or change[0] != name:
            yield name
    while change is not None:
        if change[1]:
            yield change[0]
        change = next(changed, None)


def _is_present(folder: int, name: bytes) -> bool:
    """Return whether there is such a file in an open folder, or, with a slash at the end, such a folder."""
    try:
        mode = os.stat(name.removesuffix(b"/"), dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        return False
    return statmodes.S_ISDIR(mode) if name.endswith(b"/") else statmodes.S_ISREG(mode)


def _version(folder: bytes | int) -> Version | None:
    try:
        status = os.fstat(folder) if isinstance(folder, int) else os.lstat(folder)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _is_settled(version: Version) -> bool:
    return time.time_ns() - version[1] > SETTLED_SECONDS * 1e9


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
