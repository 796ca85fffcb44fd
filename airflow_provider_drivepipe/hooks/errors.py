"""Sorts the SDKs' exceptions into ours, with a message that names the connection and the endpoint."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.exceptions import (
    AuthenticationError,
    ConfigurationError,
    DrivepipeError,
    QuotaError,
    RemoteJobError,
    TransientError,
)

if TYPE_CHECKING:
    from odps.errors import BaseODPSError

_AUTHENTICATION = {
    "Unauthorized",
    "AuthorizationRequired",
    "SignatureNotMatch",
    "NoPermission",
    "AuthenticationRequestExpired",
}
_MISSING = {"NoSuchProject", "NoSuchTable", "NoSuchPartition", "NoSuchObject", "NoSuchSchema"}
_OSS_AUTHENTICATION = {
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "SecurityTokenExpired",
    "InvalidSecurityToken",
}


@contextmanager
def maxcompute_errors(conn_id: str, endpoint: str) -> Iterator[None]:
    """Turn pyodps, maxframe and network errors raised inside into our own tree."""
    from odps.errors import BaseODPSError
    from requests.exceptions import RequestException

    where = f"connection {conn_id!r}, MaxCompute endpoint {endpoint}"
    try:
        yield
    except DrivepipeError:
        raise
    except BaseODPSError as error:
        raise _from_odps(error, where) from error
    except (RequestException, ConnectionError, TimeoutError) as error:
        raise TransientError(f"{where}: cannot be reached ({_root_cause(error)})") from error
    except Exception as error:
        if not _is_silent_session(error):
            raise
        raise TransientError(f"{where}: the MaxFrame session does not answer: {error}") from error


@contextmanager
def oss_errors(conn_id: str, endpoint: str, bucket: str | None = None) -> Iterator[None]:
    """Turn OSS SDK errors raised inside into our own tree."""
    from alibabacloud_oss_v2.exceptions import BaseError, ServiceError

    where = f"connection {conn_id!r}, OSS endpoint {endpoint}" + (f", bucket {bucket}" if bucket else "")
    try:
        yield
    except BaseError as error:
        cause: BaseException = error
        while not isinstance(cause, ServiceError):
            inner = getattr(cause, "unwrap", lambda: None)()
            if not isinstance(inner, BaseException):
                raise TransientError(f"{where}: cannot be reached ({_root_cause(error)})") from error
            cause = inner
        message = f"{where}: {cause.code}: {cause.message} (request {cause.request_id})"
        if cause.code in _OSS_AUTHENTICATION or cause.status_code in (401, 403):
            raise AuthenticationError(message) from error
        if cause.status_code == 429 or cause.code in ("QpsLimitExceeded", "DownloadTrafficRateLimitExceeded"):
            raise QuotaError(message) from error
        if cause.status_code >= 500:
            raise TransientError(message) from error
        raise ConfigurationError(message) from error


def _is_silent_session(error: Exception) -> bool:
    # To import maxframe takes seconds, and an error of it can only come from code that has done so.
    if "maxframe.errors" not in sys.modules:
        return False
    from maxframe.errors import NoTaskServerResponseError, SessionAlreadyClosedError

    return isinstance(error, (NoTaskServerResponseError, SessionAlreadyClosedError))


def _from_odps(error: BaseODPSError, where: str) -> DrivepipeError:
    from odps.errors import (
        ConnectTimeout,
        InternalServerError,
        RequestQuotaExceeded,
        RequestTimeTooSkewed,
        WaitTimeoutError,
    )

    name = type(error).__name__
    # Errors that are made of the service's answer begin with its code, which most often is their name.
    said = str(error)
    message = f"{where}: {said}" if said.startswith(f"{name}: ") else f"{where}: {name}: {said}"
    if name in _AUTHENTICATION:
        return AuthenticationError(message)
    if name in _MISSING:
        return ConfigurationError(message)
    if isinstance(error, RequestQuotaExceeded):
        return QuotaError(message)
    if isinstance(error, (ConnectTimeout, InternalServerError, WaitTimeoutError, RequestTimeTooSkewed)):
        return TransientError(message)
    return RemoteJobError(message)


def _root_cause(error: BaseException) -> str:
    """Return the innermost message, in one line: the outer ones repeat the URL with its query."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
