"""Refusals in each service's own words, so that its SDK raises its own exception class."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from maxcompute_local.faults.rules import Fault, FaultKind
from maxcompute_local.models.backend import (
    INTERNAL_ERROR,
    RATE_LIMITED,
    UNAUTHORIZED,
    ModelError,
)
from maxcompute_local.odps.errors import (
    MAX_CLOCK_SKEW,
    OdpsError,
    request_time_too_skewed,
)
from maxcompute_local.oss.errors import OssError

_TEXT = "a fault of the local cloud, as asked for"


def refusal(kind: str, fault: Fault) -> Exception | None:
    """Return the error by which a service refuses a call of a kind; None for a fault that does not refuse."""
    service = kind.partition(".")[0]
    if service == "oss":
        return _oss(fault)
    if service == "model":
        return _model(fault)
    return _odps(kind, fault)


def _oss(fault: Fault) -> OssError | None:
    match fault.fault:
        case FaultKind.HTTP:
            code = {429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}[fault.status]
            return OssError(fault.status, code, _TEXT)
        case FaultKind.EXPIRED_TOKEN:
            return OssError(403, "SecurityTokenExpired", "The security token you provided has expired.")
        case FaultKind.WRONG_SIGNATURE:
            return OssError(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
            )
        case FaultKind.FORBIDDEN:
            return OssError(403, "AccessDenied", "You have no right to access this object.")
    return None


def _odps(kind: str, fault: Fault) -> OdpsError | None:
    match fault.fault:
        case FaultKind.HTTP if fault.status == 429:
            # The tunnel and the REST interface limit different things; the SDK has a class for each.
            code = "FlowExceeded" if kind.startswith("odps.tunnel.") else "QPSExceeded"
            return OdpsError(429, code, _TEXT)
        case FaultKind.HTTP:
            code = {500: "InternalServerError", 503: "ServiceUnavailable"}[fault.status]
            return OdpsError(fault.status, code, _TEXT, "ODPS-0010000")
        case FaultKind.EXPIRED_TOKEN:
            return OdpsError(401, "AuthenticationRequestExpired", "the token has expired", "ODPS-0410051")
        case FaultKind.WRONG_SIGNATURE:
            text = "Invalid signature value - the request signature does not match"
            return OdpsError(403, "SignatureNotMatch", text, "ODPS-0410042")
        case FaultKind.FORBIDDEN:
            return OdpsError(403, "NoPermission", f"You have no privilege for {kind}", "ODPS-0420095")
        case FaultKind.CLOCK_SKEW if abs(timedelta(seconds=fault.seconds)) > MAX_CLOCK_SKEW:
            signed_at = datetime.now(UTC)
            return request_time_too_skewed(signed_at, signed_at + timedelta(seconds=fault.seconds))
    return None


def _model(fault: Fault) -> ModelError | None:
    match fault.fault:
        case FaultKind.HTTP:
            return ModelError(fault.status, RATE_LIMITED if fault.status == 429 else INTERNAL_ERROR, _TEXT)
        case FaultKind.EXPIRED_TOKEN | FaultKind.WRONG_SIGNATURE:
            return ModelError(401, UNAUTHORIZED, _TEXT)
        case FaultKind.FORBIDDEN:
            return ModelError(403, UNAUTHORIZED, _TEXT)
    return None
