"""The keys of a bucket in exact UTF-8 byte order, read from the directory tree on demand."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

from maxcompute_local.oss import errors, names
from maxcompute_local.oss.folder_index import LARGE, FolderIndexes
from maxcompute_local.oss.sorted_names import entries

BATCH = 1001
"""How many entries of one folder are held at a time: one more than a page has at most."""


def first_key_after(key: bytes) -> bytes:
    """Return the least key greater than ``key``."""
    return key + b"\0"


def first_key_beyond(prefix: bytes) -> bytes:
    """Return the least byte string greater than every key that starts with ``prefix`` (not empty)."""
    return prefix[:-1] + bytes([prefix[-1] + 1])  # UTF-8 never has 0xff


class _TooMany(Exception):
    """A folder has more entries than shall be read."""


class KeyWalk:
    """Iterates the keys of a bucket that start with ``prefix`` and are not less than ``start``, in order.

    While iterating, ``start`` may be raised to skip ahead; folders before it are not entered.
    A folder is read in batches, so memory depends on the depth of the tree, not on its size.
    Symbolic links, special files and names that are no UTF-8 are not objects and are left out.

    :param is_marker: tells whether a folder (``a/b/``) is itself an object.
    :param indexes: of large folders.
    """

    def __init__(
        self,
        root: Path,
        prefix: bytes,
        start: bytes,
        is_marker: Callable[[str], bool],
        indexes: FolderIndexes | None = None,
    ) -> None:
        self.start = start
        self._indexes = indexes
        self._root = os.fsencode(root) + b"/"
        self._prefix = prefix
        self._is_marker = is_marker

    def __iter__(self) -> Iterator[str]:
        # Nothing outside this folder can have the prefix.
        folder = self._prefix[: self._prefix.rfind(b"/") + 1]
        if not folder:
            yield from self._entries(b"")
        elif self._is_inside(folder):
            yield from self._folder(folder)

    def _is_inside(self, folder: bytes) -> bool:
        """Return whether ``folder`` exists and keys may lead into it."""
        try:
            path = names.object_path(Path(os.fsdecode(self._root)), folder.decode())
        except errors.OssError:
            return False
        return path is not None and path.is_dir()

    def _folder(self, folder: bytes) -> Iterator[str]:
        if folder.startswith(self._prefix) and folder >= self.start and self._is_marker(folder.decode()):
            yield folder.decode()
        yield from self._entries(folder)

    def _entries(self, folder: bytes) -> Iterator[str]:
        last = b""
        while batch := self._batch(folder, last):
            for name in batch:
                if name < self.start and not self.start.startswith(name):
                    continue
                if name.endswith(b"/"):
                    yield from self._folder(name)
                elif name >= self.start:
                    yield name.decode()
            last = batch[-1]
            if len(batch) < BATCH:
                return

    def _batch(self, folder: bytes, last: bytes) -> list[bytes]:
        """Return the first full names beyond ``last`` of a folder that may lead to wanted keys."""
        if self._indexes is None:
            return heapq.nsmallest(BATCH, self._wanted(folder, last))
        indexed = self._indexed(self._indexes, folder, last)
        if indexed is not None:
            return indexed
        try:
            return heapq.nsmallest(BATCH, self._wanted(folder, last, most=LARGE))
        except _TooMany:
            if self._indexes.build(self._path(folder)):
                return self._batch(folder, last)
            return heapq.nsmallest(BATCH, self._wanted(folder, last))

    def _indexed(self, indexes: FolderIndexes, folder: bytes, last: bytes) -> list[bytes] | None:
        """Do the same for a folder that has an index, None for one that has not."""
        least = max(_least(folder, self.start), _least(folder, self._prefix))
        if last:
            least = max(least, first_key_after(last[len(folder) :]))
        names = indexes.names(self._path(folder), least, BATCH)
        if names is None:
            return None
        # In order, so the first that cannot have the prefix is followed by none that can.
        return list(takewhile(self._fits, (folder + name for name in names)))

    def _path(self, folder: bytes) -> bytes:
        return (self._root + folder).rstrip(b"/")

    def _wanted(self, folder: bytes, last: bytes, most: float = math.inf) -> Iterator[bytes]:
        """Yield full names beyond ``last``, folders with a slash at the end, that may lead to wanted keys."""
        for count, entry in enumerate(entries(self._root + folder)):
            if count == most:
                raise _TooMany
            name = folder + entry
            reached = name >= self.start or self.start.startswith(name)
            if reached and name > last and self._fits(name):
                yield name

    def _fits(self, name: bytes) -> bool:
        """Return whether a full name has the prefix, or is a folder that leads to it."""
        return name.startswith(self._prefix) or (name.endswith(b"/") and self._prefix.startswith(name))


def _least(folder: bytes, key: bytes) -> bytes:
    """Return the least name in a folder that leads to ``key`` or to one beyond it."""
    if not key.startswith(folder):
        return b""  # all of the folder is beyond it, else it would not have been entered
    name, slash, _ = key[len(folder) :].partition(b"/")
    return name + slash
