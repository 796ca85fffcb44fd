"""Partition values: which partition a run owns, and how it is written in SQL, in paths and in keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_provider_drivepipe.scenario.options import Granularity, PartitionOptions
from airflow_provider_drivepipe.scenario.partition_calendar import (
    PartitionCalendar,
    default_key_format,
    find_zone,
    period_length,
    period_start,
    unit_name,
)

_DIGITS = {
    "Y": r"\d{4}",
    "m": r"\d{2}",
    "d": r"\d{2}",
    "H": r"\d{2}",
    "M": r"\d{2}",
    "j": r"\d{3}",
    "y": r"\d{2}",
}
_COLUMN = re.compile(r"[a-z_][a-z0-9_]*")
_VALUE = re.compile(r"[A-Za-z0-9_.:+-]+")
MAX_VALUE_LENGTH = 255
MAX_FOLDER_BYTES = 255
"""Longest ``column=value``: it is a folder's name."""
MAX_KEY_LENGTH = 128
"""Airflow builds run ids of at most 250 characters from the partition key."""

_EXAMPLE_TIME = datetime(2026, 11, 20, 7)
_PROBES = (_EXAMPLE_TIME, datetime(2026, 1, 1), datetime(2026, 2, 12, 12), datetime(2028, 12, 31, 23))


def check_partition_value(value: str) -> str:
    """Return ``value``; raise ValueError unless it is safe in SQL, in paths and in Airflow run ids.

    ASCII letters, digits and ``_ . : + -`` only, not ``.`` or ``..``, at most 255 characters.
    """
    if not _VALUE.fullmatch(value) or set(value) == {"."} or len(value) > MAX_VALUE_LENGTH:
        raise ValueError(
            f"partition value {value!r} is not allowed: use letters, digits and _ . : + - "
            f"(at most {MAX_VALUE_LENGTH} characters), for example 20261120"
        )
    return value


def example_key(key_format: str) -> str:
    """Return what a partition key of this format looks like."""
    return _EXAMPLE_TIME.strftime(key_format)


def parse_partition_key(key: str, key_format: str) -> datetime:
    """Return the local time, without a zone, that ``key`` stands for.

    Raises ValueError unless ``key`` is exactly what ``key_format`` gives for that time: ``2026112`` is not a
    second spelling of ``20261102``.
    """
    try:
        local = datetime.strptime(key, key_format)
        fits = local.strftime(key_format) == key
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"partition value {key!r} does not fit the key format {key_format!r}: "
            f"give a value such as {example_key(key_format)}"
        )
    return local


def key_pattern(key_format: str) -> str | None:
    """Return a regular expression for keys, for forms; None for a format with parts that are no numbers."""
    pattern = re.sub(r"%([a-zA-Z%])", lambda code: _DIGITS.get(code[1], "%"), _escaped(key_format))
    return None if "%" in pattern else f"^({pattern})?$"


def _escaped(key_format: str) -> str:
    """Escape what regular expressions of Python and of browsers both want escaped."""
    return re.sub(r"[.+]", r"\\\g<0>", key_format)


def default_partition_value(run_after: datetime, options: PartitionOptions) -> str | None:
    """Return the partition of a run that names none, None where such a run is refused.

    ``run_after`` is the time from which the run may start: it stays the same in retries and Clears.
    """
    if options.default_lag is None:
        return None
    calendar = PartitionCalendar(options.granularity, find_zone(options.timezone))
    period = calendar.earlier(calendar.period_of(run_after), options.default_lag)
    return check_partition_value(period.strftime(options.key_format))


def check_key_format(key_format: str, granularity: Granularity) -> str:
    """Return ``key_format``; raise ValueError unless it gives every partition a key of its own.

    A key must consist of what Airflow's run ids allow, stay the same within its day or hour, and read back as
    the start of it.
    """
    usual = default_key_format(granularity)
    for probe in _PROBES:
        start = period_start(probe, granularity)
        key = start.strftime(key_format)
        try:
            check_partition_value(key)
        except ValueError as error:
            raise ValueError(
                f"key format {key_format!r} gives keys such as {key!r}, which Airflow refuses in run ids: "
                f"use letters, digits and _ . : + - only, for example {usual!r}"
            ) from error
        if len(key) > MAX_KEY_LENGTH:
            raise ValueError(f"key format {key_format!r} gives keys of more than {MAX_KEY_LENGTH} characters")
        if (start + period_length(granularity) - timedelta.resolution).strftime(key_format) != key:
            raise ValueError(
                f"key format {key_format!r} is finer than one {unit_name(granularity)}; "
                f"use for example {usual!r}"
            )
        if not _reads_back(key, key_format, start):
            raise ValueError(
                f"key format {key_format!r} does not name one {unit_name(granularity)}: "
                f"the key {key!r} does not read back as {start:%Y-%m-%d %H:%M}; "
                f"use for example {usual!r}"
            )
    return key_format


