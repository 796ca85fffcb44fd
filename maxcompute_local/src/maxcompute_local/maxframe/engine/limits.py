"""What a function may use: the ``cpu``, ``memory`` and ``memory_limit`` of ``with_running_options``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

MAX_PROCESSES = 256
"""How many processes a function may have at once, itself included."""

OPERATION_TIMEOUT = "spe.operation_timeout_seconds"
"""MaxFrame's option for it."""
FUNCTION_TIMEOUT = "odps.function.timeout"
"""MaxCompute's flag for functions, in ``options.sql.settings``."""
_DEFAULT_OPERATION_TIMEOUT = 120

_GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """Limits of one process that runs a function. ``memory`` is in bytes; None is no limit.

    ``seconds`` is how long it may run, ``seconds_from`` the setting that says so. After a lack of memory the
    chunk is tried once more with ``memory_limit``, where that is larger.
    """

    cpus: int = 1
    memory: int | None = None
    memory_limit: int | None = None
    seconds: float | None = None
    seconds_from: str = ""

    @classmethod
    def of(cls, op: Any, settings: Mapping[str, Any]) -> Limits:
        """Return the limits that an operator declares, and those in the session's settings."""
        resources = op.expect_resources or {}
        seconds, seconds_from = _seconds(op.expect_engine, settings)
        return cls(
            cpus=max(1, int(resources.get("cpu") or 1)),
            memory=_bytes(resources.get("memory")),
            memory_limit=_bytes(resources.get("memory_limit")),
            seconds=seconds,
            seconds_from=seconds_from,
        )

    def raised(self) -> Limits | None:
        """Return the limits of a second try after a lack of memory; None when there is to be none."""
        if self.memory is None or self.memory_limit is None or self.memory_limit <= self.memory:
            return None
        return replace(self, memory=self.memory_limit)


UNLIMITED = Limits()
"""One CPU, and as much memory as there is."""


def parallel_workers(limits: Limits) -> int:
    """Return how many processes with these limits this machine can run at once; at least one."""
    workers = len(available_cpus()) // limits.cpus
    memory = _machine_memory()
    if limits.memory and memory:
        workers = min(workers, memory // limits.memory)
    return max(1, workers)


def available_cpus() -> list[int]:
    """Return the numbers of the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpus_of(slot: int, count: int) -> list[int]:
    """Return ``count`` CPUs for the worker in a slot; other slots get others where there are enough."""
    available = available_cpus()
    # Several DAGs at once should not all begin with the first CPU.
    first = os.getpid() + slot * count
    return [available[(first + offset) % len(available)] for offset in range(min(count, len(available)))]


def enter(cpus: list[int]) -> None:
    """Bind this process to CPUs, and have the system end it first when all memory is used up."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def readable(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / _GIB:.2f} GiB"


def _seconds(engine: str | None, settings: Mapping[str, Any]) -> tuple[float | None, str]:
    """Return how long a function may run and the setting that says so.

    Clients always send ``spe.operation_timeout_seconds``. Its default is for functions of the engine SPE;
    only another value is known to be the user's own, and then holds for all.
    """
    asked: dict[str, float] = {}
    operation = settings.get(OPERATION_TIMEOUT)
    if operation and (operation != _DEFAULT_OPERATION_TIMEOUT or (engine or "").upper() == "SPE"):
        asked[OPERATION_TIMEOUT] = float(operation)
    function = (settings.get("sql.settings") or {}).get(FUNCTION_TIMEOUT)
    if function:
        asked[FUNCTION_TIMEOUT] = float(function)
    if not asked:
        return None, ""
    name = min(asked, key=asked.__getitem__)
    return asked[name], name


def _bytes(value: Any) -> int | None:
    if not value:
        return None
    from maxframe.utils import parse_size_to_megabytes

    return int(parse_size_to_megabytes(value) * (1 << 20))


def _machine_memory() -> int:
    """Return the bytes of memory that this machine, or the container's limit, has; 0 when unknown."""
    try:
        sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (ValueError, OSError):
        return 0
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            sizes.append(int(Path(path).read_text(encoding="ascii")))
    return min(sizes)
