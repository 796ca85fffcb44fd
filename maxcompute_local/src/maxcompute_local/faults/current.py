"""The HTTP call that is being answered, and what is to go wrong with it.

A context variable: it follows the call into the threads in which services work.
"""

from __future__ import annotations

import errno
import os
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta

from maxcompute_local.faults.rules import Fault


@dataclass
class Call:
    """Faults that have struck a call and that do not refuse it."""

    on_answer: list[Fault] = field(default_factory=list)
    """What happens to the answer."""
    clock_skew: timedelta = timedelta()
    disk_full: bool = False


call: ContextVar[Call | None] = ContextVar("call", default=None)


def clock_skew() -> timedelta:
    """Return how far the server's clock is ahead for the call that is being answered."""
    current = call.get()
    return current.clock_skew if current is not None else timedelta()


def check_disk() -> None:
    """Raise OSError (ENOSPC) when the disk is to be full for the call that is being answered."""
    current = call.get()
    if current is not None and current.disk_full:
        raise disk_full()


def disk_full() -> OSError:
    """Return the error of a full disk."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
