"""Multipart uploads: parts are files below ``<root>/.maxcompute-local/uploads``, in the end one object."""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maxcompute_local.durable import make_folders, replace
from maxcompute_local.oss import errors, names
from maxcompute_local.oss.checksums import StagedFile
from maxcompute_local.oss.metadata import Part, Upload
from maxcompute_local.oss.store import MULTIPART, ObjectInfo, OssStore

MAX_PART_NUMBER = 10_000
STALE_SECONDS = 7 * 86400.0
"""An upload to which nothing was added for so long is removed when the next one begins."""
MIN_PART_BYTES = 100 * 1024
"""Least size of every part but the last."""


@dataclass(frozen=True)
class WantedPart:
    """A part named by a completion: its number and its ETag without quotes."""

    number: int
    etag: str


class MultipartUploads:
    """Unfinished multipart uploads of a store."""

    def __init__(self, store: OssStore) -> None:
        self._store = store
        self._metadata = store.metadata
        self._folder = store.private / "uploads"
        make_folders(self._folder)
        self._remove_leftovers()

    def start(self, bucket: str, key: str, headers: Mapping[str, str]) -> Upload:
        """Begin an upload of an object that will have ``headers``."""
        self._store.bucket(bucket)
        names.check_key(key)
        self._abandon_stale()
        upload = Upload(uuid.uuid4().hex.upper(), bucket, key, time.time(), dict(headers))
        with self._store.lock:
            make_folders(self._folder / upload.id)
            self._metadata.add_upload(upload)
        return upload

    def get(self, bucket: str, key: str, upload_id: str) -> Upload:
        """Return an unfinished upload of exactly this object; raises NoSuchUpload."""
        self._store.bucket(bucket)
        upload = self._metadata.find_upload(upload_id)
        if upload is None or (upload.bucket, upload.key) != (bucket, key):
            raise errors.no_such_upload(upload_id)
        return upload

    def list(self, bucket: str, prefix: str, after: tuple[str, str], limit: int) -> Sequence[Upload]:
        """Return up to ``limit`` uploads by (key, id), beyond ``after``."""
        self._store.bucket(bucket)
        return self._metadata.uploads(bucket, prefix, after, limit)

    def count(self, bucket: str) -> int:
        """Return how many uploads of a bucket are unfinished."""
        return self._metadata.count_uploads(bucket)

    def put_part(self, upload: Upload, number: int, staged: StagedFile) -> Part:
        """Make the staged content a part, in place of an earlier one of the same number."""
        staged.close()
        part = Part(number, staged.sums.size, staged.sums.etag, staged.sums.crc64, time.time())
        with self._store.lock:
            self.get(upload.bucket, upload.key, upload.id)
            before = self._metadata.parts(upload.id, number - 1, 1)
            replace(staged.path, self._path(upload.id, part))
            self._metadata.put_part(upload.id, part)
            for old in before:
                if old.number == number and old.etag != part.etag:
                    self._path(upload.id, old).unlink(missing_ok=True)
        return part

    def parts(self, upload: Upload, after: int, limit: int) -> Sequence[Part]:
        """Return up to ``limit`` parts numbered above ``after``."""
        return self._metadata.parts(upload.id, after, limit)

    def complete(
        self, upload: Upload, wanted: Sequence[WantedPart] | None, *, forbid_overwrite: bool
    ) -> ObjectInfo:
        """Join the wanted parts, in the order given (None: all by number), into the object; end the upload.

        Raises InvalidPart, EntityTooSmall, NoSuchUpload or FileAlreadyExists.
        """
        try:
            parts = self._choose(upload, wanted)
        except errors.OssError:
            self.get(upload.bucket, upload.key, upload.id)  # its parts are gone because the upload is
            raise
        with self._store.stage() as staged:
            for part in parts:
                self._append_part(upload, part, staged)
            digests = b"".join(bytes.fromhex(part.etag) for part in parts)
            etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest().upper()}-{len(parts)}"
            with self._store.lock:
                self.get(
                    upload.bucket, upload.key, upload.id
                )  # nobody else completed or aborted it meanwhile
                info = self._store.put(
                    upload.bucket,
                    upload.key,
                    staged,
                    upload.headers,
                    kind=MULTIPART,
                    etag=etag,
                    forbid_overwrite=forbid_overwrite,
                    upload_id=upload.id,
                )
        shutil.rmtree(self._folder / upload.id)
        return info

    def abort(self, upload: Upload) -> None:
        """End an upload and remove its parts."""
        with self._store.lock:
            self.get(upload.bucket, upload.key, upload.id)
            self._metadata.delete_upload(upload.id)
        shutil.rmtree(self._folder / upload.id)

    def _path(self, upload_id: str, part: Part) -> Path:
        """Return a part's file, named by its content: a part that is replaced stays whole until it is."""
        return self._folder / upload_id / f"{part.number}-{part.etag}"

    def _remove_leftovers(self) -> None:
        """Remove files that no unfinished upload names, which a killed server has left."""
        unfinished = set(self._metadata.upload_ids())
        for folder in self._folder.iterdir():
            if folder.name not in unfinished:
                shutil.rmtree(folder)
                continue
            named = {self._path(folder.name, part) for part in self._metadata.parts(folder.name)}
            for path in set(folder.iterdir()) - named:
                path.unlink()

    def _abandon_stale(self) -> None:
        """End uploads that nobody has added to for long, as a bucket's lifecycle rule would."""
        with self._store.lock:
            stale = self._metadata.upload_ids(time.time() - STALE_SECONDS)
            for upload_id in stale:
                self._metadata.delete_upload(upload_id)
        for upload_id in stale:
            shutil.rmtree(self._folder / upload_id, ignore_errors=True)

    def _choose(self, upload: Upload, wanted: Sequence[WantedPart] | None) -> Sequence[Part]:
        uploaded = {part.number: part for part in self._metadata.parts(upload.id)}
        if wanted is None:
            chosen = list(uploaded.values())
        else:
            chosen = [_matching(uploaded.get(part.number), part) for part in wanted]
        if not chosen:
            raise errors.invalid_argument("The upload has no parts.", "uploadId", upload.id)
        for part in chosen[:-1]:
            if part.size < MIN_PART_BYTES:
                details = {"PartNumber": str(part.number), "ProposedSize": str(part.size)}
                message = f"Every part but the last must have at least {MIN_PART_BYTES} bytes."
                raise errors.OssError(400, "EntityTooSmall", message, details=details)
        return chosen

    def _append_part(self, upload: Upload, part: Part, staged: StagedFile) -> None:
        try:
            with self._path(upload.id, part).open("rb") as source:
                staged.join(source, part.size, int(part.crc64))
        except FileNotFoundError:
            raise errors.no_such_upload(upload.id) from None


def _matching(uploaded: Part | None, wanted: WantedPart) -> Part:
    if uploaded is None or uploaded.etag != wanted.etag.upper():
        message = "One or more of the specified parts could not be found, or the ETag does not match."
        details = {"PartNumber": str(wanted.number), "ETag": wanted.etag}
        raise errors.OssError(400, "InvalidPart", message, details=details)
    return uploaded
