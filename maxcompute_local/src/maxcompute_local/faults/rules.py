"""What a fault is, which calls it strikes, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

STATUSES = (429, 500, 503)
"""HTTP statuses that a service can be made to answer with."""


class FaultError(ValueError):
    """A fault that makes no sense; the text names the field."""


class FaultKind(StrEnum):
    """What goes wrong."""

    HTTP = "http"
    """The service refuses the call with ``status`` and an error body of its own. Nothing is done."""
    LATENCY = "latency"
    """The answer begins ``seconds`` later. The call is done at once."""
    DROP = "drop"
    """The call is done, then the connection is reset before the answer begins."""
    RESET = "reset"
    """The connection is reset within the answer's body, after ``after_bytes``."""
    TRUNCATE = "truncate"
    """The answer's body ends early, after ``after_bytes``: the connection is closed in order."""
    DRIP = "drip"
    """The answer's body comes at ``bytes_per_second``."""
    EXPIRED_TOKEN = "expired_token"
    """The call is refused as if its token had expired."""
    WRONG_SIGNATURE = "wrong_signature"
    """The call is refused as if it had been signed with another key."""
    FORBIDDEN = "forbidden"
    """The call is refused as if its key had no permission for it."""
    CLOCK_SKEW = "clock_skew"
    """The server's clock is ``seconds`` ahead when it judges when the call was signed; below 0, behind."""
    DISK_FULL = "disk_full"
    """Writing content ends with ENOSPC; an operator of a job ends so when it begins."""
    KILL_WORKER = "kill_worker"
    """The process that runs the operator or the chunk is killed with SIGKILL, ``seconds`` after it began."""


_JOB_PREFIXES = ("maxframe.operator.", "maxframe.udf.")
_JOB_KINDS = (FaultKind.KILL_WORKER, FaultKind.LATENCY, FaultKind.DISK_FULL)
"""What can happen to a part of a job; parts of jobs are no HTTP calls."""


@dataclass(frozen=True)
class Fault:
    """A fault and its conditions.

    The calls that ``match`` are numbered from 1 as they come. The first ``after`` are let through; of the
    others a share of ``rate`` is struck, chosen by their number and ``seed``; ``count`` of them at most.
    """

    match: str
    """Name of a counter, such as ``oss.GetObject`` or ``odps.tunnel.*``; ``*`` and ``?`` are wild cards."""
    fault: FaultKind
    status: int = 503
    seconds: float = 0.0
    after_bytes: int | None = None
    """None for half of the body."""
    bytes_per_second: int = 1024
    after: int = 0
    count: int | None = None
    """None for no end."""
    rate: float = 1.0
    seed: int = 0
    name: str = ""
    """For people; usually that of a preset."""

    def __post_init__(self) -> None:
        if not self.match:
            raise FaultError("match: expected the name of a counter or a pattern")
        if self.status not in STATUSES:
            raise FaultError(f"status: {self.status} is none of {', '.join(map(str, STATUSES))}")
        if not 0 <= self.rate <= 1:
            raise FaultError(f"rate: {self.rate} is not between 0 and 1")
        if self.seconds < 0 and self.fault is not FaultKind.CLOCK_SKEW:
            raise FaultError(f"seconds: {self.seconds} is below 0")
        for field, least in (("after_bytes", 0), ("bytes_per_second", 1), ("after", 0), ("count", 1)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise FaultError(f"{field}: {value} is below {least}")
        if self.match.startswith(_JOB_PREFIXES) and self.fault not in _JOB_KINDS:
            raise FaultError(
                f"fault: {self.fault} cannot happen to {self.match}; {', '.join(_JOB_KINDS)} can"
            )
        if self.fault is FaultKind.KILL_WORKER and not self.match.startswith(_JOB_PREFIXES):
            raise FaultError(
                f"match: {self.match} has no worker; maxframe.operator.<Operator> and maxframe.udf.chunk have"
            )
        if self.fault is FaultKind.CLOCK_SKEW and not self.match.startswith(("oss.", "odps.")):
            raise FaultError(f"match: calls of {self.match} are not signed; expected oss.… or odps.…")

    def matches(self, kind: str) -> bool:
        """Return whether calls of this kind can be struck."""
        # Parts of jobs are asked for by name; ``*`` and ``maxframe.*`` mean HTTP calls.
        if kind.startswith(_JOB_PREFIXES) and not self.match.startswith(_JOB_PREFIXES):
            return False
        return fnmatchcase(kind, self.match)

    @classmethod
    def from_json(cls, values: object) -> Fault:
        """Build a fault from JSON; FaultError for what is wrong."""
        if not isinstance(values, dict):
            raise FaultError("expected an object")
        for name, value in values.items():
            if name not in _TYPES:
                raise FaultError(f"{name}: unknown; a fault has {', '.join(_TYPES)}")
            if value is not None and (isinstance(value, bool) or not isinstance(value, _TYPES[name])):
                raise FaultError(f"{name}: not of a type that fits")
        given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        for name in ("match", "fault"):
            if name not in given:
                raise FaultError(f"{name}: missing")
        if given["fault"] not in list(FaultKind):
            raise FaultError(f"fault: {given['fault']!r} is none of {', '.join(FaultKind)}")
        return cls(**{**given, "fault": FaultKind(given["fault"])})

    def to_json(self) -> dict[str, Any]:
        """Return the fault as ``from_json`` takes it, without what is as usual."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        usual = {item.name: item.default for item in fields(self)}
        return {name: value for name, value in values.items() if value != usual[name]}


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "match": str,
    "fault": str,
    "status": int,
    "seconds": (int, float),
    "after_bytes": int,
    "bytes_per_second": int,
    "after": int,
    "count": int,
    "rate": (int, float),
    "seed": int,
    "name": str,
}
