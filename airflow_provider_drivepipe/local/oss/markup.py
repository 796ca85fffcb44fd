"""XML documents of the protocol: writing answers, reading request bodies."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from airflow_provider_drivepipe.local.oss import errors

Encoder = Callable[[str], str]
"""How names are written into an answer: as they are, or url encoded."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    """Return the root element of a request body, which must have the tag ``root``; raises MalformedXML."""
    if b"<!DOCTYPE" in body:  # no entities: they could blow up a small body
        raise errors.malformed_xml("document types are not allowed")
    try:
        element = ElementTree.fromstring(body)
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise errors.malformed_xml(str(error)) from error
    if element.tag != root:
        raise errors.malformed_xml(f"expected the root element {root}")
    return element
