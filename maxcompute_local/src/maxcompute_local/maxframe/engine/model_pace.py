"""How fast a model may be asked, learnt from its answers: all calls of one operator keep one pace."""

from __future__ import annotations

import random
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PATIENCE_SECONDS = 120.0
"""How long a model that answers nothing but that it is busy is waited for: limits count by the minute."""
CALL_PATIENCE_SECONDS = 600.0
"""How long one call is held back by limits while others are answered."""
_LONGEST_WAIT_SECONDS = 60.0
_FIRST_INTERVAL_SECONDS = 0.02
_QUICKER = 0.98
"""What an answer makes of the time between calls; below the first interval, nothing is held back."""


@dataclass(frozen=True)
class Limit:
    """A kind of limit, and what to do where the service does not say how long to wait.

    :param first_wait: seconds; each refusal in a row doubles them.
    :param slower: what a refusal makes of the time between calls.
    """

    name: str
    said: re.Pattern[str]
    first_wait: float
    slower: float


LIMITS = (
    Limit("ramp", re.compile(r"(?i)increased too quickly|burst"), 2.0, 2.0),
    Limit("tokens", re.compile(r"(?i)token|\btpm\b|allocat(ed|ion)[\s_.]?quota"), 5.0, 1.5),
    Limit("requests", re.compile(""), 0.5, 1.25),
)
"""Those that are told apart by what the answer says, the first that fits; the last fits all."""


def limit_of(said: str) -> Limit:
    """Return the limit that an answer speaks of."""
    return next(limit for limit in LIMITS if limit.said.search(said))


def retry_after(header: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, a number or a date; None where it says nothing."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(header).astimezone(UTC)
    except ValueError:
        return None
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


class Pace:
    """When the next call may start. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next_start = 0.0
        self._interval = 0.0
        self._in_a_row = 0
        self._slowed_at = 0.0
        self._busy_since: float | None = None

    def start(self) -> float:
        """Wait for a call's turn; return when it started, on the monotonic clock."""
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_start)
            self._next_start = start + self._interval
        time.sleep(start - now)
        return time.monotonic()

    def answered(self) -> None:
        """Take in that a call was answered, whatever the answer."""
        with self._lock:
            self._busy_since = None
            self._in_a_row = 0
            self._interval *= _QUICKER
            if self._interval < _FIRST_INTERVAL_SECONDS:
                self._interval = 0.0

    def refused(self, started: float, limit: Limit, asked: float | None, first_refusal: float) -> bool:
        """Take in that a call came too early; return whether it may try again.

        :param started: what :meth:`start` returned.
        :param asked: seconds that the service asked for.
        :param first_refusal: when the call was refused first, on the monotonic clock.
        """
        with self._lock:
            now = time.monotonic()
            wait = asked
            if wait is None:
                wait = min(_LONGEST_WAIT_SECONDS, limit.first_wait * 2.0**self._in_a_row)
            self._busy_since = self._busy_since or now
            until = now + wait
            if until - self._busy_since > PATIENCE_SECONDS or until - first_refusal > CALL_PATIENCE_SECONDS:
                return False
            # Calls that were under way when the pace was slowed say nothing new.
            if started >= self._slowed_at:
                self._slowed_at = now
                self._in_a_row += 1
                self._interval = max(_FIRST_INTERVAL_SECONDS, self._interval * limit.slower)
                self._interval = min(self._interval, _LONGEST_WAIT_SECONDS)
            # Others that share the limit were told the same: not all at once.
            self._next_start = max(self._next_start, now + wait * random.uniform(1.0, 1.1))
            return True
