"""Scheduled runs, manual keys and backfills of one day or hour agree on its partition date."""

from datetime import UTC, datetime, timedelta

import pendulum
import pytest
from airflow.exceptions import InvalidPartitionKeyError
from airflow.timetables.base import DagRunInfo, TimeRestriction
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_drivepipe.timetables.odps_partition import (
    OdpsPartitionTimetable,
    OnDemandPartitionTimetable,
)

SHANGHAI = "Asia/Shanghai"
BERLIN = "Europe/Berlin"  # clocks change at 02:00 on 2026-03-29 and at 03:00 on 2026-10-25
SANTIAGO = "America/Santiago"  # 2026-09-06 begins at 01:00, the hour of 23 on 2026-04-04 comes twice
LORD_HOWE = "Australia/Lord_Howe"  # clocks change by half an hour: at 02:00 on 2026-04-05 and on 2026-10-04
DAILY = OdpsPartitionTimetable("30 2 * * *", timezone=SHANGHAI)


def hourly(zone, cron="0 * * * *", **options):
    return OdpsPartitionTimetable(cron, timezone=zone, granularity="hourly", **options)


def scheduled(timetable, start, end):
    """Return the runs that the scheduler creates from ``start`` to ``end`` when it catches up."""
    restriction = TimeRestriction(pendulum.instance(start), pendulum.instance(end), catchup=True)
    infos, last = [], None
    while info := timetable.next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction):
        infos.append(info)
        last = info
    return infos


def backfilled(timetable, first, last):
    """Return the runs of a backfill whose bounds come in UTC, as Airflow passes them."""
    return list(
        timetable.iter_partition_dagrun_infos(
            earliest=pendulum.parse(first, tz="UTC"), latest=pendulum.parse(last, tz="UTC")
        )
    )


def keys(infos):
    return [info.partition_key for info in infos]


def test_a_run_at_half_past_two_owns_the_local_day_before():
    [info] = scheduled(
        DAILY,
        pendulum.datetime(2026, 11, 21, 2, 30, tz=SHANGHAI),
        pendulum.datetime(2026, 11, 21, 2, 30, tz=SHANGHAI),
    )
    assert info.partition_key == "20261120"
    assert info.partition_date == pendulum.datetime(2026, 11, 20, tz=SHANGHAI)
    assert info.run_after == pendulum.datetime(2026, 11, 21, 2, 30, tz=SHANGHAI)
    assert info.data_interval is None


def test_an_hourly_run_owns_the_local_hour_so_many_hours_before():
    at = pendulum.datetime(2026, 11, 21, 1, 20, tz=SHANGHAI)
    owned = {lag: keys(scheduled(hourly(SHANGHAI, "20 * * * *", lag=lag), at, at)) for lag in (0, 1, 2, 26)}
    assert owned == {0: ["2026112101"], 1: ["2026112100"], 2: ["2026112023"], 26: ["2026111923"]}


@pytest.mark.parametrize(("lag", "key"), [(0, "20261121"), (1, "20261120"), (3, "20261118")])
def test_daily_lag_counts_days(lag, key):
    timetable = OdpsPartitionTimetable("59 23 * * *", timezone=SHANGHAI, lag=lag)
    at = pendulum.datetime(2026, 11, 21, 23, 59, tz=SHANGHAI)
    assert keys(scheduled(timetable, at, at)) == [key]


def test_negative_lag_and_unknown_granularity_are_refused():
    with pytest.raises(ValueError, match="lag counts hours back"):
        hourly(SHANGHAI, lag=-1)
    with pytest.raises(ValueError, match="weekly"):
        OdpsPartitionTimetable("0 0 * * *", timezone=SHANGHAI, granularity="weekly")


@pytest.mark.parametrize("zone", ["Asia/Shangai", "+08:00", "../x", ""])
def test_unknown_time_zone_is_refused(zone):
    with pytest.raises(ValueError, match="IANA time zone"):
        OdpsPartitionTimetable("0 0 * * *", timezone=zone)


def test_daily_backfill_covers_both_ends_once():
    infos = backfilled(DAILY, "2026-03-01", "2026-03-03")
    assert keys(infos) == ["20260301", "20260302", "20260303"]
    assert [i.partition_date for i in infos] == [
        pendulum.datetime(2026, 3, day, tz=SHANGHAI) for day in (1, 2, 3)
    ]


def test_daily_backfill_within_a_day_holds_the_days_that_start_in_it():
    assert keys(backfilled(DAILY, "2026-03-01T00:00:01", "2026-03-03T23:59")) == ["20260302", "20260303"]


def test_hourly_backfill_covers_the_hours_that_start_within_its_bounds():
    assert keys(backfilled(hourly(SHANGHAI), "2026-03-01T22:00", "2026-03-02T01:00")) == [
        "2026030122",
        "2026030123",
        "2026030200",
        "2026030201",
    ]
    whole = keys(backfilled(hourly(SHANGHAI), "2026-03-01", "2026-03-02T23:00"))
    assert len(set(whole)) == len(whole) == 48
    assert keys(backfilled(hourly(SHANGHAI), "2026-03-01", "2026-03-02"))[-1] == "2026030200"


