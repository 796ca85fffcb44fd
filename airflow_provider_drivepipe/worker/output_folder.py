"""A folder of the mount that files are written to; no link leads a write elsewhere.

The folder is opened segment by segment without following links, and held open: names that are swapped for
links afterwards change nothing. Runs in DPE workers: standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import stat
from collections.abc import Sequence
from types import TracebackType

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.errors import VideoError

_CANNOT_RENAME = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL)
_OPEN_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
"""A place to start from: folders on the way need not be readable, and a mount is not asked to list them."""
_LIST_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class OutputFolder:
    """``<mount>/<segments>``, held open; a context manager.

    Raises VideoError ``path_traversal`` when a symbolic link is part of the way, FileNotFoundError when the
    folder is not there and ``create`` is not asked for, OSError for what else goes wrong. A link to a place
    inside the mount would be as wrong as one that leads out: it puts files beside the prefix.
    """

    def __init__(self, mount: pathlib.Path, segments: Sequence[str], *, create: bool) -> None:
        # The mount point itself may be a link: that is the platform's business.
        self._folder = os.open(mount, _OPEN_FOLDER)
        for segment in segments:
            above = self._folder
            try:
                self._folder = _open_below(above, segment, create=create)
            finally:
                os.close(above)

    def __enter__(self) -> OutputFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._folder)

    def write(self, name: str, unfinished: str, content: bytes) -> None:
        """Write a whole file: readers see the old content or the new one.

        Written as ``unfinished`` and renamed; directly where a mount cannot rename. Whatever stood in either
        place, a link for example, is replaced, never written through.
        """
        self._create(unfinished, content)
        try:
            os.replace(unfinished, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            if error.errno not in _CANNOT_RENAME:
                raise
            self.remove(unfinished)
            self._create(name, content)

    def names(self) -> list[str]:
        """Return the names of what is in the folder."""
        listed = os.open(".", _LIST_FOLDER, dir_fd=self._folder)
        try:
            return os.listdir(listed)  # noqa: PTH208  (pathlib takes no open folder)
        finally:
            os.close(listed)

    def remove(self, name: str) -> None:
        """Delete a file, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder)

    def _create(self, name: str, content: bytes) -> None:
        self.remove(name)
        with os.fdopen(os.open(name, _CREATE_FILE, 0o666, dir_fd=self._folder), "wb") as file:
            file.write(content)


def _open_below(folder: int, segment: str, *, create: bool) -> int:
    try:
        return os.open(segment, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(segment, dir_fd=folder)
        return _open_below(folder, segment, create=False)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(folder, segment):
            raise VideoError(
                Reason.PATH_TRAVERSAL, "the output prefix leads elsewhere through a link"
            ) from error
        raise


def _is_link(folder: int, name: str) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
