"""Parts of object keys that a scenario names: plain ones only, whoever decodes or normalises them."""

from __future__ import annotations

import re
import unicodedata

MAX_SEGMENT_BYTES = 255
"""Longest name of a folder, in the file systems that mounts are made of."""
MAX_PATH_BYTES = 512
"""Leaves room for partition, video and frame in a key of 1023 bytes."""

_NO_NAME_HOLDS = ("Cc", "Cs", "Zl", "Zp")
_ENDPOINT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?")


def check_key_path(path: str) -> str:
    """Return ``path`` without a slash at its end; raise ValueError unless it names a folder of a bucket.

    So it does also after compatibility normalisation, which turns look-alikes of dots, slashes and percent
    signs into the real ones.
    """
    plain = path.removesuffix("/")
    for spelling in (plain, unicodedata.normalize("NFKC", plain)):
        if any(segment in ("", ".", "..") for segment in spelling.split("/")):
            raise ValueError("it is a folder: not empty, without a leading slash, '//', '.' or '..'")
        if "%" in spelling or "\\" in spelling:
            raise ValueError("it is taken as it is written: no percent-encoding and no backslash")
        if any(unicodedata.category(character) in _NO_NAME_HOLDS for character in spelling):
            raise ValueError("it has no control characters")
    if any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in plain.split("/")):
        raise ValueError(f"a folder's name has at most {MAX_SEGMENT_BYTES} bytes")
    if len(plain.encode()) > MAX_PATH_BYTES:
        raise ValueError(f"it has at most {MAX_PATH_BYTES} bytes")
    return plain


def check_endpoint(endpoint: str) -> str:
    """Return ``endpoint``; raise ValueError unless it is a host, or host and port: no user, no path."""
    if not _ENDPOINT.fullmatch(endpoint):
        raise ValueError("the endpoint is a host name, for example oss-cn-shanghai-internal.aliyuncs.com")
    return endpoint
