"""Tags of objects: as a header (``a=1&b=2``, url encoded) and as a document."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from maxcompute_local.oss import errors, markup
from maxcompute_local.oss.markup import leaf, node

TAGGING_HEADER = "x-oss-tagging"
MAX_TAGS = 10
_MAX_NAME_CHARACTERS = 128
_MAX_VALUE_CHARACTERS = 256


def from_header(text: str) -> dict[str, str]:
    """Return the tags of a header; raises InvalidTag."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError:
        raise _invalid("the header must be url encoded UTF-8") from None
    return _checked(pairs)


def from_document(body: bytes) -> dict[str, str]:
    """Return the tags of a ``<Tagging>`` document; raises MalformedXML or InvalidTag."""
    root = markup.parse(body, "Tagging")
    return _checked([(tag.findtext("Key") or "", tag.findtext("Value") or "") for tag in root.iter("Tag")])


def to_header(tags: Mapping[str, str]) -> dict[str, str]:
    """Return what is kept with an object: the header of its tags, nothing when it has none."""
    return {TAGGING_HEADER: urlencode(tags)} if tags else {}


def to_document(tags: Mapping[str, str]) -> str:
    """Return the ``<Tagging>`` element of some tags."""
    return node(
        "Tagging",
        node(
            "TagSet",
            *(node("Tag", leaf("Key", name), leaf("Value", value)) for name, value in tags.items()),
        ),
    )


def _checked(pairs: list[tuple[str, str]]) -> dict[str, str]:
    tags = dict(pairs)
    if len(tags) != len(pairs):
        raise _invalid("a tag is there twice")
    if len(tags) > MAX_TAGS:
        raise _invalid(f"an object has at most {MAX_TAGS} tags")
    for name, value in tags.items():
        if not 1 <= len(name) <= _MAX_NAME_CHARACTERS or len(value) > _MAX_VALUE_CHARACTERS:
            raise _invalid(
                f"a tag has a key of 1 to {_MAX_NAME_CHARACTERS} characters "
                f"and a value of at most {_MAX_VALUE_CHARACTERS}"
            )
    return tags


def _invalid(why: str) -> errors.OssError:
    return errors.OssError(400, "InvalidTag", f"The tags are not valid: {why}.")
