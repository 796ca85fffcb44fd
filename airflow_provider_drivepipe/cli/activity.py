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
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_WIDTH = 40
"""Characters of what is said, so that all fits into a line."""


class _Remaining(TimeRemainingColumn):
    """Says how long it still takes, where the speed tells."""

    def render(self, task: Task) -> Text:
        """Return the text of a task."""
        known = task.total is not None and task.time_remaining is not None
        return Text(f"about {super().render(task)} left" if known else "")


class Activity:
    """The line; what is printed meanwhile stands above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._now = progress.add_task("", visible=False)

    def say(self, text: str, total: float | None = None) -> None:
        """Show what begins now, from 0 s on; ``total`` is how much there is of it, where that is known."""
        self._progress.remove_task(self._now)
        short = text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
        self._now = self._progress.add_task(short, total=total)

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
        _Remaining(),
    )
    console = Console(file=sys.stdout)
    with Progress(*columns, console=console, transient=True, disable=not sys.stdout.isatty()) as progress:
        yield Activity(progress)
