"""Buckets and objects as folders and plain files; a write is a rename, a read sees one whole version."""

from __future__ import annotations

import os
import shutil
import stat as statmodes
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from maxcompute_local.durable import make_folders, replace, sync
from maxcompute_local.oss import errors, names
from maxcompute_local.oss.checksums import StagedFile, checksums_of
from maxcompute_local.oss.folder_index import FolderIndexes
from maxcompute_local.oss.metadata import (
    DEFAULT_STORAGE_CLASS,
    STORAGE_CLASS_HEADER,
    STORAGE_CLASSES,
    Metadata,
    ObjectRecord,
    PendingPut,
)
from maxcompute_local.oss.pathless import MergedWalk, PathlessObjects
from maxcompute_local.oss.walk import BATCH, KeyWalk

NORMAL = "Normal"
APPENDABLE = "Appendable"
MULTIPART = "Multipart"

_HASH_ATTEMPTS = 3
_HASH_THREADS = 4
"""Files that came from outside are hashed so many at a time when they are listed."""


@dataclass(frozen=True)
class Bucket:
    """A bucket; ``created`` in seconds since the epoch. Its objects have its storage class by default."""

    name: str
    created: float
    storage_class: str = DEFAULT_STORAGE_CLASS


@dataclass(frozen=True)
class ObjectInfo:
    """An object as it is at one moment.

    ``modified_ns`` counts from the epoch, ``etag`` has no quotes, ``crc64`` is decimal, ``kind`` is Normal,
    Appendable or Multipart, ``headers`` are those kept with the object, names in lower case.
    """

    key: str
    size: int
    modified_ns: int
    etag: str
    crc64: str
    kind: str
    headers: Mapping[str, str]

    @property
    def modified(self) -> int:
        """Modification time in whole seconds, the precision of the protocol."""
        return self.modified_ns // 1_000_000_000


@dataclass(frozen=True)
class OpenObject:
    """An object and its open file, whose content stays this version even when the object is replaced."""

    info: ObjectInfo
    file: BinaryIO