@pytest.mark.parametrize("zone", [SHANGHAI, BERLIN, SANTIAGO, LORD_HOWE, "America/Havana"])
@pytest.mark.parametrize("make", [lambda z: OdpsPartitionTimetable("30 2 * * *", timezone=z), hourly])
@pytest.mark.parametrize(("first", "last"), [("2026-03-05", "2026-04-12"), ("2026-09-01", "2026-11-05")])
def test_every_partition_has_one_date_however_its_run_came_about(zone, make, first, last):
    timetable = make(zone)
    by_backfill = backfilled(timetable, first, f"{last}T23:00")
    dates = {info.partition_key: info.partition_date for info in by_backfill}
    assert len(dates) == len(by_backfill) == len(set(dates.values()))
    assert list(dates.values()) == sorted(dates.values())
    for key, date in dates.items():
        assert timetable.resolve_partition_date(key) == date

    start, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (first, last))
    by_schedule = scheduled(timetable, start + timedelta(days=3), end)
    owned = [(info.partition_key, info.partition_date) for info in by_schedule]
    assert owned == [item for item in dates.items() if owned[0][1] <= item[1] <= owned[-1][1]]


def test_a_day_of_25_hours_has_24_partitions_and_runs():
    timetable = hourly(BERLIN)
    runs = scheduled(timetable, datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 3, tzinfo=UTC))
    assert keys(runs) == ["2026102423", "2026102500", "2026102501", "2026102502", "2026102503"]
    # The clock shows two to three twice: the run of that hour starts after both.
    assert runs[3].run_after == datetime(2026, 10, 25, 2, tzinfo=UTC)
    assert runs[3].partition_date == datetime(2026, 10, 25, 0, tzinfo=UTC)
    day = keys(backfilled(timetable, "2026-10-25", "2026-10-25T23:00"))
    assert day == [f"20261025{hour:02}" for hour in range(24)]


def test_a_day_of_23_hours_has_23_partitions_and_runs():
    timetable = hourly(BERLIN)
    runs = scheduled(timetable, datetime(2026, 3, 29, 0, tzinfo=UTC), datetime(2026, 3, 29, 3, tzinfo=UTC))
    assert keys(runs) == ["2026032900", "2026032901", "2026032903", "2026032904"]
    assert len(backfilled(timetable, "2026-03-29", "2026-03-29T23:00")) == 23
    with pytest.raises(InvalidPartitionKeyError, match="no such hour in Europe/Berlin"):
        timetable.resolve_partition_date("2026032902")


def test_lag_counts_hours_that_exist():
    timetable = hourly(BERLIN, lag=2)
    runs = scheduled(timetable, datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 3, 29, 3, tzinfo=UTC))
    assert keys(runs) == ["2026032900", "2026032901", "2026032903"]


def test_a_run_missed_before_the_clock_went_back_is_made_up_in_the_repeated_hour(monkeypatch):
    midnight, one, two_again = (pendulum.datetime(2026, 10, 24, 22).add(hours=h) for h in (0, 1, 3))
    monkeypatch.setattr("airflow.timetables.trigger.utcnow", lambda: two_again.add(minutes=30))
    restriction = TimeRestriction(pendulum.datetime(2026, 1, 1), None, catchup=False)

    def following(last):
        return hourly(BERLIN).next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)

    missed = following(DagRunInfo(one, None, midnight, "2026102500"))
    assert (missed.run_after, missed.partition_key) == (two_again, "2026102501")
    assert following(missed).partition_key == "2026102502"


def test_a_day_that_begins_at_one_in_the_morning():
    [info] = backfilled(OdpsPartitionTimetable("0 5 * * *", timezone=SANTIAGO), "2026-09-06", "2026-09-06")
    assert info.partition_key == "20260906"
    assert info.partition_date == pendulum.datetime(2026, 9, 6, 1, tz=SANTIAGO)


def test_a_cron_that_fires_more_often_than_its_partitions_fires_each_time():
    timetable = OdpsPartitionTimetable("0 */12 * * *", timezone=SHANGHAI, lag=0)
    start = pendulum.datetime(2026, 11, 21, tz=SHANGHAI)
    assert keys(scheduled(timetable, start, start.add(hours=12))) == ["20261121", "20261121"]


def test_bounds_of_a_clear_include_the_first_of_two_equal_hours():
    timetable = hourly(BERLIN)
    lower = timetable.localize_partition_datetime(datetime(2026, 10, 25, 2, tzinfo=UTC))
    assert lower == timetable.resolve_partition_date("2026102502")


