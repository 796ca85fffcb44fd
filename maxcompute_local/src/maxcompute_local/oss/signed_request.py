"""What of a request a signature covers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from maxcompute_local.oss import errors

_MAX_CLOCK_SKEW = timedelta(minutes=15)


@dataclass(frozen=True)
class SignedRequest:
    """What of a request goes into its signature.

    ``resource`` is ``/``, ``/bucket/`` or ``/bucket/key``, decoded; ``query`` is the query string as sent;
    ``headers`` have lower-case names.
    """

    method: str
    resource: str
    query: str
    headers: Mapping[str, str]


def pairs(text: str, separator: str = "&") -> list[tuple[str, str]]:
    """Return the names and values of ``name=value&name=value``, undecoded."""
    found = []
    for field in text.split(separator):
        name, _, value = field.strip().partition("=")
        if name:
            found.append((name, value))
    return found


def require_recent(signed_at: datetime, now: datetime) -> None:
    """Raise RequestTimeTooSkewed for a clock that is more than 15 minutes off."""
    if abs(signed_at - now) > _MAX_CLOCK_SKEW:
        message = "The difference between the request time and the current time is too large."
        raise errors.OssError(403, "RequestTimeTooSkewed", message)


def require_valid_yet(signed_at: datetime, now: datetime) -> None:
    """Raise AccessDenied for a URL that was signed more than 15 minutes after now."""
    if signed_at > now + _MAX_CLOCK_SKEW:
        raise errors.access_denied("Request is not valid yet.")
