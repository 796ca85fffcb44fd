"""Which object a path names, and which one is written; refused when it leads out of the declared root.

Runs in DPE workers: standard library only.
"""

from __future__ import annotations

import pathlib
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.errors import VideoError

MAX_KEY_BYTES = 1023
"""Longest key of an OSS object."""
MAX_NAME_BYTES = 255
"""Longest name of a file or folder, in the file systems that mounts are made of."""

_MAX_DECODINGS = 8
_NO_NAME_HOLDS = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's controls, halves of surrogate pairs, separators of lines and paragraphs."""


def key_below_root(path: object, oss_root: str, column: str = "video_path") -> str:
    """Return the key relative to ``oss_root``; raise VideoError for a path that leads elsewhere.

    ``column`` is where the path comes from, for messages.
    """
    root = oss_root.rstrip("/") + "/"
    if not isinstance(path, str) or not path.startswith(root) or path == root:
        raise VideoError(Reason.PATH_OUTSIDE_ROOT, f"{column} is not below the declared OSS root")
    key = path[len(root) :]
    if len(key) > MAX_KEY_BYTES:
        raise VideoError(Reason.NOT_FOUND, f"{column} is longer than any object's: {MAX_KEY_BYTES} bytes")
    for spelling in _spellings(key, column):
        segments = spelling.replace("\\", "/").split("/")
        if any(segment in ("", ".", "..") for segment in segments):
            raise VideoError(Reason.PATH_TRAVERSAL, f"{column} has empty, '.' or '..' segments")
        if any(unicodedata.category(character) in _NO_NAME_HOLDS for character in spelling):
            raise VideoError(Reason.PATH_TRAVERSAL, f"{column} holds control characters")
    if len(object_key(path, oss_root).encode()) > MAX_KEY_BYTES:
        raise VideoError(Reason.NOT_FOUND, f"{column} is longer than any object's: {MAX_KEY_BYTES} bytes")
    return key


def _spellings(key: str, column: str) -> Iterator[str]:
    """Yield the key and what it may become when somebody percent-decodes and normalises it, many times.

    Unicode has look-alikes of dots, slashes and percent signs, which compatibility normalisation turns into
    the real ones.
    """
    spelling = key
    for _ in range(_MAX_DECODINGS):
        decoded = unquote(spelling)
        normalised = unicodedata.normalize("NFKC", decoded)
        yield from (spelling, decoded, normalised)
        if normalised == spelling:
            return
        spelling = normalised
    raise VideoError(Reason.PATH_TRAVERSAL, f"{column} is encoded more often than anybody would")


def object_key(path: str, oss_root: str) -> str:
    """Return the bucket-relative key of a full URI in the bucket of ``oss_root``."""
    bucket_root = "/".join(oss_root.split("/")[:4]) + "/"
    return path.removeprefix(bucket_root)


def check_output_prefix(prefix: str, oss_root: str, room: int) -> None:
    """Raise ValueError for a root or a prefix below it that nothing can safely be written to.

    :param room: how many more bytes the keys below the prefix have.
    """
    bucket = "/".join(oss_root.split("/")[:4])
    try:
        if oss_root.rstrip("/") != bucket:
            key_below_root(oss_root.rstrip("/"), bucket, "the OSS root")
        key = key_below_root(f"{oss_root.rstrip('/')}/{prefix}", oss_root, "the output prefix")
    except VideoError as error:
        raise ValueError(str(error)) from error
    if any(len(segment.encode()) > MAX_NAME_BYTES for segment in key.split("/")):
        raise ValueError(f"a segment of the output prefix has more than {MAX_NAME_BYTES} bytes")
    written = len(object_key(f"{oss_root.rstrip('/')}/{prefix}", oss_root).encode())
    if written + room > MAX_KEY_BYTES:
        raise ValueError(f"the output prefix leaves no room: keys have {MAX_KEY_BYTES} bytes")


def output_url(oss_root: str, *parts: str) -> str:
    """Return the URI of a file to write; raise VideoError ``write_error`` when a name or key is too long."""
    url = "/".join((oss_root.rstrip("/"), *parts))
    if len(parts[-1].encode()) > MAX_NAME_BYTES:
        raise VideoError(
            Reason.WRITE_ERROR, f"the name of what is written would exceed {MAX_NAME_BYTES} bytes"
        )
    if len(object_key(url, oss_root).encode()) > MAX_KEY_BYTES:
        raise VideoError(Reason.WRITE_ERROR, f"the key of what is written would exceed {MAX_KEY_BYTES} bytes")
    return url


def inside(root: pathlib.Path, *segments: str) -> pathlib.Path:
    """Return ``root/segments``; raise VideoError when symbolic links on the way lead out of ``root``."""
    path = root.joinpath(*segments)
    try:
        is_inside = root.resolve() in path.resolve().parents
    except (OSError, RuntimeError) as error:
        # RuntimeError: links that form a circle.
        raise VideoError(Reason.NOT_FOUND, "there is no such object") from error
    if not is_inside:
        raise VideoError(Reason.PATH_TRAVERSAL, "the path leads outside the declared OSS root")
    return path