class OssStore:
    """Objects as plain files ``<root>/<bucket>/<key>``; everything else below ``<root>/.maxcompute-local/``.

    Files may come, change and go without this class, through a mount: a file whose size or modification time
    is not the recorded one is hashed again when it is next looked at, also by a listing. Only one OssStore
    may use a root at a time. All methods may be called from any thread and raise OssError.

    A folder does not vanish with its last object (a mount may be showing it); folders without objects are not
    listed and give way to an object of their name. Objects whose key has no path, or whose path is taken by a
    folder of others or below another object, are kept out of sight of mounts (see pathless).
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = Path(os.path.realpath(root))
        self.private = self.root / ".maxcompute-local"
        self._staging = self.private / "staging"
        shutil.rmtree(self._staging, ignore_errors=True)  # what an interrupted server left
        self._staging.mkdir(parents=True)
        self.metadata = Metadata(self.private / "oss.sqlite")
        self.lock = threading.RLock()
        """Held while a file and its record change together, and while both are read."""
        self._hashing = [threading.Lock() for _ in range(64)]
        """One for each file from outside that is being hashed, more or less."""
        self._folders = FolderIndexes(self.private / "folders")
        self._pathless = PathlessObjects(self.private / "pathless", self.metadata)
        self._finish_puts()
        self._pathless.remove_leftovers()

    def close(self) -> None:
        """Close the metadata file and the indexes."""
        self._folders.close()
        self.metadata.close()

    # Buckets

    def buckets(self) -> list[Bucket]:
        """Return all buckets by name."""
        found = []
        for path in self.root.iterdir():
            if names.is_bucket_name(path.name) and path.is_dir() and not path.is_symlink():
                found.append(self._describe(path))
        return sorted(found, key=lambda bucket: bucket.name)

    def bucket(self, name: str) -> Bucket:
        """Return a bucket; raises NoSuchBucket."""
        return self._describe(self._bucket_root(name))

    def _describe(self, path: Path) -> Bucket:
        storage_class = self.metadata.bucket_storage_class(path.name) or DEFAULT_STORAGE_CLASS
        return Bucket(path.name, path.stat().st_ctime, storage_class)

    def create_bucket(self, name: str, storage_class: str = DEFAULT_STORAGE_CLASS) -> None:
        """Make a bucket; does nothing when it exists."""
        path = names.bucket_path(self.root, name)
        with self.lock:
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                raise errors.path_conflict(name)
            if not path.exists():
                self.metadata.put_bucket(name, storage_class)
                make_folders(path)

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket; raises BucketNotEmpty also for unfinished multipart uploads."""
        path = self._bucket_root(name)
        with self.lock:
            if next(iter(self.walk(name)), None) is not None or self.metadata.count_uploads(name):
                raise errors.bucket_not_empty(name)
            if not _remove_empty_folders(path):
                raise errors.bucket_not_empty(name)
            self.metadata.delete_bucket(name)

    # Reading

    def walk(self, bucket: str, prefix: str = "", start: bytes = b"") -> MergedWalk:
        """Return the keys with ``prefix``, from ``start`` (inclusive) on, in UTF-8 byte order, lazily."""
        root = self._bucket_root(bucket)
        with_path = KeyWalk(
            root, prefix.encode(), start, lambda key: self._marker(bucket, key) is not None, self._folders
        )
        return MergedWalk(with_path, self.metadata, bucket, prefix.encode())

    def describe(self, bucket: str, keys: Sequence[str]) -> list[ObjectInfo]:
        """Return the descriptions of those objects of a listing that are still there."""
        records = self.metadata.find_objects(bucket, keys)
        known = {key: record for key, record in records.items() if self._is_at_its_path(bucket, key, record)}
        infos = {key: _info(key, record) for key, record in known.items()}
        unknown = [key for key in keys if key not in infos]
        if unknown:
            with ThreadPoolExecutor(_HASH_THREADS) as pool:
                found = pool.map(lambda key: self._find(bucket, key), unknown)
                infos.update({info.key: info for info in found if info is not None})
        return [infos[key] for key in keys if key in infos]

    def _find(self, bucket: str, key: str) -> ObjectInfo | None:
        """Return an object's description, None when a listing shall leave it out."""
        try:
            return self.head(bucket, key)
        except errors.OssError as error:
            if error.status >= 500:
                raise
            return None  # removed meanwhile, not readable, or a file name that OSS allows for no object

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """Return an object's description; raises NoSuchKey."""
        opened = self.open(bucket, key)
        opened.file.close()
        return opened.info

    def open(self, bucket: str, key: str) -> OpenObject:
        """Return an object's description and content; the caller closes the file. Raises NoSuchKey."""
        with self.lock:
            marker = self._marker(bucket, key)
            if marker is not None:
                return OpenObject(_info(key, marker), BytesIO())
            path = self._content(bucket, key)
            if path is None:
                raise errors.no_such_key(key)
            file = _open_regular(path, key)
            record = self.metadata.find_object(bucket, key)
            if record is not None and (record.size, record.mtime_ns) == _version(file):
                return OpenObject(_info(key, record), file)
        try:
            return OpenObject(_info(key, self._adopt(bucket, key, path, file, record)), file)
        except BaseException:
            file.close()
            raise

    def exists(self, bucket: str, key: str) -> bool:
        """Return whether there is an object of this key, without looking into it."""
        return self._marker(bucket, key) is not None or self._content(bucket, key) is not None

    def used(self, bucket: str) -> dict[str, tuple[int, int]]:
        """Return size in bytes and number of the objects of each storage class, without looking into them."""
        used = dict.fromkeys(STORAGE_CLASSES, (0, 0))
        keys = iter(self.walk(bucket))
        while batch := list(islice(keys, BATCH)):
            records = self.metadata.find_objects(bucket, batch)
            for key in batch:
                record = records.get(key)
                size = self._size(bucket, key)
                if size is not None:
                    headers = record.headers if record is not None else {}
                    storage_class = headers.get(STORAGE_CLASS_HEADER, DEFAULT_STORAGE_CLASS)
                    total, count = used[storage_class]
                    used[storage_class] = total + size, count + 1
        return used

    def _size(self, bucket: str, key: str) -> int | None:
        """Return an object's size in bytes, None when it is gone."""
        if names.has_path(key) and not names.is_marker(key):
            with suppress(OSError):
                status = (self.root / bucket / key).lstat()
                if statmodes.S_ISREG(status.st_mode):
                    return status.st_size
        try:
            if self._marker(bucket, key) is not None:
                return 0
            path = self._content(bucket, key)
            return path.stat().st_size if path is not None else None
        except (errors.OssError, FileNotFoundError):
            return None

    # Writing

    def stage(self) -> StagedFile:
        """Return a new file to write content into, on the file system of the buckets."""
        return StagedFile(self._staging)

    def put(
        self,
        bucket: str,
        key: str,
        staged: StagedFile,
        headers: Mapping[str, str],
        *,
        kind: str = NORMAL,
        etag: str | None = None,
        forbid_overwrite: bool = False,
        upload_id: str | None = None,
    ) -> ObjectInfo:
        """Make the staged content the object ``key``, in one step for every reader and for every crash.

        :param etag: entity tag where it is not the content's MD5.
        :param forbid_overwrite: raise FileAlreadyExists when the object exists.
        :param upload_id: the multipart upload that ends with this.
        """
        staged.close()
        sums = staged.sums
        with self.lock:
            path = names.object_path(self._bucket_root(bucket), key)
            if forbid_overwrite and self.exists(bucket, key):
                raise errors.object_exists(key)
            modified_ns = staged.path.stat().st_mtime_ns
            kept = {STORAGE_CLASS_HEADER: self.bucket(bucket).storage_class, **headers}
            record = ObjectRecord(sums.size, modified_ns, etag or sums.etag, sums.crc64, kind, kept)
            put = PendingPut(bucket, key, record, upload_id)
            apart = self._pathless.path(bucket, key)
            target = path if path is not None and self._make_room(bucket, key, path, sums.size) else apart
            if target == apart or not names.is_marker(key):
                # File and record change in two steps; a server that dies between them finds the note.
                self.metadata.begin_put(put)
                try:
                    replace(staged.path, target)
                except BaseException:
                    self.metadata.drop_put(put)
                    raise
            self.metadata.end_put(put, pathless=target == apart)
            if target != apart:
                apart.unlink(missing_ok=True)
        return _info(key, record)

    def change_headers(self, bucket: str, key: str, headers: Mapping[str, str]) -> None:
        """Replace the headers kept with an object; raises NoSuchKey."""
        with self.lock:
            info = self.head(bucket, key)
            record = ObjectRecord(
                info.size, info.modified_ns, info.etag, info.crc64, info.kind, dict(headers)
            )
            self.metadata.put_object(bucket, key, record)

    def delete(self, bucket: str, key: str) -> None:
        """Remove an object; does nothing when there is none."""
        with self.lock:
            path = names.object_path(self._bucket_root(bucket), key)
            if path is not None and not names.is_marker(key) and path.is_file():
                path.unlink(missing_ok=True)
                sync(path.parent)
            self.metadata.delete_object(bucket, key)
            self._pathless.path(bucket, key).unlink(missing_ok=True)

    # Parts of the above

    def _finish_puts(self) -> None:
        """End the puts that the last server was killed in: those whose file is in place have happened."""
        for put in self.metadata.pending_puts():
            if self._is_at_its_path(put.bucket, put.key, put.record):
                self.metadata.end_put(put, pathless=False)
            elif _is_of(self._pathless.path(put.bucket, put.key), put.record):
                self.metadata.end_put(put, pathless=True)
            else:
                self.metadata.drop_put(put)

    def _bucket_root(self, bucket: str) -> Path:
        path = names.bucket_path(self.root, bucket)
        if path.is_symlink() or not path.is_dir():
            raise errors.no_such_bucket(bucket)
        return path

    def _marker(self, bucket: str, key: str) -> ObjectRecord | None:
        """Return the record of a folder marker, an empty object, whose folder still exists."""
        path = names.object_path(self._bucket_root(bucket), key) if names.is_marker(key) else None
        if path is None or not path.is_dir():
            return None
        record = self.metadata.find_object(bucket, key)
        return record if record is not None and record.size == 0 else None

    def _content(self, bucket: str, key: str) -> Path | None:
        """Return the file of an object that is no folder marker, None when there is none."""
        path = names.object_path(self._bucket_root(bucket), key)
        if path is not None and not names.is_marker(key) and path.is_file():
            return path
        return self._pathless.path(bucket, key) if self.metadata.is_pathless(bucket, key) else None

    def _is_at_its_path(self, bucket: str, key: str, record: ObjectRecord) -> bool:
        """Return whether the file that a record describes is at the path of its key."""
        natural = names.has_path(key) and not names.is_marker(key)
        return natural and _is_of(self.root / bucket / key, record)

    def _adopt(
        self, bucket: str, key: str, path: Path, file: BinaryIO, known: ObjectRecord | None
    ) -> ObjectRecord:
        """Return, and if possible keep, the record of a file that was written by somebody else."""
        # Who waited for a long time, and asks again, finds what is being worked out for the first question.
        with self._hashing[hash(path) % len(self._hashing)]:
            record = self.metadata.find_object(bucket, key)
            if record is not None and (record.size, record.mtime_ns) == _version(file):
                return record
            return self._hash(bucket, key, path, file, known)

    def _hash(
        self, bucket: str, key: str, path: Path, file: BinaryIO, known: ObjectRecord | None
    ) -> ObjectRecord:
        for _ in range(_HASH_ATTEMPTS):
            version = _version(file)
            sums = checksums_of(file)
            if _version(file) == version:
                break  # else it is being written right now
        file.seek(0)
        if known is not None and (known.size, known.crc64) == (sums.size, sums.crc64):
            # Only touched: its headers and its ETag still describe it.
            record = ObjectRecord(sums.size, version[1], known.etag, known.crc64, known.kind, known.headers)
        else:
            record = ObjectRecord(sums.size, version[1], sums.etag, sums.crc64, NORMAL, {})
        with self.lock:
            if _same_version(path, file, version):
                self.metadata.note_object(bucket, key, record)
        return record

    def _make_room(self, bucket: str, key: str, path: Path, size: int) -> bool:
        """Make the folders above a new object, and remove empty ones of its name; False if that fails."""
        try:
            make_folders(path if names.is_marker(key) and not size else path.parent)
        except (FileExistsError, NotADirectoryError):
            return False
        if names.is_marker(key):
            return not size
        return not path.is_dir() or (
            not self.metadata.has_markers_below(bucket, key + "/") and _remove_empty_folders(path)
        )


