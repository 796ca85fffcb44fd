"""What goes with content on its way in: the body, the headers kept with an object, the source of a copy."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool

from maxcompute_local.oss import errors, tagging
from maxcompute_local.oss.checksums import CHUNK_BYTES, StagedFile
from maxcompute_local.oss.metadata import STORAGE_CLASS_HEADER, STORAGE_CLASSES
from maxcompute_local.oss.protocol import COPY_SOURCE, OssRequest
from maxcompute_local.oss.responses import ACL_HEADER

_KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
)
_USER_METADATA = "x-oss-meta-"
_STAYING_HEADERS = ("content-type", f"{_USER_METADATA}client-side-encryption-")
"""What a copy takes from its source even when it replaces the metadata, unless it brings its own."""


@dataclass(frozen=True)
class CopySource:
    """The object that a request copies from."""

    bucket: str
    key: str


async def receive(request: OssRequest, staged: StagedFile) -> None:
    """Write the body of a request into a staged file as it arrives; raises InvalidDigest."""
    buffer = bytearray()
    write: asyncio.Task[None] | None = None
    try:
        async for chunk in request.http.stream():
            buffer += chunk
            if len(buffer) >= CHUNK_BYTES:
                if write is not None:
                    await write
                # The next piece arrives while this one is hashed and written.
                write = asyncio.create_task(run_in_threadpool(staged.write, bytes(buffer)))
                buffer.clear()
    finally:
        if write is not None:
            await write  # the file is not closed before
    await run_in_threadpool(staged.write, bytes(buffer))
    expected = request.headers.get("content-md5")
    if expected is not None and _digest(expected) != staged.sums.md5:
        raise errors.OssError(
            400, "InvalidDigest", "The Content-MD5 you specified did not match the content."
        )


def kept_headers(request: OssRequest) -> dict[str, str]:
    """Return the headers of a write that are kept with the object; raises NotImplemented."""
    kept = {
        name: value
        for name, value in request.headers.items()
        if name in _KEPT_HEADERS or name.startswith(_USER_METADATA)
    }
    return {**kept, **kept_storage_class(request), **kept_tags(request), **kept_acl(request)}


def kept_acl(request: OssRequest) -> dict[str, str]:
    """Return the header with the object's access control list, if a write has it."""
    return {name: value for name, value in request.headers.items() if name == ACL_HEADER}


def kept_tags(request: OssRequest) -> dict[str, str]:
    """Return the tagging header of a write, if it has one; raises InvalidTag."""
    return tagging.to_header(tagging.from_header(request.headers.get(tagging.TAGGING_HEADER, "")))


def kept_storage_class(request: OssRequest) -> dict[str, str]:
    """Return the storage class header of a write, if it has one; raises NotImplemented for archives."""
    storage_class = request.headers.get(STORAGE_CLASS_HEADER)
    if storage_class is None:
        return {}
    if storage_class not in STORAGE_CLASSES:
        raise errors.not_implemented(f"the storage class {storage_class}, whose objects must be restored")
    return {STORAGE_CLASS_HEADER: storage_class}


def copied_headers(request: OssRequest, source_headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a copy keeps: those of its source, or with REPLACE those of the request."""
    source_tags = {name: source_headers[name] for name in source_headers if name == tagging.TAGGING_HEADER}
    tags = kept_tags(request) if _replaces(request, "x-oss-tagging-directive") else source_tags
    if _replaces(request, "x-oss-metadata-directive"):
        stays = {name: value for name, value in source_headers.items() if name.startswith(_STAYING_HEADERS)}
        kept = {**stays, **kept_headers(request)}
    else:
        kept = dict(source_headers)
    for name in (STORAGE_CLASS_HEADER, tagging.TAGGING_HEADER, ACL_HEADER):
        kept.pop(name, None)
    return {**kept, **tags, **kept_storage_class(request), **kept_acl(request)}


def _replaces(request: OssRequest, directive: str) -> bool:
    value = request.headers.get(directive, "COPY").upper()
    if value not in ("COPY", "REPLACE"):
        raise errors.invalid_argument("The directive must be COPY or REPLACE.", directive, value)
    return value == "REPLACE"


def copy_source(request: OssRequest) -> CopySource:
    """Return the source of a copy, ``/bucket/url-encoded-key`` in its header; raises InvalidArgument."""
    value = request.headers[COPY_SOURCE]
    if "?" in value:
        raise errors.not_implemented("copies of a version of an object")
    try:
        bucket, _, key = unquote(value.removeprefix("/"), errors="strict").partition("/")
    except UnicodeDecodeError:
        bucket = key = ""
    if not bucket or not key:
        message = "The copy source must be /bucket/key, url encoded."
        raise errors.invalid_argument(message, COPY_SOURCE, value)
    return CopySource(bucket, key)


def _digest(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
