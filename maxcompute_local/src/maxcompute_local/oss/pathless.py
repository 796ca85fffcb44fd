"""Objects whose key has no path: ``a//b``, ``a`` beside ``a/b``, segments too long for a file name.

Their content is kept in files named by a hash of the key, out of sight of mounts; the metadata say which keys
these are. An object at the path of its key comes before one of the same key kept here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from maxcompute_local.durable import make_folders
from maxcompute_local.oss.metadata import Metadata
from maxcompute_local.oss.walk import BATCH, KeyWalk, first_key_after


class PathlessObjects:
    """The files of such objects in a folder, and their keys in the metadata."""

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        make_folders(folder)
        self._folder = folder
        self._metadata = metadata

    def path(self, bucket: str, key: str) -> Path:
        """Return where the content of a key is, if it is kept here."""
        return self._folder / hashlib.sha256(f"{bucket}/{key}".encode()).hexdigest()

    def remove_leftovers(self) -> None:
        """Remove files that no key names, which a killed server has left."""
        named = {self.path(bucket, key) for bucket, key in self._metadata.all_pathless()}
        for path in set(self._folder.iterdir()) - named:
            path.unlink()


class MergedWalk:
    """Iterates the keys of a KeyWalk and those without a path together; ``start`` works as there."""

    def __init__(self, with_path: KeyWalk, metadata: Metadata, bucket: str, prefix: bytes) -> None:
        self._with_path = with_path
        self._metadata = metadata
        self._bucket = bucket
        self._prefix = prefix

    @property
    def start(self) -> bytes:
        """The least key that is wanted."""
        return self._with_path.start

    @start.setter
    def start(self, start: bytes) -> None:
        self._with_path.start = start

    def __iter__(self) -> Iterator[str]:
        pathless = self._pathless()
        waiting = next(pathless, None)
        for key in self._with_path:
            encoded = key.encode()
            while waiting is not None and waiting <= encoded:
                if self.start <= waiting < encoded:
                    yield waiting.decode()
                waiting = next(pathless, None)
            if encoded >= self.start:
                yield key
        while waiting is not None:
            if waiting >= self.start:
                yield waiting.decode()
            waiting = next(pathless, None)

    def _pathless(self) -> Iterator[bytes]:
        last = b""
        while True:
            least = max(self.start, first_key_after(last) if last else b"")
            batch = self._metadata.pathless(self._bucket, self._prefix, least, BATCH)
            yield from batch
            if len(batch) < BATCH:
                return
            last = batch[-1]
