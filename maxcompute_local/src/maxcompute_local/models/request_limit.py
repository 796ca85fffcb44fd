"""A limit of requests per minute, as Model Studio sets one for each model."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from maxcompute_local.models.backend import RATE_LIMITED, ModelError

_BURST_SECONDS = 1.0
"""The limit holds for every second too, so a burst fails below the minute's limit."""


class RequestLimit:
    """Lets so many requests a minute through. Safe to use from several threads.

    :param clock: seconds, from any beginning.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._interval = 60 / per_minute
        self._slack = max(0.0, _BURST_SECONDS - self._interval)
        self._due = 0.0
        self._lock = threading.Lock()

    def take(self) -> None:
        """Let a request through, or raise ModelError (429) that says when to come again."""
        with self._lock:
            now = self._clock()
            due = max(self._due, now)
            if due - now > self._slack:
                wait = math.ceil(due - now - self._slack)
                raise ModelError(
                    429,
                    RATE_LIMITED,
                    f"Requests rate limit exceeded: {self.per_minute} requests a minute",
                    wait,
                )
            self._due = due + self._interval
