"""Finds JSON objects in a model's answer, also almost-JSON ones. Runs in DPE workers: standard library only.

Nothing here raises on any text, and the work is bounded: an answer may be megabytes of anything.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_FENCE = "```"
_MAX_FENCES = 16
_REASONING = re.compile(r"\s*<think(?:ing)?>", re.IGNORECASE)
_END_OF_REASONING = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_MAX_STARTS = 64
"""Most opening braces that are tried per answer: it may hold thousands."""
_MAX_LENIENT = 100_000
"""Most characters that the lenient parser reads from one opening brace: it is Python, not C."""
_MAX_ANSWER = 2_000_000
_MAX_DEPTH = 32
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Found:
    """An object in an answer; ``twice`` is a key that it holds twice with different values, else empty."""

    value: dict[str, Any]
    twice: str = ""


def objects(answer: str) -> Iterator[Found]:
    """Yield the outermost JSON objects of an answer: those of fenced parts first, then all of the answer's.

    Prose around them does not matter, and a reasoning part before them is not looked at. Read as JSON first,
    then leniently: trailing commas, full-width punctuation and quotes, single quotes where they can only be
    quotes, ``True`` and ``None``. What is inside an object that cannot be read, or was cut off, is not found.
    """
    text = _unquoted(without_reasoning(answer[:_MAX_ANSWER]))
    starts = iter(range(_MAX_STARTS))
    for part in (*_fenced(text), text):
        at = _next_brace(part, 0)
        while at >= 0 and next(starts, None) is not None:
            found, at = _object_at(part, at)
            if found is not None and not _too_deep(found.value):
                yield Found(_encodable(found.value), encodable(found.twice))
            at = _next_brace(part, at)


def encodable(text: str) -> str:
    """Return a text without halves of surrogate pairs, which JSON can spell but no table can store."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _too_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than a label ever is, without going down into it."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def without_reasoning(text: str) -> str:
    """Return what follows the reasoning, nothing when that has no end: drafts of a label are none."""
    ends = [match.end() for match in _END_OF_REASONING.finditer(text)]
    if ends:
        return text[ends[-1] :]
    return "" if _REASONING.match(text) else text


def _unquoted(text: str) -> str:
    """Return the content of an answer that is one JSON string, as when a label was encoded twice."""
    if not text.lstrip().startswith('"'):
        return text
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return content if isinstance(content, str) else text


def _fenced(text: str) -> list[str]:
    """Return what stands between pairs of fences."""
    return text.split(_FENCE, 2 * _MAX_FENCES)[1:-1:2]


def _next_brace(text: str, start: int) -> int:
    found = _OPEN_BRACE.search(text, start)
    return found.start() if found else -1


def _object_at(text: str, start: int) -> tuple[Found | None, int]:
    """Return the object that starts here, if it can be read, and where to go on."""
    members = _Members()
    # Raw line breaks within texts are no JSON, but what they mean is clear.
    decoder = json.JSONDecoder(
        object_pairs_hook=members.join, parse_constant=_refuse, parse_float=_finite, strict=False
    )
    try:
        value, end = decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        members = _Members()
        reader = _LenientReader(text, start, members)
        try:
            value, end = reader.value(0), reader.at
        except _NotJsonError:
            return None, _end_of_braces(text, start) if reader.is_object else start + 1
    return (Found(value, members.twice) if isinstance(value, dict) else None), end


