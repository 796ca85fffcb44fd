"""Counters of what the local cloud was asked to do, by kind; tests and `maxcompute-local stats` read them.

They live in the server's memory: a restart begins at nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable

MAX_DISTINCT = 1_000_000
"""A counter of distinct things stops here, so that its memory stays bounded."""

_DIGEST_BYTES = 8


class Stats:
    """Thread-safe counters, e.g. ``oss.GetObject``, ``odps.get_table`` and ``model.chat``.

    :param gate: called with a call's kind before the call is counted. What it raises passes through
        ``count``, and the call is then not counted. Faults on demand strike there.
    """

    def __init__(self, gate: Callable[[str], None] | None = None) -> None:
        self.gate = gate
        self._counts: Counter[str] = Counter()
        self._seen: dict[str, set[bytes]] = {}
        self._lock = threading.Lock()

    def count(self, kind: str) -> None:
        """Count a call that a service takes up, before it has any effect: the gate may refuse it."""
        if self.gate is not None:
            self.gate(kind)
        self.add(kind)

    def add(self, kind: str, n: int = 1) -> None:
        """Add a quantity, such as tokens, rows or outcomes. No gate is asked."""
        with self._lock:
            self._counts[kind] += n

    def distinct(self, kind: str, key: bytes) -> None:
        """Make the counter ``kind`` the number of different keys that it was given (at most MAX_DISTINCT)."""
        digest = hashlib.blake2b(key, digest_size=_DIGEST_BYTES).digest()
        with self._lock:
            seen = self._seen.setdefault(kind, set())
            if len(seen) < MAX_DISTINCT:
                seen.add(digest)
            self._counts[kind] = len(seen)

    def snapshot(self) -> dict[str, int]:
        """Return all counters, sorted by kind."""
        with self._lock:
            return dict(sorted(self._counts.items()))


def since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return by how much counters have changed between two snapshots; those that have not are left out."""
    changes = {kind: count - before.get(kind, 0) for kind, count in after.items()}
    return {kind: change for kind, change in changes.items() if change}
