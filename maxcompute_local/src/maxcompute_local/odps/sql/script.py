"""Splits a script into statements, takes out comments and settings, and puts in script-mode variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from maxcompute_local.odps import errors

_PIECES = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|--[^\n]*|/\*(?!\+).*?\*/|;|@\w+""", re.DOTALL
)
_SET = re.compile(r"set\s+([\w.\-]+)\s*=\s*(.*)", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(r"@(\w+)\s*(?:table\s*)?:=\s*(.*)", re.IGNORECASE | re.DOTALL)


_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[0-3][0-7]{2}|.)", re.DOTALL)
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "r": "\r", "0": "\0", "Z": "\x1a"}
_ITSELF = "'\"\\;/"
# What LIKE takes for a sign instead of a wildcard keeps its backslash.
_FOR_LIKE = "%_"


def split_statements(text: str) -> Iterator[str]:
    """Yield the statements of a script without comments and semicolons.

    The escape sequences of literals are resolved; only quotes and backslashes in them stay escaped.
    """
    parts: list[str] = []
    end = 0
    for match in _PIECES.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        piece = match[0]
        if piece == ";":
            yield from _statement(parts)
            parts = []
        elif piece.startswith(("--", "/*")):
            parts.append("\n" * piece.count("\n") or " ")
        else:
            parts.append(_plain_literal(piece) if piece[0] in "'\"" else piece)
    parts.append(text[end:])
    yield from _statement(parts)


def _plain_literal(literal: str) -> str:
    quote, content = literal[0], _ESCAPE.sub(_resolved, literal[1:-1])
    return quote + content.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote


def _resolved(match: re.Match[str]) -> str:
    sequence = match[1]
    if len(sequence) == 5:
        return chr(int(sequence[1:], 16))
    if len(sequence) == 3:
        return chr(int(sequence, 8))
    if sequence in _FOR_LIKE:
        return match[0]
    if sequence in _ITSELF:
        return sequence
    if sequence not in _ESCAPES:
        raise errors.parse_error(f"unknown escape sequence {match[0]} in a string, write \\\\{sequence}")
    return _ESCAPES[sequence]


def _statement(parts: list[str]) -> Iterator[str]:
    statement = "".join(parts).strip()
    if statement:
        yield statement


def setting(statement: str) -> tuple[str, str] | None:
    """Return name and value of a ``SET name=value`` statement, None for any other."""
    match = _SET.fullmatch(statement)
    return (match[1], match[2].strip()) if match else None


def assignment(statement: str) -> tuple[str, str] | None:
    """Return name and query of ``@name := SELECT ...``, None for any other statement."""
    match = _ASSIGNMENT.fullmatch(statement)
    return (match[1].lower(), match[2]) if match else None


def substitute(statement: str, variables: Mapping[str, str]) -> str:
    """Return the statement with each known ``@name`` replaced by its query, as a named subquery."""

    def replacement(match: re.Match[str]) -> str:
        name = match[0][1:].lower()
        if not match[0].startswith("@") or name not in variables:
            return match[0]
        return f"({variables[name]}) {name}"

    return _PIECES.sub(replacement, statement)
