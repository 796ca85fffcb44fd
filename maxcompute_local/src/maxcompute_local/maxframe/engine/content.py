"""Content parts of a request: text as it is, images and videos as bytes in Base64."""

from __future__ import annotations

import base64
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from .templates import column_of, is_null, render

_DEFAULT_MIME = {"image": "image/jpeg", "video": "video/mp4"}
"""By the kinds of media that the local cloud's models take."""
_DATA_URI = re.compile(r"data:([^;,]+);base64,(.*)", re.DOTALL)
_FETCH_TIMEOUT_SECONDS = 30


class RowError(Exception):
    """Why one row got no answer; ``code`` is safe to group by."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Storage:
    """Where ``oss://`` media may come from: the local cloud's own OSS."""

    endpoint: str
    region: str


def to_wire(part: Any, row: Mapping[str, Any], storage: Storage) -> dict[str, Any]:
    """Return a part for one row; RowError when its content cannot be had.

    A part is a text, a ``ContentPart``, or a dict in the shape of OpenAI's chat interface.
    """
    if isinstance(part, str):
        return {"type": "text", "text": render(part, row)}
    if isinstance(part, Mapping):
        return _dict_to_wire(part, row, storage)
    if part.type == "text":
        return {"type": "text", "text": render(str(part.content), row)}
    if part.type not in _DEFAULT_MIME:
        raise RowError("unsupported_content", f"the local cloud has no models for {part.type} content")
    content = part.content
    data = _value(content["data"], row, part.type)
    mime = content.get("mime_type")
    mime = render(mime, row) if isinstance(mime, str) else None
    options = (part.options or {}).get("storage_options")
    return _media(part.type, str(content["type"]), data, mime, options, storage)


def _dict_to_wire(part: Mapping[str, Any], row: Mapping[str, Any], storage: Storage) -> dict[str, Any]:
    """Convert a part in the shape of OpenAI's chat interface."""
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": render(str(part.get("text", "")), row)}
    if kind in ("image_url", "video_url"):
        url, medium = part.get(kind), kind.removesuffix("_url")
        template = url.get("url") if isinstance(url, Mapping) else url
        data = _value(template, row, medium)
        return _media(medium, kind, data, None, part.get("storage_options"), storage)
    raise RowError("unsupported_content", f"the local cloud does not know content of type {kind!r}")


def _value(template: Any, row: Mapping[str, Any], medium: str) -> Any:
    """Return the cell itself for a bare placeholder (it may be binary), else the rendered text."""
    column = column_of(template, row.keys())
    value = row[column] if column is not None else template
    if is_null(value):
        raise RowError("null_content", f"the {medium} is NULL")
    return render(value, row) if column is None and isinstance(value, str) else value


def _media(
    medium: str, kind: str, data: Any, mime: str | None, options: Any, storage: Storage
) -> dict[str, Any]:
    wire = {"type": medium}
    if kind == f"{medium}_base64":
        encoded = str(data)
    elif kind == f"{medium}_binary":
        if not isinstance(data, bytes | bytearray | memoryview):
            raise RowError("invalid_content", f"binary {medium} content is {type(data).__name__}, not bytes")
        encoded = base64.b64encode(data).decode()
    elif kind == f"{medium}_url" and (inline := _DATA_URI.fullmatch(str(data))):
        mime, encoded = inline[1], inline[2]
    elif kind == f"{medium}_url":
        url = str(data)
        mime = mime or mimetypes.guess_type(urlsplit(url).path)[0]
        encoded = base64.b64encode(_fetch(medium, url, options or {}, storage)).decode()
        # A presigned address has its signature in the query.
        wire["source"] = url.partition("?")[0]
    else:
        raise RowError("unsupported_content", f"the local cloud does not know content of type {kind!r}")
    return {**wire, "data": encoded, "mime": mime or _DEFAULT_MIME[medium]}


def _fetch(medium: str, url: str, options: Mapping[str, Any], storage: Storage) -> bytes:
    scheme = urlsplit(url).scheme
    if scheme == "oss":
        return _fetch_oss(medium, url, options, storage)
    if scheme in ("http", "https"):
        try:
            response = requests.get(url, timeout=_FETCH_TIMEOUT_SECONDS)
            response.raise_for_status()
        except requests.RequestException as error:
            raise RowError(
                f"{medium}_fetch_failed", f"{type(error).__name__} while fetching the {medium}"
            ) from error
        return response.content
    raise RowError(
        "invalid_content", f"not the URL of a file: scheme {scheme!r}; expected oss, http or https"
    )


def _fetch_oss(medium: str, url: str, options: Mapping[str, Any], storage: Storage) -> bytes:
    import alibabacloud_oss_v2 as oss

    key_id, secret = options.get("access_key_id"), options.get("access_key_secret")
    if not key_id or not secret:
        raise RowError(
            "access_denied",
            f"storage_options of the {medium} needs access_key_id and access_key_secret: the inference "
            "service reads OSS as that user",
        )
    # An endpoint that was given with its scheme is commonly pasted into the URI as it is.
    location = url.removeprefix("oss://").removeprefix("http://").removeprefix("https://")
    endpoint, _, rest = location.partition("/")
    bucket, _, key = rest.partition("/")
    if endpoint != urlsplit(storage.endpoint).netloc or not bucket or not key:
        raise RowError(
            "invalid_content",
            f"cannot read {url!r}: expected oss://{urlsplit(storage.endpoint).netloc}/<bucket>/<key>",
        )
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        key_id, secret, options.get("security_token")
    )
    config.region, config.endpoint = storage.region, storage.endpoint
    try:
        body = oss.Client(config).get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body
        content: bytes = body.read()
    except oss.exceptions.BaseError as error:
        service_error = getattr(error, "unwrap", lambda: None)()
        code = getattr(service_error, "code", None) or f"{medium}_fetch_failed"
        # The whole error text of the SDK holds the access key id; the code and the location say enough.
        raise RowError(str(code), f"cannot read {url}: {code}") from error
    return content
