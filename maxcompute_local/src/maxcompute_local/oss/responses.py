"""Answers that several operations share: XML, object headers, content, errors."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from maxcompute_local.oss import markup, tagging
from maxcompute_local.oss.checksums import CHUNK_BYTES
from maxcompute_local.oss.conditions import ByteRange, http_date
from maxcompute_local.oss.errors import OssError
from maxcompute_local.oss.markup import leaf, node
from maxcompute_local.oss.metadata import DEFAULT_STORAGE_CLASS, STORAGE_CLASS_HEADER
from maxcompute_local.oss.protocol import OssRequest
from maxcompute_local.oss.store import ObjectInfo

Handler = Callable[[OssRequest], Coroutine[Any, Any, Response]]

OWNER = node("Owner", leaf("ID", "local"), leaf("DisplayName", "local"))
ACL_HEADER = "x-oss-object-acl"

_NO_ERROR_CLASS = "0000-00000000"
"""The ``EC`` of OSS points to a page about the error; the local cloud has none."""


def xml_response(root: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer with an XML document around the finished root element."""
    return Response(markup.document(root), headers=headers, media_type="application/xml")


def checksum_headers(etag: str, crc64: str) -> dict[str, str]:
    """Return the headers by which clients verify what was written; ``etag`` without quotes."""
    return {"ETag": f'"{etag}"', "x-oss-hash-crc64ecma": crc64}


def storage_class(info: ObjectInfo) -> str:
    """Return the storage class that was given when the object was written."""
    return info.headers.get(STORAGE_CLASS_HEADER, DEFAULT_STORAGE_CLASS)


def object_headers(info: ObjectInfo) -> dict[str, str]:
    """Return the headers, names in lower case, that describe an object in answers to GET and HEAD."""
    kept = dict(info.headers)
    kept.pop(ACL_HEADER, None)
    tags = tagging.from_header(kept.pop(tagging.TAGGING_HEADER, ""))
    return {
        "content-type": "application/octet-stream",
        STORAGE_CLASS_HEADER: DEFAULT_STORAGE_CLASS,
        **kept,
        **({"x-oss-tagging-count": str(len(tags))} if tags else {}),
        "accept-ranges": "bytes",
        "content-length": str(info.size),
        "etag": f'"{info.etag}"',
        "last-modified": http_date(info.modified),
        "x-oss-hash-crc64ecma": info.crc64,
        "x-oss-object-type": info.kind,
    }


def content_response(
    file: BinaryIO, part: ByteRange, status: int, headers: Mapping[str, str]
) -> StreamingResponse:
    """Return an answer that streams the bytes ``part`` of ``file`` and then closes it."""
    return StreamingResponse(_read(file, part), status_code=status, headers=headers)


def error_response(error: OssError, method: str, request_id: str, host: str) -> Response:
    """Return an error as OSS does: a document, which HEAD carries in a header for want of a body.

    304 carries none at all: clients know it by its status, and one with a code is another error to some.
    """
    if error.status == 304:
        return Response(status_code=304, headers=error.headers)
    document = markup.document(
        node(
            "Error",
            leaf("Code", error.code),
            leaf("Message", error.message),
            leaf("RequestId", request_id),
            leaf("HostId", host),
            *(leaf(name, value) for name, value in error.details.items()),
            leaf("EC", _NO_ERROR_CLASS),
        )
    )
    headers = {**error.headers, "x-oss-ec": _NO_ERROR_CLASS}
    if method == "HEAD":
        headers["x-oss-err"] = base64.b64encode(document).decode()
        return Response(status_code=error.status, headers=headers)
    return Response(document, error.status, headers, media_type="application/xml")


async def _read(file: BinaryIO, part: ByteRange) -> AsyncIterator[bytes]:
    with file:
        file.seek(part.first)
        left = part.size
        while left > 0:
            chunk = await run_in_threadpool(file.read, min(CHUNK_BYTES, left))
            if not chunk:  # cut short through a mount; the missing bytes end the connection
                return
            left -= len(chunk)
            yield chunk
