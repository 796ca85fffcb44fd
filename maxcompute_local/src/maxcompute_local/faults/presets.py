"""Faults with names, for the command line and for tests that need no particular one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maxcompute_local.faults.rules import Fault, FaultError, FaultKind

PRESETS: dict[str, tuple[str, Fault]] = {
    "oss-flaky": ("one OSS call in five gets 503", Fault("oss.*", FaultKind.HTTP, rate=0.2)),
    "oss-broken": ("every OSS call gets 500", Fault("oss.*", FaultKind.HTTP, status=500)),
    "oss-throttled": ("one OSS call in two gets 429", Fault("oss.*", FaultKind.HTTP, status=429, rate=0.5)),
    "oss-latency": (
        "every OSS answer comes half a second late",
        Fault("oss.*", FaultKind.LATENCY, seconds=0.5),
    ),
    "oss-reset": ("one download in two is reset half-way", Fault("oss.GetObject", FaultKind.RESET, rate=0.5)),
    "oss-truncated": (
        "one download in two ends half-way",
        Fault("oss.GetObject", FaultKind.TRUNCATE, rate=0.5),
    ),
    "oss-slow": (
        "downloads come at 64 KiB/s",
        Fault("oss.GetObject", FaultKind.DRIP, bytes_per_second=65536),
    ),
    "oss-answer-lost": (
        "the next upload is done, its answer lost",
        Fault("oss.PutObject", FaultKind.DROP, count=1),
    ),
    "oss-expired-token": ("every OSS call: token expired", Fault("oss.*", FaultKind.EXPIRED_TOKEN)),
    "oss-wrong-signature": ("every OSS call: wrong signature", Fault("oss.*", FaultKind.WRONG_SIGNATURE)),
    "oss-forbidden": ("every OSS call: no permission", Fault("oss.*", FaultKind.FORBIDDEN)),
    "oss-disk-full": ("OSS cannot write", Fault("oss.*", FaultKind.DISK_FULL)),
    "oss-clock-skew": ("OSS's clock is an hour ahead", Fault("oss.*", FaultKind.CLOCK_SKEW, seconds=3600)),
    "odps-flaky": ("one MaxCompute call in five gets 503", Fault("odps.*", FaultKind.HTTP, rate=0.2)),
    "odps-broken": ("every MaxCompute call gets 500", Fault("odps.*", FaultKind.HTTP, status=500)),
    "odps-throttled": (
        "the next three tunnel calls get 429",
        Fault("odps.tunnel.*", FaultKind.HTTP, status=429, count=3),
    ),
    "odps-latency": (
        "every MaxCompute answer comes half a second late",
        Fault("odps.*", FaultKind.LATENCY, seconds=0.5),
    ),
    "odps-read-reset": (
        "the next table read is reset half-way",
        Fault("odps.tunnel.read", FaultKind.RESET, count=1),
    ),
    "odps-commit-lost": (
        "the next upload is committed, its answer lost",
        Fault("odps.tunnel.commit_upload", FaultKind.DROP, count=1),
    ),
    "odps-sql-fails": (
        "the next SQL statement fails",
        Fault("odps.sql.*", FaultKind.HTTP, status=500, count=1),
    ),
    "odps-expired-token": ("every MaxCompute call: token expired", Fault("odps.*", FaultKind.EXPIRED_TOKEN)),
    "odps-wrong-signature": (
        "every MaxCompute call: wrong signature",
        Fault("odps.*", FaultKind.WRONG_SIGNATURE),
    ),
    "odps-forbidden": ("every MaxCompute call: no permission", Fault("odps.*", FaultKind.FORBIDDEN)),
    "odps-disk-full": ("MaxCompute cannot write", Fault("odps.tunnel.*", FaultKind.DISK_FULL)),
    "odps-clock-skew": (
        "MaxCompute's clock is an hour ahead",
        Fault("odps.*", FaultKind.CLOCK_SKEW, seconds=3600),
    ),
    "model-throttled": (
        "one model call in two gets 429",
        Fault("model.*", FaultKind.HTTP, status=429, rate=0.5),
    ),
    "model-slow": (
        "every model answer comes two seconds late",
        Fault("model.*", FaultKind.LATENCY, seconds=2),
    ),
    "worker-killed": (
        "the next apply_chunk: its job's process is killed",
        Fault("maxframe.operator.DataFrameApplyChunk", FaultKind.KILL_WORKER, count=1),
    ),
    "chunk-killed": (
        "the next chunk of an apply_chunk: its process is killed",
        Fault("maxframe.udf.chunk", FaultKind.KILL_WORKER, count=1),
    ),
}
"""By name: what it does in a few words, and the fault."""


def preset(name: str, changes: dict[str, Any]) -> Fault:
    """Return a preset with some of its fields replaced; FaultError for an unknown one."""
    if name not in PRESETS:
        raise FaultError(f"name: {name!r} is none of {', '.join(PRESETS)}")
    made = replace(PRESETS[name][1], name=name)
    return Fault.from_json({**made.to_json(), **changes})
