"""MD5 and CRC-64/XZ of what goes through, and files being written before they become objects."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from alibabacloud_oss_v2.crc import Crc64

from airflow_provider_drivepipe.local.faults.current import check_disk

CHUNK_BYTES = 1 << 20


class Checksums:
    """Running size, MD5 and CRC-64 of a stream of bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc = Crc64(0)

    def update(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.size += len(data)
        self._md5.update(data)
        self._crc.update(data)

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
        return str(self._crc.sum64())


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

    def close(self) -> None:
        """Write to disk and close; the file stays until the end of the context."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
