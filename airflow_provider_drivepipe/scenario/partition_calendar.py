"""Partitions in time: which local day or hour an instant falls into, and when that starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_drivepipe.scenario.options import Granularity


@dataclass(frozen=True)
class _Unit:
    name: str
    length: timedelta
    key_format: str


_UNITS = {
    Granularity.DAILY: _Unit("day", timedelta(days=1), "%Y%m%d"),
    Granularity.HOURLY: _Unit("hour", timedelta(hours=1), "%Y%m%d%H"),
}


def unit_name(granularity: Granularity) -> str:
    """Return ``day`` or ``hour``."""
    return _UNITS[granularity].name


def period_length(granularity: Granularity) -> timedelta:
    """Return the distance between the starts of two partitions on the local clock."""
    return _UNITS[granularity].length


def default_key_format(granularity: Granularity) -> str:
    """Return ``%Y%m%d`` or ``%Y%m%d%H``."""
    return _UNITS[granularity].key_format


def period_start(local: datetime, granularity: Granularity) -> datetime:
    """Return the start of ``local``'s day or hour on the same clock, without a zone."""
    hour = 0 if granularity is Granularity.DAILY else local.hour
    return datetime(local.year, local.month, local.day, hour)


def find_zone(name: str) -> ZoneInfo:
    """Return the time zone called ``name``; raise ValueError when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"not an IANA time zone: {name!r}; use a name such as Asia/Shanghai") from error


@dataclass(frozen=True)
class PartitionCalendar:
    """The sequence of local days or hours in a time zone.

    A *period* is the start of such a day or hour as the local clock shows it, without a zone. An hour that
    the clock shows twice, at the end of daylight-saving time, is one period of two hours; one that it leaves
    out is none. So no two periods share a key.
    """

    granularity: Granularity
    zone: ZoneInfo

    def period_of(self, instant: datetime) -> datetime:
        """Return the period that ``instant``, which has a zone, falls into."""
        return period_start(instant.astimezone(self.zone), self.granularity)

    def instant_of(self, local: datetime) -> datetime:
        """Return when the local clock shows ``local``, in UTC: of two such times the first."""
        # combine() gives a plain datetime also for a pendulum one, whose replace() moves times over a gap.
        return datetime.combine(local.date(), local.time(), self.zone).replace(fold=0).astimezone(UTC)

    def exists(self, period: datetime) -> bool:
        """Return whether the local clock ever shows the day or hour of ``period``."""
        return self.period_of(self.instant_of(period)) == period

    def earlier(self, period: datetime, count: int) -> datetime:
        """Return the period that lies ``count`` periods before ``period``."""
        length = period_length(self.granularity)
        for _ in range(count):
            period -= length
            while not self.exists(period):
                period -= length
        return period

    def periods_between(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """Yield the periods that start from ``first`` to ``last`` on the local clock, both included."""
        length = period_length(self.granularity)
        period = period_start(first, self.granularity)
        if period < first:
            period += length
        while period <= last:
            if self.exists(period):
                yield period
            period += length
