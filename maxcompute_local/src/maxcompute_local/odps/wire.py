"""Requests and answers of the REST interface: what a handler sees, and how XML and errors look."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import IO
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from starlette.responses import JSONResponse, Response

from maxcompute_local.odps import errors

MAX_XML_BYTES = 256 << 20
"""Longest request body that holds an XML document; those of MaxFrame hold whole graphs."""

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Call:
    """An authenticated request: decoded query parameters, lower-case header names, readable body."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: IO[bytes]

    def parameter(self, name: str) -> str:
        """Return a query parameter; InvalidArgument when it is missing."""
        value = self.query.get(name)
        if value is None:
            raise errors.invalid_argument(f"query parameter {name} is missing")
        return value

    def integer(self, name: str, default: int) -> int:
        """Return a query parameter as a number; InvalidArgument when it is none."""
        value = self.query.get(name)
        return default if value is None else number(value, f"query parameter {name}")

    def xml(self) -> ElementTree.Element:
        """Return the body as XML; InvalidArgument when it is none, is too long, or declares entities."""
        text = self.body.read(MAX_XML_BYTES + 1)
        if len(text) > MAX_XML_BYTES:
            raise errors.invalid_argument(f"the request body has more than {MAX_XML_BYTES} bytes")
        try:
            return ElementTree.fromstring(text, ElementTree.XMLParser(target=_NoDocumentType()))
        except (ElementTree.ParseError, LookupError, ValueError) as error:
            raise errors.invalid_argument(f"the request body is not XML: {error}") from error


def number(text: str, what: str) -> int:
    """Return the 64 bit integer that a text says; InvalidArgument when it says none."""
    try:
        value = int(text)
    except ValueError as error:
        raise errors.invalid_argument(f"{what} is not a number: {text[:100]!r}") from error
    if not -(1 << 63) <= value < 1 << 63:
        raise errors.invalid_argument(f"{what} is too large: {text[:100]}")
    return value


def rfc822(seconds: float) -> str:
    """Return a time as in HTTP headers."""
    return formatdate(seconds, usegmt=True)


def element(name: str, value: object) -> str:
    """Return ``<name>value</name>`` with the value escaped."""
    return f"<{name}>{escape(_printable(str(value)))}</{name}>"


class _NoDocumentType(ElementTree.TreeBuilder):
    """Refuses document types, whose entities could blow up a small body."""

    def doctype(self, *_args: object) -> None:
        """Called where one begins."""
        raise ValueError("document types are not allowed")


def attribute(value: object) -> str:
    """Return a quoted attribute value."""
    return quoteattr(_printable(str(value)))


def cdata(text: str) -> str:
    """Return a CDATA section."""
    return "<![CDATA[" + _printable(text).replace("]]>", "]]]]><![CDATA[>") + "]]>"


def _printable(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def xml(body: str, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """Return an XML answer."""
    content = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'
    return Response(content, status, dict(headers or {}), media_type="application/xml")


def error_xml(error: errors.OdpsError, request_id: str, host: str) -> Response:
    """Return an error as the REST and tunnel clients read it."""
    body = (
        f"<Error>{element('Code', error.code)}{element('Message', error.text)}"
        f"{element('RequestId', request_id)}{element('HostId', host)}</Error>"
    )
    return xml(body, {"x-odps-request-id": request_id}, error.status)


def error_json(error: errors.OdpsError, request_id: str) -> Response:
    """Return an error as the catalog client reads it."""
    body = {"code": error.status, "reason": error.code, "message": error.text, "requestId": request_id}
    return JSONResponse(body, error.status, {"x-odps-request-id": request_id})