def _info(key: str, record: ObjectRecord) -> ObjectInfo:
    return ObjectInfo(
        key, record.size, record.mtime_ns, record.etag, record.crc64, record.kind, record.headers
    )


def _version(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _is_of(path: Path, record: ObjectRecord) -> bool:
    """Return whether a plain file is of the version that a record describes."""
    try:
        status = path.lstat()
    except OSError:
        return False
    version = (status.st_size, status.st_mtime_ns)
    return statmodes.S_ISREG(status.st_mode) and version == (record.size, record.mtime_ns)


def _same_version(path: Path, file: BinaryIO, version: tuple[int, int]) -> bool:
    """Return whether ``path`` still is the open ``file`` and that is still of ``version``."""
    try:
        now = path.stat()
    except OSError:
        return False
    mine = os.fstat(file.fileno())
    same_file = (now.st_dev, now.st_ino) == (mine.st_dev, mine.st_ino)
    return same_file and (now.st_size, now.st_mtime_ns) == version


def _open_regular(path: Path, key: str) -> BinaryIO:
    """Open a plain file for reading; anything else (a folder, a pipe) is no object."""
    try:
        # O_NONBLOCK: opening a pipe must not wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise errors.no_such_key(key) from None
    except PermissionError:
        raise errors.access_denied("The file of this object may not be read by the local OSS.") from None
    if not statmodes.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise errors.no_such_key(key)
    return os.fdopen(descriptor, "rb")


def _remove_empty_folders(path: Path) -> bool:
    """Remove a tree of folders; return False, with some of them gone, when there is a file in it."""
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:
            return False
    return True
