"""Airflow's JSON log lines, condensed to what the person who waits for a run wants to see."""

from __future__ import annotations

import json
import re
from typing import Any

_OURS = "airflow_provider_drivepipe"
_STARTING = re.compile(r"\[DAG TEST\] starting task_id=(\S+)")
_LINK = "LogView: "
"""A link too long for a terminal; it is in the log and, as an extra link, in Airflow's UI."""
_TASK_FAILED = ("Task failed with exception", "[DAG TEST] Error running task")
"""In the task itself, or in its trigger."""


class Progress:
    """Reads a run's log line by line.

    ``failure`` is the message of the last task that failed; ``messages`` are all messages of our own code;
    ``of_tasks`` are the lines of each task.
    """

    def __init__(self) -> None:
        self.failure: str | None = None
        self.messages: list[str] = []
        self.of_tasks: dict[str, list[str]] = {}
        self._task = ""
        self._tries: dict[str, int] = {}

    def read(self, line: str) -> str | None:
        """Return what to show of a log line, None when it is of no interest."""
        try:
            entry = json.loads(line)
        except ValueError:
            return None
        if not isinstance(entry, dict):
            return None
        event = str(entry.get("event", ""))
        starting = _STARTING.match(event)
        self._task = starting[1] if starting else self._task
        if self._task:
            self.of_tasks.setdefault(self._task, []).append(line)
        if starting:
            return self._heading(starting[1])
        if event.startswith(_TASK_FAILED):
            self.failure = _exception_text(entry)
            self.messages.append(self.failure)
            return _indented(f"failed: {self.failure}")
        if _OURS not in str(entry.get("logger", "")):
            return None
        self.messages.append(event)
        if event.startswith(_LINK):
            return None
        level = entry.get("level")
        return _indented(event if level == "info" else f"{level}: {event}")

    def _heading(self, task: str) -> str:
        self._tries[task] = self._tries.get(task, 0) + 1
        return f"  {task}" if self._tries[task] == 1 else f"  {task}, try {self._tries[task]}"


def _exception_text(entry: dict[str, Any]) -> str:
    raised = entry.get("exception") or entry.get("error_detail") or []
    outermost = raised[0] if raised else {}
    return f"{outermost.get('exc_type', 'error')}: {outermost.get('exc_value', 'no message')}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
