"""The names in a large folder, sorted, in files.

``python sorted_names.py FOLDER TARGET`` writes them, in a process of its own: reading ten million names takes
seconds, in which a thread of the server would have to share the interpreter with all requests. Only the
standard library is imported.
"""

from __future__ import annotations

import os
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate, islice
from pathlib import Path
from typing import BinaryIO

RUN_NAMES = 250_000
"""Names in one file, which are sorted in memory."""

_BLOCK_NAMES = 64
_OFFSET_BYTES = array("Q").itemsize


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
            if not is_utf8(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield entry.name + b"/"
            elif entry.is_file(follow_symlinks=False):
                yield entry.name


def is_utf8(name: bytes) -> bool:
    """Return whether a file's name can be part of a key."""
    if name.isascii():
        return True
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


class Run:
    """A file of sorted names, each ended by NUL, and one of the offsets at which they begin."""

    def __init__(self, path: Path) -> None:
        self._names: BinaryIO = path.open("rb", buffering=0)
        self._offsets: BinaryIO = path.with_suffix(".offsets").open("rb", buffering=0)
        self._count = os.fstat(self._offsets.fileno()).st_size // _OFFSET_BYTES - 1

    def close(self) -> None:
        """Close the files."""
        self._names.close()
        self._offsets.close()

    def sync(self) -> None:
        """Have the system write the files to disk."""
        os.fsync(self._names.fileno())
        os.fsync(self._offsets.fileno())

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> bytes:
        return self._slice(index, index + 1)[0]

    def names(self, least: bytes) -> Iterator[bytes]:
        """Yield the names from ``least`` (inclusive) on."""
        for first in range(bisect_left(self, least), self._count, _BLOCK_NAMES):
            yield from self._slice(first, min(first + _BLOCK_NAMES, self._count))

    def _slice(self, first: int, last: int) -> list[bytes]:
        size = (last - first + 1) * _OFFSET_BYTES
        offsets = array("Q", os.pread(self._offsets.fileno(), size, first * _OFFSET_BYTES))
        names = os.pread(self._names.fileno(), offsets[-1] - offsets[0], offsets[0])
        return names.split(b"\0")[:-1]


def write_runs(folder: bytes, target: Path) -> None:
    """Write the names of ``folder`` into ``<target>/<number>.names``; for a process with one thread."""
    found = entries(folder)
    most_children = os.cpu_count() or 1
    number = children = 0
    while names := list(islice(found, RUN_NAMES)):
        if children == most_children:
            _wait_for_child()
            children -= 1
        # The child has the names already; this process goes on reading.
        if os.fork() == 0:
            status = 1
            try:
                _write_run(names, target / f"{number}.names")
                status = 0
            finally:
                os._exit(status)
        number += 1
        children += 1
    for _ in range(children):
        _wait_for_child()


def _wait_for_child() -> None:
    _, status = os.wait()
    if status:
        raise OSError("a part of the index was not written")


def _write_run(names: list[bytes], path: Path) -> None:
    names.sort()
    path.write_bytes(b"\0".join([*names, b""]))
    offsets = array("Q", accumulate((len(name) + 1 for name in names), initial=0))
    path.with_suffix(".offsets").write_bytes(offsets.tobytes())


if __name__ == "__main__":
    write_runs(os.fsencode(sys.argv[1]), Path(sys.argv[2]))
