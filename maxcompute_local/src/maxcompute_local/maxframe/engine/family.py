"""Processes that descend from one of ours: finding, measuring, ending them; with ``/proc``, so on Linux."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ROUNDS = 100
"""How often to look again for processes that were started while others were being ended."""


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has ended, so that none can get away."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """Return the children of a process, zombies included; none when it has gone."""
    found: list[int] = []
    # Processes and their threads end while they are looked at.
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found, pending = [], [pid]
    while pending:
        current = pending.pop()
        found.append(current)
        pending += children(current)
    return found


def kill_tree(pid: int) -> None:
    """Kill a process and its descendants. Those that its descendants leave behind come to us as orphans."""
    for member in tree(pid):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGKILL)


def end_strays(keep: Collection[int]) -> None:
    """Kill and reap all children of this process but the ones to ``keep``, with their descendants."""
    for _ in range(_ROUNDS):
        strays = [pid for pid in children(os.getpid()) if pid not in keep]
        if not strays:
            return
        for pid in strays:
            kill_tree(pid)
        for pid in strays:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of processes, pages that they share counted for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    return total


def own_bytes(pids: Collection[int], inherited: int) -> int:
    """Return at least how much memory processes have of their own, without what they inherited when forked.

    ``inherited`` is the resident memory of the process that forked the first of them, in bytes.
    """
    private = proportional = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
                name, _, value = line.partition(":")
                size = int(value.split()[0]) * 1024
                private += size if name in ("Private_Dirty", "Private_Hugetlb", "Swap") else 0
                proportional += size if name in ("Pss_Anon", "Pss_Shmem", "SwapPss") else 0
    # Pages that processes of the tree share among themselves are nobody's private ones; and of the inherited
    # ones, no more than all can be in the proportional sum. So both figures are too low rather than too high.
    return max(private, proportional - inherited)
