"""Pieces of Markdown as GitHub and Airflow's UI show it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from functools import lru_cache

NOTHING = "–"
_WIDTH = 80
_MARKUP = re.compile(r"[\\`*\[\]<>|]")


def code(text: object) -> str:
    """Return a value as inline code that also holds in a table; a dash for an empty one."""
    shown = " ".join(str(text).split()).replace("|", "\\|")
    if not shown:
        return NOTHING
    if "`" not in shown:
        return f"`{shown}`"
    fence = "`" * (1 + max(map(len, "".join(c if c == "`" else " " for c in shown).split())))
    return f"{fence} {shown} {fence}"


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """Return a text that Markdown shows as it stands, also in a table."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def codes(values: Iterable[object]) -> str:
    """Return values as inline code, separated by commas; a dash when there are none."""
    return ", ".join(map(code, values)) or NOTHING


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def fenced(language: str, text: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{text}\n```"


@lru_cache(maxsize=4096)
def paragraph(*sentences: str, mark: str = "") -> str:
    """Return sentences as one paragraph, in lines that a terminal shows whole; empty ones are left out.

    Scenarios share most of them.

    :param mark: what the first line starts with; the others are indented by as much.
    """
    return textwrap.fill(
        " ".join(sentence for sentence in sentences if sentence),
        _WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def bullet(text: str) -> str:
    """Return an item of a list."""
    return paragraph(text, mark="- ")


def section(heading: str, *blocks: str) -> str:
    """Return a heading and what stands below it, with empty lines between; empty blocks are left out."""
    return "\n\n".join(block for block in (heading, *blocks) if block)
