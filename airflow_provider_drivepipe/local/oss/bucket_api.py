"""Operations on buckets and on the account."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from airflow_provider_drivepipe.local.oss import errors, markup
from airflow_provider_drivepipe.local.oss.markup import leaf, node
from airflow_provider_drivepipe.local.oss.metadata import DEFAULT_STORAGE_CLASS, STORAGE_CLASSES
from airflow_provider_drivepipe.local.oss.protocol import OssRequest
from airflow_provider_drivepipe.local.oss.responses import OWNER, Handler, xml_response
from airflow_provider_drivepipe.local.oss.store import Bucket, OssStore
from airflow_provider_drivepipe.local.oss.uploads import MultipartUploads

_DEFAULT_PAGE = 100
_MAX_PAGE = 1000
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
        size, count = await run_in_threadpool(self._measure, request.bucket_name)
        uploads = await run_in_threadpool(self._uploads.count, request.bucket_name)
        return xml_response(
            node(
                "BucketStat",
                leaf("Storage", size),
                leaf("ObjectCount", count),
                leaf("MultipartUploadCount", uploads),
                leaf("LiveChannelCount", 0),
                leaf("StandardStorage", size),
                leaf("StandardObjectCount", count),
            )
        )

    def _measure(self, bucket: str) -> tuple[int, int]:
        size = count = 0
        for key in self._store.walk(bucket):
            size += self._store.size(bucket, key)
            count += 1
        return size, count

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


def _endpoint(request: OssRequest) -> str:
    return str(request.http.base_url).rstrip("/")
