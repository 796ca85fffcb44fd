"""What a command is doing right now, as the last line of a terminal; nothing where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Activity:
    """The line; what is printed meanwhile stands above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._now = progress.add_task("", visible=False)

    def say(self, text: str, total: float | None = None) -> None:
        """Show what begins now, from 0 s on; ``total`` is how much there is of it, where that is known."""
        self._progress.remove_task(self._now)
        self._now = self._progress.add_task(text, total=total)

    def advance(self, amount: float) -> None:
        """Add to what is done."""
        self._progress.advance(self._now, amount)


@contextmanager
def activity() -> Iterator[Activity]:
    """Show the line as long as the block runs."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("of about", style="dim"),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stdout)
    with Progress(*columns, console=console, transient=True, disable=not sys.stdout.isatty()) as progress:
        yield Activity(progress)
