"""What changes in watched folders, as Linux tells it (inotify), whoever changes it."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from dataclasses import dataclass

_EVENT = struct.Struct("iIII")
_BUFFER_BYTES = 1 << 20

_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_NAMED = _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
_OVERFLOW, _FOLDER = 0x4000, 0x40000000
_ONLY_FOLDERS, _NO_LINKS = 0x01000000, 0x02000000


@dataclass(frozen=True)
class Change:
    """A file, or a folder, of this name came to a watched folder or went from it.

    ``name`` is empty when ``watch`` has ended.
    """

    watch: int
    name: bytes
    is_folder: bool


class ChangesLost(Exception):
    """There were more changes than the system keeps; nothing is known of any folder."""


class FolderWatch:
    """Watches folders. A change is told before the system call that made it returns.

    Changes that are made on another machine, to a network file system, are not told.
    """

    def __init__(self) -> None:
        """Raises OSError where the system cannot do it."""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            self._add = libc.inotify_add_watch
            self._remove = libc.inotify_rm_watch
            self._file: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (AttributeError, TypeError) as error:
            raise OSError(errno.ENOSYS, "no inotify") from error
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._wake_reader, self._wake_writer = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._poll.register(self._wake_reader, select.POLLIN)

    def close(self) -> None:
        """End all watches."""
        for descriptor in (self._file, self._wake_reader, self._wake_writer):
            os.close(descriptor)

    def wake(self) -> None:
        """Make ``wait`` return, now and later."""
        os.write(self._wake_writer, b"x")

    def add(self, folder: bytes) -> int:
        """Watch a folder from now on; return the number of the watch, the same for the same folder."""
        watch: int = self._add(self._file, folder, _NAMED | _ONLY_FOLDERS | _NO_LINKS)
        if watch < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", folder)
        return watch

    def remove(self, watch: int) -> None:
        """End a watch; one that has ended is fine."""
        self._remove(self._file, watch)

    def wait(self, seconds: float) -> None:
        """Return when there are changes, after ``wake``, or after some time."""
        self._poll.poll(seconds * 1000)

    def changes(self) -> list[Change]:
        """Return what changed since the last call; raises ChangesLost."""
        found: list[Change] = []
        while True:
            try:
                data = os.read(self._file, _BUFFER_BYTES)
            except BlockingIOError:
                return found
            found += _changes(data)


def _changes(data: bytes) -> list[Change]:
    found, position = [], 0
    while position < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, position)
        position += _EVENT.size
        name = data[position : position + length].rstrip(b"\0")
        position += length
        if mask & _OVERFLOW:
            raise ChangesLost
        found.append(Change(watch, name, bool(mask & _FOLDER)))
    return found