@pytest.mark.parametrize(
    "key", ["2026-11-20", "2026112", "202611201", "20261131", " 20261120", "20261120 ", "２０２６1120", ""]
)
def test_manual_keys_have_exactly_one_spelling(key):
    with pytest.raises(InvalidPartitionKeyError, match="such as 20261120"):
        DAILY.resolve_partition_date(key)


@pytest.mark.parametrize(
    ("granularity", "key_format", "message"),
    [
        ("daily", "ds=%Y%m%d", "run ids"),
        ("daily", "%Y/%m/%d", "run ids"),
        ("daily", "", "run ids"),
        ("daily", "%Y%m", "does not name one day"),
        ("daily", "%m%d", "does not name one day"),
        ("daily", "%Y%m%d%H", "finer than one day"),
        ("daily", "%Y%m%d%f", "finer than one day"),
        ("daily", "today", "does not name one day"),
        ("daily", "%Y%m%d" + "0" * 200, "more than 128"),
        ("hourly", "%Y%m%d", "does not name one hour"),
        ("hourly", "%Y%m%d%I", "does not name one hour"),
        ("hourly", "%Y%m%d%H%M", "finer than one hour"),
        ("hourly", "%Y%m%dT%H:%M", "finer"),
    ],
)
def test_key_formats_that_cannot_work_are_refused_when_the_file_is_parsed(granularity, key_format, message):
    with pytest.raises(ValueError, match=message):
        OdpsPartitionTimetable("0 0 * * *", timezone="UTC", granularity=granularity, key_format=key_format)


@pytest.mark.parametrize(
    ("granularity", "key_format", "key"),
    [
        ("daily", None, "20261120"),
        ("daily", "%Y-%m-%d", "2026-11-20"),
        ("daily", "%Y%j", "2026324"),
        ("daily", "%Y%m%d00", "2026112000"),
        ("hourly", None, "2026112000"),
        ("hourly", "%Y-%m-%dT%H:00", "2026-11-20T00:00"),
        ("hourly", "%Y%m%d.%H", "20261120.00"),
    ],
)
def test_key_formats_that_work(granularity, key_format, key):
    timetable = OdpsPartitionTimetable(
        "0 0 * * *", timezone=SHANGHAI, granularity=granularity, key_format=key_format
    )
    [info] = backfilled(timetable, "2026-11-20", "2026-11-20")
    assert info.partition_key == key
    assert timetable.resolve_partition_date(key) == info.partition_date


ANY_TIMETABLE = st.builds(
    OdpsPartitionTimetable,
    st.sampled_from(["30 2 * * *", "@hourly", "15 */6 * * 1-5"]),
    timezone=st.sampled_from([SHANGHAI, BERLIN, "UTC", pendulum.timezone(SHANGHAI)]),
    granularity=st.sampled_from(["daily", "hourly"]),
    lag=st.integers(0, 40),
    run_immediately=st.sampled_from([True, False, timedelta(minutes=5)]),
)


@settings(max_examples=40, deadline=None)
@given(ANY_TIMETABLE, ANY_TIMETABLE)
def test_serialized_forms_round_trip_and_decide_equality(first, second):
    copy = OdpsPartitionTimetable.deserialize(first.serialize())
    assert copy == first
    assert hash(copy) == hash(first)
    assert copy.serialize() == first.serialize()
    assert (copy.summary, copy.description) == (first.summary, first.description)
    assert (first == second) is (first.serialize() == second.serialize())


def test_serialization_keeps_a_key_format():
    timetable = OdpsPartitionTimetable("0 5 * * *", timezone=SHANGHAI, lag=3, key_format="%Y-%m-%d")
    assert OdpsPartitionTimetable.deserialize(timetable.serialize()).serialize() == {
        "expression": "0 5 * * *",
        "timezone": SHANGHAI,
        "granularity": "daily",
        "lag": 3,
        "key_format": "%Y-%m-%d",
        "run_immediately": False,
    }


def test_what_the_ui_shows():
    assert DAILY.summary == "30 2 * * * Asia/Shanghai, daily, lag 1"
    assert DAILY.description == "At 02:30, Asia/Shanghai: partition of the day before (such as 20261120)"
    assert "partition of 3 hours before (such as 2026112007)" in hourly(SHANGHAI, lag=3).description
    assert "partition of its own hour" in hourly(SHANGHAI, lag=0).description


def test_partitions_by_hand_have_keys_and_backfills_but_no_next_run():
    timetable = OnDemandPartitionTimetable(timezone="Asia/Shanghai")
    restriction = TimeRestriction(None, None, True)
    assert timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction) is None
    assert timetable.periodic
    assert not timetable.can_be_scheduled
    days = timetable.iter_partition_dagrun_infos(
        earliest=datetime(2026, 3, 1, tzinfo=UTC), latest=datetime(2026, 3, 3, tzinfo=UTC)
    )
    assert [day.partition_key for day in days] == ["20260301", "20260302", "20260303"]
    assert OnDemandPartitionTimetable.deserialize(timetable.serialize()) == timetable
