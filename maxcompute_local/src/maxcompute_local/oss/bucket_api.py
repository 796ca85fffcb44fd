"""Operations on buckets and on the account."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from maxcompute_local.oss import errors, markup
from maxcompute_local.oss.markup import leaf, node
from maxcompute_local.oss.metadata import DEFAULT_STORAGE_CLASS, STORAGE_CLASSES
from maxcompute_local.oss.protocol import OssRequest
from maxcompute_local.oss.responses import OWNER, Handler, xml_response
from maxcompute_local.oss.store import Bucket, OssStore
from maxcompute_local.oss.uploads import MultipartUploads

_DEFAULT_PAGE = 100
_MAX_PAGE = 1000
_NEVER_USED = ("Archive", "ColdArchive", "DeepColdArchive")
"""Storage classes that a bucket's statistics name."""
_GRANTS = node("AccessControlList", leaf("Grant", "private"))


class BucketApi:
    """Handlers of the operations on buckets."""

    def __init__(self, store: OssStore, uploads: MultipartUploads, region: str) -> None:
        self._store = store
        self._uploads = uploads
        self._region = region

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handler by operation."""
        return {
            "ListBuckets": self._list,
            "PutBucket": self._put,
            "DeleteBucket": self._delete,
            "GetBucketInfo": self._info,
            "GetBucketLocation": self._location,
            "GetBucketAcl": self._acl,
            "PutBucketAcl": self._put_acl,
            "GetBucketVersioning": self._versioning,
            "GetBucketStat": self._stat,
        }

    async def _list(self, request: OssRequest) -> Response:
        prefix, marker = request.query.get("prefix", ""), request.query.get("marker", "")
        limit = request.integer("max-keys", _DEFAULT_PAGE, 1, _MAX_PAGE)
        buckets = await run_in_threadpool(self._store.buckets)
        found = [one for one in buckets if one.name.startswith(prefix) and one.name > marker]
        page, truncated = found[:limit], len(found) > limit
        return xml_response(
            node(
                "ListAllMyBucketsResult",
                OWNER,
                leaf("Prefix", prefix),
                leaf("Marker", marker),
                leaf("MaxKeys", limit),
                markup.flag("IsTruncated", truncated),
                leaf("NextMarker", page[-1].name) if truncated else "",
                node(
                    "Buckets", *(node("Bucket", *self._facts(bucket, _endpoint(request))) for bucket in page)
                ),
            )
        )

    async def _put(self, request: OssRequest) -> Response:
        body = await request.document()
        storage_class = DEFAULT_STORAGE_CLASS
        if body:
            configuration = markup.parse(body, "CreateBucketConfiguration")
            storage_class = configuration.findtext("StorageClass") or storage_class
            if storage_class not in STORAGE_CLASSES:
                raise errors.not_implemented(f"buckets of the storage class {storage_class}")
        await run_in_threadpool(self._store.create_bucket, request.bucket_name, storage_class)
        return Response(headers={"Location": f"/{request.bucket_name}"})

    async def _delete(self, request: OssRequest) -> Response:
        await run_in_threadpool(self._store.delete_bucket, request.bucket_name)
        return Response(status_code=204)

    async def _info(self, request: OssRequest) -> Response:
        bucket = await run_in_threadpool(self._store.bucket, request.bucket_name)
        return xml_response(
            node(
                "BucketInfo",
                node(
                    "Bucket",
                    *self._facts(bucket, _endpoint(request)),
                    OWNER,
                    _GRANTS,
                    leaf("DataRedundancyType", "LRS"),
                    leaf("AccessMonitor", "Disabled"),
                    leaf("TransferAcceleration", "Disabled"),
                    leaf("CrossRegionReplication", "Disabled"),
                    leaf("BlockPublicAccess", "true"),
                    node("ServerSideEncryptionRule", leaf("SSEAlgorithm", "None")),
                ),
            )
        )

    async def _location(self, request: OssRequest) -> Response:
        await run_in_threadpool(self._store.bucket, request.bucket_name)
        return xml_response(leaf("LocationConstraint", self._location_name))

    async def _acl(self, request: OssRequest) -> Response:
        await run_in_threadpool(self._store.bucket, request.bucket_name)
        return xml_response(node("AccessControlPolicy", OWNER, _GRANTS))

    async def _put_acl(self, request: OssRequest) -> Response:
        # What is not private was refused with the request's headers.
        if "x-oss-acl" not in request.headers:
            raise errors.invalid_argument("The header is missing.", "x-oss-acl", "")
        await run_in_threadpool(self._store.bucket, request.bucket_name)
        return Response()

    async def _versioning(self, request: OssRequest) -> Response:
        await run_in_threadpool(self._store.bucket, request.bucket_name)
        return xml_response(node("VersioningConfiguration"))  # without a status: never enabled

    async def _stat(self, request: OssRequest) -> Response:
        used = await run_in_threadpool(self._store.used, request.bucket_name)
        uploads = await run_in_threadpool(self._uploads.count, request.bucket_name)
        size, count = (sum(numbers) for numbers in zip(*used.values(), strict=True))
        return xml_response(
            node(
                "BucketStat",
                leaf("Storage", size),
                leaf("ObjectCount", count),
                leaf("MultipartUploadCount", uploads),
                leaf("LiveChannelCount", 0),
                leaf("LastModifiedTime", int(time.time()) if count else 0),
                leaf("DeleteMarkerCount", 0),
                leaf("StandardStorage", used["Standard"][0]),
                leaf("StandardObjectCount", used["Standard"][1]),
                *_class_stat("InfrequentAccess", *used["IA"]),
                *(text for name in _NEVER_USED for text in _class_stat(name, 0, 0)),
            )
        )

    @property
    def _location_name(self) -> str:
        return f"oss-{self._region}"

    def _facts(self, bucket: Bucket, endpoint: str) -> list[str]:
        return [
            leaf("Name", bucket.name),
            leaf("CreationDate", markup.timestamp(bucket.created)),
            leaf("Location", self._location_name),
            leaf("Region", self._region),
            leaf("StorageClass", bucket.storage_class),
            leaf("ResourceGroupId", "rg-local"),
            # With its scheme, which clients need to come back here and not to ask for HTTPS.
            leaf("ExtranetEndpoint", endpoint),
            leaf("IntranetEndpoint", endpoint),
        ]


def _class_stat(name: str, size: int, count: int) -> list[str]:
    return [
        leaf(f"{name}Storage", size),
        leaf(f"{name}RealStorage", size),
        leaf(f"{name}ObjectCount", count),
    ]


def _endpoint(request: OssRequest) -> str:
    return str(request.http.base_url).rstrip("/")
