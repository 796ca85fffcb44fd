"""Content parts of a request: text as it is, images as bytes in Base64."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from .templates import column_of, is_null, render

_DEFAULT_MIME = "image/jpeg"
_FETCH_TIMEOUT_SECONDS = 30


class RowError(Exception):
    """Why one row got no answer; ``code`` is safe to group by."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Storage:
    """Where ``oss://`` images may come from: the local cloud's own OSS."""

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
    if part.type != "image":
        raise RowError("unsupported_content", f"the local cloud has no models for {part.type} content")
    content = part.content
    data = _value(content["data"], row)
    mime = content.get("mime_type")
    mime = render(mime, row) if isinstance(mime, str) else None
    return _image(str(content["type"]), data, mime, (part.options or {}).get("storage_options"), storage)


def _dict_to_wire(part: Mapping[str, Any], row: Mapping[str, Any], storage: Storage) -> dict[str, Any]:
    """Convert a part in the shape of OpenAI's chat interface."""
    kind = part.get("type")
    if kind == "text":
        return {"type": "text", "text": render(str(part.get("text", "")), row)}
    if kind == "image_url":
        url = part.get("image_url")
        template = url.get("url") if isinstance(url, Mapping) else url
        return _image("image_url", _value(template, row), None, part.get("storage_options"), storage)
    raise RowError("unsupported_content", f"the local cloud does not know content of type {kind!r}")


def _value(template: Any, row: Mapping[str, Any]) -> Any:
    """Return the cell itself for a bare placeholder (it may be binary), else the rendered text."""
    column = column_of(template, row.keys())
    value = row[column] if column is not None else template
    if is_null(value):
        raise RowError("null_content", "the image is NULL")
    return render(value, row) if column is None and isinstance(value, str) else value


def _image(kind: str, data: Any, mime: str | None, options: Any, storage: Storage) -> dict[str, Any]:
    if kind == "image_base64":
        encoded = str(data)
    elif kind == "image_binary":
        if not isinstance(data, bytes | bytearray | memoryview):
            raise RowError("invalid_content", f"binary image content is {type(data).__name__}, not bytes")
        encoded = base64.b64encode(data).decode()
    elif kind == "image_url":
        url = str(data)
        mime = mime or mimetypes.guess_type(urlsplit(url).path)[0]
        encoded = base64.b64encode(_fetch(url, options or {}, storage)).decode()
    else:
        raise RowError("unsupported_content", f"the local cloud does not know content of type {kind!r}")
    wire = {"type": "image", "data": encoded, "mime": mime or _DEFAULT_MIME}
    if kind == "image_url":
        # A presigned address has its signature in the query.
        wire["source"] = url.partition("?")[0]
    return wire


def _fetch(url: str, options: Mapping[str, Any], storage: Storage) -> bytes:
    scheme = urlsplit(url).scheme
    if scheme == "oss":
        return _fetch_oss(url, options, storage)
    if scheme in ("http", "https"):
        try:
            response = requests.get(url, timeout=_FETCH_TIMEOUT_SECONDS)
            response.raise_for_status()
        except requests.RequestException as error:
            raise RowError(
                "image_fetch_failed", f"{type(error).__name__} while fetching the image"
            ) from error
        return response.content
    raise RowError("invalid_content", f"not an image URL: scheme {scheme!r}; expected oss, http or https")


def _fetch_oss(url: str, options: Mapping[str, Any], storage: Storage) -> bytes:
    import alibabacloud_oss_v2 as oss

    key_id, secret = options.get("access_key_id"), options.get("access_key_secret")
    if not key_id or not secret:
        raise RowError(
            "access_denied",
            "storage_options of the image needs access_key_id and access_key_secret: the inference service "
            "reads OSS as that user",
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
        code = getattr(service_error, "code", None) or "image_fetch_failed"
        # The whole error text of the SDK holds the access key id; the code and the location say enough.
        raise RowError(str(code), f"cannot read {url}: {code}") from error
    return content
