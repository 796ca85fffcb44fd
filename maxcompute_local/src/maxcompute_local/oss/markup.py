"""XML documents of the protocol: writing answers, reading request bodies."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from maxcompute_local.oss import errors

Encoder = Callable[[str], str]
"""How names are written into an answer: as they are, or url encoded."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_CONTROL_REFERENCE = re.compile(rb"&#([0-9]{1,7}|[xX][0-9a-fA-F]{1,6});")
_ALLOWED_CONTROLS = (0x09, 0x0A, 0x0D)
_STAND_IN = chr(0x10FFFD)
"""Put, with two hexadecimal digits, where a document refers to a control character."""

_STOOD_IN = re.compile(f"{_STAND_IN}([01][0-9a-f])")


def leaf(tag: str, value: object) -> str:
    """Return ``<tag>value</tag>``; characters that XML cannot hold become U+FFFD (ask for url encoding)."""
    return f"<{tag}>{escape(_NOT_XML.sub(chr(0xFFFD), str(value)))}</{tag}>"


def flag(tag: str, value: bool) -> str:
    """Return an element that says ``true`` or ``false``."""
    return leaf(tag, "true" if value else "false")


def node(tag: str, *children: str) -> str:
    """Return an element around finished elements."""
    return f"<{tag}>{''.join(children)}</{tag}>"


def document(root: str) -> bytes:
    """Return a whole document around a finished root element."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}'.encode()


def timestamp(seconds: float) -> str:
    """Return a time since the epoch as OSS writes it: whole seconds, UTC, ``2026-01-31T08:00:00.000Z``."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def url_encoded(text: str) -> str:
    """Return ``text`` as ``encoding-type=url`` wants keys, prefixes and delimiters."""
    return quote(text, safe="/")


def parse(body: bytes, root: str) -> ElementTree.Element:
    """Return the root element of a request body, which must have the tag ``root``; raises MalformedXML.

    References to control characters (``&#x1;``), which XML 1.0 forbids and OSS takes, are understood.
    """
    if b"<!DOCTYPE" in body:  # no entities: they could blow up a small body
        raise errors.malformed_xml("document types are not allowed")
    stand_ins = _STAND_IN.encode() not in body
    try:
        element = ElementTree.fromstring(_CONTROL_REFERENCE.sub(_stand_in, body) if stand_ins else body)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise errors.malformed_xml(str(error)) from error
    if element.tag != root:
        raise errors.malformed_xml(f"expected the root element {root}")
    if stand_ins:
        for part in element.iter():
            part.text = part.text and _STOOD_IN.sub(lambda found: chr(int(found[1], 16)), part.text)
    return element


def _stand_in(reference: re.Match[bytes]) -> bytes:
    digits = reference[1].decode()
    code = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
    return reference[0] if code in _ALLOWED_CONTROLS or code >= 0x20 else f"{_STAND_IN}{code:02x}".encode()
