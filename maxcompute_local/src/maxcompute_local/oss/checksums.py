"""MD5 and CRC-64/XZ of what goes through, and files being written before they become objects."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from maxcompute_local.faults.current import check_disk
from maxcompute_local.oss import crc64

CHUNK_BYTES = 1 << 20


class Checksums:
    """Running size, MD5 and CRC-64 of a stream of bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc64 = 0

    def update(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.size += len(data)
        self._md5.update(data)
        self._crc64 = crc64.update(data, self._crc64)

    def join(self, size: int, crc: int) -> None:
        """Take in bytes of which only these are known; the MD5 is then that of the others."""
        self.size += size
        self._crc64 = crc64.combine(self._crc64, crc, size)

    @property
    def md5(self) -> bytes:
        """MD5 so far, 16 bytes."""
        return self._md5.digest()

    @property
    def etag(self) -> str:
        """Entity tag of a plain object: MD5 in upper-case hex, without quotes."""
        return self.md5.hex().upper()

    @property
    def crc64(self) -> str:
        """CRC-64/XZ so far, as a decimal number."""
        return str(self._crc64)


def checksums_of(file: BinaryIO) -> Checksums:
    """Return the checksums of a whole open file; leaves its position at the end."""
    file.seek(0)
    sums = Checksums()
    while chunk := file.read(CHUNK_BYTES):
        sums.update(chunk)
    return sums


class StagedFile:
    """A file outside the buckets that becomes an object by a rename.

    Use as a context manager: on exit the file is removed, unless it was renamed.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / uuid.uuid4().hex
        self.sums = Checksums()
        self._file = self.path.open("xb")

    def __enter__(self) -> StagedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append bytes and take them into the checksums."""
        self._file.write(data)
        check_disk()
        self.sums.update(data)

    def write_from(self, source: BinaryIO, size: int) -> None:
        """Append ``size`` bytes from the position of ``source``, or fewer when it ends before."""
        while size > 0 and (chunk := source.read(min(CHUNK_BYTES, size))):
            self.write(chunk)
            size -= len(chunk)

    def join(self, source: BinaryIO, size: int, crc: int) -> None:
        """Append a whole file whose size and CRC are known, without looking at its content."""
        self._file.flush()
        check_disk()
        left = size
        while left and (copied := _copy(source, self._file, left)):
            left -= copied
        if left:
            raise OSError(errno.EIO, "a part is shorter than it was", source.name)
        self.sums.join(size, crc)

    def close(self) -> None:
        """Write to disk and close; the file stays until the end of the context."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> int:
    """Copy up to ``size`` bytes from the position of one file to that of another; return how many."""
    if hasattr(os, "copy_file_range"):
        # In the kernel, and where the file system can, by sharing the blocks.
        with suppress(OSError):
            return os.copy_file_range(source.fileno(), target.fileno(), size)
    # Past the buffers, as above.
    position = os.lseek(source.fileno(), 0, os.SEEK_CUR)
    written = os.write(target.fileno(), os.read(source.fileno(), min(size, CHUNK_BYTES)))
    os.lseek(source.fileno(), position + written, os.SEEK_SET)
    return written
