"""Names of buckets and objects, and the one place where a key becomes a path."""

from __future__ import annotations

import os
import re
from pathlib import Path

from maxcompute_local.oss import errors

MAX_KEY_BYTES = 1023
MAX_SEGMENT_BYTES = 255
"""Longest file name of the common file systems."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def is_bucket_name(name: str) -> bool:
    """Return whether OSS allows ``name`` for a bucket. Anything else below the root is not a bucket."""
    return _BUCKET.fullmatch(name) is not None


def bucket_path(root: Path, bucket: str) -> Path:
    """Return the folder of ``bucket``; raises InvalidBucketName."""
    if not is_bucket_name(bucket):
        raise errors.invalid_bucket_name(bucket)
    return root / bucket


def check_key(key: str) -> None:
    """Raise InvalidObjectName for a key that OSS refuses."""
    reason = _objection(key)
    if reason:
        raise errors.invalid_object_name(key, reason)


def object_path(bucket_root: Path, key: str) -> Path | None:
    """Return the file (or, for a key ending in ``/``, the folder) of ``key`` below ``bucket_root``.

    None for a key that no path can stand for. ``bucket_root`` must be free of symbolic links. Raises
    InvalidObjectName, or AccessDenied for a path that goes through a symbolic link: links are never followed,
    so that no key leads out of the bucket.
    """
    check_key(key)
    if not has_path(key):
        return None
    path = bucket_root / key
    if os.path.realpath(path) != str(path):
        raise errors.access_denied("The key goes through a symbolic link, which the local OSS never follows.")
    return path


def is_marker(key: str) -> bool:
    """Return whether ``key`` names a folder marker: an empty object whose key ends in ``/``."""
    return key.endswith("/")


def _objection(key: str) -> str | None:
    if not key:
        return "the key is empty"
    if key[0] in "/\\":
        return "a key must not start with a slash or backslash"
    if "\0" in key:
        return "a key must not contain NUL"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "a key must be valid UTF-8"
    if size > MAX_KEY_BYTES:
        return f"the key has {size} bytes, at most {MAX_KEY_BYTES} are allowed"
    return None


def has_path(key: str) -> bool:
    """Return whether a file path below its bucket can stand for ``key``, which OSS allows."""
    segments = key.removesuffix("/").split("/")
    return all(
        segment not in ("", ".", "..") and len(segment.encode()) <= MAX_SEGMENT_BYTES for segment in segments
    )
