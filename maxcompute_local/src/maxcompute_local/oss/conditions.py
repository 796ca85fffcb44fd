"""Decisions about a read: do the If-… headers hold, and which bytes does a Range mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime

from maxcompute_local.oss.errors import OssError
from maxcompute_local.oss.store import ObjectInfo

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_MAX_DIGITS = 18
"""Longer numbers in a Range are no positions in any object."""


@dataclass(frozen=True)
class ByteRange:
    """Bytes ``first`` to ``last``, both included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many bytes that is."""
        return self.last - self.first + 1


def check(headers: Mapping[str, str], info: ObjectInfo, prefix: str = "") -> None:
    """Raise PreconditionFailed (412) or NotModified (304) unless the conditions in ``headers`` hold.

    As in HTTP, If-Match hides If-Unmodified-Since and If-None-Match hides If-Modified-Since.

    :param prefix: what stands before ``if-match`` and the others, e.g. ``x-oss-copy-source-``.
    """
    if_match = headers.get(f"{prefix}if-match")
    unmodified_since = _date(headers.get(f"{prefix}if-unmodified-since"))
    if if_match is not None:
        if not _lists(if_match, info.etag):
            raise _failed("If-Match")
    elif unmodified_since is not None and info.modified > unmodified_since:
        raise _failed("If-Unmodified-Since")

    if_none_match = headers.get(f"{prefix}if-none-match")
    modified_since = _date(headers.get(f"{prefix}if-modified-since"))
    if if_none_match is not None:
        if _lists(if_none_match, info.etag):
            raise _not_modified(info)
    elif modified_since is not None and info.modified <= modified_since:
        raise _not_modified(info)


def range_wanted(headers: Mapping[str, str], info: ObjectInfo) -> str | None:
    """Return the Range header, None when its If-Range is not of this version: then all of it is wanted."""
    if_range = headers.get("if-range")
    if if_range is not None and not (_lists(if_range, info.etag) or _date(if_range) == info.modified):
        return None
    return headers.get("range")


def resolve_range(header: str | None, size: int, *, standard: bool) -> ByteRange | None:
    """Return the bytes that a Range header means for an object of ``size`` bytes; None means all of it.

    OSS has two behaviours. By default a range that is not entirely inside the object is ignored. With
    ``standard`` (``x-oss-range-behavior: standard``) what is outside is cut off, and InvalidRange is raised
    when nothing is left. Several ranges, and what is no range of bytes, are always ignored.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not any(match.groups()) or max(map(len, match.groups())) > _MAX_DIGITS:
        return None
    first_text, last_text = match.groups()
    if first_text and last_text and int(first_text) > int(last_text):
        return None
    if first_text:
        first, last = int(first_text), int(last_text) if last_text else size - 1
    else:
        first, last = size - int(last_text), size - 1
    inside = 0 <= first <= last < size
    if inside:
        return ByteRange(first, last)
    if not standard:
        return None
    cut = ByteRange(max(first, 0), min(last, size - 1))
    if cut.size < 1:
        message = "The requested range cannot be satisfied."
        details = {"ActualObjectSize": str(size), "RangeRequested": str(header)}
        raise OssError(
            416, "InvalidRange", message, headers={"Content-Range": f"bytes */{size}"}, details=details
        )
    return cut


def http_date(seconds: int) -> str:
    """Return a time since the epoch as HTTP headers have it."""
    return formatdate(seconds, usegmt=True)


def _lists(header: str, etag: str) -> bool:
    tags = [tag.strip().strip('"').upper() for tag in header.split(",")]
    return "*" in tags or etag.upper() in tags


def _date(header: str | None) -> int | None:
    """Return the seconds of an HTTP date; None for what is no date, which HTTP says to ignore."""
    if header is None:
        return None
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _failed(condition: str) -> OssError:
    message = "At least one of the pre-conditions you specified did not hold."
    return OssError(412, "PreconditionFailed", message, details={"Condition": condition})


def _not_modified(info: ObjectInfo) -> OssError:
    headers = {"ETag": f'"{info.etag}"', "Last-Modified": http_date(info.modified)}
    return OssError(304, "NotModified", "The object has not been modified.", headers=headers)
