"""Runs a function over the chunks of a frame, each in a forked process of its own.

As in DPE, a chunk that crashes or leaks takes nothing else along, and a function cannot rely on state that
another chunk has left behind.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any

from .errors import ChunkError, describe_exit, error_info
from .events import Fault

_SECRETS = ("ODPS_BEARER_TOKEN",)
"""What the engine itself needs, but a function in DPE would not see."""


def parallel_workers(cpu_per_worker: float) -> int:
    """Return how many chunks may run at once when each declares so many CPUs."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(available // max(cpu_per_worker, 1)))


def map_chunks(
    function: Callable[[Any], Any],
    chunks: Sequence[Any],
    *,
    workers: int,
    directory: Path,
    on_done: Callable[[float], None],
    on_begin: Callable[[], Sequence[Fault]] = tuple,
    on_read: Callable[[int], None] = lambda _: None,
) -> list[Any]:
    """Return ``function(chunk)`` of every chunk, in order; at most ``workers`` run at once.

    ``on_done`` is told the finished fraction. ``on_begin`` is called before each chunk and returns what is to
    go wrong in its process. ``on_read`` is told how many bytes the function has read; see ``bytes_read``.
    Raises ChunkError for the first function that raised, RuntimeError with the exit code for one whose
    process died; the chunks still running are then killed.
    """
    context = multiprocessing.get_context("fork")
    results: list[Any] = [None] * len(chunks)
    running: dict[Any, tuple[int, Any]] = {}
    started = finished = 0
    try:
        while finished < len(chunks):
            while started < len(chunks) and len(running) < workers:
                arguments = (function, chunks[started], _result_path(directory, started), on_begin())
                process = context.Process(target=_run_chunk, args=arguments)
                process.start()
                running[process.sentinel] = (started, process)
                started += 1
            for sentinel in connection.wait(list(running)):
                index, process = running.pop(sentinel)
                process.join()
                path = _result_path(directory, index)
                results[index], read = _result(path, process.exitcode, len(chunks), index)
                on_read(read)
                finished += 1
                on_done(finished / len(chunks))
    finally:
        for _, process in running.values():
            process.kill()
            process.join()
    return results


def _result_path(directory: Path, index: int) -> Path:
    return directory / f"chunk-{index}.pickle"


def _result(path: Path, exit_code: int, count: int, index: int) -> tuple[Any, int]:
    if not path.exists():
        raise RuntimeError(
            f"the process that ran the function on chunk {index + 1} of {count} ended without a result: "
            f"{describe_exit(exit_code)}"
        )
    with path.open("rb") as file:
        succeeded, value, read = pickle.load(file)
    path.unlink()
    if not succeeded:
        raise ChunkError(value)
    return value, read


def _run_chunk(function: Callable[[Any], Any], chunk: Any, path: Path, faults: Sequence[Fault]) -> None:
    """Body of a chunk's process."""
    for name in _SECRETS:
        os.environ.pop(name, None)
    try:
        read_before = bytes_read()
        for fault in faults:
            fault.strike()
        value = function(chunk)
        payload = pickle.dumps((True, value, bytes_read() - read_before), protocol=5)
    except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it is, it is the function's error)
        traceback.print_exc()
        payload = pickle.dumps((False, error_info(error), 0), protocol=5)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    temporary = path.with_suffix(".part")
    temporary.write_bytes(payload)
    temporary.replace(path)


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
