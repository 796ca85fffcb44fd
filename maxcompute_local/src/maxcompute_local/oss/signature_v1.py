"""OSS V1 signatures: ``OSS id:signature`` in the Authorization header, or ``Signature`` in the query."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

from maxcompute_local.oss import errors
from maxcompute_local.oss.signed_request import SignedRequest, pairs, require_recent

SCHEME = "OSS"
SIGNING_PARAMETERS = frozenset({"OSSAccessKeyId", "Expires", "Signature", "security-token"})
"""Query parameters of a presigned URL that are no arguments of the operation."""

_SIGNED_PARAMETERS = """
    acl append asyncFetch bucketInfo callback callback-var cloudboxes cname comp continuation-token cors
    delete encryption endTime img inventory inventoryId lifecycle live location logging metaQuery
    objectInfo objectMeta partNumber policy position qos qosInfo referer regionList replication
    replicationLocation replicationProgress requestPayment resourceGroup response-cache-control
    response-content-disposition response-content-encoding response-content-language response-content-type
    response-expires restore security-token sequential startTime stat status style styleName symlink
    tagging transferAcceleration uploadId uploads versionId versioning versions vod website worm
    wormExtend wormId x-oss-ac-forward-allow x-oss-ac-source-ip x-oss-ac-subnet-mask x-oss-ac-vpc-id
    x-oss-async-process x-oss-process x-oss-request-payer x-oss-traffic-limit
"""
"""Query parameters that are part of what is signed; others, such as ``prefix``, can be changed by anybody."""


@dataclass(frozen=True)
class SignatureV1:
    """A signature and the date that it covers, as text."""

    access_key_id: str
    value: str
    date: str

    def is_of(self, request: SignedRequest, secret: str) -> bool:
        """Return whether the owner of ``secret`` has signed ``request``."""
        expected = base64.b64encode(hmac.digest(secret.encode(), self._text(request).encode(), "sha1"))
        return hmac.compare_digest(expected, self.value.encode())

    def _text(self, request: SignedRequest) -> str:
        headers = request.headers
        own = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-oss-"))
        decoded = sorted((unquote(name), unquote(value)) for name, value in pairs(request.query))
        signed_names = set(_SIGNED_PARAMETERS.split())
        signed = [(name, value) for name, value in decoded if name in signed_names]
        query = "&".join(f"{name}={value}" if value else name for name, value in signed)
        resource = f"{request.resource}?{query}" if signed else request.resource
        first = [headers.get("content-md5", ""), headers.get("content-type", ""), self.date]
        return "\n".join([request.method, *first, own + resource])


def read_header(headers: Mapping[str, str], now: datetime) -> SignatureV1:
    """Read the Authorization header.

    :raises OssError: AccessDenied for a date that is none, InvalidArgument, RequestTimeTooSkewed.
    """
    access_key_id, colon, value = headers["authorization"].removeprefix(f"{SCHEME} ").strip().partition(":")
    if not colon:
        message = "Authorization header is invalid."
        raise errors.invalid_argument(message, "Authorization", headers["authorization"])
    date = headers.get("x-oss-date") or headers.get("date", "")
    try:
        signed_at = parsedate_to_datetime(date)
    except ValueError:
        raise errors.access_denied("OSS authentication requires a valid Date.") from None
    require_recent(signed_at if signed_at.tzinfo else signed_at.replace(tzinfo=UTC), now)
    return SignatureV1(access_key_id, value, date)


def read_query(parameters: Mapping[str, str], now: datetime) -> SignatureV1:
    """Read the parameters of a presigned URL.

    :raises OssError: AccessDenied for an incomplete or expired signature.
    """
    expires = parameters.get("Expires", "")
    access_key_id = parameters.get("OSSAccessKeyId", "")
    if not (access_key_id and expires.isascii() and expires.isdigit() and len(expires) < 20):
        raise errors.access_denied("OSSAccessKeyId, Expires (seconds since 1970) and Signature go together.")
    if now.timestamp() > int(expires):
        raise errors.access_denied("Request has expired.")
    return SignatureV1(access_key_id, parameters["Signature"], expires)