def _reads_back(key: str, key_format: str, start: datetime) -> bool:
    try:
        return datetime.strptime(key, key_format) == start
    except ValueError:
        return False


@dataclass(frozen=True)
class PartitionSpec:
    """An ordered set of partition columns and their checked values."""

    columns: tuple[str, ...]
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        for column in self.columns:
            if not _COLUMN.fullmatch(column):
                raise ValueError(f"not a partition column name: {column!r}")
        for value in self.values:
            check_partition_value(value)
        longest = max(
            (f"{c}={v}" for c, v in zip(self.columns, self.values, strict=False)), key=len, default=""
        )
        if len(longest) > MAX_FOLDER_BYTES:
            raise ValueError(f"{longest} is too long for a folder: {MAX_FOLDER_BYTES} characters")
        if not self.columns or len(self.columns) != len(self.values):
            raise ValueError(f"{len(self.columns)} partition columns, {len(self.values)} values")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"a partition column is named twice: {', '.join(self.columns)}")

    @classmethod
    def parse(cls, text: str) -> PartitionSpec:
        """Read ``ds=20261120,region=east`` or ``ds=20261120/region=east``, values quoted or not.

        Raises ValueError when ``text`` is anything else.
        """
        columns, values = [], []
        for part in re.split("[,/]", text):
            column, separator, value = part.strip().partition("=")
            if not separator:
                raise ValueError(
                    f"not a partition: {text!r}; write for example ds=20261120 or ds=20261120,region=east"
                )
            columns.append(column.strip())
            values.append(_unquoted(value.strip()))
        return cls(tuple(columns), tuple(values))

    def items(self) -> tuple[tuple[str, str], ...]:
        """Return pairs of column and value, in order."""
        return tuple(zip(self.columns, self.values, strict=True))

    def sql(self, separator: str = ", ") -> str:
        """Return ``ds='20261120'``, columns joined by ``separator`` (``" AND "`` for conditions)."""
        return separator.join(f"`{column}`='{value}'" for column, value in self.items())

    def path(self) -> str:
        """Return ``ds=20261120``, columns joined by slashes."""
        return "/".join(f"{column}={value}" for column, value in self.items())

    def __str__(self) -> str:
        return ",".join(f"{column}={value}" for column, value in self.items())


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def resolve_partition_value(
    *,
    partition_key: str | None,
    conf: Mapping[str, object],
    params: Mapping[str, object],
    logical_date: datetime | None,
    timezone: str,
    key_format: str,
    column: str = "ds",
    default: str | None = None,
) -> str:
    """Return the value of the partition that a run owns.

    In this order: the run's partition key, which its timetable has checked; ``column`` in its conf, then in
    its params, which must fit ``key_format``; its logical date in the scenario's time zone; ``default``.
    Raises ValueError with a hint when there is none of them, or when one does not fit.
    """
    if partition_key:
        return check_partition_value(partition_key)
    for source, entries in (("conf", conf), ("params", params)):
        given = entries.get(column)
        if given is None or given == "":
            continue
        value = str(given)
        try:
            parse_partition_key(value, key_format)
        except ValueError as error:
            raise ValueError(f"{column!r} in the run's {source}: {error}") from error
        return check_partition_value(value)
    if logical_date is not None:
        return check_partition_value(logical_date.astimezone(find_zone(timezone)).strftime(key_format))
    if default is not None:
        return default
    raise ValueError(
        f"this run has no partition: trigger it with a partition key, or with the parameter {column!r} "
        f'(for example {{"{column}": "{example_key(key_format)}"}}), or with a logical date'
    )
