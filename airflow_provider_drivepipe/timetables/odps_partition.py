"""A timetable whose runs own ODPS partitions: fires at any cron time, owns a whole local day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from airflow._shared.timezones.timezone import coerce_datetime, parse_timezone
from airflow.serialization.decoders import decode_run_immediately
from airflow.timetables.base import DagRunInfo
from airflow.timetables.trigger import CronPartitionTimetable
from pendulum import DateTime


class OdpsPartitionTimetable(CronPartitionTimetable):
    """Runs at ``cron``; a run owns the partition of the local day ``lag_days`` before it.

    The partition date is local midnight whatever the hour of the cron, so that scheduled runs, manual runs
    and backfills of one day agree on it. The stock timetable takes the hour of the cron as the partition
    date, which makes a backfill repeat days and drop the last one.

    :param key_format: ``strftime`` format of the partition key; no ``=``, which Airflow refuses in run ids.
    """

    def __init__(
        self,
        cron: str,
        *,
        timezone: Any,
        lag_days: int = 1,
        key_format: str = "%Y%m%d",
        run_immediately: Any = False,
    ) -> None:
        super().__init__(
            cron, timezone=timezone, run_offset=0, key_format=key_format, run_immediately=run_immediately
        )
        self._lag_days = lag_days

    def serialize(self) -> dict[str, Any]:
        """Return what :meth:`deserialize` needs."""
        return {**super().serialize(), "lag_days": self._lag_days}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OdpsPartitionTimetable:
        """Rebuild the timetable from its serialized form."""
        return cls(
            data["expression"],
            timezone=parse_timezone(data["timezone"]),
            lag_days=data["lag_days"],
            key_format=data["key_format"],
            run_immediately=decode_run_immediately(data.get("run_immediately", False)),
        )

    def _get_partition_date(self, *, run_date: DateTime) -> DateTime:
        local = coerce_datetime(run_date).in_timezone(self._timezone).start_of("day")
        return coerce_datetime(local.subtract(days=self._lag_days).in_timezone("UTC"))

    def iter_partition_dagrun_infos(self, *, earliest: datetime, latest: datetime) -> Iterator[DagRunInfo]:
        """Yield one run per local day from ``earliest`` to ``latest``, both included."""
        day = self.localize_partition_datetime(earliest).in_timezone(self._timezone)
        if day != day.start_of("day"):
            day = day.start_of("day").add(days=1)
        last = self.localize_partition_datetime(latest)
        while day <= last:
            date = coerce_datetime(day.in_timezone("UTC"))
            yield DagRunInfo(
                run_after=date,
                data_interval=None,
                partition_date=date,
                partition_key=self._format_key(date),
            )
            day = day.add(days=1)
