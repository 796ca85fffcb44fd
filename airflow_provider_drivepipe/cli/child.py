"""Child processes that never outlive the command that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

_TERMINATE_SECONDS = 15.0
_interrupted = threading.Event()


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this command like Ctrl-C, so that its ``finally`` clauses run.

    The first one only: a terminal that closes sends one itself, and make and the shell pass on theirs.
    """

    def interrupt(_signum: int, _frame: FrameType | None) -> None:
        _interrupted.set()
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        _interrupted.clear()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def go_on() -> None:
    """Raise KeyboardInterrupt when a signal has come: SDKs have clauses that swallow one at bad moments."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def child(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a process group of its own, with all its output in a pipe; end the group on leaving.

    A Ctrl-C in the terminal reaches this process only, which then ends the child in order. The child's
    standard input ends when this process does, also when it is killed.

    :param stop_signal: what asks the child to end; its group is killed when it does not.
    """
    process = None
    try:
        with _signals_later():
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        yield process
    finally:
        if process is not None:
            _end(process, stop_signal)


@contextmanager
def _signals_later() -> Iterator[None]:
    """Hold back what would interrupt this command, so that a child that has begun is known."""
    held: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {signum: signal.signal(signum, lambda signum, _: held.append(signum)) for signum in signals}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    for number in held:
        signal.raise_signal(number)


def _end(process: subprocess.Popen[str], stop_signal: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TERMINATE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
