"""A timetable whose runs own ODPS partitions: fires at any cron time, owns a whole local day or hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from airflow._shared.timezones.timezone import coerce_datetime, parse_timezone
from airflow.exceptions import InvalidPartitionKeyError
from airflow.timetables.base import DagRunInfo, TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable
from pendulum import DateTime
from pendulum.tz.timezone import Timezone

from airflow_provider_drivepipe.scenario.options import Granularity, PartitionOptions
from airflow_provider_drivepipe.scenario.partition import (
    check_key_format,
    example_key,
    parse_partition_key,
)
from airflow_provider_drivepipe.scenario.partition_calendar import (
    PartitionCalendar,
    default_key_format,
    find_zone,
    unit_name,
)

_NEVER_ASKED = "0 0 * * *"
"""Airflow's base class wants a cron expression; this one never decides when a run starts."""


class OdpsPartitionTimetable(CronPartitionTimetable):
    """Runs at ``cron``; a run owns the partition of the local day or hour ``lag`` before it.

    The partition date is local midnight (daily) or the start of the local hour (hourly), whatever the minute
    of the cron, so that scheduled runs, manual runs and backfills of one partition agree on it. The stock
    timetable takes the time of the cron as the partition date, which makes a backfill repeat days and drop
    the last one.

    Bounds of a backfill are partition dates on the local clock, both included: for hourly partitions
    ``--to-date 2026-03-03`` ends with the hour of midnight, ``--to-date 2026-03-03T23:00`` with the day.

    An hour that the clock shows twice, at the end of daylight-saving time, is one partition, and the ticks of
    its repetition give no second run of a partition. An hour that the clock leaves out has no partition.

    :param timezone: IANA time zone of the cron and of the partitions.
    :param granularity: ``daily`` or ``hourly``: how much time a partition covers.
    :param lag: how many partitions, so days or hours, before the current one a scheduled run owns.
    :param key_format: ``strftime`` format of the partition key, default ``%Y%m%d`` or ``%Y%m%d%H``. Raises
        ValueError for one that gives two partitions the same key or that Airflow refuses in run ids.
    :param run_immediately: as in Airflow's cron timetables.
    """

    def __init__(
        self,
        cron: str,
        *,
        timezone: str | Timezone,
        granularity: str = Granularity.DAILY,
        lag: int = 1,
        key_format: str | None = None,
        run_immediately: bool | timedelta = False,
    ) -> None:
        self._granularity = Granularity(granularity)
        if lag < 0:
            raise ValueError(f"lag counts {unit_name(self._granularity)}s back, so it cannot be {lag}")
        self._lag = lag
        zone = find_zone(timezone if isinstance(timezone, str) else timezone.name)
        self._calendar = PartitionCalendar(self._granularity, zone)
        if key_format is None:
            key_format = default_key_format(self._granularity)
        super().__init__(
            cron,
            timezone=parse_timezone(zone.key),
            key_format=check_key_format(key_format, self._granularity),
            run_immediately=run_immediately,
        )
        self.description = f"{self.description or self._expression}, {zone.key}: {self._ownership()}"

    def _ownership(self) -> str:
        unit = unit_name(self._granularity)
        which = {0: f"its own {unit}", 1: f"the {unit} before"}.get(self._lag, f"{self._lag} {unit}s before")
        return f"partition of {which} (such as {example_key(self._key_format)})"

    @property
    def summary(self) -> str:
        """What the UI shows as the schedule: cron, time zone and which partition a run owns."""
        return f"{self._expression} {self._zone_name}, {self._granularity}, lag {self._lag}"

    @property
    def partition_options(self) -> PartitionOptions:
        """Options under which a task decides on the partitions of this timetable, in the column ``ds``."""
        return PartitionOptions(
            timezone=self._zone_name, key_format=self._key_format, granularity=self._granularity
        )

    @property
    def _zone_name(self) -> str:
        return self._calendar.zone.key

    def serialize(self) -> dict[str, Any]:
        """Return what :meth:`deserialize` needs."""
        # Airflow's serializer imports its models, which a task's process does without.
        from airflow.serialization.encoders import encode_run_immediately

        return {
            "expression": self._expression,
            "timezone": self._zone_name,
            "granularity": self._granularity.value,
            "lag": self._lag,
            "key_format": self._key_format,
            "run_immediately": encode_run_immediately(self._run_immediately),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OdpsPartitionTimetable:
        """Rebuild the timetable from its serialized form."""
        from airflow.serialization.decoders import decode_run_immediately

        return cls(
            data["expression"],
            timezone=data["timezone"],
            granularity=data["granularity"],
            lag=data["lag"],
            key_format=data["key_format"],
            run_immediately=decode_run_immediately(data["run_immediately"]),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OdpsPartitionTimetable):
            return NotImplemented
        return self.serialize() == other.serialize()

    def __hash__(self) -> int:
        return hash((self._expression, self._zone_name, self._granularity, self._lag, self._key_format))

    def localize_partition_datetime(self, dt: datetime) -> DateTime:
        """Return when the local clock shows what ``dt`` shows; the first time if it does so twice."""
        return coerce_datetime(self._calendar.instant_of(dt.replace(tzinfo=None)))

    def iter_partition_dagrun_infos(self, *, earliest: datetime, latest: datetime) -> Iterator[DagRunInfo]:
        """Yield one run per local day or hour that starts from ``earliest`` to ``latest``, both included.

        What the clock of the bounds shows is read as local time, as Airflow's timetables do.
        """
        first, last = earliest.replace(tzinfo=None), latest.replace(tzinfo=None)
        for period in self._calendar.periods_between(first, last):
            date = self.localize_partition_datetime(period)
            yield DagRunInfo(
                run_after=date,
                data_interval=None,
                partition_date=date,
                partition_key=self._format_key(date),
            )

    def next_dagrun_info_v2(
        self, *, last_dagrun_info: DagRunInfo | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next scheduled run; no partition twice because its hour repeats."""
        last = last_dagrun_info
        while True:
            following = super().next_dagrun_info_v2(last_dagrun_info=last, restriction=restriction)
            if following is None or last is None or not self._repeats(last, following):
                return following
            last = following

    def _repeats(self, last: DagRunInfo, following: DagRunInfo) -> bool:
        in_repeated_hour = following.run_after.astimezone(self._calendar.zone).fold == 1
        return in_repeated_hour and following.partition_date == last.partition_date

    def _get_partition_date(self, *, run_date: DateTime) -> DateTime:
        period = self._calendar.period_of(run_date)
        return self.localize_partition_datetime(self._calendar.earlier(period, self._lag))

    def _format_key(self, partition_date: DateTime) -> str:
        return self._calendar.period_of(partition_date).strftime(self._key_format)

    def _decode_partition_date(self, partition_key: str) -> datetime:
        try:
            period = parse_partition_key(partition_key, self._key_format)
        except ValueError as error:
            raise InvalidPartitionKeyError(str(error)) from error
        if not self._calendar.exists(period):
            raise InvalidPartitionKeyError(
                f"partition value {partition_key!r}: there is no such {unit_name(self._granularity)} "
                f"in {self._zone_name}, where the clock was put forward over it"
            )
        return self.localize_partition_datetime(period)


class OnDemandPartitionTimetable(OdpsPartitionTimetable):
    """Never runs by itself; a person names the partition of a run, or back-fills a range of them.

    Without a timetable, Airflow refuses partition keys and backfills of a DAG.

    :param timezone: as :class:`OdpsPartitionTimetable`.
    :param granularity: as :class:`OdpsPartitionTimetable`.
    :param key_format: as :class:`OdpsPartitionTimetable`.
    """

    can_be_scheduled = False

    def __init__(
        self,
        *,
        timezone: str | Timezone,
        granularity: str = Granularity.DAILY,
        key_format: str | None = None,
    ) -> None:
        super().__init__(
            _NEVER_ASKED, timezone=timezone, granularity=granularity, lag=0, key_format=key_format
        )
        self.description = (
            f"by hand, one {unit_name(self._granularity)} (such as {example_key(self._key_format)})"
        )

    @property
    def summary(self) -> str:
        """What the UI shows as the schedule."""
        return f"by hand, {self._granularity}"

    def serialize(self) -> dict[str, Any]:
        """Return what :meth:`deserialize` needs."""
        return {
            "timezone": self._zone_name,
            "granularity": self._granularity.value,
            "key_format": self._key_format,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> OnDemandPartitionTimetable:
        """Rebuild the timetable from its serialized form."""
        return cls(**data)

    def next_dagrun_info_v2(
        self,
        *,
        last_dagrun_info: DagRunInfo | None,  # noqa: ARG002 - Airflow's signature
        restriction: TimeRestriction,  # noqa: ARG002 - Airflow's signature
    ) -> DagRunInfo | None:
        """Return None: there is no next run."""
        return None
