"""The trigger form of a scenario's DAG: what a person may choose for one run."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from airflow_provider_drivepipe.scenario.options import PartitionOptions, Reprocess
from airflow_provider_drivepipe.scenario.partition import example_key, key_pattern
from airflow_provider_drivepipe.scenario.partition_calendar import unit_name
from airflow_provider_drivepipe.scenario.plan import Plan
from airflow_provider_drivepipe.scenario.run_params import MAX_LIMIT


def trigger_form(plan: Plan, partition_value: str | None) -> dict[str, Param]:
    """Return the DAG's params: the partition, and those that its tasks can make something of.

    :param partition_value: what the form proposes as partition.
    """
    column = plan.partition.columns[0]
    pattern = key_pattern(plan.partition.key_format)
    form = {
        column: Param(
            partition_value,
            type=["null", "string"],
            title=f"Partition value ({column})",
            description=(
                f"for example {example_key(plan.partition.key_format)}; empty: the run's partition key or "
                f"logical date decides, and without them it is {_default_partition(plan.partition)}"
            ),
            pattern=pattern or ".*",
        )
    }
    if not all(task.is_listing for task in plan.tasks):
        form["reprocess"] = Param(
            str(plan.selection.reprocess),
            type="string",
            enum=[str(mode) for mode in Reprocess],
            title="Which rows to work on",
            description=(
                "changed: what is new, failed or made by another configuration. failed: what is new or "
                "failed, however often; what is ok stays. all: everything, paid again"
            ),
        )
        by = plan.selection.limit_by
        form["limit"] = Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=MAX_LIMIT,
            title="Row limit (pilot run)" if by is None else f"Limit of {by} (pilot run)",
            description=(
                f"each task works on its first so many {'input units' if by is None else by} only; "
                "the others are skipped"
            ),
        )
    form["allow_shrink"] = Param(
        False,
        type="boolean",
        title="Partitions may shrink",
        description=(
            f"for this run: publish also where more than {plan.tasks[0].gate.max_shrink:.0%} of the ok rows "
            "go. What was paid for them is kept for 30 days"
        ),
    )
    if any(task.is_listing for task in plan.tasks):
        form["allow_empty"] = Param(
            False,
            type="boolean",
            title="The listing may be empty",
            description="for this run: publish an empty manifest when no video is found",
        )
    for param in plan.run_params.values():
        shape: dict[str, Any] = {"pattern": param.pattern} if param.pattern else {}
        shape |= {"format": "multiline"} if param.multiline else {}
        form[param.name] = Param(
            None, type=["null", "string"], title=param.title, description=param.description, **shape
        )
    return form


def _default_partition(options: PartitionOptions) -> str:
    unit, lag = unit_name(options.granularity), options.default_lag
    which = {0: f"the {unit} of its start", 1: f"the {unit} before its start"}
    return f"{which.get(lag or 0, f'{lag} {unit}s before its start')} ({options.timezone})"
