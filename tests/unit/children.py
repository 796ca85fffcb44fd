"""Child processes of the one that runs the tests."""

from __future__ import annotations

import os
from pathlib import Path


def children() -> set[int]:
    """Process ids of the children of all threads, those that ended and wait to be reaped included.

    Other tests may have left some that live on, such as the resource tracker of ``multiprocessing``.
    """
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for found in lists for pid in found.read_text().split()}
