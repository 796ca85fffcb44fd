"""Operations of multipart uploads."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from maxcompute_local.oss import conditions, errors, markup, transfer
from maxcompute_local.oss.conditions import ByteRange
from maxcompute_local.oss.markup import leaf, node
from maxcompute_local.oss.metadata import (
    DEFAULT_STORAGE_CLASS,
    STORAGE_CLASS_HEADER,
    Part,
    Upload,
)
from maxcompute_local.oss.protocol import COPY_SOURCE, OssRequest
from maxcompute_local.oss.responses import (
    Handler,
    checksum_headers,
    xml_response,
)
from maxcompute_local.oss.store import ObjectInfo, OssStore
from maxcompute_local.oss.uploads import MAX_PART_NUMBER, MultipartUploads, WantedPart

_MAX_PAGE = 1000
_CLIENT_ENCRYPTION = {
    "x-oss-meta-client-side-encryption-key": "ClientEncryptionKey",
    "x-oss-meta-client-side-encryption-start": "ClientEncryptionStart",
    "x-oss-meta-client-side-encryption-cek-alg": "ClientEncryptionCekAlg",
    "x-oss-meta-client-side-encryption-wrap-alg": "ClientEncryptionWrapAlg",
    "x-oss-meta-client-side-encryption-data-size": "ClientEncryptionDataSize",
    "x-oss-meta-client-side-encryption-part-size": "ClientEncryptionPartSize",
}
"""Elements of a list of parts by the headers that they repeat."""


class MultipartApi:
    """Handlers of the operations of multipart uploads."""

    def __init__(self, store: OssStore, uploads: MultipartUploads) -> None:
        self._store = store
        self._uploads = uploads

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handler by operation."""
        return {
            "InitiateMultipartUpload": self._start,
            "UploadPart": self._put_part,
            "UploadPartCopy": self._copy_part,
            "CompleteMultipartUpload": self._complete,
            "AbortMultipartUpload": self._abort,
            "ListParts": self._list_parts,
            "ListMultipartUploads": self._list_uploads,
        }

    async def _start(self, request: OssRequest) -> Response:
        headers = transfer.kept_headers(request)
        bucket, key = request.bucket_name, request.object_key
        if request.forbids_overwrite() and await run_in_threadpool(self._store.exists, bucket, key):
            raise errors.object_exists(key)
        upload = await run_in_threadpool(self._uploads.start, bucket, key, headers)
        return xml_response(
            node("InitiateMultipartUploadResult", *_names(request), leaf("UploadId", upload.id))
        )

    async def _put_part(self, request: OssRequest) -> Response:
        number = _part_number(request)
        upload = await self._upload(request)
        with self._store.stage() as staged:
            await transfer.receive(request, staged)
            part = await run_in_threadpool(self._uploads.put_part, upload, number, staged)
        md5 = base64.b64encode(bytes.fromhex(part.etag)).decode()
        return Response(headers={**checksum_headers(part.etag, part.crc64), "Content-MD5": md5})

    async def _copy_part(self, request: OssRequest) -> Response:
        upload = await self._upload(request)
        part = await run_in_threadpool(self._copy_content, request, upload, _part_number(request))
        return xml_response(
            node(
                "CopyPartResult",
                leaf("ETag", f'"{part.etag}"'),
                leaf("LastModified", markup.timestamp(part.modified)),
            ),
            checksum_headers(part.etag, part.crc64),
        )

    def _copy_content(self, request: OssRequest, upload: Upload, number: int) -> Part:
        source = transfer.copy_source(request)
        opened = self._store.open(source.bucket, source.key)
        with opened.file, self._store.stage() as staged:
            conditions.check(request.headers, opened.info, prefix=f"{COPY_SOURCE}-")
            wanted = _source_range(request, opened.info.size)
            opened.file.seek(wanted.first)
            staged.write_from(opened.file, wanted.size)
            return self._uploads.put_part(upload, number, staged)

    async def _complete(self, request: OssRequest) -> Response:
        upload = await self._upload(request)
        wanted = _wanted_parts(request, await request.document())
        info = await run_in_threadpool(self._finish, request, upload, wanted)
        return xml_response(
            node(
                "CompleteMultipartUploadResult",
                *_names(request),
                leaf("Location", f"{request.http.base_url}{upload.bucket}/{markup.url_encoded(upload.key)}"),
                leaf("ETag", f'"{info.etag}"'),
            ),
            checksum_headers(info.etag, info.crc64),
        )

    def _finish(self, request: OssRequest, upload: Upload, wanted: list[WantedPart] | None) -> ObjectInfo:
        upload = replace(upload, headers={**upload.headers, **transfer.kept_acl(request)})
        return self._uploads.complete(upload, wanted, forbid_overwrite=request.forbids_overwrite())

    async def _abort(self, request: OssRequest) -> Response:
        upload = await self._upload(request)
        await run_in_threadpool(self._uploads.abort, upload)
        return Response(status_code=204)

    async def _list_parts(self, request: OssRequest) -> Response:
        limit = request.integer("max-parts", _MAX_PAGE, 1, _MAX_PAGE)
        after = request.integer("part-number-marker", 0, 0, MAX_PART_NUMBER)
        upload = await self._upload(request)
        found = await run_in_threadpool(self._uploads.parts, upload, after, limit + 1)
        page, truncated = found[:limit], len(found) > limit
        return xml_response(
            node(
                "ListPartsResult",
                *_names(request),
                leaf("UploadId", upload.id),
                leaf("PartNumberMarker", after),
                leaf("NextPartNumberMarker", page[-1].number if page else after),
                leaf("MaxParts", limit),
                leaf("StorageClass", upload.headers.get(STORAGE_CLASS_HEADER, DEFAULT_STORAGE_CLASS)),
                markup.flag("IsTruncated", truncated),
                *_client_encryption(upload),
                *(_part(part) for part in page),
            )
        )

    async def _list_uploads(self, request: OssRequest) -> Response:
        query = request.query
        if query.get("delimiter"):
            raise errors.not_implemented("the parameter 'delimiter' of ListMultipartUploads")
        limit = request.integer("max-uploads", _MAX_PAGE, 1, _MAX_PAGE)
        encode: markup.Encoder = markup.url_encoded if request.wants_url_encoding() else str
        after = _after(query.get("key-marker", ""), query.get("upload-id-marker", ""))
        found = await run_in_threadpool(
            self._uploads.list, request.bucket_name, query.get("prefix", ""), after, limit + 1
        )
        page, truncated = found[:limit], len(found) > limit
        return xml_response(
            node(
                "ListMultipartUploadsResult",
                leaf("Bucket", request.bucket_name),
                leaf("EncodingType", "url") if request.wants_url_encoding() else "",
                leaf("KeyMarker", encode(query.get("key-marker", ""))),
                leaf("UploadIdMarker", query.get("upload-id-marker", "")),
                leaf("NextKeyMarker", encode(page[-1].key)) if page else "",
                leaf("NextUploadIdMarker", page[-1].id) if page else "",
                leaf("Prefix", encode(query.get("prefix", ""))),
                leaf("MaxUploads", limit),
                markup.flag("IsTruncated", truncated),
                *(_upload(upload, encode) for upload in page),
            )
        )

    async def _upload(self, request: OssRequest) -> Upload:
        return await run_in_threadpool(
            self._uploads.get, request.bucket_name, request.object_key, request.query["uploadId"]
        )


