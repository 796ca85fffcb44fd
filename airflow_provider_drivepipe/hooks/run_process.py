"""The one process that a whole run lives in, as ``airflow dags test`` makes it.

Where a scheduler runs, Airflow notices that a task died and says so in the task's state. A run that is tested
has no scheduler: its tasks and triggers live in one process, and when that is killed their
states stay.
"""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROCESSES = Path("/proc/self/ns/pid")
"""Names the namespace that process ids belong to: each container has its own."""


@dataclass(frozen=True)
class RunProcess:
    """A process that can be told from all others, on this machine and elsewhere, by no clock."""

    host: str
    pid: int
    started: float

    @classmethod
    def of_this_run(cls) -> RunProcess | None:
        """Return this process if the whole run lives in it, None where a scheduler watches over the run."""
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.supervisor import InProcessSupervisorComms

        supervisor = getattr(task_runner, "SUPERVISOR_COMMS", None)
        return cls.of(os.getpid()) if isinstance(supervisor, InProcessSupervisorComms) else None

    @classmethod
    def of(cls, pid: int) -> RunProcess:
        """Return a living process of this machine."""
        return cls(_host(), pid, _started(pid))

    def has_ended(self) -> bool:
        """Whether the process is surely gone; that is never sure of another machine, or before a restart."""
        if self.host != _host():
            return False
        try:
            zombie = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
            return bool(zombie) or _started(self.pid) != self.started
        except psutil.NoSuchProcess:
            return True


def _host() -> str:
    if not _BOOT_ID.exists():
        return f"{socket.gethostname()} {uuid.getnode():x}"
    return f"{socket.gethostname()} {_BOOT_ID.read_text().strip()} {_PROCESSES.readlink()}"


def _started(pid: int) -> float:
    """Return when a process began, on Linux in ticks since the machine did: clocks may be set anew."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()
    except FileNotFoundError:
        return float(psutil.Process(pid).create_time())
    return float(fields[19])
