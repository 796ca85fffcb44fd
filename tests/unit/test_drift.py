"""Which shares of labels moved: found where they did, and silent where only chance and days differ."""

from __future__ import annotations

import json

import numpy as np
import pytest

from airflow_provider_drivepipe.reports.drift import Share, Sums, changes, crowding, mark_moved
from airflow_provider_drivepipe.reports.fields import choice_fields
from airflow_provider_drivepipe.stages.generate import Generate

VIDEOS, FRAMES = 2500, 20
RAIN = 0.12
FIELDS = (
    (0.5, 0.14, 0.16, 0.04, 0.04),
    (0.6, 0.1, 0.25, 0.05),
    (0.4, 0.3, 0.1, 0.05, 0.03, 0.02, 0.05, 0.03, 0.02),
    (0.7, 0.2, 0.05, 0.05),
    (0.1, 0.6, 0.1, 0.1, 0.04, 0.04, 0.005, 0.015),
    (0.5, 0.3, 0.12, 0.05, 0.03),
)
"""Shares of the values of each field; the first also has rain."""


def sums_of(of_videos, frames):
    products = (of_videos * frames[:, None]).sum(0)
    return {
        str(value): Sums(len(frames), int(frames.sum()), int((frames**2).sum()), int(hits.sum()),
                         int((hits**2).sum()), int(products[value]))
        for value, hits in enumerate(of_videos.T)
    }  # fmt: skip


def drawn_day(random, rain=1.0, differ=0.1):
    """Return the sums of a day's fields: shares differ by day, frames of one video are mostly alike."""
    day = []
    for number, usual in enumerate(FIELDS):
        shares = np.array(usual) * np.exp(random.normal(0, differ, len(usual)))
        rainy = RAIN * rain * np.exp(random.normal(0, differ)) if number == 0 else 0.0
        shares = np.append(shares / shares.sum() * (1 - rainy), rainy)
        frames = random.integers(FRAMES // 2, 3 * FRAMES // 2, VIDEOS)
        main = random.choice(len(shares), VIDEOS, p=shares)
        alike = random.binomial(frames, 0.85)
        of_videos = random.multinomial(frames - alike, shares)
        of_videos[np.arange(VIDEOS), main] += alike
        day.append(sums_of(of_videos, frames))
    return day


def moved(now, before):
    found = [
        change
        for number, field in enumerate(now)
        for change in changes(str(number), field, [day[number] for day in before])
    ]
    return {(change.field, change.value) for change in mark_moved(found) if change.moved}


def test_a_day_with_twice_the_rain_is_found_among_two_weeks_and_no_other_is():
    random = np.random.default_rng(11)
    days = [drawn_day(random) for _ in range(14)]
    alarms = {number: moved(days[number], days[:number]) for number in range(1, 14)}
    assert not any(alarms.values())
    wet = drawn_day(random, rain=2.0)
    assert ("0", "5") in moved(wet, days)
    assert {field for field, _ in moved(wet, days)} == {"0"}
    # The day after is compared with it too, and is no alarm.
    assert moved(drawn_day(random), [*days[1:], wet]) == set()


def test_false_alarms_are_rare_however_much_days_differ():
    random = np.random.default_rng(5)
    for differ in (0.05, 0.3):
        alarms = 0
        for _ in range(12):
            *before, now = [drawn_day(random, differ=differ) for _ in range(8)]
            alarms += bool(moved(now, before))
        assert alarms <= 1, differ


def test_few_partitions_say_nothing():
    random = np.random.default_rng(2)
    now, *before = [drawn_day(random) for _ in range(4)]
    found = changes("0", now[0], [day[0] for day in before])
    assert {change.expected for change in found} == {None}
    assert not any(change.moved for change in mark_moved(found))
    assert changes("0", now[0], [])[0].before is None


def test_frames_of_one_video_count_as_alike():
    apart = Sums(videos=100, rows=1000, squares=10_000, hits=500, hit_squares=2750, products=5000)
    alike = Sums(videos=100, rows=1000, squares=10_000, hits=500, hit_squares=5000, products=5000)
    assert crowding([alike]) == pytest.approx(10, rel=0.02), "each video is one observation"
    assert crowding([apart]) == pytest.approx(1, rel=0.02)
    low, high = Share(1000, 500, 100).interval
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4), "Wilson's, of 50 in 100"


def test_a_value_that_no_partition_has_is_no_test():
    none = Sums(10, 10, 10, 0, 0, 0)
    some = Sums(10, 10, 10, 5, 5, 5)
    assert [c.value for c in changes("f", {"a": some, "b": none}, [{"a": some, "b": none}])] == ["a"]
    assert changes("f", {"b": none}, [{"b": none}]) == []


def test_fields_with_a_choice_are_found_in_a_schema():
    schema = {
        "type": "object",
        "required": [],
        "properties": {
            "weather": {"type": "string", "enum": ["dry", "it's wet"]},
            "note": {"type": "string"},
            "sure": {"type": "boolean"},
            "hazards": {"type": "array", "items": {"type": "string", "enum": ["animal"]}},
            "objects": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "where": {"type": "string", "enum": ["left"]},
                        "class": {"type": "string"},
                    },
                },
            },
            "many": {"type": "string", "enum": [str(n) for n in range(41)]},
            "odd name": {"type": "string", "enum": ["x"]},
        },
    }
    found = choice_fields((Generate("label", "m", "Look", schema=json.dumps(schema)),))
    assert [field.name for field in found] == ["weather", "sure", "hazards", "objects.where"]
    weather, _, _, where = found
    assert weather.has("t", "it's wet") == "t = 'it\\'s wet'"
    assert where.has("t", "left") == """INSTR(REPLACE(t, '": "', '":"'), '"where":"left"') > 0"""
