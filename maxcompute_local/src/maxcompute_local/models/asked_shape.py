"""Finds the shape of the answer that a prompt asks for, where it states a schema in words.

Below a line that ends in one of HEADS, each line is ``- key: values``; keys of an object stand two spaces
further in.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

HEADS = ("Its keys and their allowed values:", "键名与取值一律使用下列英文：")
_LINE = re.compile(r"( *)- ([^:]+): (.+)")
_KINDS = {
    "text": "text",
    "文本": "text",
    "list": "list",
    "列表": "list",
    "object": "object",
    "对象": "object",
    "boolean": "boolean",
    "布尔值": "boolean",
    "integer": "integer",
    "整数": "integer",
    "number": "number",
    "数字": "number",
}
_TYPE = re.compile(rf"({'|'.join(_KINDS)})\b(?: \(((?:at |至)[^)]*)\))?(?:(?: of |，每项为 )(.*))?")
_LEAST = re.compile(r"(?:at least|至少) (-?\d+)")
_MOST = re.compile(r"(?:at most|至多) (-?\d+)")


@dataclass
class Shape:
    """What a value must be.

    ``kind`` is ``object``, ``list``, ``text``, ``boolean``, ``integer``, ``number`` or ``choice``.
    """

    kind: str
    fields: dict[str, Shape] = field(default_factory=dict)
    """Of an object."""
    items: Shape | None = None
    """Of a list; None where nothing is said of them."""
    options: tuple[Any, ...] = ()
    """Of a choice."""
    least: int | None = None
    """Smallest number, least items or characters."""
    most: int | None = None
    note: str = field(default="", compare=False)
    """What else is said of it."""


def split_prompt(text: str) -> tuple[str, Shape | None]:
    """Return the text before the last schema that is stated, and the schema; all text without one."""
    head, start = max(((head, text.rfind(head)) for head in HEADS), key=lambda found: found[1])
    if start < 0:
        return text, None
    root = Shape("object")
    inside = [root]
    for line in text[start + len(head) :].lstrip("\n").split("\n"):
        if not line.strip():
            break
        match = _LINE.fullmatch(line)
        if match:
            shape = _shape(match[3])
            del inside[len(match[1]) // 2 + 1 :]
            inside[-1].fields[match[2]] = shape
            while shape.items is not None:
                shape = shape.items
            inside.append(shape)
    return text[: text.rfind("\n", 0, start) + 1], root if root.fields else None


def _shape(said: str) -> Shape:
    match = _TYPE.match(said)
    listed = said.partition(" (")[0]
    if match is None or (_KINDS[match[1]] != "list" and " | " in listed):
        options = tuple(map(_option, listed.split(" | ")))
        if all(isinstance(option, bool) for option in options):
            return Shape("boolean")
        return Shape("choice", options=options)
    kind, limits = _KINDS[match[1]], match[2] or ""
    least, most = _LEAST.search(limits), _MOST.search(limits)
    return Shape(
        kind,
        items=_shape(match[3]) if kind == "list" and match[3] else None,
        least=int(least[1]) if least else None,
        most=int(most[1]) if most else None,
        note=said[match.end() :],
    )


def _option(said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError:
        return said
