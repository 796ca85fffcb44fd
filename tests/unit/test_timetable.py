"""Scheduled runs, manual keys and backfills of one day agree on its partition date."""

import pendulum

from airflow_provider_drivepipe.timetables.odps_partition import OdpsPartitionTimetable

ZONE = "Asia/Shanghai"
TIMETABLE = OdpsPartitionTimetable("30 2 * * *", timezone=ZONE)


def test_a_run_at_half_past_two_owns_the_local_day_before():
    run_date = pendulum.datetime(2026, 11, 21, 2, 30, tz=ZONE)
    date = TIMETABLE._get_partition_date(run_date=run_date)
    assert date.in_timezone(ZONE) == pendulum.datetime(2026, 11, 20, tz=ZONE)
    assert TIMETABLE._format_key(date) == "20261120"


def test_backfill_covers_both_ends_once():
    infos = list(
        TIMETABLE.iter_partition_dagrun_infos(
            earliest=pendulum.datetime(2026, 3, 1, tz=ZONE), latest=pendulum.datetime(2026, 3, 3, tz=ZONE)
        )
    )
    assert [i.partition_key for i in infos] == ["20260301", "20260302", "20260303"]


def test_backfilled_day_has_the_partition_date_of_its_scheduled_run():
    [info] = TIMETABLE.iter_partition_dagrun_infos(
        earliest=pendulum.datetime(2026, 11, 20, tz=ZONE), latest=pendulum.datetime(2026, 11, 20, tz=ZONE)
    )
    run_date = pendulum.datetime(2026, 11, 21, 2, 30, tz=ZONE)
    assert info.partition_date == TIMETABLE._get_partition_date(run_date=run_date)


def test_serialization_round_trip():
    copy = OdpsPartitionTimetable.deserialize(
        OdpsPartitionTimetable("0 5 * * *", timezone=ZONE, lag_days=3).serialize()
    )
    assert (copy._lag_days, copy.serialize()["expression"]) == (3, "0 5 * * *")
