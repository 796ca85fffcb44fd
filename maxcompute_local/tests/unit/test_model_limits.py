"""Limits of requests: how models set them, and how MaxFrame's operators keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest

from maxcompute_local.maxframe.engine import model_pace
from maxcompute_local.maxframe.engine.model_pace import Pace, limit_of, retry_after
from maxcompute_local.models.backend import ModelError
from maxcompute_local.models.request_limit import RequestLimit


class Clock:
    """A clock that runs only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(model_pace, "time", clock)
    return clock


def call(pace: Pace, said: str = "", asked: float | None = None, first: float | None = None) -> bool:
    """Make a call that is refused at once; return whether it may try again."""
    started = pace.start()
    return pace.refused(started, limit_of(said), asked, started if first is None else first)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Throttling.RateQuota Requests rate limit exceeded", "requests"),
        ("Throttling.AllocationQuota Allocated quota exceeded, please increase your quota limit", "tokens"),
        ("rate_limit_exceeded Limit 10000 tokens per min", "tokens"),
        ("Throttling.BurstRate Request rate increased too quickly", "ramp"),
        ("TooManyRequests", "requests"),
    ],
)
def test_limits_are_told_apart(said: str, name: str) -> None:
    assert limit_of(said).name == name


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after(None) is None
    assert retry_after("7") == 7.0
    assert retry_after("-1") == 0.0
    assert retry_after("soon") is None
    seconds = retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert seconds is not None
    assert 3500 < seconds <= 3600
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0


def test_all_calls_wait_as_the_answer_asks(clock: Clock) -> None:
    pace = Pace()
    assert call(pace, asked=7)
    assert pace.start() >= 1007
    pace.answered()
    assert pace.start() < 1009, "once"


def test_without_a_word_the_waits_grow_and_end_with_an_answer(clock: Clock) -> None:
    pace, starts = Pace(), []
    for _ in range(4):
        starts.append(pace.start())
        assert pace.refused(starts[-1], limit_of(""), None, 1000.0)
    waits = [later - earlier for earlier, later in pairwise(starts)]
    assert waits == pytest.approx([0.5, 1, 2], rel=0.2)
    pace.start()
    pace.answered()
    before = pace.start()
    pace.refused(before, limit_of(""), None, before)
    assert pace.start() - before < 1


def test_tokens_and_ramps_wait_longer_than_requests(clock: Clock) -> None:
    waits = []
    for said in ("requests", "request rate increased too quickly", "tokens per minute"):
        pace = Pace()
        call(pace, said)
        before = clock.now
        waits.append(pace.start() - before)
    assert waits == sorted(waits)


def test_calls_under_way_when_one_is_refused_slow_the_pace_once(clock: Clock) -> None:
    pace = Pace()
    starts = [pace.start() for _ in range(8)]
    clock.sleep(0.1)
    for started in starts:
        assert pace.refused(started, limit_of(""), None, started)
    assert pace.start() - clock.now < 0.001
    assert clock.now < 1001.5, "eight refusals of one moment are one"


def test_patience_ends_without_an_answer_and_not_before(clock: Clock) -> None:
    pace, tries = Pace(), 1
    while call(pace):
        tries += 1
    assert 1060 < clock.now <= 1000 + model_pace.PATIENCE_SECONDS
    assert tries > 5
    assert not call(pace), "the next row asks once, for the job has to end"
    pace.start()
    pace.answered()
    assert call(pace), "an answer gives patience back"


def test_one_call_is_not_held_back_for_ever(clock: Clock) -> None:
    pace, first = Pace(), clock.now
    while call(pace, asked=30, first=first):
        pace.start()
        pace.answered()
    assert clock.now == pytest.approx(first + model_pace.CALL_PATIENCE_SECONDS, abs=65)


def test_a_wait_that_is_too_long_is_refused_at_once(clock: Clock) -> None:
    pace = Pace()
    assert not call(pace, asked=3600)
    assert pace.start() == 1000.0, "and holds nobody else up"


def test_a_model_lets_its_requests_a_minute_through() -> None:
    clock = Clock()
    limit = RequestLimit(600, clock.monotonic)
    let_through, refusals = 0, set()
    while clock.now < 1060:
        try:
            limit.take()
            let_through += 1
            clock.sleep(0.01)
        except ModelError as error:
            refusals.add((error.status, error.code, error.retry_after))
            clock.sleep(float(error.retry_after or 0))
    assert 570 <= let_through <= 610
    assert refusals == {(429, "Throttling.RateQuota", 1)}


def test_a_slow_limit_has_no_burst() -> None:
    clock = Clock()
    limit = RequestLimit(6, clock.monotonic)
    limit.take()
    with pytest.raises(ModelError, match="Requests rate limit exceeded: 6 requests a minute") as caught:
        limit.take()
    assert caught.value.retry_after == 10
    clock.sleep(10)
    limit.take()
