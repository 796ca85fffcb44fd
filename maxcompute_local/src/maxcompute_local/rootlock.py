"""One server per root folder: a file lock, which the kernel releases when its holder dies."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO

from maxcompute_local.errors import RootInUseError
from maxcompute_local.settings import LOCK_FILE, load_settings

_PROBE_SECONDS = 0.5
"""How long a mere look by :func:`is_locked` can keep a starting server waiting, with a wide margin."""


class RootLock:
    """Holds the lock of a root folder from construction to ``release()``."""

    def __init__(self, root: Path) -> None:
        self._file: IO[str] = (root / LOCK_FILE).open("a")
        deadline = time.monotonic() + _PROBE_SECONDS
        while not _try_lock(self._file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                self._file.close()
                settings = load_settings(root)
                who = f" (process {settings.pid})" if settings and settings.pid else ""
                raise RootInUseError(
                    f"{root} is in use by a running local cloud{who}. Use that one, stop it with "
                    f"'maxcompute-local down --root {root}', or choose another folder with --root"
                )
            time.sleep(0.02)

    def release(self) -> None:
        """Let others use the root folder."""
        self._file.close()


def is_locked(root: Path) -> bool:
    """Return whether a living server holds the root folder."""
    try:
        with (root / LOCK_FILE).open() as file:
            return not _try_lock(file, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _try_lock(file: IO[str], operation: int) -> bool:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