def _end_of_braces(text: str, start: int) -> int:
    """Return where the braces that open here are closed, the end of the text when they are not."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] in _OPEN_BRACES else -1
        if depth == 0:
            return brace.end()
    return len(text)


class _Members:
    """Makes objects of keys and values; ``twice`` is the first key with two different values."""

    def __init__(self) -> None:
        self.twice = ""

    def join(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            other = next((key for key, value in pairs if found[key] != value), "")
            self.twice = self.twice or other
        return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


_OPEN_BRACES = "{\uff5b"
_OPEN_BRACE = re.compile(rf"[{_OPEN_BRACES}]")
_BRACE = re.compile(r"[{}\uff5b\uff5d]")
_SPACE = re.compile(r"[\s\u3000\ufeff\u200b]*")
_COMMAS, _COLONS = ",\uff0c\u3001", ":\uff1a"
_OPENERS = {
    "{": "}\uff5d",
    "\uff5b": "}\uff5d",
    "[": "]\uff3d\u3011",
    "\uff3b": "]\uff3d",
    "\u3010": "]\u3011",
}
_CLOSERS = "}\uff5d]\uff3d\u3011"
_DOUBLE_QUOTES, _SINGLE_QUOTES = '"\u201c\u201d\uff02', "'\u2018\u2019\uff07"
# A text in plain quotes ends with one: Chinese texts quote words with the others.
_ENDS_OF_STRINGS = {
    **dict.fromkeys(_DOUBLE_QUOTES, _DOUBLE_QUOTES),
    **dict.fromkeys(_SINGLE_QUOTES, _SINGLE_QUOTES),
    '"': '"',
    "'": "'",
}
_STRING_STOP = {quote: re.compile(rf"[{ends}\\]") for quote, ends in _ENDS_OF_STRINGS.items()}
_WORD = re.compile(r"[A-Za-z_\u4e00-\u9fff][\w\u4e00-\u9fff]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.])")
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")


class _NotJsonError(Exception):
    """The text is not even leniently JSON here, or ends within a value."""


class _LenientReader:
    """Reads one value from ``text`` at ``at`` on."""

    def __init__(self, text: str, start: int, members: _Members) -> None:
        self._text = text[: start + _MAX_LENIENT]
        self._members = members
        self.at = start
        self.is_object = False
        """Whether what starts here is meant as an object; braces in prose are not."""

    def value(self, depth: int) -> Any:
        """Read a value; raise _NotJsonError."""
        character = self._peek()
        if depth > _MAX_DEPTH:
            raise _NotJsonError
        if character in _OPEN_BRACES:
            return self._object(_OPENERS[character], depth)
        if character in _OPENERS:
            return self._list(_OPENERS[character], depth)
        if character in _STRING_STOP:
            return self._string(character)
        return self._number() if character in "+-.0123456789" else self._constant()

    def _peek(self) -> str:
        """Skip white space; return the next character."""
        space = _SPACE.match(self._text, self.at)
        self.at = space.end() if space else self.at
        if self.at >= len(self._text):
            raise _NotJsonError
        return self._text[self.at]

    def _object(self, closers: str, depth: int) -> dict[str, Any]:
        pairs: list[tuple[str, Any]] = []
        self.at += 1
        while self._peek() not in closers:
            key = self._key()
            if self._peek() not in _COLONS:
                raise _NotJsonError
            self.at += 1
            self.is_object = True
            pairs.append((key, self.value(depth + 1)))
            self._comma_before(closers)
        self.at += 1
        return self._members.join(pairs)

    def _list(self, closers: str, depth: int) -> list[Any]:
        found = []
        self.at += 1
        while self._peek() not in closers:
            found.append(self.value(depth + 1))
            self._comma_before(closers)
        self.at += 1
        return found

    def _comma_before(self, closers: str) -> None:
        character = self._peek()
        if character in _COMMAS:
            self.at += 1
        elif character not in closers:
            raise _NotJsonError

    def _key(self) -> str:
        character = self._peek()
        if character in _STRING_STOP:
            self.is_object = True
            return self._string(character)
        word = _WORD.match(self._text, self.at)
        if not word:
            raise _NotJsonError
        self.at = word.end()
        return word[0]

    def _string(self, quote: str) -> str:
        """Read a string that ends at the first quote that something structural follows."""
        parts, at = [], self.at + 1
        while True:
            stop = _STRING_STOP[quote].search(self._text, at)
            if stop is None:
                raise _NotJsonError
            parts.append(self._text[at : stop.start()])
            at = stop.end()
            if stop[0] == "\\":
                text, at = self._escape(at)
                parts.append(text)
            elif self._ends_value(at):
                self.at = at
                return "".join(parts)
            else:
                parts.append(stop[0])

    def _escape(self, at: int) -> tuple[str, int]:
        """Return what the escape after a backslash stands for, and where it ends."""
        if at >= len(self._text):
            raise _NotJsonError
        character = self._text[at]
        digits = _HEX.match(self._text, at + 1) if character == "u" else None
        if digits:
            return chr(int(digits[0], 16)), digits.end()
        return _ESCAPES.get(character, character), at + 1

    def _ends_value(self, at: int) -> bool:
        space = _SPACE.match(self._text, at)
        at = space.end() if space else at
        return at >= len(self._text) or self._text[at] in _COMMAS + _COLONS + _CLOSERS

    def _number(self) -> int | float:
        number = _NUMBER.match(self._text, self.at)
        if not number:
            raise _NotJsonError
        self.at = number.end()
        try:
            return int(number[0])
        except ValueError:
            pass
        try:
            return _finite(number[0])
        except ValueError as error:
            raise _NotJsonError from error

    def _constant(self) -> Any:
        word = _WORD.match(self._text, self.at)
        if not word or word[0].lower() not in _CONSTANTS:
            raise _NotJsonError
        self.at = word.end()
        return _CONSTANTS[word[0].lower()]
