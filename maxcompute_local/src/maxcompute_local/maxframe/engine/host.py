"""The engine's parent process: loads MaxFrame once, forks a process per DAG, and says how each one ended.

Single-threaded on purpose, so that forking is safe. Speaks JSON lines on a Unix socket with the server:
``{"run": job}`` comes in; ``{"ready": true}``, ``{"started": dag_id}`` and ``{"ended": dag_id}`` go out. When
the server goes away the host stays until its last DAG has ended, so that a restarted server finds every exit
code.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any, NoReturn

from . import family
from .job import CANCEL_FILE, EXIT_FILE, PROCESS_FILE, Job, process_start, write_json


def serve(control_fd: int) -> None:
    """Run until the server has closed the control socket and all DAGs have ended."""
    with socket.socket(fileno=control_fd) as control:
        Host(control).serve()


class Host:
    """Forks DAG processes and reaps them."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._buffer = b""
        self._jobs: dict[int, Job] = {}
        self._server_is_there = True
        self._wakeup_read, self._wakeup_write = os.pipe()
        os.set_blocking(self._wakeup_read, False)
        os.set_blocking(self._wakeup_write, False)

    def serve(self) -> None:
        """Serve commands and reap children until there is nothing left to do."""
        family.adopt_orphans()
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(self._wakeup_write)
        preload()
        self._send({"ready": True})
        with selectors.DefaultSelector() as selector:
            selector.register(self._wakeup_read, selectors.EVENT_READ)
            selector.register(self._control, selectors.EVENT_READ)
            while self._server_is_there or self._jobs:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._control in ready and not self._receive():
                    selector.unregister(self._control)
                    self._server_is_there = False
                if self._wakeup_read in ready:
                    os.read(self._wakeup_read, 4096)
                self._reap()

    def _receive(self) -> bool:
        """Run what has been asked for; return False when the server has gone."""
        try:
            data = self._control.recv(1 << 16)
        except ConnectionError:
            return False
        if not data:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._run(Job.from_json(json.loads(line)["run"]))
        return True

    def _send(self, event: dict[str, Any]) -> None:
        if not self._server_is_there:
            return
        # A server that has just died learns the rest from the files.
        with contextlib.suppress(ConnectionError):
            self._control.sendall(json.dumps(event).encode() + b"\n")

    def _run(self, job: Job) -> None:
        if job.path(CANCEL_FILE).exists():
            self._ended(job, -signal.SIGTERM)
            return
        go_read, go_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            self._become(job, go_read)
        os.close(go_read)
        self._jobs[pid] = job
        # Its own group before anyone can learn of the process: cancelling kills by group.
        os.setpgid(pid, pid)
        write_json(job.path(PROCESS_FILE), {"pid": pid, "started": process_start(pid)})
        # The server first writes that it cancels, then looks for a process to kill. In the other order here,
        # one of the two always sees the other.
        if job.path(CANCEL_FILE).exists():
            os.kill(pid, signal.SIGTERM)
        else:
            with contextlib.suppress(BrokenPipeError):  # Cancelled a moment ago.
                os.write(go_write, b"\n")
        os.close(go_write)
        self._send({"started": job.dag_id})

    def _become(self, job: Job, go: int) -> NoReturn:
        """Turn this freshly forked process into the DAG's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (self._control.detach(), self._wakeup_read, self._wakeup_write):
            os.close(fd)
        recorded = os.read(go, 1)
        os.close(go)
        if not recorded:
            os._exit(1)
        from .process import run

        run(job)

    def _reap(self) -> None:
        while self._jobs:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return
            # What the DAG left behind in its group (a decoder, say) must not outlive it. The process is still
            # a zombie here, so its group id cannot have been given to another one.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(ended.si_pid, signal.SIGKILL)
            _, status = os.waitpid(ended.si_pid, 0)
            job = self._jobs.pop(ended.si_pid, None)
            if job is not None:
                # Those that left its group are our children now.
                family.end_strays(self._jobs.keys())
                self._ended(job, os.waitstatus_to_exitcode(status))

    def _ended(self, job: Job, code: int) -> None:
        write_json(job.path(EXIT_FILE), {"code": code})
        self._send({"ended": job.dag_id})


def preload() -> None:
    """Import what every DAG needs, so that a DAG starts in milliseconds."""
    from . import execution

    execution.prepare()
    # Shared pages stay shared when the collector does not write to them.
    gc.collect()
    gc.freeze()
    sys.stdout.flush()
