"""What MaxCompute says of a plan before it runs: how large the input is, what published rows took."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

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
    if first is None:
        return Figures()
    if plan.models:
        hook.require_models(list(plan.models.values()))
    partition = _partition(plan, value)
    asking = [task for task in plan.tasks if task.models]
    if len(asking) > 1:
        published = _published_by_tasks(hook, plan, first, asking)
    else:
        published = _published(hook, plan, asking[0]) if asking else Figures()
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
    asked, hours = read_spending(hook.execute_sql(count_frames(rows, columns, paid).sql)[0])
    if not asked:
        return Figures()

    def figure(number: float | None) -> Figure | None:
        return None if number is None else _measured(number, note)

    tokens: dict[str, Any] = {
        name: figure(sum(map(float, hook.execute_sql(_mean_of(there, rows))[0])))
        for name, all_columns in _token_columns(task).items()
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


def _published_by_tasks(hook: MaxFrameHook, plan: Plan, first: TaskPlan, asking: list[TaskPlan]) -> Figures:
    """Return what each task took in the newest partition that all of them have published."""
    partition = newest_partition(hook, plan, asking[-1].output_table.name)
    if partition is None:
        return Figures()
    where = partition.sql(" AND ")
    table = first.output_table.name
    columns = {c.name for c in hook.table_columns(table)[0]}
    owners = joined_text([name for name in _OWNERS if name in columns])
    length = "SUM(`duration_ms`)" if "duration_ms" in columns else "NULL"
    units, milliseconds = hook.execute_sql(
        f"SELECT COUNT(DISTINCT {owners}), {length} FROM {quote_name(table)} "
        f"WHERE {where} AND `error_type` <> {quote_text(Reason.LIMIT)}"
    )[0]
    if not units:
        return Figures()
    note = f"{table} {partition.path()}"
    hours = None if milliseconds is None else _measured(milliseconds / 3_600_000 / units, note)
    return Figures(
        hours_per_unit=hours, tasks={task.task_id: _taken(hook, task, partition, units) for task in asking}
    )


def _taken(hook: MaxFrameHook, task: TaskPlan, partition: PartitionSpec, units: int) -> Figures:
    """Return of a task how many of its rows models answered for, for each input row, and their tokens."""
    kinds = _token_columns(task)
    all_columns = [f"COALESCE({quote_name(c)}, 0)" for columns in kinds.values() for c in columns]
    sums = ", ".join(
        f"SUM({' + '.join(f'COALESCE({quote_name(c)}, 0)' for c in each)})" for each in kinds.values()
    )
    table = task.output_table.name
    asked, *tokens = hook.execute_sql(
        f"SELECT SUM(CASE WHEN {' + '.join(all_columns)} > 0 THEN 1 ELSE 0 END), {sums} "
        f"FROM {quote_name(table)} WHERE {partition.sql(' AND ')}"
    )[0]
    note = f"{table} {partition.path()}"
    if not asked:
        return Figures(rows_per_unit=_measured(0, note))
    taken: dict[str, Any] = {
        name: _measured(total / asked, note) for name, total in zip(kinds, tokens, strict=True)
    }
    return Figures(rows_per_unit=_measured(asked / units, note), **taken)


def _token_columns(task: TaskPlan) -> dict[str, list[str]]:
    """Return the columns with tokens of a task's table, by the name of their figure."""
    kinds: dict[str, list[str]] = {}
    for stage in task.row_stages:
        for column, kind in stage.part().tokens.items():
            kinds.setdefault(f"{kind}_tokens", []).append(column)
    return kinds


def _measured(number: float, note: str) -> Figure:
    return Figure(float(f"{number:.6g}"), Source.MEASURED, note)


def newest_partition(hook: MaxFrameHook, plan: Plan, table: str) -> PartitionSpec | None:
    """Return the partition with the largest key, of those that this scenario's runs write."""
    fixed = plan.partition.fixed_values
    ours = [
        s for s in hook.partitions(table) if s.columns == plan.partition.columns and s.values[1:] == fixed
    ]
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
