"""What MaxCompute says of a plan before it runs: how large the input is, what published rows took."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.contracts import Reason, Status
from airflow_provider_drivepipe.documents.estimate import Figure, Figures, Source
from airflow_provider_drivepipe.lifecycle.spending import count_frames, read_spending
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.sql import joined_text, quote_name, quote_text

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook

_OWNERS = ("video_path", "clip_id", "clip_dir")
"""Columns of what images come from."""


def measured(plan: Plan, value: str) -> Figures:
    """Return what can be counted in the input partition, and in the newest published partition.

    Raises an error of our tree when MaxCompute does not answer, CommandError without a connection.
    """
    with redirect_stdout(sys.stderr):
        # Airflow's log goes where stdout is when Airflow is imported; what this command prints is to be read.
        from airflow_provider_drivepipe.cli.command_hook import CommandHook
    hook = CommandHook(plan.conn_id, run_identity="drivepipe plan")
    first = next((task for task in plan.tasks if not task.is_listing), None)
    last = next((task for task in plan.tasks if task.models), None)
    if first is None:
        return Figures()
    if plan.models:
        hook.require_models(list(plan.models.values()))
    partition = _partition(plan, value)
    published = Figures() if last is None else _published(hook, plan, last)
    input_rows = _count(hook, first.source, partition)
    if not input_rows:
        return published
    note = f"{first.source} {partition.path()}"
    return Figures(units=Figure(input_rows, Source.MEASURED, note)).over(published)


def not_measured(plan: Plan, value: str, known: Figures) -> str:
    """Return what is not there to be measured."""
    first = next(task for task in plan.tasks if not task.is_listing)
    if known.units is None:
        return f"{first.source} has no rows in {_partition(plan, value).path()}, or is not there"
    return f"{plan.tasks[-1].output_table.name} has no published partition that says what a row takes"


def _partition(plan: Plan, value: str) -> PartitionSpec:
    return PartitionSpec(plan.partition.columns, (value, *plan.partition.fixed_values))


def _count(hook: MaxFrameHook, table: str, partition: PartitionSpec) -> int:
    """Return the rows of a partition, 0 when there is no such table."""
    if hook.table_comment(table) is None:
        return 0
    where = partition.sql(" AND ")
    return int(hook.execute_sql(f"SELECT COUNT(*) FROM {quote_name(table)} WHERE {where}")[0][0])


def _published(hook: MaxFrameHook, plan: Plan, task: TaskPlan) -> Figures:
    """Return what the newest partition of a task's table took that models have worked on."""
    table = task.output_table.name
    partition = newest_partition(hook, plan, table)
    if partition is None:
        return Figures()
    columns = {c.name for c in hook.table_columns(table)[0]}
    rows = f"(SELECT * FROM {quote_name(table)} WHERE {partition.sql(' AND ')})"
    note = f"{table} {partition.path()}"
    parts = [stage.part() for stage in task.row_stages]
    paid = [part.stage for part in parts if part.calls]
    asked, hours = read_spending(hook.execute_sql(count_frames(rows, columns, paid))[0])
    if not asked:
        return Figures()

    def figure(number: float | None) -> Figure | None:
        return None if number is None else Figure(float(f"{number:.6g}"), Source.MEASURED, note)

    kinds: dict[str, list[str]] = {}
    for part in parts:
        for column, kind in part.tokens.items():
            kinds.setdefault(f"{kind}_tokens", []).append(column)
    tokens = {
        name: figure(sum(map(float, hook.execute_sql(_mean_of(there, rows))[0])))
        for name, all_columns in kinds.items()
        if (there := [c for c in all_columns if c in columns])
    }
    owners = [name for name in _OWNERS if name in columns]
    if not owners:
        return Figures(**tokens)
    made, units = hook.execute_sql(_made(owners, rows))[0]
    return Figures(
        rows_per_unit=figure(made / units),
        hours_per_unit=figure(None if hours is None else hours / asked * made / units),
        **tokens,
    )


def newest_partition(hook: MaxFrameHook, plan: Plan, table: str) -> PartitionSpec | None:
    """Return the partition with the largest key, of those that this scenario's runs write."""
    if hook.table_comment(table) is None:
        return None
    with hook.errors():
        specs = [PartitionSpec.parse(str(p.partition_spec)) for p in hook.odps.get_table(table).partitions]
    fixed = plan.partition.fixed_values
    ours = [s for s in specs if s.columns == plan.partition.columns and s.values[1:] == fixed]
    return max(ours, key=lambda spec: spec.values[0], default=None)


def _mean_of(columns: list[str], rows: str) -> str:
    """The mean of each column over rows that were paid for."""
    means = ", ".join(f"COALESCE(AVG({quote_name(c)}), 0)" for c in columns)
    return f"SELECT {means} FROM {rows} r WHERE `status` = {quote_text(Status.OK)}"


def _made(owners: list[str], rows: str) -> str:
    """How many images were made for the models of how many input rows, those left out by a limit aside."""
    return (
        f"SELECT COUNT(`image_url`), COUNT(DISTINCT {joined_text(owners)}) FROM {rows} r "
        f"WHERE `status` <> {quote_text(Status.FILTERED)} AND `error_type` <> {quote_text(Reason.LIMIT)}"
    )
