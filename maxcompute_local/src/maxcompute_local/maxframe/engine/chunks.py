"""Runs a function over the chunks of a frame, batch by batch, each batch in a forked process of its own.

As in DPE, a batch that crashes or leaks takes nothing else along, and a function cannot rely on state that
another batch has left behind. A process that uses more than it declared is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import connection
from pathlib import Path
from typing import Any

from . import family, limits
from .errors import ChunkError, describe_exit, error_info
from .events import Fault
from .limits import UNLIMITED, Limits
from .packages import visible

_SECRETS = ("ODPS_BEARER_TOKEN",)
"""What the engine itself needs, but a function in DPE would not see."""

_POLL_SECONDS = 0.05


@dataclass
class _Running:
    """A batch's process. ``rest`` are its chunk's that wait for it; ``excess`` says why it was killed."""

    index: int
    slot: int
    process: Any
    allowed: Limits
    rest: list[tuple[int, Limits]]
    excess: Exception | None = None
    started: float = field(default_factory=time.monotonic)


def map_chunks(
    function: Callable[[Any], Any],
    chunks: Sequence[Sequence[Any]],
    *,
    workers: int,
    directory: Path,
    on_done: Callable[[float], None],
    on_begin: Callable[[], Sequence[Fault]] = tuple,
    on_read: Callable[[int], None] = lambda _: None,
    on_poll: Callable[[], None] = lambda: None,
    on_retry: Callable[[str], None] = lambda _: None,
    allowed: Limits = UNLIMITED,
    operator: str = "apply_chunk",
) -> list[Any]:
    """Return ``function(batch)`` of every batch of every chunk, in order.

    The batches of a chunk come one after the other; at most ``workers`` chunks are under way at once.

    ``on_done`` is told the finished fraction. ``on_begin`` is called before each batch and returns what is to
    go wrong in its process. ``on_read`` is told how many bytes the function has read; see ``bytes_read``.
    ``on_poll`` is called many times a second, ``on_retry`` with the reason when a batch gets more memory.

    Raises ChunkError for the first function that raised, MemoryError or TimeoutError for one over its limit,
    RuntimeError with the exit code for one whose process died; batches still running are then killed. What a
    function started and left behind is killed with its batch. ``operator`` is named in these errors.
    """
    context = multiprocessing.get_context("fork")
    batches = [batch for chunk in chunks for batch in chunk]
    results: list[Any] = [None] * len(batches)
    # Both are taken from the end.
    numbers = count()
    waiting = [[(next(numbers), allowed) for _ in chunk][::-1] for chunk in chunks][::-1]
    free = list(reversed(range(workers)))
    running: dict[Any, _Running] = {}
    inherited = family.resident_bytes([os.getpid()])
    finished = 0
    try:
        while finished < len(batches):
            while waiting and free:
                rest = waiting.pop()
                index, granted = rest.pop()
                slot = free.pop()
                cpus = limits.cpus_of(slot, granted.cpus)
                path = _result_path(directory, index)
                process = context.Process(
                    target=_run_batch, args=(function, batches[index], path, on_begin(), cpus)
                )
                process.start()
                running[process.sentinel] = _Running(index, slot, process, granted, rest)
            # Woken by a sentinel, but not believing in it: children of the function may hold it open.
            connection.wait(list(running), _POLL_SECONDS)
            on_poll()
            ended = [sentinel for sentinel, batch in running.items() if batch.process.exitcode is not None]
            for batch in running.values():
                if batch.process.sentinel not in ended:
                    where = f"{operator}: the function on batch {batch.index + 1} of {len(batches)}"
                    batch.excess = batch.excess or _excess(batch, inherited, where)
                    if batch.excess is not None:
                        family.kill_tree(batch.process.pid)
            for sentinel in ended:
                batch = running.pop(sentinel)
                which = f"batch {batch.index + 1} of {len(batches)}"
                where = f"{operator}: the process of the function on {which}"
                batch.process.join()
                free.append(batch.slot)
                family.end_strays({other.process.pid for other in running.values()})
                path = _result_path(directory, batch.index)
                more = batch.allowed.raised()
                if isinstance(batch.excess, MemoryError) and more is not None:
                    on_retry(f"{batch.excess}; trying again with memory_limit")
                    batch.rest.append((batch.index, more))
                elif batch.excess is not None:
                    raise batch.excess
                else:
                    results[batch.index], read = _result(path, batch.process.exitcode, where)
                    on_read(read)
                    finished += 1
                    on_done(finished / len(batches))
                if batch.rest:
                    waiting.append(batch.rest)
    finally:
        for batch in running.values():
            family.kill_tree(batch.process.pid)
            batch.process.kill()
            batch.process.join()
        family.end_strays(())
        on_poll()
    return results


def _excess(batch: _Running, inherited: int, where: str) -> Exception | None:
    """Return why a batch's process has to go, None while it keeps to its limits."""
    seconds = batch.allowed.seconds
    if seconds is not None and time.monotonic() - batch.started > seconds:
        return TimeoutError(
            f"{where} took more than {seconds:g} seconds, the limit of {batch.allowed.seconds_from}. Raise "
            "it, or give the function fewer rows at a time with batch_rows=…"
        )
    members = family.tree(batch.process.pid)
    if len(members) > limits.MAX_PROCESSES:
        return RuntimeError(
            f"{where} had {len(members)} processes at once; a worker allows {limits.MAX_PROCESSES}. Let "
            "processes end before others are started"
        )
    memory = batch.allowed.memory
    if memory is None or family.resident_bytes(members) <= memory:
        return None
    used = family.own_bytes(members, inherited)
    if used <= memory:
        return None
    return MemoryError(
        f"{where} used {limits.readable(used)} of memory; its limit is {limits.readable(memory)}. Give it "
        "more with with_running_options(memory=…), or fewer rows at a time with batch_rows=…"
    )


def _result_path(directory: Path, index: int) -> Path:
    return directory / f"batch-{index}.pickle"


def _result(path: Path, exit_code: int, where: str) -> tuple[Any, int]:
    if not path.exists():
        raise RuntimeError(f"{where} ended without a result: {describe_exit(exit_code)}")
    with path.open("rb") as file:
        succeeded, value, read = pickle.load(file)
    path.unlink()
    if not succeeded:
        raise ChunkError(value)
    return value, read


def _run_batch(
    function: Callable[[Any], Any], batch: Any, path: Path, faults: Sequence[Fault], cpus: list[int]
) -> None:
    """Body of a batch's process."""
    limits.enter(cpus)
    visible().confine()
    for name in _SECRETS:
        os.environ.pop(name, None)
    try:
        read_before = bytes_read()
        for fault in faults:
            fault.strike()
        value = function(batch)
        payload = pickle.dumps((True, value, bytes_read() - read_before), protocol=5)
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is the function's error)
        visible().explain(error)
        traceback.print_exc()
        payload = pickle.dumps((False, error_info(error), 0), protocol=5)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(payload)
    temporary.replace(path)
    sys.stdout.flush()
    sys.stderr.flush()
    # The result is there: threads and exit handlers that the function left must not hold it up.
    os._exit(0)


def bytes_read() -> int:
    """Return how many bytes this process and its children that have ended were given by read(2).

    That is what files, but also pipes and modules, have yielded, from disk or cache. 0 where the system does
    not count.
    """
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    counts = dict(line.split(": ") for line in lines)
    return int(counts["rchar"])
