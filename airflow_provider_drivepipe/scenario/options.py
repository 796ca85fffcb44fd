"""What every task needs to know beside its stages, as frozen data for plans, operators and the life cycle."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_drivepipe.contracts import Column


class Granularity(StrEnum):
    """How long a partition is."""

    DAILY = "daily"
    HOURLY = "hourly"


class Reprocess(StrEnum):
    """Which input units a run works on.

    ``CHANGED``: what is new, what failed, and what another configuration made. ``FAILED``: what is new and
    what failed, however often; rows that are ok stay, also those of another configuration. ``ALL``: all.
    """

    CHANGED = "changed"
    FAILED = "failed"
    ALL = "all"


@dataclass(frozen=True)
class PartitionOptions:
    """Which partition a run owns: the first column takes the run's value, the others ``fixed_values``."""

    columns: tuple[str, ...] = ("ds",)
    timezone: str = "Asia/Shanghai"
    """Time zone in which a logical date becomes a partition value."""
    key_format: str = "%Y%m%d"
    fixed_values: tuple[str, ...] = ()
    granularity: Granularity = Granularity.DAILY
    default_lag: int | None = None
    """A run that names no partition owns the one so many before its start; None: it fails."""


@dataclass(frozen=True)
class TableOptions:
    """A partitioned table that a stage reads or writes."""

    name: str
    columns: tuple[Column, ...] = ()
    partition_columns: tuple[str, ...] = ("ds",)
    lifecycle_days: int | None = None


@dataclass(frozen=True)
class SelectionOptions:
    """Which input units a run works on. Decides what is done, never what comes out of it."""

    reprocess: Reprocess = Reprocess.CHANGED
    max_row_attempts: int = 3
    """A row that failed so often stays failed until its configuration or its input changes; a try that a rate
    limit ended does not count."""
    limit: int | None = None
    """Only the first so many input units, in the order of their keys; the others are skipped."""
    limit_by: str | None = None
    """Column whose values the limit counts instead: so many videos, and all that is made of them."""
    max_rows: int | None = None
    """Most rows that a run sends to models; those beyond are skipped until a later run."""
    max_calls: int | None = None
    """Most calls of models that a run makes, repair rounds included."""
    rows_per_job: int | None = None
    """Most input rows that one job works on; None leaves it to the stage. A run has as many jobs as it takes,
    and what ends a job early loses no more than that job."""
    workers: int | None = None
    """Into how many chunks the rows of a job go, each for a worker; None leaves it to the amount of work."""


@dataclass(frozen=True)
class PriceOptions:
    """What models cost, in ``currency`` per ``per_tokens`` tokens; None for a kind that is not used."""

    currency: str
    per_tokens: int
    input: float | None = None
    output: float | None = None
    embedding: float | None = None
    picture: float | None = None
    """Of one picture that is drawn, whatever ``per_tokens`` says."""


@dataclass(frozen=True)
class GateOptions:
    """When a run fails its task: before it publishes, or although the partition is published."""

    max_failure_rate: float = 1.0
    """Largest tolerated share of failed input units, 0 to 1."""
    min_rows: int = 0
    max_shrink: float = 0.5
    """Largest share of a partition's ok rows that a run may take away, 0 to 1."""
    allow_empty: bool = False
    """Whether a listing may find nothing."""
