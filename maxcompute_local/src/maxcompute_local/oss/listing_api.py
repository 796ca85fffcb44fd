"""Listing objects, in both versions of the protocol."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from maxcompute_local.oss import errors, markup
from maxcompute_local.oss.markup import leaf, node
from maxcompute_local.oss.protocol import NULL_VERSION, OssRequest
from maxcompute_local.oss.responses import OWNER, Handler, storage_class, xml_response
from maxcompute_local.oss.store import ObjectInfo, OssStore
from maxcompute_local.oss.walk import first_key_after, first_key_beyond

_DEFAULT_PAGE = 100
_MAX_PAGE = 1000


@dataclass
class Page:
    """One page of a listing; ``next_start`` is the least key of the next page, None on the last.

    ``last`` is the last key or common prefix of this page.
    """

    objects: list[ObjectInfo] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str = ""
    next_start: bytes | None = None

    def __len__(self) -> int:
        return len(self.objects) + len(self.prefixes)


def list_page(store: OssStore, bucket: str, prefix: str, delimiter: str, start: bytes, limit: int) -> Page:
    """Return up to ``limit`` objects and common prefixes from ``start`` (inclusive) on.

    Objects that vanish while they are listed are left out; a page may then have fewer.
    """
    page = Page()
    walk = store.walk(bucket, prefix, start)
    keys: list[str] = []
    for key in walk:
        if len(keys) + len(page.prefixes) == limit:
            page.next_start = walk.start
            break
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            page.last = key[: cut + len(delimiter)]
            page.prefixes.append(page.last)
            walk.start = first_key_beyond(page.last.encode())
        else:
            walk.start = first_key_after(key.encode())
            keys.append(key)
            page.last = key
    page.objects = store.describe(bucket, keys)
    return page


class ListingApi:
    """Handlers of the two listing operations."""

    def __init__(self, store: OssStore) -> None:
        self._store = store

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handler by operation."""
        return {"ListObjects": self._v1, "ListObjectsV2": self._v2, "ListObjectVersions": self._versions}

    async def _v2(self, request: OssRequest) -> Response:
        query = request.query
        if query["list-type"] != "2":
            raise errors.invalid_argument("list-type must be 2.", "list-type", query["list-type"])
        token, after = query.get("continuation-token"), query.get("start-after", "")
        start = _start_of(token) if token else first_key_after(after.encode()) if after else b""
        limit, page = await self._page(request, start)
        encode = _encoder(request)
        return _answer(
            request,
            page,
            limit,
            [
                leaf("StartAfter", encode(after)) if after else "",
                leaf("ContinuationToken", token) if token else "",
                leaf("NextContinuationToken", _token_of(page.next_start)) if page.next_start else "",
                leaf("KeyCount", len(page)),
            ],
            owner=query.get("fetch-owner", "").lower() == "true",
        )

    async def _v1(self, request: OssRequest) -> Response:
        marker = request.query.get("marker", "")
        limit, page = await self._page(request, _start_after_marker(request, marker))
        encode = _encoder(request)
        more = [
            leaf("Marker", encode(marker)),
            leaf("NextMarker", encode(page.last)) if page.next_start else "",
        ]
        return _answer(request, page, limit, more, owner=True)

    async def _versions(self, request: OssRequest) -> Response:
        """List the one version that every object has."""
        marker = request.query.get("key-marker", "")
        limit, page = await self._page(request, _start_after_marker(request, marker))
        encode = _encoder(request)
        truncated = page.next_start is not None
        return xml_response(
            node(
                "ListVersionsResult",
                leaf("Name", request.bucket_name),
                leaf("Prefix", encode(request.query.get("prefix", ""))),
                leaf("KeyMarker", encode(marker)),
                leaf("VersionIdMarker", request.query.get("version-id-marker", "")),
                leaf("NextKeyMarker", encode(page.last)) if truncated else "",
                leaf("NextVersionIdMarker", NULL_VERSION) if truncated else "",
                leaf("MaxKeys", limit),
                leaf("Delimiter", encode(request.query.get("delimiter", ""))),
                leaf("EncodingType", "url") if request.wants_url_encoding() else "",
                markup.flag("IsTruncated", truncated),
                *(_version(info, encode(info.key)) for info in page.objects),
                *(node("CommonPrefixes", leaf("Prefix", encode(prefix))) for prefix in page.prefixes),
            )
        )

    async def _page(self, request: OssRequest, start: bytes) -> tuple[int, Page]:
        limit = request.integer("max-keys", _DEFAULT_PAGE, 1, _MAX_PAGE)
        page = await run_in_threadpool(
            list_page,
            self._store,
            request.bucket_name,
            request.query.get("prefix", ""),
            request.query.get("delimiter", ""),
            start,
            limit,
        )
        return limit, page


def _answer(request: OssRequest, page: Page, limit: int, more: list[str], *, owner: bool) -> Response:
    encode = _encoder(request)
    return xml_response(
        node(
            "ListBucketResult",
            leaf("Name", request.bucket_name),
            leaf("Prefix", encode(request.query.get("prefix", ""))),
            leaf("MaxKeys", limit),
            leaf("Delimiter", encode(request.query.get("delimiter", ""))),
            leaf("EncodingType", "url") if request.wants_url_encoding() else "",
            markup.flag("IsTruncated", page.next_start is not None),
            *more,
            *(_contents(info, encode(info.key), owner) for info in page.objects),
            *(node("CommonPrefixes", leaf("Prefix", encode(prefix))) for prefix in page.prefixes),
        )
    )


def _start_after_marker(request: OssRequest, marker: str) -> bytes:
    if _is_common_prefix(marker, request.query.get("prefix", ""), request.query.get("delimiter", "")):
        return first_key_beyond(marker.encode())  # all of it is behind us
    return first_key_after(marker.encode()) if marker else b""


def _version(info: ObjectInfo, shown_key: str) -> str:
    return node(
        "Version",
        leaf("Key", shown_key),
        leaf("VersionId", NULL_VERSION),
        markup.flag("IsLatest", True),
        leaf("LastModified", markup.timestamp(info.modified)),
        leaf("ETag", f'"{info.etag}"'),
        leaf("Type", info.kind),
        leaf("Size", info.size),
        leaf("StorageClass", storage_class(info)),
        OWNER,
    )


def _contents(info: ObjectInfo, shown_key: str, owner: bool) -> str:
    return node(
        "Contents",
        leaf("Key", shown_key),
        leaf("LastModified", markup.timestamp(info.modified)),
        leaf("ETag", f'"{info.etag}"'),
        leaf("Type", info.kind),
        leaf("Size", info.size),
        leaf("StorageClass", storage_class(info)),
        OWNER if owner else "",
    )


def _encoder(request: OssRequest) -> markup.Encoder:
    return markup.url_encoded if request.wants_url_encoding() else str


def _is_common_prefix(name: str, prefix: str, delimiter: str) -> bool:
    """Return whether ``name`` is one of the common prefixes that a listing may show."""
    if not delimiter or not name.startswith(prefix):
        return False
    cut = name.find(delimiter, len(prefix))
    return cut >= 0 and cut + len(delimiter) == len(name)


def _token_of(start: bytes) -> str:
    return base64.urlsafe_b64encode(start).decode()


def _start_of(token: str) -> bytes:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        message = "The continuation-token is invalid."
        raise errors.invalid_argument(message, "continuation-token", token) from None
