"""Appending to an object: the only write that depends on what is already there."""

from __future__ import annotations

from collections.abc import Mapping

from maxcompute_local.oss import errors
from maxcompute_local.oss.checksums import StagedFile
from maxcompute_local.oss.store import APPENDABLE, ObjectInfo, OpenObject, OssStore


def append(
    store: OssStore, bucket: str, key: str, position: int, content: StagedFile, headers: Mapping[str, str]
) -> ObjectInfo:
    """Add staged content to the end of an appendable object, or make a new one.

    The whole object is written anew, so that readers and mounts never see half of an addition.
    An existing object keeps its own headers.

    :param position: length in bytes that the object must have now.
    :raises OssError: PositionNotEqualToLength, or ObjectNotAppendable for an object made in another way.
    """
    content.close()
    before = _open(store, bucket, key)
    with store.stage() as staged:
        if before is not None:
            with before.file:
                if before.info.kind != APPENDABLE:
                    message = "The object is not appendable."
                    raise errors.OssError(409, "ObjectNotAppendable", message, details={"Key": key})
                staged.write_from(before.file, before.info.size)
            headers = before.info.headers
        if position != staged.sums.size:
            raise errors.position_mismatch(staged.sums.size)
        with content.path.open("rb") as source:
            staged.write_from(source, content.sums.size)
        with store.lock:
            _require_unchanged(store, bucket, key, before)
            return store.put(bucket, key, staged, headers, kind=APPENDABLE)


def _open(store: OssStore, bucket: str, key: str) -> OpenObject | None:
    try:
        return store.open(bucket, key)
    except errors.OssError as error:
        if error.code == "NoSuchKey":
            return None
        raise


def _require_unchanged(store: OssStore, bucket: str, key: str, before: OpenObject | None) -> None:
    now = _open(store, bucket, key)
    if now is None:
        if before is not None:
            raise errors.position_mismatch(0)
        return
    now.file.close()
    if before is None or now.info != before.info:
        raise errors.position_mismatch(now.info.size)
