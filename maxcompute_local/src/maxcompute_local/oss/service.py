"""The OSS wire protocol (path style, V4 and V1 signatures) over an OssStore."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from maxcompute_local.faults.current import clock_skew
from maxcompute_local.oss.bucket_api import BucketApi
from maxcompute_local.oss.errors import OssError, no_such_bucket
from maxcompute_local.oss.listing_api import ListingApi
from maxcompute_local.oss.multipart_api import MultipartApi
from maxcompute_local.oss.names import is_bucket_name
from maxcompute_local.oss.object_api import ObjectApi
from maxcompute_local.oss.patience import patiently
from maxcompute_local.oss.protocol import OssRequest
from maxcompute_local.oss.responses import Handler, error_response
from maxcompute_local.oss.signature import verify
from maxcompute_local.oss.store import OssStore
from maxcompute_local.oss.uploads import MultipartUploads
from maxcompute_local.stats import Stats

logger = logging.getLogger(__name__)


class OssService:
    """Serves a store; ``app`` is the ASGI application.

    Every request counts as ``oss.<Operation>``, one that the local OSS does not do as ``oss.NotImplemented``.

    :param credentials: secret by access key id. A security token sent along is not looked at.
    :param region: the region that signatures must be for.
    """

    def __init__(self, store: OssStore, credentials: Mapping[str, str], region: str, stats: Stats) -> None:
        self._store = store
        self._credentials = credentials
        self._region = region
        self._stats = stats
        uploads = MultipartUploads(store)
        self._handlers: Mapping[str, Handler] = {
            **BucketApi(store, uploads, region).handlers,
            **ListingApi(store).handlers,
            **ObjectApi(store).handlers,
            **MultipartApi(store, uploads).handlers,
        }
        self.app = Starlette()
        # Not a route: its pattern would not match every key, and it would answer other methods by itself.
        self.app.router.default = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app.router.not_found(scope, receive, send)
            return
        http = Request(scope, receive)
        request_id = uuid.uuid4().hex[:24].upper()
        try:
            response = await self._answer(http)
        except ClientDisconnect:
            return  # nobody is there to answer
        except OssError as error:
            response = error_response(error, http.method, request_id, http.headers.get("host", ""))
        except Exception:
            logger.exception("OSS request %s %s failed", http.method, http.url.path)
            failure = OssError(500, "InternalError", "The local OSS failed; its log says why.")
            response = error_response(failure, http.method, request_id, http.headers.get("host", ""))
        response.headers["x-oss-request-id"] = request_id
        await response(scope, receive, send)

    async def _answer(self, http: Request) -> Response:
        request = OssRequest.read(http)
        try:
            operation = request.operation()
        except OssError as error:
            self._stats.count(f"oss.{error.code}")
            self._verify(request)
            raise
        self._stats.count(f"oss.{operation.name}")
        self._verify(request)
        answer = self._handlers[operation.name](request)
        return await (patiently(answer) if operation.may_take_long else answer)

    def _verify(self, request: OssRequest) -> None:
        try:
            verify(request.signed, self._credentials, self._region, datetime.now(UTC) + clock_skew())
        except OssError as error:
            # OSS finds the bucket before it looks at the key, which is how clients tell whether one exists.
            if error.code == "InvalidAccessKeyId" and self._names_no_bucket(request):
                raise no_such_bucket(request.bucket_name) from error
            raise

    def _names_no_bucket(self, request: OssRequest) -> bool:
        if request.bucket is None or not is_bucket_name(request.bucket) or request.may_create_bucket():
            return False
        return all(bucket.name != request.bucket for bucket in self._store.buckets())
