"""SQL statements as text that is the same in every run, and that people can read a diff of."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence

_WIDTH = 140
_BEGINNING = 120
_LITERAL = re.compile(r"'(?:\\.|[^'\\])*'")
_CLAUSE = re.compile(r"SELECT|FROM|WHERE|LEFT|UNION|GROUP|ORDER")
_COMMENTED = re.compile(rf"(`\w+` [A-Z<>]+) COMMENT ({_LITERAL.pattern})")
_HIDDEN = {ord(char): 0xE000 + ord(char) for char in " ()"}
_SHOWN = {hidden: char for char, hidden in _HIDDEN.items()}


def written(runs: Mapping[tuple[str, str], Sequence[str]], bucket: str) -> str:
    """Return statements as a text: each in full where it stands first, its beginning where it comes again.

    The same goes for comments of columns, and for all that a task said in a run.

    :param runs: statements by title of the run and task id.
    """
    stable = iter(_stable([sql for said in runs.values() for sql in said], bucket))
    said = {key: [next(stable) for _ in of_run] for key, of_run in runs.items()}
    text, seen, comments = "", set[str](), set[str]()
    for (title, task), statements in said.items():
        text += f"\n-- {title}: {task}\n"
        before = next(key for key in said if key[1] == task and said[key] == statements)[0]
        if before != title:
            text += f"-- the same as: {before}\n"
            continue
        for sql in statements:
            lines = laid_out(_without_comments(sql, comments))
            if sql in seen and len(sql) > _BEGINNING:
                text += f"{sql[:_BEGINNING]} … -- as above\n"
            else:
                text += f"\n{lines}\n\n" if "\n" in lines else f"{lines}\n"
            seen.add(sql)
    return re.sub(r"\n{3,}", "\n\n", text.strip()) + "\n"


def laid_out(sql: str) -> str:
    """Return a statement with a line for each clause, queries in brackets indented, long lines wrapped."""
    text, brackets = "", list[bool]()
    hidden = _LITERAL.sub(lambda literal: literal[0].translate(_HIDDEN), sql)
    for piece in re.findall(r"\(SELECT\b|[()]|[^()\s]+|\s+", hidden):
        if piece == ")":
            brackets.pop()
        elif piece[0] == "(":
            brackets.append(piece != "(")
        line = "\n" + "  " * sum(brackets)
        if piece == "(SELECT":
            text += f"({line}SELECT"
        elif _CLAUSE.fullmatch(piece) and all(brackets[-1:]):
            text = f"{text.rstrip()}{line}{piece}"
        else:
            text += piece
    return "\n".join(_wrapped(line) for line in text.strip().splitlines()).translate(_SHOWN)


def _wrapped(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(
        line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _without_comments(sql: str, seen: set[str]) -> str:
    """Return a statement without the comments of columns that were seen; the others are seen now."""

    def first(column: re.Match[str]) -> str:
        known = column[0] in seen
        seen.add(column[0])
        return column[1] if known else column[0]

    return _COMMENTED.sub(first, sql)


def _stable(statements: Sequence[str], bucket: str) -> list[str]:
    """Return statements with names in place of what differs from run to run.

    A hash is called after the part of a fingerprint as which it stands first.
    """
    text = "\0".join(statements).replace(bucket, "drivepipe-demo")
    text = re.sub(r"127\.0\.0\.1:\d+", "<endpoint>", text)
    text = re.sub(r"\d+\) <> 'oss://<endpoint>", "<length>) <> 'oss://<endpoint>", text)
    text = re.sub(r'"installation": "[^"]*"', '"installation": "<airflow>"', text)
    text = re.sub(r"__[0-9a-f]{10}_[0-9a-f]{10}_", "__<run>_", text)
    text = re.sub(r"__[0-9a-f]{10}_", "__<partition>_", text)
    for part, digest in re.findall(r";(\w+)=', [^']*'([0-9a-f]{16})'", text):
        text = text.replace(digest, f"<hash:{part}>")
    return re.sub(r"\b[0-9a-f]{16}\b", "<hash>", text).split("\0")
