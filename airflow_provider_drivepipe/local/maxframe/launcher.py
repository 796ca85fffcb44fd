"""Starts the engine's host process, hands it DAGs and hears of their end."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from airflow_provider_drivepipe.local.maxframe.engine.job import Job

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


class EngineLauncher:
    """One host process, started when first needed and again when it has died.

    ``on_ended`` is called with the id of a DAG whose process has ended; ``on_lost`` when the host itself has
    died. Both are called from a thread of the launcher.
    """

    def __init__(
        self,
        python: str,
        directory: Path,
        *,
        on_ended: Callable[[str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._python = python
        self._directory = directory
        self._on_ended = on_ended
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._closing = False

    def warm_up(self) -> None:
        """Start the host unless it runs; do not wait for it."""
        with self._lock:
            self._connection()

    def run(self, job: Job) -> None:
        """Hand a DAG to the host."""
        line = json.dumps({"run": job.to_json()}).encode() + b"\n"
        with self._lock:
            try:
                self._connection().sendall(line)
            except ConnectionError:
                logger.warning("the MaxFrame engine's host has gone; starting another one")
                self._drop_connection()
                self._connection().sendall(line)

    def close(self, timeout: float) -> None:
        """Let the host end; it does so once it has no DAG left. Kill it after ``timeout`` seconds."""
        with self._lock:
            self._closing = True
            process, reader = self._process, self._reader
            if self._control is not None:
                self._control.shutdown(socket.SHUT_WR)
        if process is None or reader is None:
            return
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()

    def _connection(self) -> socket.socket:
        if self._closing:
            raise RuntimeError("the local cloud is shutting down")
        if self._control is None:
            self._start()
        assert self._control is not None
        return self._control

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        log = os.open(self._directory / "engine.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(
                [self._python, "-I", "-X", "utf8", str(_BOOTSTRAP), str(theirs.fileno())],
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
        self._control = ours
        self._reader = threading.Thread(
            target=self._read, args=(ours, self._process), name="maxframe-engine", daemon=True
        )
        self._reader.start()

    def _read(self, control: socket.socket, process: subprocess.Popen[bytes]) -> None:
        with control.makefile("rb") as events:
            try:
                for line in events:
                    ended = json.loads(line).get("ended")
                    if ended is not None:
                        self._on_ended(ended)
            except ConnectionError as error:
                logger.info("connection to the MaxFrame engine's host: %s", error)
        code = process.wait()
        with self._lock:
            if self._control is control:
                self._drop_connection()
            expected = self._closing
        if not expected:
            logger.error("the MaxFrame engine's host ended with exit code %s; see engine.log", code)
            self._on_lost()

    def _drop_connection(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control = None
