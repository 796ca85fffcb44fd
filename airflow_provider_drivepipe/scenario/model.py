"""A scenario: what every file has, whatever family of pipelines it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from airflow_provider_drivepipe.contracts import Column, OssUri
from airflow_provider_drivepipe.scenario.key_path import check_endpoint, check_key_path
from airflow_provider_drivepipe.scenario.options import (
    GateOptions,
    Granularity,
    PartitionOptions,
    PriceOptions,
    Reprocess,
    SelectionOptions,
    TableOptions,
)
from airflow_provider_drivepipe.scenario.partition import (
    check_key_format,
    check_partition_value,
    parse_partition_key,
)
from airflow_provider_drivepipe.scenario.partition_calendar import default_key_format

DAG_ID_PREFIX = "drivepipe_"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_TABLE = re.compile(r"([a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*")
COLUMN = re.compile(r"[a-z_][a-z0-9_]*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
TableName = Annotated[str, Field(pattern=_TABLE.pattern.join(("^", "$")))]
_DEFAULT_PARTITION = PartitionOptions()
_DEFAULT_SELECTION = SelectionOptions()


@cache
def _timezones() -> Set[str]:
    """The names of time zones; to look them up takes as long as a whole scenario."""
    return available_timezones()


@dataclass(frozen=True)
class KeyUse:
    """What a key is for, beside what it means.

    :param target: the target without which it has no effect.
    :param needed: whether that target needs it.
    :param shape: the input shape without which it has no effect.
    :param example: what stands there in an example.
    """

    target: str = ""
    needed: bool = False
    shape: str = ""
    example: str = ""


def use(target: str = "", *, needed: bool = False, shape: str = "", example: str = "") -> dict[str, Any]:
    """Return what a key is for, as metadata of its field; see :class:`KeyUse`."""
    return {"target": str(target), "needed": needed, "shape": str(shape), "example": example}


class Prices(BaseModel):
    """What models cost per so many tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    currency: str = Field(min_length=1, max_length=10, description="for example CNY")
    per_tokens: int = Field(1_000_000, ge=1, description="how many tokens the prices are for")
    input: float | None = Field(None, ge=0, description="of tokens that models read")
    output: float | None = Field(None, ge=0, description="of tokens that models write")
    embedding: float | None = Field(None, ge=0, description="of tokens that are embedded")
    picture: float | None = Field(None, ge=0, description="of one picture that is drawn")


