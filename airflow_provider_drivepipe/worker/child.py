"""Runs a function in a forked child process with a deadline that holds even when native code hangs.

Runs in DPE workers: standard library only. Forked, not spawned: a fresh interpreter could not import
functions that were shipped by value. Not ``multiprocessing``, whose daemonic workers may have no children.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

_LENGTH_BYTES = 8
_GRACE_SEC = 5.0


class ChildTimeoutError(Exception):
    """The child was killed at its deadline."""


class ChildDiedError(Exception):
    """The child ended without an answer; the message says how."""


def run_in_child(work: Callable[[], Any], timeout_sec: float) -> Any:
    """Return ``work()``, which must be JSON-serialisable, computed in a child process.

    Raises ChildTimeoutError after ``timeout_sec`` seconds, ChildDiedError when the child ends without an
    answer (killed, crashed, or ``work`` raised), OSError when no process can be started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if child == 0:
        os.close(reader)
        _child_main(work, writer, timeout_sec)
    os.close(writer)
    status: int | None = None
    try:
        answer = receive(reader, time.monotonic() + timeout_sec)
        status = reap(child)
    finally:
        os.close(reader)
        if status is None:
            kill(child)
    if answer is None:
        raise ChildDiedError(describe_end(status))
    return json.loads(answer)


def _child_main(work: Callable[[], Any], writer: int, timeout_sec: float) -> NoReturn:
    try:
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        # Ends this process also when the parent, which keeps the deadline, is gone.
        signal.alarm(math.ceil(timeout_sec) + 1)
        silence()
        answer = json.dumps(work()).encode()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)
    finally:
        # Whatever happened, the parent's exit handlers and buffers are not this process's.
        os._exit(1)


def silence() -> None:
    """Native libraries write to the standard streams as they like."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def receive(reader: int, deadline: float) -> bytes | None:
    """Return the answer, or None when the child ended without one; raise ChildTimeoutError."""
    received = bytearray()
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    while True:
        # What is there already is taken, also by one who comes late.
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise ChildTimeoutError
        part = os.read(reader, 1 << 16)
        if not part:
            return None
        received += part
        # By length, not by the end of the pipe: other children may have inherited it.
        if len(received) >= _LENGTH_BYTES:
            length = int.from_bytes(received[:_LENGTH_BYTES], "big")
            if len(received) >= _LENGTH_BYTES + length:
                return bytes(received[_LENGTH_BYTES : _LENGTH_BYTES + length])


def reap(child: int) -> int | None:
    """Return the wait status of an ending child; None when it does not end, or was reaped elsewhere."""
    give_up = time.monotonic() + _GRACE_SEC
    while time.monotonic() < give_up:
        try:
            done, status = os.waitpid(child, os.WNOHANG)
        except ChildProcessError:
            return None
        if done:
            return status
        time.sleep(0.005)
    return None


def kill(child: int) -> None:
    """Kill and reap; one that hangs in the kernel, as on a dead network mount, is left behind."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    reap(child)


def describe_end(wait_status: int | None) -> str:
    """Say how a process ended; None when nobody knows."""
    if wait_status is None:
        return "ended for an unknown reason"
    code = os.waitstatus_to_exitcode(wait_status)
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
