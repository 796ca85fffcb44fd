"""Faults on demand: which calls are struck, and in which words services refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from odps import errors as odps_errors

from maxcompute_local.faults import current
from maxcompute_local.faults.book import Faults
from maxcompute_local.faults.presets import PRESETS, preset
from maxcompute_local.faults.refusals import refusal
from maxcompute_local.faults.rules import Fault, FaultError, FaultKind
from maxcompute_local.models.backend import ModelError
from maxcompute_local.odps.errors import OdpsError
from maxcompute_local.oss.errors import OssError


@pytest.fixture
def call() -> Iterator[current.Call]:
    """Be within an HTTP call."""
    made = current.Call()
    token = current.call.set(made)
    yield made
    current.call.reset(token)


def book(*faults: Fault) -> tuple[Faults, Counter[str]]:
    struck: Counter[str] = Counter()
    made = Faults(lambda kind: struck.update([kind]))
    for fault in faults:
        made.add(fault)
    return made, struck


def refused(faults: Faults, kind: str, calls: int) -> list[int]:
    """Return the numbers of the calls that are refused."""
    numbers = []
    for number in range(1, calls + 1):
        try:
            faults.meet(kind)
        except (OssError, OdpsError, ModelError):
            numbers.append(number)
    return numbers


def test_after_and_count(call: current.Call) -> None:
    faults, struck = book(Fault("oss.Get*", FaultKind.HTTP, after=2, count=3))
    assert refused(faults, "oss.PutObject", 5) == []
    assert refused(faults, "oss.GetObject", 9) == [3, 4, 5]
    assert struck == {"fault.http": 3}
    (described,) = faults.describe()
    assert described == {
        "id": 1, "matched": 9, "struck": 3, "match": "oss.Get*", "fault": "http", "after": 2, "count": 3,
    }  # fmt: skip


def test_a_seed_always_chooses_the_same_calls(call: current.Call) -> None:
    def chosen(seed: int) -> list[int]:
        return refused(book(Fault("*", FaultKind.HTTP, rate=0.3, seed=seed))[0], "oss.GetObject", 300)

    assert chosen(1) == chosen(1) != chosen(2)
    assert 60 < len(chosen(1)) < 120


def test_what_does_not_refuse_is_left_for_the_answer(call: current.Call) -> None:
    late, cut = Fault("oss.*", FaultKind.LATENCY, seconds=1), Fault("oss.*", FaultKind.RESET)
    faults, _ = book(
        late, cut, Fault("oss.*", FaultKind.CLOCK_SKEW, seconds=60), Fault("oss.*", FaultKind.DISK_FULL)
    )
    current.check_disk()
    faults.meet("oss.GetObject")
    assert call.on_answer == [late, cut]
    assert current.clock_skew() == timedelta(seconds=60)
    with pytest.raises(OSError, match="No space left"):
        current.check_disk()


def test_work_behind_the_calls_can_fail_but_has_no_answer() -> None:
    faults, struck = book(Fault("odps.sql.*", FaultKind.LATENCY, seconds=9))
    faults.meet("odps.sql.insert")
    assert not struck
    faults.add(Fault("odps.sql.*", FaultKind.DISK_FULL, count=1))
    faults.add(Fault("odps.sql.*", FaultKind.HTTP, status=500))
    with pytest.raises(OSError, match="No space left"):
        faults.meet("odps.sql.insert")
    with pytest.raises(OdpsError, match="as asked for"):
        faults.meet("odps.sql.insert")
    assert current.clock_skew() == timedelta()


def test_parts_of_jobs_are_asked_for_by_name() -> None:
    killed = Fault("maxframe.operator.DataFrameMerge", FaultKind.KILL_WORKER, count=1)
    faults, _ = book(Fault("*", FaultKind.LATENCY), Fault("maxframe.*", FaultKind.HTTP), killed)
    assert faults.meet_job("maxframe.operator.DataFrameFilter") == []
    assert faults.meet_job("maxframe.operator.DataFrameMerge") == [killed]
    assert faults.meet_job("maxframe.operator.DataFrameMerge") == []


def test_clearing() -> None:
    faults, _ = book(Fault("a", FaultKind.HTTP), Fault("b", FaultKind.HTTP), Fault("c", FaultKind.HTTP))
    assert faults.clear(2) == 1
    assert faults.clear(2) == 0
    assert [fault["match"] for fault in faults.describe()] == ["a", "c"]
    assert faults.clear() == 2
    assert faults.describe() == []


@pytest.mark.parametrize(
    ("kind", "fault", "expected"),
    [
        ("odps.get_table", Fault("*", FaultKind.HTTP), odps_errors.ServiceUnavailable),
        ("odps.get_table", Fault("*", FaultKind.HTTP, status=500), odps_errors.InternalServerError),
        ("odps.get_table", Fault("*", FaultKind.HTTP, status=429), odps_errors.QPSExceeded),
        ("odps.tunnel.read", Fault("*", FaultKind.HTTP, status=429), odps_errors.FlowExceeded),
        ("odps.get_table", Fault("*", FaultKind.EXPIRED_TOKEN), odps_errors.AuthenticationRequestExpired),
        ("odps.get_table", Fault("*", FaultKind.WRONG_SIGNATURE), odps_errors.SignatureNotMatch),
        (
            "odps.get_table",
            Fault("odps.*", FaultKind.CLOCK_SKEW, seconds=-901),
            odps_errors.RequestTimeTooSkewed,
        ),
    ],
)
def test_codes_of_maxcompute_are_classes_of_its_sdk(kind: str, fault: Fault, expected: type) -> None:
    error = refusal(kind, fault)
    assert isinstance(error, OdpsError)
    assert getattr(odps_errors, error.code) is expected


def test_what_a_service_cannot_refuse_with() -> None:
    assert refusal("odps.get_table", Fault("odps.*", FaultKind.CLOCK_SKEW, seconds=899)) is None
    assert refusal("oss.GetObject", Fault("oss.*", FaultKind.RESET)) is None
    assert refusal("model.chat", Fault("*", FaultKind.DRIP)) is None


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], "expected an object"),
        ({"fault": "http"}, "match: missing"),
        ({"match": "", "fault": "http"}, "match: expected"),
        ({"match": "oss.*"}, "fault: missing"),
        ({"match": "oss.*", "fault": "fire"}, "fault: 'fire' is none of http, "),
        ({"match": "oss.*", "fault": "http", "status": 404}, "status: 404 is none of 429, 500, 503"),
        ({"match": "oss.*", "fault": "http", "rate": 1.1}, "rate"),
        ({"match": "oss.*", "fault": "http", "count": 0}, "count: 0 is below 1"),
        ({"match": "oss.*", "fault": "http", "count": True}, "count: not of a type"),
        ({"match": "oss.*", "fault": "http", "often": 1}, "often: unknown"),
        ({"match": "oss.*", "fault": "latency", "seconds": -1}, "seconds"),
        ({"match": "oss.*", "fault": "drip", "bytes_per_second": 0}, "bytes_per_second"),
        ({"match": "oss.*", "fault": "kill_worker"}, "has no worker"),
        ({"match": "maxframe.operator.X", "fault": "reset"}, "reset cannot happen to maxframe.operator.X"),
        ({"match": "model.chat", "fault": "clock_skew"}, "not signed"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(values: Any, problem: str) -> None:
    with pytest.raises(FaultError, match=problem):
        Fault.from_json(values)


def test_presets() -> None:
    for name, (text, fault) in PRESETS.items():
        assert text
        made = preset(name, {})
        assert Fault.from_json(made.to_json()) == made
        assert (made.name, made.fault) == (name, fault.fault)
    assert preset("oss-flaky", {"rate": 1.0, "count": 2}).count == 2
    with pytest.raises(FaultError, match="'nope' is none of oss-flaky"):
        preset("nope", {})
