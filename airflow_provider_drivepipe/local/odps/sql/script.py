"""Splits a script into statements, takes out comments and settings, and puts in script-mode variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_PIECES = re.compile(
    r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|--[^\n]*|/\*(?!\+).*?\*/|;|@\w+""", re.DOTALL
)
_SET = re.compile(r"set\s+([\w.\-]+)\s*=\s*(.*)", re.IGNORECASE | re.DOTALL)
_ASSIGNMENT = re.compile(r"@(\w+)\s*(?:table\s*)?:=\s*(.*)", re.IGNORECASE | re.DOTALL)


def split_statements(text: str) -> Iterator[str]:
    """Yield the statements of a script without comments and semicolons; literals stay as they are."""
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
            parts.append(" ")
        else:
            parts.append(piece)
    parts.append(text[end:])
    yield from _statement(parts)


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
