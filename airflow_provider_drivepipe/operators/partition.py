"""The one place where an Airflow run's partition is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.scenario.options import PartitionOptions
from airflow_provider_drivepipe.scenario.partition import (
    PartitionSpec,
    default_partition_value,
    resolve_partition_value,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


PARTITION_SPEC_TEMPLATE = "{{ macros.drivepipe.partition_spec() }}"
"""Shows the partition on a task's Rendered Templates page."""


def partition_spec_from_context(context: Context, options: PartitionOptions) -> PartitionSpec:
    """Return the partition that the run of ``context`` owns.

    The first partition column takes the run's value, the others their fixed values.
    Raises ConfigurationError when the run names no partition.
    """
    values: Mapping[str, Any] = context
    dag_run = values.get("dag_run")
    run_after = getattr(dag_run, "run_after", None)
    try:
        value = resolve_partition_value(
            partition_key=getattr(dag_run, "partition_key", None),
            conf=getattr(dag_run, "conf", None) or {},
            params=values.get("params") or {},
            logical_date=values.get("logical_date"),
            timezone=options.timezone,
            key_format=options.key_format,
            column=options.columns[0],
            default=default_partition_value(run_after, options) if run_after else None,
        )
        return PartitionSpec(options.columns, (value, *options.fixed_values))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def read_partition_spec(text: str) -> PartitionSpec:
    """Return the partition that a rendered template names; raise ConfigurationError when it is none."""
    try:
        return PartitionSpec.parse(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
