"""How far a DAG is, and what it has to tell its client."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .events import Events
from .job import MESSAGES_FILE, PROGRESS_FILE, Job, write_json

logger = logging.getLogger("drivepipe")

_MIN_SECONDS_BETWEEN_WRITES = 0.1

_WARNING = 2
"""``maxframe.protocol.DisplayMessageType.WARNING``."""


@dataclass(frozen=True)
class Step:
    """One operator of the DAG. ``weight`` is its share of the work, relative to the others."""

    name: str
    weight: float = 1.0


class Progress:
    """Tracks the running step and keeps the progress file up to date."""

    def __init__(self, job: Job, steps: Sequence[Step]) -> None:
        self._job = job
        self._steps = steps
        self._total = sum(step.weight for step in steps) or 1.0
        self._current = -1
        self._warned: set[str] = set()
        self._written_at = 0.0

    def next_step(self) -> str | None:
        """Note that the next operator begins; return its name."""
        self._current = min(self._current + 1, len(self._steps) - 1)
        self._write(0.0)
        return self._steps[self._current].name if self._steps else None

    def step_fraction(self, fraction: float) -> None:
        """Note how much of the running operator is done, 0 to 1."""
        if time.monotonic() - self._written_at >= _MIN_SECONDS_BETWEEN_WRITES:
            self._write(fraction)

    def warn(self, text: str) -> None:
        """Show a warning to the client, and log it; the same text once only."""
        if text in self._warned:
            return
        self._warned.add(text)
        logger.warning(text)
        with self._job.path(MESSAGES_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"message": text, "level": logging.WARNING, "type": _WARNING}) + "\n")

    def _write(self, fraction: float) -> None:
        done = sum(step.weight for step in self._steps[: max(self._current, 0)])
        running = self._steps[self._current].weight * fraction if self._current >= 0 else 0.0
        self._written_at = time.monotonic()
        write_json(
            self._job.path(PROGRESS_FILE),
            {
                "fraction": min((done + running) / self._total, 1.0),
                "operators": [step.name for step in self._steps],
                "current": self._current,
            },
        )


class StepMarker:
    """Stands in for the constant ``running`` of the generated code, which is tested before every operator."""

    def __init__(self, progress: Progress, events: Events) -> None:
        self._progress = progress
        self._events = events

    def __bool__(self) -> bool:
        for fault in self._events.begin(f"operator.{self._progress.next_step()}"):
            fault.strike()
        return True
