"""How far a DAG is, operator by operator, and what it has to tell its client."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .job import LOG_FILE, MESSAGES_FILE, PROGRESS_FILE, Job, write_passing_json

logger = logging.getLogger("maxcompute_local")

_MIN_SECONDS_BETWEEN_WRITES = 0.1

_WARNING = 2
"""``maxframe.protocol.DisplayMessageType.WARNING``."""

_MOST_OUTPUT_BYTES = 8 << 20
_KEPT_OUTPUT_BYTES = 64 << 10


@dataclass
class Step:
    """One operator of the DAG. ``weight`` is its share of the work, relative to the others.

    ``name`` is its class, ``title`` what it does, where that can be told. ``log_begin`` and ``log_end`` are
    where its output lies in the log file, in bytes; times are seconds.
    """

    name: str
    weight: float = 1.0
    title: str = ""
    started: float | None = None
    seconds: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    chunks: int | None = None
    chunks_done: int = 0
    resources: str = ""
    log_begin: int | None = None
    log_end: int | None = None


class Messages:
    """What the client is told while the DAG runs."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._warned: set[str] = set()

    def warn(self, text: str) -> None:
        """Show a warning to the client, and log it; the same text once only."""
        if text in self._warned:
            return
        self._warned.add(text)
        logger.warning(text)
        with self._job.path(MESSAGES_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"message": text, "level": logging.WARNING, "type": _WARNING}) + "\n")


class Progress:
    """Tracks the running step and keeps the progress file up to date."""

    def __init__(self, job: Job, steps: Sequence[Step]) -> None:
        self._job = job
        self._steps = list(steps)
        self._total = sum(step.weight for step in steps) or 1.0
        self._current = -1
        self._messages = Messages(job)
        self._written_at = 0.0
        self._fraction = 0.0

    @property
    def step(self) -> Step:
        """The running operator."""
        return self._steps[self._current]

    def place(self, number: int, step: Step) -> None:
        """Say which operator is the one of this number: the order is known when the code is there."""
        self._steps[number] = step

    def next_step(self) -> str:
        """Note that the next operator begins; return its name."""
        self._current = min(self._current + 1, len(self._steps) - 1)
        self.step.started = time.time()
        self.step.log_begin = self._log_size()
        self._write(0.0)
        return self.step.name

    def end_step(self) -> None:
        """Note that the running operator has ended, well or not."""
        self.step.seconds = time.time() - (self.step.started or time.time())
        self.step.log_end = self._log_size()
        self._write(self._fraction)

    def rows(self, rows_in: int | None, rows_out: int | None) -> None:
        """Note how many rows the running operator took and gave; None where it has none."""
        self.step.rows_in, self.step.rows_out = rows_in, rows_out

    def chunks(self, count: int) -> None:
        """Note in how many chunks the running operator's function sees its rows."""
        self.step.chunks = count
        self._write(0.0)

    def step_fraction(self, fraction: float) -> None:
        """Note how much of the running operator is done, 0 to 1."""
        if self.step.chunks is not None:
            self.step.chunks_done = round(fraction * self.step.chunks)
        if time.monotonic() - self._written_at >= _MIN_SECONDS_BETWEEN_WRITES:
            self._write(fraction)

    def limit_output(self) -> None:
        """Leave out the middle of what the running operator has printed once that is too much."""
        begin, size = self.step.log_begin or 0, self._log_size()
        if size - begin <= _MOST_OUTPUT_BYTES:
            return
        kept = begin + _KEPT_OUTPUT_BYTES
        with self._job.path(LOG_FILE).open("r+b") as log:
            log.seek(size - _KEPT_OUTPUT_BYTES)
            end = log.read(_KEPT_OUTPUT_BYTES)
            # All who print append, so they go on behind the new end.
            log.truncate(kept)
        text = f"\n[… {(size - kept - len(end)) >> 20} MiB of output left out …]\n".encode() + end
        with self._job.path(LOG_FILE).open("ab") as log:
            log.write(text)
        with self._job.path(LOG_FILE).open("r+b") as log:
            log.seek(kept)
            meanwhile, found, _ = log.read().partition(text)
            if meanwhile and found:
                # Printed between truncating and appending: it belongs behind.
                log.seek(kept)
                log.write(text + meanwhile)

    def warn(self, text: str) -> None:
        """Show a warning to the client, and log it; the same text once only."""
        self._messages.warn(text)

    def _write(self, fraction: float) -> None:
        done = sum(step.weight for step in self._steps[: max(self._current, 0)])
        running = self._steps[self._current].weight * fraction if self._current >= 0 else 0.0
        self._written_at = time.monotonic()
        self._fraction = fraction
        state: dict[str, Any] = {
            "fraction": min((done + running) / self._total, 1.0),
            "operators": [vars(step) for step in self._steps],
            "current": self._current,
        }
        write_passing_json(self._job.path(PROGRESS_FILE), state)

    def _log_size(self) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            return self._job.path(LOG_FILE).stat().st_size
        except FileNotFoundError:
            return 0
