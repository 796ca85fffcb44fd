"""A process that leads a session of its own, by which all that it started can be ended after its death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Component:
    """One process; its pid file and its log lie in ``folder``, so that a watchdog can find it."""

    name: str
    folder: Path

    @property
    def log(self) -> Path:
        """Standard output and error."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Id of the process, or of the one that was. Raises FileNotFoundError when it was never started."""
        return int(self._record()["pid"])

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        record = {"pid": process.pid, "started": psutil.Process(process.pid).create_time()}
        self._pid_file.write_text(json.dumps(record))

    def alive(self) -> bool:
        leader = self._leader()
        return leader is not None and leader.status() != psutil.STATUS_ZOMBIE

    def kill(self) -> None:
        """End the process alone with SIGKILL."""
        leader = self._leader()
        assert leader is not None, f"{self.name} does not run"
        leader.send_signal(signal.SIGKILL)
        leader.wait(10)

    def end(self) -> None:
        """End the process and everything that it started with SIGKILL; nothing of it is worth keeping."""
        if not self._pid_file.exists():
            return
        leader = self._leader()
        if leader is None and psutil.pid_exists(self.pid):
            # The id belongs to someone else now, so the session has ended.
            return
        psutil.wait_procs(self.signal(signal.SIGKILL), timeout=5)

    def signal(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal to the process and everything that it started, and return them all."""
        session = [each for each in psutil.process_iter() if _session_id(each) == self.pid]
        # The leader first, so that it starts nothing anew.
        for process in sorted(session, key=lambda each: each.pid != self.pid):
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        return session

    @property
    def _pid_file(self) -> Path:
        return self.folder / f"{self.name}.pid"

    def _record(self) -> dict[str, float]:
        found: dict[str, float] = json.loads(self._pid_file.read_text())
        return found

    def _leader(self) -> psutil.Process | None:
        """Return the process, also as a zombie, but not a later one of the same id."""
        record = self._record()
        try:
            process = psutil.Process(int(record["pid"]))
            return process if process.create_time() == record["started"] else None
        except psutil.NoSuchProcess:
            return None


def _session_id(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None
