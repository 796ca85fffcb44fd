"""Which object a ``video_path`` names; refused when it leads out of the declared root.

Runs in DPE workers: standard library only.
"""

from __future__ import annotations

import hashlib
import pathlib
import unicodedata
from urllib.parse import unquote

from airflow_provider_drivepipe.worker.errors import VideoError

_MAX_DECODINGS = 8


def key_below_root(path: object, oss_root: str, column: str = "video_path") -> str:
    """Return the key relative to ``oss_root``; raise VideoError for a path that leads elsewhere.

    ``column`` is where the path comes from, for messages.
    """
    root = oss_root.rstrip("/") + "/"
    if not isinstance(path, str) or not path.startswith(root) or path == root:
        raise VideoError("path_outside_root", f"{column} is not below the declared OSS root")
    key = path[len(root) :]
    for spelling in _spellings(key):
        segments = spelling.replace("\\", "/").split("/")
        if any(segment in ("", ".", "..") for segment in segments):
            raise VideoError("path_traversal", f"{column} has empty, '.' or '..' segments")
        # Controls, and halves of surrogate pairs, which no file name can hold.
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in spelling):
            raise VideoError("path_traversal", f"{column} holds control characters")
    return key


def _spellings(key: str) -> list[str]:
    """Return the key and what it may become when somebody percent-decodes it, several times if need be."""
    spellings = [key]
    for _ in range(_MAX_DECODINGS):
        decoded = unquote(spellings[-1])
        if decoded == spellings[-1]:
            break
        spellings.append(decoded)
    return spellings


def video_id(video_path: str, oss_root: str) -> str:
    """Return the first 16 hex digits of SHA-256 over the bucket-relative key."""
    bucket_root = "/".join(oss_root.split("/")[:4]) + "/"
    return hashlib.sha256(video_path.removeprefix(bucket_root).encode()).hexdigest()[:16]


def inside(root: pathlib.Path, *segments: str) -> pathlib.Path:
    """Return ``root/segments``; raise VideoError when symbolic links on the way lead out of ``root``."""
    path = root.joinpath(*segments)
    try:
        is_inside = root.resolve() in path.resolve().parents
    except (OSError, RuntimeError) as error:
        # RuntimeError: links that form a circle.
        raise VideoError("not_found", "there is no such object") from error
    if not is_inside:
        raise VideoError("path_traversal", "the path leads outside the declared OSS root")
    return path
