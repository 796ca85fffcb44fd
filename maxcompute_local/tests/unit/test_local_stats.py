"""Counters."""

from __future__ import annotations

import pytest

from maxcompute_local import stats as module
from maxcompute_local.stats import Stats, since


def test_what_the_gate_refuses_is_not_counted() -> None:
    def gate(kind: str) -> None:
        if kind == "oss.PutObject":
            raise PermissionError(kind)

    stats = Stats(gate)
    stats.count("oss.GetObject")
    with pytest.raises(PermissionError):
        stats.count("oss.PutObject")
    stats.add("oss.PutObject.bytes", 3)
    assert stats.snapshot() == {"oss.GetObject": 1, "oss.PutObject.bytes": 3}


def test_distinct_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DISTINCT", 3)
    stats = Stats()
    for key in (b"a", b"b", b"a"):
        stats.distinct("model.images.m", key)
    assert stats.snapshot() == {"model.images.m": 2}
    for key in (b"c", b"d", b"e"):
        stats.distinct("model.images.m", key)
    assert stats.snapshot() == {"model.images.m": 3}


def test_change_between_snapshots() -> None:
    assert since({"a": 1, "b": 2}, {"a": 1, "b": 5, "c": 1}) == {"b": 3, "c": 1}
