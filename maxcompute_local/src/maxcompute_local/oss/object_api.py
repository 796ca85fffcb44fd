"""Operations on single objects, and the deletion of many."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from maxcompute_local.oss import conditions, errors, markup, tagging, transfer
from maxcompute_local.oss.append import append
from maxcompute_local.oss.checksums import StagedFile
from maxcompute_local.oss.conditions import ByteRange
from maxcompute_local.oss.markup import leaf, node
from maxcompute_local.oss.protocol import COPY_SOURCE, NULL_VERSION, OssRequest
from maxcompute_local.oss.responses import (
    ACL_HEADER,
    OWNER,
    Handler,
    checksum_headers,
    content_response,
    object_headers,
    xml_response,
)
from maxcompute_local.oss.store import ObjectInfo, OssStore

_MAX_DELETIONS = 1000
_MAX_POSITION = 1 << 62
_META_HEADERS = ("content-length", "etag", "last-modified", "x-oss-hash-crc64ecma")


class ObjectApi:
    """Handlers of the operations on objects."""

    def __init__(self, store: OssStore) -> None:
        self._store = store

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handler by operation."""
        return {
            "PutObject": self._put,
            "AppendObject": self._append,
            "CopyObject": self._copy,
            "GetObject": self._get,
            "HeadObject": self._head,
            "GetObjectMeta": self._meta,
            "DeleteObject": self._delete,
            "DeleteMultipleObjects": self._delete_many,
            "GetObjectAcl": self._get_acl,
            "PutObjectAcl": self._put_acl,
            "GetObjectTagging": self._get_tags,
            "PutObjectTagging": self._put_tags,
            "DeleteObjectTagging": self._delete_tags,
        }

    async def _put(self, request: OssRequest) -> Response:
        headers = transfer.kept_headers(request)
        await run_in_threadpool(self._check_writable, request)
        with self._store.stage() as staged:
            await transfer.receive(request, staged)
            info = await run_in_threadpool(self._commit, request, staged, headers)
            answer = checksum_headers(info.etag, info.crc64)
            return Response(headers={**answer, "Content-MD5": base64.b64encode(staged.sums.md5).decode()})

    async def _append(self, request: OssRequest) -> Response:
        position = request.integer("position", 0, 0, _MAX_POSITION)
        headers = transfer.kept_headers(request)
        await run_in_threadpool(self._store.exists, request.bucket_name, request.object_key)
        with self._store.stage() as staged:
            await transfer.receive(request, staged)
            info = await run_in_threadpool(
                append, self._store, request.bucket_name, request.object_key, position, staged, headers
            )
        answer = {**checksum_headers(info.etag, info.crc64), "x-oss-next-append-position": str(info.size)}
        return Response(headers=answer)

    async def _copy(self, request: OssRequest) -> Response:
        info = await run_in_threadpool(self._copy_content, request)
        return xml_response(
            node(
                "CopyObjectResult",
                leaf("ETag", f'"{info.etag}"'),
                leaf("LastModified", markup.timestamp(info.modified)),
            ),
            {"x-oss-hash-crc64ecma": info.crc64},
        )

    def _copy_content(self, request: OssRequest) -> ObjectInfo:
        source = transfer.copy_source(request)
        self._check_writable(request)
        opened = self._store.open(source.bucket, source.key)
        with opened.file, self._store.stage() as staged:
            conditions.check(request.headers, opened.info, prefix=f"{COPY_SOURCE}-")
            headers = transfer.copied_headers(request, opened.info.headers)
            staged.write_from(opened.file, opened.info.size)
            return self._commit(request, staged, headers)

    def _check_writable(self, request: OssRequest) -> None:
        """Find out what is wrong before a long body arrives."""
        exists = self._store.exists(request.bucket_name, request.object_key)
        if exists and request.forbids_overwrite():
            raise errors.object_exists(request.object_key)

    def _commit(self, request: OssRequest, staged: StagedFile, headers: Mapping[str, str]) -> ObjectInfo:
        return self._store.put(
            request.bucket_name,
            request.object_key,
            staged,
            headers,
            forbid_overwrite=request.forbids_overwrite(),
        )

    async def _get(self, request: OssRequest) -> Response:
        opened = await run_in_threadpool(self._store.open, request.bucket_name, request.object_key)
        try:
            info = opened.info
            conditions.check(request.headers, info)
            headers = {**object_headers(info), **_overrides(request)}
            standard = request.headers.get("x-oss-range-behavior", "").lower() == "standard"
            wanted = conditions.range_wanted(request.headers, info)
            part = conditions.resolve_range(wanted, info.size, standard=standard)
            if part is None:
                return content_response(opened.file, ByteRange(0, info.size - 1), 200, headers)
            headers["content-range"] = f"bytes {part.first}-{part.last}/{info.size}"
            headers["content-length"] = str(part.size)
            return content_response(opened.file, part, 206, headers)
        except BaseException:
            opened.file.close()
            raise

    async def _head(self, request: OssRequest) -> Response:
        info = await run_in_threadpool(self._store.head, request.bucket_name, request.object_key)
        conditions.check(request.headers, info)
        return Response(headers=object_headers(info))

    async def _meta(self, request: OssRequest) -> Response:
        info = await run_in_threadpool(self._store.head, request.bucket_name, request.object_key)
        headers = object_headers(info)
        return Response(headers={name: headers[name] for name in _META_HEADERS})

    async def _delete(self, request: OssRequest) -> Response:
        await run_in_threadpool(self._store.delete, request.bucket_name, request.object_key)
        return Response(status_code=204)

    async def _delete_many(self, request: OssRequest) -> Response:
        url_encoding = request.wants_url_encoding()
        encode: markup.Encoder = markup.url_encoded if url_encoding else str
        quiet, keys = _deletions(await request.document())
        await run_in_threadpool(self._delete_all, request.bucket_name, keys)
        return xml_response(
            node(
                "DeleteResult",
                leaf("EncodingType", "url") if url_encoding else "",
                *(node("Deleted", leaf("Key", encode(key))) for key in keys if not quiet),
            )
        )

    def _delete_all(self, bucket: str, keys: list[str]) -> None:
        self._store.bucket(bucket)
        for key in keys:
            self._store.delete(bucket, key)

    async def _get_acl(self, request: OssRequest) -> Response:
        info = await run_in_threadpool(self._store.head, request.bucket_name, request.object_key)
        grant = leaf("Grant", info.headers.get(ACL_HEADER, "default"))
        return xml_response(node("AccessControlPolicy", OWNER, node("AccessControlList", grant)))

    async def _put_acl(self, request: OssRequest) -> Response:
        acl = request.headers.get(ACL_HEADER)
        if acl is None:
            raise errors.invalid_argument("The header is missing.", ACL_HEADER, "")
        await run_in_threadpool(self._change_headers, request, {ACL_HEADER: acl}, ACL_HEADER)
        return Response()

    async def _get_tags(self, request: OssRequest) -> Response:
        info = await run_in_threadpool(self._store.head, request.bucket_name, request.object_key)
        tags = tagging.from_header(info.headers.get(tagging.TAGGING_HEADER, ""))
        return xml_response(tagging.to_document(tags))

    async def _put_tags(self, request: OssRequest) -> Response:
        tags = tagging.to_header(tagging.from_document(await request.document()))
        await run_in_threadpool(self._change_headers, request, tags, tagging.TAGGING_HEADER)
        return Response()

    async def _delete_tags(self, request: OssRequest) -> Response:
        await run_in_threadpool(self._change_headers, request, {}, tagging.TAGGING_HEADER)
        return Response(status_code=204)

    def _change_headers(self, request: OssRequest, added: Mapping[str, str], removed: str) -> None:
        with self._store.lock:
            info = self._store.head(request.bucket_name, request.object_key)
            kept = {name: value for name, value in info.headers.items() if name != removed}
            self._store.change_headers(request.bucket_name, request.object_key, {**kept, **added})


def _deletions(body: bytes) -> tuple[bool, list[str]]:
    """Return whether the answer shall be quiet, and the keys to delete."""
    root = markup.parse(body, "Delete")
    keys = []
    for element in root.findall("Object"):
        if element.findtext("VersionId", NULL_VERSION) != NULL_VERSION:
            raise errors.not_implemented("versions of objects")
        keys.append(element.findtext("Key") or "")
    if not 1 <= len(keys) <= _MAX_DELETIONS or "" in keys:
        raise errors.malformed_xml(f"expected 1 to {_MAX_DELETIONS} objects with keys")
    return (root.findtext("Quiet") or "").lower() == "true", keys


def _overrides(request: OssRequest) -> dict[str, str]:
    """Return the headers that a GET's query puts in place of the object's; raises InvalidArgument."""
    overrides = {}
    for name, value in request.query.items():
        if name.startswith("response-"):
            if not value.isprintable():
                raise errors.invalid_argument("The value cannot be a header.", name, value)
            overrides[name.removeprefix("response-")] = value.encode().decode("latin-1")
    return overrides