def _names(request: OssRequest) -> list[str]:
    """Return the elements that name the object, and how its key is written."""
    if request.wants_url_encoding():
        key = [leaf("EncodingType", "url"), leaf("Key", markup.url_encoded(request.object_key))]
    else:
        key = [leaf("Key", request.object_key)]
    return [leaf("Bucket", request.bucket_name), *key]


def _client_encryption(upload: Upload) -> list[str]:
    """Return what a client that encrypts needs to go on with its upload."""
    return [
        leaf(tag, upload.headers[name]) for name, tag in _CLIENT_ENCRYPTION.items() if name in upload.headers
    ]


def _part(part: Part) -> str:
    return node(
        "Part",
        leaf("PartNumber", part.number),
        leaf("LastModified", markup.timestamp(part.modified)),
        leaf("ETag", f'"{part.etag}"'),
        leaf("HashCrc64ecma", part.crc64),
        leaf("Size", part.size),
    )


def _upload(upload: Upload, encode: markup.Encoder) -> str:
    return node(
        "Upload",
        leaf("Key", encode(upload.key)),
        leaf("UploadId", upload.id),
        leaf("Initiated", markup.timestamp(upload.initiated)),
    )


def _part_number(request: OssRequest) -> int:
    number = request.integer("partNumber", 0, 1, MAX_PART_NUMBER)
    if not number:
        raise errors.invalid_argument("partNumber must not be empty.", "partNumber", "")
    return number


def _after(key_marker: str, id_marker: str) -> tuple[str, str]:
    """Return the (key, id) after which a listing of uploads goes on; an id counts only with a key."""
    if key_marker and not id_marker:
        return key_marker, chr(0x10FFFF)  # beyond every upload of that key
    return key_marker, id_marker if key_marker else ""


def _source_range(request: OssRequest, size: int) -> ByteRange:
    header = request.headers.get(f"{COPY_SOURCE}-range")
    if header is None:
        return ByteRange(0, size - 1)
    wanted = conditions.resolve_range(header, size, standard=True)
    if wanted is None:
        message = "The source range must be like bytes=0-99."
        raise errors.invalid_argument(message, f"{COPY_SOURCE}-range", header)
    return wanted


def _wanted_parts(request: OssRequest, body: bytes) -> list[WantedPart] | None:
    """Return the parts that a completion names in ascending order, None for all that were uploaded."""
    if request.headers.get("x-oss-complete-all", "").lower() == "yes":
        if body:
            message = "x-oss-complete-all does not go with a list of parts."
            raise errors.invalid_argument(message, "x-oss-complete-all", "yes")
        return None
    parts = []
    for element in markup.parse(body, "CompleteMultipartUpload").findall("Part"):
        number, etag = element.findtext("PartNumber") or "", element.findtext("ETag") or ""
        if not (number.isascii() and number.isdigit() and len(number) < 10 and etag):
            raise errors.malformed_xml("every Part needs a PartNumber and an ETag")
        parts.append(WantedPart(int(number), etag.strip().strip('"')))
    if not parts:
        raise errors.malformed_xml("expected at least one Part")
    if any(one.number >= other.number for one, other in pairwise(parts)):
        message = "The parts must be in ascending order of their numbers."
        raise errors.OssError(400, "InvalidPartOrder", message)
    return parts