class Scenario(BaseModel):
    """What every scenario file has. Unknown keys are errors; credentials belong into the connection."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)

    pipeline: str = Field("driving", description="family of pipelines that the scenario is for")
    scenario_name: str = Field(
        description="name of the scenario; the DAG is drivepipe_<scenario_name>",
        json_schema_extra=use(example="night_rain"),
    )
    targets: tuple[str, ...] = Field(min_length=1, description="what it makes")
    description: str = Field("", description="one line for people, shown in the DAG's documentation")
    owner: str = Field("airflow", description="owner of the DAG's tasks")
    tags: tuple[str, ...] = Field((), description="further tags of the DAG")
    conn_id: str = Field("drivepipe_default", description="Airflow connection of type drivepipe")
    schedule: str | None = Field(None, description="cron expression, or null for manual runs only")
    start_date: str = Field("2026-01-01", description="first day that a schedule covers, YYYY-MM-DD")
    timezone: str = Field(_DEFAULT_PARTITION.timezone, description="time zone of schedule and partitions")
    partition_granularity: Granularity = Field(
        Granularity.DAILY, description="how long a partition is: daily or hourly"
    )
    partition_lag: int = Field(
        1,
        ge=0,
        le=8784,
        description="a scheduled run owns the partition of so many days or hours before",
    )
    partition_key_format: str | None = Field(
        None, description="strftime format of partition values (default %Y%m%d, hourly %Y%m%d%H)"
    )
    partition_col: str = Field("ds", description="partition column of all tables")
    partition_fixed: dict[str, str] = Field(
        {}, description="further partition columns with fixed values, for example {region: east}"
    )
    partition_value: str | None = Field(None, description="default partition of manual runs")
    max_active_runs: int = Field(
        1, ge=1, le=1000, description="runs of the DAG at once; a backfill has a limit of its own"
    )
    oss_bucket: str | None = Field(
        None,
        description="bucket that holds videos, clips or images and receives what is made of them",
        json_schema_extra=use(example="my-driving-videos"),
    )
    oss_root: str | None = Field(
        None, description="full URI oss://<endpoint>/<bucket>[/<prefix>] instead of the connection's endpoint"
    )
    oss_mount_path: str = Field("/mnt/drivepipe", description="where workers see the bucket")
    meta_lifecycle: int | None = Field(None, ge=1, description="days until partitions of our tables expire")
    reprocess: Reprocess = Field(
        Reprocess.CHANGED, description="which rows a run works on: changed, failed or all"
    )
    max_row_attempts: int = Field(
        _DEFAULT_SELECTION.max_row_attempts,
        ge=1,
        le=1000,
        description="tries after which a row stays failed, until its configuration or its input changes; a "
        "rate limit is no try",
    )
    max_rows: int | None = Field(
        None, ge=1, description="most rows that a run sends to models; the others wait for the next run"
    )
    max_calls: int | None = Field(
        None, ge=1, description="most calls of models that a run makes, repair rounds included"
    )
    rows_per_job: int | None = Field(
        None,
        ge=1,
        description="most input rows per MaxFrame job; what ends a job early loses that job alone",
    )
    workers: int | None = Field(
        None, ge=1, le=10_000, description="workers of the cluster that share the rows of a job"
    )
    prices: Prices | None = Field(
        None,
        description="per 1,000,000 tokens: {currency: CNY, input: 1.5, output: 4.5, embedding: 0.7}",
    )
    max_failure_rate: float = Field(1.0, ge=0, le=1, description="largest tolerated share of failures")
    min_rows: int = Field(0, ge=0, description="fewest ok rows that are tolerated")
    max_shrink: float = Field(
        0.5, ge=0, le=1, description="largest share of its ok rows that a run may take from a partition"
    )

    @field_validator("scenario_name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("use lower-case letters, digits and underscores, starting with a letter")
        return value

    @field_validator("partition_col")
    @classmethod
    def _check_partition_col(cls, value: str) -> str:
        if not COLUMN.fullmatch(value):
            raise ValueError("use lower-case letters, digits and underscores")
        return value

    @field_validator("partition_value", mode="before")
    @classmethod
    def _check_partition_value(cls, value: Any, info: ValidationInfo) -> Any:
        granularity = info.data.get("partition_granularity")
        if value is None or granularity is None:
            return value
        key_format = info.data.get("partition_key_format") or default_key_format(granularity)
        parse_partition_key(str(value), key_format)
        return str(value)

    @field_validator("partition_fixed", mode="before")
    @classmethod
    def _check_partition_fixed(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        for column in value:
            if not isinstance(column, str) or not COLUMN.fullmatch(column):
                raise ValueError(f"{column!r}: use lower-case letters, digits and underscores for columns")
        if info.data.get("partition_col") in value:
            raise ValueError(f"{info.data['partition_col']} takes the run's value, so it cannot be fixed")
        return {column: check_partition_value(str(fixed)) for column, fixed in value.items()}

    @field_validator("partition_key_format")
    @classmethod
    def _check_key_format(cls, value: str | None, info: ValidationInfo) -> str | None:
        granularity = info.data.get("partition_granularity")
        return value if value is None or granularity is None else check_key_format(value, granularity)

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        if value not in _timezones():
            raise ValueError("not an IANA time zone, for example Asia/Shanghai")
        ZoneInfo(value)
        return value

    @field_validator("start_date", mode="before")
    @classmethod
    def _check_start_date(cls, value: Any) -> str:
        return datetime.strptime(str(value), "%Y-%m-%d").strftime("%Y-%m-%d")

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, value: str | None) -> str | None:
        from croniter import croniter

        if value is not None and not croniter.is_valid(value):
            raise ValueError("not a cron expression, for example '30 2 * * *'")
        return value

    @field_validator("oss_bucket")
    @classmethod
    def _check_bucket(cls, value: str | None) -> str | None:
        if value is not None and not _BUCKET.fullmatch(value):
            raise ValueError("not a bucket name: 3 to 63 lower-case letters, digits and hyphens")
        return value

    @field_validator("oss_root")
    @classmethod
    def _check_root(cls, value: str | None) -> str | None:
        if value is None:
            return value
        root = OssUri.parse(value.removesuffix("/"))
        check_endpoint(root.endpoint)
        if not _BUCKET.fullmatch(root.bucket):
            raise ValueError("not a bucket name: 3 to 63 lower-case letters, digits and hyphens")
        return str(OssUri(root.endpoint, root.bucket, check_key_path(root.key) if root.key else ""))

    @field_validator("oss_mount_path")
    @classmethod
    def _check_mount(cls, value: str) -> str:
        if not re.fullmatch(r"/mnt/[A-Za-z0-9_\-/]+", value):
            raise ValueError("a mount path lies below /mnt/")
        return value

    @property
    def dag_id(self) -> str:
        """Id of the DAG: ``drivepipe_<scenario_name>``."""
        return f"{DAG_ID_PREFIX}{self.scenario_name}"

    @property
    def bucket(self) -> str | None:
        """The OSS bucket that holds what is worked on, None when it is tables alone."""
        return self.oss_bucket or (self.oss_root.split("/")[3] if self.oss_root else None)

    @property
    def partition_columns(self) -> tuple[str, ...]:
        """The partition columns of all tables."""
        return (self.partition_col, *self.partition_fixed)

    @property
    def price_options(self) -> PriceOptions | None:
        """What models cost, None where the scenario does not say."""
        return PriceOptions(**self.prices.model_dump()) if self.prices else None

    def gate(self, allow_empty: bool = False) -> GateOptions:
        """Return when a run fails a task."""
        return GateOptions(self.max_failure_rate, self.min_rows, self.max_shrink, allow_empty)

    def output(self, name: str, columns: tuple[Column, ...]) -> TableOptions:
        """Return a table that a task writes."""
        return TableOptions(name, columns, self.partition_columns, self.meta_lifecycle)

    @property
    def key_format(self) -> str:
        """``strftime`` format of partition values."""
        return self.partition_key_format or default_key_format(self.partition_granularity)

    @classmethod
    @cache
    def uses(cls) -> Mapping[str, KeyUse]:
        """Return what each key is for."""
        extra = {key: field.json_schema_extra for key, field in cls.model_fields.items()}
        return {key: KeyUse(**use) if isinstance(use, dict) else KeyUse() for key, use in extra.items()}  # type: ignore[arg-type]  # made by use()
