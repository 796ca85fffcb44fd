"""Writes a file so that readers see the old content or the new one.

Runs in DPE workers: standard library only.
"""

from __future__ import annotations

import errno
import pathlib

_CANNOT_RENAME = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL)


def write_whole(target: pathlib.Path, unfinished: pathlib.Path, content: bytes) -> None:
    """Write ``unfinished``, beside ``target``, and rename it; write directly where a mount cannot rename."""
    unfinished.write_bytes(content)
    try:
        unfinished.replace(target)
    except OSError as error:
        if error.errno not in _CANNOT_RENAME:
            raise
        unfinished.unlink()
        target.unlink(missing_ok=True)
        target.write_bytes(content)
