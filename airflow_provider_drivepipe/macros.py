"""Template macros, in any template of any DAG as ``macros.drivepipe.<name>``.

``{{ macros.drivepipe.partition_value() }}`` gives ``20261120``, ``{{ macros.drivepipe.partition_spec() }}``
gives ``ds=20261120,region=east``, decided as the operators of this package decide them. Airflow's own
``ds_nodash`` counts in UTC and does not exist in runs with a partition key, and ``partition_key`` is the text
``None`` in runs without one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import jinja2

from airflow_provider_drivepipe.operators.partition import partition_spec_from_context
from airflow_provider_drivepipe.scenario.options import PartitionOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.timetables.odps_partition import OdpsPartitionTimetable

if TYPE_CHECKING:
    from airflow.sdk import Context


@jinja2.pass_context
def partition_value(
    context: jinja2.runtime.Context,
    *,
    timezone: str | None = None,
    key_format: str | None = None,
    column: str | None = None,
) -> str:
    """Return the value of the first partition column of this run, such as ``20261120``.

    What is not given comes from the task when it is one of this package, else from such a task of its DAG,
    else from the DAG's :class:`OdpsPartitionTimetable`; else it is the DAG's time zone, ``%Y%m%d``, ``ds``.
    Raises ConfigurationError when the run has no partition.
    """
    return _spec(context, timezone, key_format, column, {}).values[0]


@jinja2.pass_context
def partition_spec(
    context: jinja2.runtime.Context,
    *,
    timezone: str | None = None,
    key_format: str | None = None,
    column: str | None = None,
    **fixed: str,
) -> str:
    """Return the whole partition of this run, such as ``ds=20261120,region=east``.

    As :func:`partition_value`; ``fixed`` names further columns with fixed values, instead of the task's:
    ``partition_spec(region="east")``.
    """
    return str(_spec(context, timezone, key_format, column, fixed))


def _spec(
    context: jinja2.runtime.Context,
    timezone: str | None,
    key_format: str | None,
    column: str | None,
    fixed: dict[str, str],
) -> PartitionSpec:
    options = _options_of_task_or_dag(context)
    first, *others = options.columns
    columns = (column or first, *(fixed or others))
    options = replace(
        options,
        columns=columns,
        fixed_values=tuple(fixed.values()) or options.fixed_values,
        timezone=timezone or options.timezone,
        key_format=key_format or options.key_format,
    )
    return partition_spec_from_context(cast("Context", context), options)


def _options_of_task_or_dag(context: jinja2.runtime.Context) -> PartitionOptions:
    dag = context["dag"]
    for task in (context["task"], *dag.tasks):
        partition = getattr(task, "partition", None)
        if isinstance(partition, PartitionOptions):
            return partition
    if isinstance(dag.timetable, OdpsPartitionTimetable):
        return dag.timetable.partition_options
    return PartitionOptions(timezone=dag.timezone.name)
