"""A forked child process that answers request after request, each with a deadline; replaced when it dies.

One child for many small pieces of work: as safe as a child for each (the one request that crashes or hangs
it fails alone, for only one is ever under way), without the cost of forking every time. Runs in DPE workers:
standard library only.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn

from airflow_provider_drivepipe.worker.child import (
    ChildDiedError,
    describe_end,
    kill,
    reap,
    receive,
    silence,
)

_NUMBER_BYTES = 8
_LENGTH_BYTES = 8
_LOOK_FOR_PARENT_SEC = 1.0


class ServingChild:
    """Computes ``work(number)``, which must be JSON-serialisable, in a child process; a context manager.

    The child is forked at the first request, and again after one that it did not survive, so ``work`` sees
    what its closure held then. It ends when this process does.
    """

    def __init__(self, work: Callable[[int], Any], timeout_sec: float) -> None:
        self._work = work
        self._timeout_sec = timeout_sec
        self._child: int | None = None
        self._requests = -1
        self._answers = -1
        self._refused: OSError | None = None
        self.began = 0.0
        """When the last request was sent, on the monotonic clock."""

    def __enter__(self) -> ServingChild:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, number: int) -> Any:
        """Return ``work(number)``: :meth:`begin`, then :meth:`finish`."""
        self.begin(number)
        return self.finish()

    def begin(self, number: int) -> None:
        """Ask for ``work(number)``; its deadline counts from now."""
        request = number.to_bytes(_NUMBER_BYTES, "big")
        self.began = time.monotonic()
        self._refused = None
        try:
            self._start_if_needed()
            try:
                os.write(self._requests, request)
            except BrokenPipeError:
                # It died between two requests: not the fault of this one.
                self.close()
                self._start_if_needed()
                os.write(self._requests, request)
        except OSError as error:
            self._refused = error

    def finish(self) -> Any:
        """Return what was asked for.

        Raises ChildTimeoutError after the deadline, ChildDiedError when the child ends without an answer
        (killed, crashed, or ``work`` raised), OSError when no process can be started.
        """
        if self._refused is not None:
            raise self._refused
        try:
            answer = receive(self._answers, self.deadline())
        except BaseException:
            self.close()
            raise
        if answer is None:
            raise ChildDiedError(describe_end(self._end()))
        return json.loads(answer)

    def is_refused(self) -> bool:
        """Return whether no process could be started for the last request."""
        return self._refused is not None

    def deadline(self) -> float:
        """Return when the last request must be answered, on the monotonic clock."""
        return self.began + self._timeout_sec

    def fileno(self) -> int:
        """Return the descriptor that can be read when the answer comes."""
        return self._answers

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if self._child is not None:
            child = self._child
            self._forget()
            kill(child)

    def _end(self) -> int | None:
        """Reap a child that has ended; kill it if it only closed its pipe. Returns its wait status."""
        assert self._child is not None
        child = self._child
        status = reap(child)
        self._forget()
        if status is None:
            kill(child)
        return status

    def _forget(self) -> None:
        self._child = None
        os.close(self._requests)
        os.close(self._answers)

    def _start_if_needed(self) -> None:
        if self._child is not None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        request_reader, request_writer = os.pipe()
        answer_reader, answer_writer = os.pipe()
        parent = os.getpid()
        try:
            child = os.fork()
        except OSError:
            for end in (request_reader, request_writer, answer_reader, answer_writer):
                os.close(end)
            raise
        if child == 0:
            os.close(request_writer)
            os.close(answer_reader)
            _serve(self._work, request_reader, answer_writer, self._timeout_sec, parent)
        os.close(request_reader)
        os.close(answer_writer)
        self._child, self._requests, self._answers = child, request_writer, answer_reader


def as_answered(
    children: Sequence[ServingChild], numbers: Iterable[int]
) -> Iterator[tuple[int, ServingChild]]:
    """Ask for all ``numbers``, side by side; yield each with the child to call ``finish`` of.

    Yielded when the answer is there, or overdue. Without threads, which do not go with forking.
    """
    waiting = iter(numbers)
    idle = list(children)
    asked: dict[int, ServingChild] = {}
    while True:
        while idle and (number := next(waiting, None)) is not None:
            asked[number] = idle.pop()
            asked[number].begin(number)
        if not asked:
            return
        number = _first_done(asked)
        child = asked.pop(number)
        yield number, child
        idle.append(child)


def _first_done(asked: Mapping[int, ServingChild]) -> int:
    for number, child in asked.items():
        if child.is_refused():
            return number
    numbers = {child.fileno(): number for number, child in asked.items()}
    poll = select.poll()
    for answers in numbers:
        poll.register(answers, select.POLLIN)
    overdue = min(asked, key=lambda number: asked[number].deadline())
    answered = poll.poll(max(0.0, asked[overdue].deadline() - time.monotonic()) * 1000)
    return numbers[answered[0][0]] if answered else overdue


def _serve(
    work: Callable[[int], Any], requests: int, answers: int, timeout_sec: float, parent: int
) -> NoReturn:
    try:
        for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        silence()
        while (request := _next_request(requests, parent)) is not None:
            # Ends this process also when the parent, which keeps the deadline, is gone.
            signal.alarm(math.ceil(timeout_sec) + 1)
            answer = json.dumps(work(request)).encode()
            signal.alarm(0)
            _write(answers, len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)
    finally:
        # Whatever happened, the parent's exit handlers and buffers are not this process's.
        with contextlib.suppress(OSError):
            os.close(answers)
        os._exit(1)


def _next_request(requests: int, parent: int) -> int | None:
    """Wait for a request; None when nobody will send one any more."""
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    # Not only by the end of the pipe: other children may have inherited its other end.
    while os.getppid() == parent:
        if poll.poll(_LOOK_FOR_PARENT_SEC * 1000):
            request = os.read(requests, _NUMBER_BYTES)
            return int.from_bytes(request, "big") if len(request) == _NUMBER_BYTES else None
    return None


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
