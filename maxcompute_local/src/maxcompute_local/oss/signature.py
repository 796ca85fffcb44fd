"""Verification of OSS signatures, in the Authorization header or in the query.

V4 (``OSS4-HMAC-SHA256``) is read here, V1 in signature_v1.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote, unquote_to_bytes

from maxcompute_local.oss import errors, signature_v1
from maxcompute_local.oss.signature_v1 import SignatureV1
from maxcompute_local.oss.signed_request import (
    SignedRequest,
    pairs,
    require_recent,
    require_valid_yet,
)

ALGORITHM = "OSS4-HMAC-SHA256"
SIGNING_PARAMETERS = frozenset(
    {
        "x-oss-signature-version",
        "x-oss-credential",
        "x-oss-date",
        "x-oss-expires",
        "x-oss-signature",
        "x-oss-additional-headers",
        "x-oss-security-token",
        *signature_v1.SIGNING_PARAMETERS,
    }
)
"""Query parameters of a presigned URL that are no arguments of the operation."""

_PRODUCT = "oss"
_TERMINATOR = "aliyun_v4_request"
_UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"
_MAX_EXPIRES_SECONDS = 7 * 24 * 3600


def verify(request: SignedRequest, credentials: Mapping[str, str], region: str, now: datetime) -> str:
    """Return the access key id that signed the request.

    :param credentials: secret by access key id.
    :param region: the only region that a V4 signature may be for; V1 signatures name none.
    :param now: time of the request's arrival, with time zone.
    :raises OssError: AccessDenied (no signature, or expired), InvalidArgument (malformed, or for another
        region), InvalidAccessKeyId, RequestTimeTooSkewed, SignatureDoesNotMatch.
    """
    signature = _read(request, region, now)
    secret = credentials.get(signature.access_key_id)
    if secret is None:
        message = "The OSS Access Key Id you provided does not exist in our records."
        raise errors.OssError(403, "InvalidAccessKeyId", message)
    if not signature.is_of(request, secret):
        message = (
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method."
        )
        raise errors.OssError(403, "SignatureDoesNotMatch", message)
    return signature.access_key_id


@dataclass(frozen=True)
class SignatureV4:
    """A signature and what it says of itself."""

    access_key_id: str
    date: str
    region: str
    timestamp: str
    additional_headers: Sequence[str]
    value: str

    def is_of(self, request: SignedRequest, secret: str) -> bool:
        """Return whether the owner of ``secret`` has signed ``request``."""
        return hmac.compare_digest(_sign(request, self, secret), self.value.encode())


def _read(request: SignedRequest, region: str, now: datetime) -> SignatureV1 | SignatureV4:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        if authorization.startswith(f"{signature_v1.SCHEME} "):
            return signature_v1.read_header(request.headers, now)
        return _in_region(_read_header(request, authorization, now), region)
    parameters = {unquote(name): unquote(value) for name, value in pairs(request.query)}
    if parameters.get("x-oss-signature-version") == ALGORITHM:
        return _in_region(_read_query(parameters, now), region)
    if "x-oss-signature-version" in parameters:
        raise _unknown_version()
    if "Signature" in parameters:
        return signature_v1.read_query(parameters, now)
    raise errors.access_denied("Anonymous access is forbidden; sign the request.")


def _in_region(signature: SignatureV4, region: str) -> SignatureV4:
    if signature.region != region:
        raise _malformed("region")
    return signature


def _read_header(request: SignedRequest, authorization: str, now: datetime) -> SignatureV4:
    scheme, _, rest = authorization.partition(" ")
    if scheme != ALGORITHM:
        raise _unknown_version()
    fields = dict(pairs(rest, separator=","))
    if "Credential" not in fields or "Signature" not in fields:
        raise _malformed("format")
    if request.headers.get("x-oss-content-sha256") != _UNSIGNED_PAYLOAD:
        raise errors.invalid_argument(
            f"The local OSS takes {_UNSIGNED_PAYLOAD} only.",
            "x-oss-content-sha256",
            request.headers.get("x-oss-content-sha256", ""),
        )
    timestamp = request.headers.get("x-oss-date", "")
    require_recent(_time(timestamp), now)
    return _signature(
        fields["Credential"], timestamp, fields.get("AdditionalHeaders", ""), fields["Signature"]
    )


def _read_query(parameters: Mapping[str, str], now: datetime) -> SignatureV4:
    timestamp = parameters.get("x-oss-date", "")
    signed_at = _time(timestamp)
    expires = parameters.get("x-oss-expires", "")
    if not (expires.isascii() and expires.isdigit() and 1 <= int(expires) <= _MAX_EXPIRES_SECONDS):
        raise errors.invalid_argument(
            f"x-oss-expires must be 1 to {_MAX_EXPIRES_SECONDS} seconds.", "x-oss-expires", expires
        )
    if now > signed_at + timedelta(seconds=int(expires)):
        raise errors.access_denied("Request has expired.")
    require_valid_yet(signed_at, now)
    return _signature(
        parameters.get("x-oss-credential", ""),
        timestamp,
        parameters.get("x-oss-additional-headers", ""),
        parameters.get("x-oss-signature", ""),
    )


def _signature(credential: str, timestamp: str, additional: str, value: str) -> SignatureV4:
    scope = credential.split("/")
    if len(scope) != 5 or not value.isascii():
        raise _malformed("format")
    access_key_id, date, region, product, terminator = scope
    if date != timestamp[:8]:
        raise _malformed("date")
    if product != _PRODUCT:
        raise _malformed("product")
    if terminator != _TERMINATOR:
        raise _malformed("terminator")
    names = [name.strip().lower() for name in additional.split(";") if name.strip()]
    return SignatureV4(access_key_id, date, region, timestamp, names, value)


def _sign(request: SignedRequest, signature: SignatureV4, secret: str) -> bytes:
    canonical = _canonical_request(request, signature.additional_headers)
    scope = f"{signature.date}/{signature.region}/{_PRODUCT}/{_TERMINATOR}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([ALGORITHM, signature.timestamp, scope, digest])
    key = f"aliyun_v4{secret}".encode()
    for step in (signature.date, signature.region, _PRODUCT, _TERMINATOR):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex().encode()


def _canonical_request(request: SignedRequest, additional: Sequence[str]) -> str:
    # Encoded anew, as OSS does: some clients, the SDK's asynchronous one too, sign %2F and send a slash.
    given = ((_encoded(name), _encoded(value)) for name, value in pairs(request.query))
    signed = sorted((name, value) for name, value in given if name != "x-oss-signature")
    query = "&".join(f"{name}={value}" if value else name for name, value in signed)
    headers = "".join(
        f"{name}:{value}\n" for name, value in sorted(request.headers.items()) if _is_signed(name, additional)
    )
    return "\n".join(
        [
            request.method,
            quote(request.resource, safe="/"),
            query,
            headers,
            ";".join(additional),
            request.headers.get("x-oss-content-sha256", _UNSIGNED_PAYLOAD),
        ]
    )


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text.replace("+", " ")), safe="")


def _is_signed(name: str, additional: Sequence[str]) -> bool:
    return name.startswith("x-oss-") or name in ("content-type", "content-md5") or name in additional


def _time(timestamp: str) -> datetime:
    try:
        return datetime.strptime(timestamp, _DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise errors.invalid_argument(
            "x-oss-date must be like 20250101T120000Z.", "x-oss-date", timestamp
        ) from None


def _malformed(what: str) -> errors.OssError:
    return errors.OssError(400, "InvalidArgument", f"Invalid signing {what} in Authorization header.")


def _unknown_version() -> errors.OssError:
    return errors.access_denied("The local OSS takes signatures of the versions 4 and 1.")
