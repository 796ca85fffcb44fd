"""Partition values: which partition a run owns, and how it is written in SQL and in paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

_COLUMN = re.compile(r"[a-z_][a-z0-9_]*")
_VALUE = re.compile(r"[\w.:+-]+")
MAX_VALUE_LENGTH = 255


def check_partition_value(value: str) -> str:
    """Return ``value``; raise ValueError unless it is safe in SQL, in paths and in Airflow run ids.

    Letters, digits and ``_ . : + -`` only, not ``.`` or ``..``, at most 255 characters.
    """
    if not _VALUE.fullmatch(value) or set(value) == {"."} or len(value) > MAX_VALUE_LENGTH:
        raise ValueError(
            f"partition value {value!r} is not allowed: use letters, digits and _ . : + - "
            f"(at most {MAX_VALUE_LENGTH} characters), for example 20261120"
        )
    return value


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
        if not self.columns or len(self.columns) != len(self.values):
            raise ValueError(f"{len(self.columns)} partition columns, {len(self.values)} values")

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


def resolve_partition_value(
    *,
    partition_key: str | None,
    conf: Mapping[str, object],
    params: Mapping[str, object],
    logical_date: datetime | None,
    timezone: str,
    key_format: str,
    column: str = "ds",
) -> str:
    """Return the value of the partition that a run owns.

    In this order: the run's partition key, ``column`` in its conf, then in its params, then its logical date
    in the scenario's time zone. Raises ValueError with a hint when there is none of them.
    """
    given = partition_key or conf.get(column) or params.get(column)
    if given:
        return check_partition_value(str(given))
    if logical_date is not None:
        return check_partition_value(logical_date.astimezone(ZoneInfo(timezone)).strftime(key_format))
    raise ValueError(
        f"this run has no partition: trigger it with a partition key, or with the parameter {column!r} "
        f'(for example {{"{column}": "20261120"}}), or with a logical date'
    )
