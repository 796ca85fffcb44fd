"""Counters of what the local cloud was asked to do, by kind; tests and `drivepipe local stats` read them."""

from __future__ import annotations

import threading
from collections import Counter


class Stats:
    """Thread-safe counters, e.g. ``oss.GetObject``, ``odps.sql``, ``maxframe.submit_dag``, ``model.chat``."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, kind: str, n: int = 1) -> None:
        """Add ``n`` to the counter ``kind``."""
        with self._lock:
            self._counts[kind] += n

    def snapshot(self) -> dict[str, int]:
        """Return all counters, sorted by kind."""
        with self._lock:
            return dict(sorted(self._counts.items()))
