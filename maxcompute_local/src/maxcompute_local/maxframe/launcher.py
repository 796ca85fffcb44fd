"""Starts the engine's host process, hands it DAGs and hears of their end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maxcompute_local.maxframe.engine.job import PROCESS_FILE, Job, is_for_pip

logger = logging.getLogger(__name__)

_BOOTSTRAP = Path(__file__).parent / "engine" / "bootstrap.py"

_PASSED_ON = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
)
"""Environment that the engine inherits. Not PYTHONPATH, credentials or Airflow's: a DPE worker has none."""


@dataclass
class _Host:
    """One host process. ``handed`` are the DAGs that it was given and has not begun."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    ready: bool = False
    handed: dict[str, Job] = field(default_factory=dict)


class EngineLauncher:
    """Keeps one host process, started when first needed and again when it has died.

    ``on_ended`` is called with the id of a DAG whose process has ended; ``on_lost`` when the host itself has
    died, with the ids of the DAGs that will not begin. Both are called from a thread of the launcher.
    """

    def __init__(
        self,
        python: str,
        directory: Path,
        *,
        on_ended: Callable[[str], None],
        on_lost: Callable[[set[str]], None],
    ) -> None:
        self._python = python
        self._directory = directory
        self._on_ended = on_ended
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._host: _Host | None = None
        self._reader: threading.Thread | None = None
        self._handed_twice: set[str] = set()
        self._closing = False

    def warm_up(self) -> None:
        """Start the host unless it runs; do not wait for it."""
        with self._lock:
            self._current_host()

    def run(self, job: Job) -> None:
        """Hand a DAG to the host."""
        line = json.dumps({"run": job.to_json()}).encode() + b"\n"
        with self._lock:
            host = self._current_host()
            host.handed[job.dag_id] = job
            # Should the host have just died, its reader looks after what it was handed.
            with contextlib.suppress(ConnectionError):
                host.control.sendall(line)

    def close(self, timeout: float) -> None:
        """Let the host end; it does so once it has no DAG left. Kill it after ``timeout`` seconds."""
        with self._lock:
            self._closing = True
            host, reader = self._host, self._reader
        if host is None or reader is None:
            return
        with contextlib.suppress(OSError):
            host.control.shutdown(socket.SHUT_WR)
        try:
            host.process.wait(timeout)
        except subprocess.TimeoutExpired:
            host.process.kill()
        reader.join()

    def _current_host(self) -> _Host:
        if self._closing:
            raise RuntimeError("the local cloud is shutting down")
        if self._host is None:
            self._host = self._start()
            self._reader = threading.Thread(
                target=self._read, args=(self._host,), name="maxframe-engine", daemon=True
            )
            self._reader.start()
        return self._host

    def _start(self) -> _Host:
        ours, theirs = socket.socketpair()
        env = {name: value for name, value in os.environ.items() if name in _PASSED_ON or is_for_pip(name)}
        log = os.open(self._directory / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                [self._python, "-I", "-X", "utf8", str(_BOOTSTRAP), "host", str(theirs.fileno())],
                cwd=self._directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                # A Ctrl-C in the server's terminal is the server's to handle.
                start_new_session=True,
            )
        finally:
            os.close(log)
            theirs.close()
        return _Host(process, ours)

    def _read(self, host: _Host) -> None:
        """Take a host's events until it has gone; then see what becomes of its DAGs."""
        with host.control, host.control.makefile("rb") as events:
            try:
                for line in events:
                    self._take(host, json.loads(line))
            except ConnectionError as error:
                logger.info("connection to the MaxFrame engine's host: %s", error)
            code = host.process.wait()
            with self._lock:
                self._host = None
                expected = self._closing
        if expected:
            return
        logger.error("the MaxFrame engine's host ended with exit code %s; see engine.log", code)
        not_begun = {
            dag_id: job for dag_id, job in host.handed.items() if not job.path(PROCESS_FILE).exists()
        }
        # A host that has never been ready will not be so the next time.
        again = not_begun.keys() - self._handed_twice if host.ready else set()
        self._handed_twice |= again
        for dag_id in again:
            self.run(not_begun[dag_id])
        self._on_lost(not_begun.keys() - again)

    def _take(self, host: _Host, event: Mapping[str, Any]) -> None:
        if "ready" in event:
            host.ready = True
        with self._lock:
            host.handed.pop(event.get("started") or event.get("ended") or "", None)
        if "ended" in event:
            self._on_ended(event["ended"])
