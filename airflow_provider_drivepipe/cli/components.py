"""Background processes with a pid file each: start, find again, stop with all that they started."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
"""The processes of an Airflow, as ``up`` starts them."""

_STOP_SECONDS = 20.0
_LEFTOVER_SECONDS = 2.0


@dataclass(frozen=True)
class Component:
    """One background process. Its pid file and its log lie in ``folder``.

    It leads a session of its own, by which everything that it starts is found even after it has died.
    """

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """Standard output and error."""
        return self.folder / f"{self.name}.log"

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def start(self, command: Sequence[str], environment: Mapping[str, str], note: str = "") -> None:
        """Start the process; ``note`` is kept beside its id."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started = psutil.Process(process.pid).create_time()
        self._pid_file.write_text(json.dumps({"pid": process.pid, "started": started, "note": note}))

    def note(self) -> str | None:
        """Return the note of the living process, None when it does not live."""
        record = self._record()
        leader = _leader(*record[:2]) if record else None
        if record is None or leader is None or leader.status() == psutil.STATUS_ZOMBIE:
            return None
        return record[2]

    def stop(self) -> bool:
        """End the process and its whole session; return whether there was anything to end."""
        from maxcompute_local.processes import end_processes

        record = self._record()
        if record is None:
            return False
        leader = _leader(*record[:2])
        ended = end_processes([leader] if leader else [], _STOP_SECONDS)
        # Workers of a scheduler that was killed wait for it forever, whatever they are asked.
        ended += end_processes(_session(*record[:2]), _LEFTOVER_SECONDS)
        self._pid_file.unlink(missing_ok=True)
        return ended > 0

    def _record(self) -> tuple[int, float, str] | None:
        try:
            values = json.loads(self._pid_file.read_text("utf-8"))
        except FileNotFoundError:
            return None
        return values["pid"], values["started"], values["note"]


def _leader(pid: int, started: float) -> psutil.Process | None:
    """Return the process that began at ``started``, also as a zombie, but not a later one of the same id."""
    try:
        process = psutil.Process(pid)
        alive = process.create_time() == started
    except psutil.NoSuchProcess:
        return None
    return process if alive else None


def _session(pid: int, started: float) -> list[psutil.Process]:
    """Return the living processes of the session that a process leads, or led until it died."""
    if _leader(pid, started) is None and psutil.pid_exists(pid):
        # The id belongs to someone else now, so the session has ended.
        return []
    return [process for process in psutil.process_iter() if _session_id(process) == pid]


def _session_id(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None
