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

_THINKING = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(r"```[\w-]*\s*(.*?)```", re.DOTALL)
_MAX_STARTS = 64
"""Most opening braces that are tried per text: an answer may hold thousands."""
_MAX_LENIENT = 100_000
"""Most characters that the lenient parser reads from one opening brace: it is Python, not C."""
_MAX_ANSWER = 4_000_000
_MAX_DEPTH = 32
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Found:
    """An object in an answer; ``inside`` tells that a larger object around it was cut off."""

    value: dict[str, Any]
    inside: bool = False


def objects(answer: str) -> Iterator[Found]:
    """Yield the JSON objects of an answer: those of fenced parts first, then all of the answer's.

    Prose and a reasoning part around them do not matter. Read as JSON first, then leniently: trailing commas,
    full-width punctuation and quotes, single quotes where they can only be quotes, ``True`` and ``None``.
    """
    text = _THINKING.sub("", answer[:_MAX_ANSWER])
    for part in (*_FENCE.findall(text), text):
        whole = _strict(part)
        for found in [Found(whole)] if isinstance(whole, dict) else _within(part):
            if not _too_deep(found.value):
                yield Found(_encodable(found.value), found.inside)


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


def _within(text: str) -> Iterator[Found]:
    inside = False
    start = _next_brace(text, 0)
    for _ in range(_MAX_STARTS):
        if start < 0:
            return
        value, end, cut_off = _object_at(text, start)
        if value is not None:
            yield Found(value, inside)
        inside = inside or cut_off
        start = _next_brace(text, end)


def _next_brace(text: str, start: int) -> int:
    found = _OPEN_BRACE.search(text, start)
    return found.start() if found else -1


def _object_at(text: str, start: int) -> tuple[dict[str, Any] | None, int, bool]:
    """Return the object that starts here, the end of what was read, and whether the text ended within it."""
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        end = start + 1
    value = _strict(text[start:end])
    if isinstance(value, dict):
        return value, end, False
    reader = _LenientReader(text, start)
    try:
        value = reader.value(0)
    except _CutOffError:
        return None, start + 1, True
    except _NotJsonError:
        return None, start + 1, False
    return (value, reader.at, False) if isinstance(value, dict) else (None, start + 1, False)


def _strict(text: str) -> Any:
    """Return the parsed text; None where it is no JSON (no NaN, no infinity, no endless nesting)."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


_OPEN_BRACE = re.compile(r"[{\uff5b]")
_SPACE = re.compile(r"[\s\u3000\ufeff\u200b]*")
_COMMAS, _COLONS = ",\uff0c", ":\uff1a"
_OPENERS = {
    "{": "}\uff5d",
    "\uff5b": "}\uff5d",
    "[": "]\uff3d\u3011",
    "\uff3b": "]\uff3d",
    "\u3010": "]\u3011",
}
_CLOSERS = "}\uff5d]\uff3d\u3011"
_DOUBLE_QUOTES, _SINGLE_QUOTES = '"\u201c\u201d\uff02', "'\u2018\u2019\uff07"
_STRING_STOP = {quotes: re.compile(rf"[{quotes}\\]") for quotes in (_DOUBLE_QUOTES, _SINGLE_QUOTES)}
_WORD = re.compile(r"[A-Za-z_\u4e00-\u9fff][\w\u4e00-\u9fff]*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.])")
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_HEX = re.compile(r"[0-9a-fA-F]{4}")


class _NotJsonError(Exception):
    """The text is not even leniently JSON here."""


class _CutOffError(Exception):
    """The text ends within a value."""


class _LenientReader:
    """Reads one value from ``text`` at ``at`` on."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text[: start + _MAX_LENIENT]
        self.at = start

    def value(self, depth: int) -> Any:
        """Read a value; raise one of the two errors above."""
        character = self._peek()
        if depth > _MAX_DEPTH:
            raise _NotJsonError
        if character in "{\uff5b":
            return self._object(_OPENERS[character], depth)
        if character in _OPENERS:
            return self._list(_OPENERS[character], depth)
        for quotes in (_DOUBLE_QUOTES, _SINGLE_QUOTES):
            if character in quotes:
                return self._string(quotes)
        return self._number() if character in "+-.0123456789" else self._constant()

    def _peek(self) -> str:
        """Skip white space; return the next character."""
        space = _SPACE.match(self._text, self.at)
        self.at = space.end() if space else self.at
        if self.at >= len(self._text):
            raise _CutOffError
        return self._text[self.at]

    def _object(self, closers: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while self._peek() not in closers:
            key = self._key()
            if self._peek() not in _COLONS:
                raise _NotJsonError
            self.at += 1
            found[key] = self.value(depth + 1)
            self._comma_before(closers)
        self.at += 1
        return found

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
        for quotes in (_DOUBLE_QUOTES, _SINGLE_QUOTES):
            if character in quotes:
                return self._string(quotes)
        word = _WORD.match(self._text, self.at)
        if not word:
            raise _NotJsonError
        self.at = word.end()
        return word[0]

    def _string(self, quotes: str) -> str:
        """Read a string that ends at the first quote that something structural follows."""
        parts, at = [], self.at + 1
        while True:
            stop = _STRING_STOP[quotes].search(self._text, at)
            if stop is None:
                raise _CutOffError
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
            raise _CutOffError
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
