"""Processes that the local cloud starts: find those that outlived their server, and end them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # ships no types


def engine_processes(maxframe_root: Path) -> list[psutil.Process]:
    """Return this user's engine processes that work below a MaxFrame folder, with all their descendants.

    The engine's host and the processes of its DAGs have their working directory there.
    """
    root = str(maxframe_root.resolve())
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            cwd = process.cwd()
            if cwd == root or cwd.startswith(root + "/"):
                for each in (process, *process.children(recursive=True)):
                    found[each.pid] = each
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return list(found.values())


def tree_of(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; empty when it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end_processes(processes: Iterable[psutil.Process], seconds: float) -> int:
    """Ask processes to end, kill those that still live after ``seconds``; return how many there were."""
    processes = list(processes)
    for process in processes:
        _signal(process, kill=False)
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=seconds)
    return len(processes)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        return
