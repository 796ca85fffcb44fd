"""The faults in force, and the decision which call each one strikes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from maxcompute_local.faults import current
from maxcompute_local.faults.refusals import refusal
from maxcompute_local.faults.rules import Fault, FaultKind

_BEHIND_CALLS = (FaultKind.HTTP, FaultKind.FORBIDDEN, FaultKind.DISK_FULL)
_ON_ANSWER = (FaultKind.LATENCY, FaultKind.DROP, FaultKind.RESET, FaultKind.TRUNCATE, FaultKind.DRIP)


@dataclass
class _Active:
    """A fault in force and what it has met."""

    id: int
    fault: Fault
    matched: int = 0
    struck: int = 0

    def strikes(self) -> bool:
        """Take note of a call that matches; return whether it is struck."""
        self.matched += 1
        fault = self.fault
        if fault.count is not None and self.struck >= fault.count:
            return False
        if self.matched <= fault.after or _share(fault.seed, self.matched) >= fault.rate:
            return False
        self.struck += 1
        return True


class Faults:
    """The faults in force. They do not outlive the server's process.

    :param on_strike: called with ``fault.<kind of fault>`` for every call struck.
    """

    def __init__(self, on_strike: Callable[[str], None]) -> None:
        self._on_strike = on_strike
        self._active: list[_Active] = []
        self._added = 0
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> int:
        """Put a fault in force; return its number."""
        with self._lock:
            self._added += 1
            self._active.append(_Active(self._added, fault))
            return self._added

    def clear(self, number: int | None = None) -> int:
        """Drop one fault, or all of them; return how many there were."""
        with self._lock:
            kept = [active for active in self._active if number not in (None, active.id)]
            dropped = len(self._active) - len(kept)
            self._active = kept
            return dropped

    def describe(self) -> list[dict[str, Any]]:
        """Return the faults, oldest first, with ``id`` and how many calls they ``matched`` and ``struck``."""
        with self._lock:
            return [
                {
                    "id": active.id,
                    "matched": active.matched,
                    "struck": active.struck,
                    **active.fault.to_json(),
                }
                for active in self._active
            ]

    def meet(self, kind: str) -> None:
        """Let faults strike a call of a service that is about to be done.

        Raises the service's own error when the call is refused; what befalls its answer is left to the
        transport.
        """
        call = current.call.get()
        if call is None:
            self._meet_without_call(kind)
            return
        refused: Exception | None = None
        for fault in self._struck(kind):
            if fault.fault in _ON_ANSWER:
                call.on_answer.append(fault)
            elif fault.fault is FaultKind.DISK_FULL:
                call.disk_full = True
            elif fault.fault is FaultKind.CLOCK_SKEW and kind.startswith("oss."):
                call.clock_skew += timedelta(seconds=fault.seconds)
            refused = refused or refusal(kind, fault)
        if refused is not None:
            raise refused

    def _meet_without_call(self, kind: str) -> None:
        """Let faults strike work that goes on behind the calls, such as an SQL statement."""
        for fault in self._struck(kind, _BEHIND_CALLS):
            raise refusal(kind, fault) or current.disk_full()

    def meet_job(self, kind: str) -> list[Fault]:
        """Return the faults that strike a part of a job that is about to begin; the job carries them out."""
        return self._struck(kind)

    def _struck(self, kind: str, kinds: Collection[FaultKind] = tuple(FaultKind)) -> list[Fault]:
        if not self._active:
            return []
        with self._lock:
            struck = [
                active.fault
                for active in self._active
                if active.fault.fault in kinds and active.fault.matches(kind) and active.strikes()
            ]
        for fault in struck:
            self._on_strike(f"fault.{fault.fault}")
        return struck


def _share(seed: int, number: int) -> float:
    """Return a number from 0 to below 1 that depends on the arguments alone."""
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
