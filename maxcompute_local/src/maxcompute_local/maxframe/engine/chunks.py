"""Runs a function over the chunks of a frame, each in a forked process of its own.

As in DPE, a chunk that crashes or leaks takes nothing else along, and a function cannot rely on state that
another chunk has left behind. A process that uses more than it declared is killed.
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
    """A chunk's process. ``excess`` says why it was killed."""

    index: int
    slot: int
    process: Any
    allowed: Limits
    excess: Exception | None = None
    started: float = field(default_factory=time.monotonic)


def map_chunks(
    function: Callable[[Any], Any],
    chunks: Sequence[Any],
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
    """Return ``function(chunk)`` of every chunk, in order; at most ``workers`` run at once.

    ``on_done`` is told the finished fraction. ``on_begin`` is called before each chunk and returns what is to
    go wrong in its process. ``on_read`` is told how many bytes the function has read; see ``bytes_read``.
    ``on_poll`` is called many times a second, ``on_retry`` with the reason when a chunk gets more memory.

    Raises ChunkError for the first function that raised, MemoryError or TimeoutError for one over its limit,
    RuntimeError with the exit code for one whose process died; the chunks still running are then killed. What
    a function started and left behind is killed with its chunk. ``operator`` is named in these errors.
    """
    context = multiprocessing.get_context("fork")
    results: list[Any] = [None] * len(chunks)
    waiting = [(index, allowed) for index in reversed(range(len(chunks)))]
    free = list(reversed(range(workers)))
    running: dict[Any, _Running] = {}
    inherited = family.resident_bytes([os.getpid()])
    finished = 0
    try:
        while finished < len(chunks):
            while waiting and free:
                index, granted = waiting.pop()
                slot = free.pop()
                cpus = limits.cpus_of(slot, granted.cpus)
                path = _result_path(directory, index)
                process = context.Process(
                    target=_run_chunk, args=(function, chunks[index], path, on_begin(), cpus)
                )
                process.start()
                running[process.sentinel] = _Running(index, slot, process, granted)
            # Woken by a sentinel, but not believing in it: children of the function may hold it open.
            connection.wait(list(running), _POLL_SECONDS)
            on_poll()
            ended = [sentinel for sentinel, chunk in running.items() if chunk.process.exitcode is not None]
            for chunk in running.values():
                if chunk.process.sentinel not in ended:
                    where = f"{operator}: the function on chunk {chunk.index + 1} of {len(chunks)}"
                    chunk.excess = chunk.excess or _excess(chunk, inherited, where)
                    if chunk.excess is not None:
                        family.kill_tree(chunk.process.pid)
            for sentinel in ended:
                chunk = running.pop(sentinel)
                where = f"{operator}: the process of the function on chunk {chunk.index + 1} of {len(chunks)}"
                chunk.process.join()
                free.append(chunk.slot)
                family.end_strays({other.process.pid for other in running.values()})
                path = _result_path(directory, chunk.index)
                more = chunk.allowed.raised()
                if isinstance(chunk.excess, MemoryError) and more is not None:
                    on_retry(f"{chunk.excess}; trying again with memory_limit")
                    waiting.append((chunk.index, more))
                    continue
                if chunk.excess is not None:
                    raise chunk.excess
                results[chunk.index], read = _result(path, chunk.process.exitcode, where)
                on_read(read)
                finished += 1
                on_done(finished / len(chunks))
    finally:
        for chunk in running.values():
            family.kill_tree(chunk.process.pid)
            chunk.process.kill()
            chunk.process.join()
        family.end_strays(())
        on_poll()
    return results


def _excess(chunk: _Running, inherited: int, where: str) -> Exception | None:
    """Return why a chunk's process has to go, None while it keeps to its limits."""
    seconds = chunk.allowed.seconds
    if seconds is not None and time.monotonic() - chunk.started > seconds:
        return TimeoutError(
            f"{where} took more than {seconds:g} seconds, the limit of {chunk.allowed.seconds_from}. Raise "
            "it, or give the function fewer rows at a time with batch_rows=…"
        )
    members = family.tree(chunk.process.pid)
    if len(members) > limits.MAX_PROCESSES:
        return RuntimeError(
            f"{where} had {len(members)} processes at once; a worker allows {limits.MAX_PROCESSES}. Let "
            "processes end before others are started"
        )
    memory = chunk.allowed.memory
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
    return directory / f"chunk-{index}.pickle"


def _result(path: Path, exit_code: int, where: str) -> tuple[Any, int]:
    if not path.exists():
        raise RuntimeError(f"{where} ended without a result: {describe_exit(exit_code)}")
    with path.open("rb") as file:
        succeeded, value, read = pickle.load(file)
    path.unlink()
    if not succeeded:
        raise ChunkError(value)
    return value, read


def _run_chunk(
    function: Callable[[Any], Any], chunk: Any, path: Path, faults: Sequence[Fault], cpus: list[int]
) -> None:
    """Body of a chunk's process."""
    limits.enter(cpus)
    visible().confine()
    for name in _SECRETS:
        os.environ.pop(name, None)
    try:
        read_before = bytes_read()
        for fault in faults:
            fault.strike()
        value = function(chunk)
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
