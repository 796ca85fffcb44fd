"""The tables of a plan as a file of SQL: ``CREATE TABLE`` as the operators make them, and queries."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.documents.queries import example_queries
from airflow_provider_drivepipe.documents.tables import lineage_of
from airflow_provider_drivepipe.lifecycle.keeping import KEPT_DAYS
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables, lay_out
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.sql import create_table
from airflow_provider_drivepipe.stages.source import Source

Columns = Sequence[Column]


def schema_sql(plan: Plan, source_columns: Columns | None = None) -> str:
    """Return the statements for all tables of a plan, each with commented queries.

    :param source_columns: columns of the table that the plan starts from, without partition columns; they
        travel through to the output. While they are unknown, the statements of tables that get them are
        commented out: the first run would refuse a table that lacks them.

    Raises ConfigurationError, as a run does, when these do not fit.
    """
    known: dict[str, Columns | None] = {plan.tasks[0].source: source_columns}
    blocks = [f"-- Tables of scenario {plan.scenario}, DAG {plan.dag_id}."]
    for task in plan.tasks:
        columns = table_columns(task, known.get(task.source))
        known[task.output_table.name] = columns
        blocks.append(_statement(plan, task, columns))
        blocks += [
            _commented(f"{query.question}\n{query.sql}") for query in example_queries(task, plan.partition)
        ]
    return "\n\n".join(blocks) + "\n"


def table_columns(task: TaskPlan, source: Columns | None) -> Columns | None:
    """Return the columns of a task's table in the operator's order, None while they are not known.

    :param source: columns of the task's input table, None when they are not known.

    Raises ConfigurationError, as a run does, when these do not fit the task.
    """
    table = task.output_table
    read = task.gather or Source.of_table(task.source)
    if task.lineage_known or (source is None and read.is_table):
        return table.columns if task.lineage_known else None
    partition = PartitionSpec(table.partition_columns, table.partition_columns)
    working = WorkingTables.of(table.name, partition, "")
    columns = read.unit_columns(source or ())
    return lay_out(task.stages, read, columns, table.name, partition, working, task.unit_key).output_columns


def _statement(plan: Plan, task: TaskPlan, columns: Columns | None) -> str:
    table = task.output_table
    sql = create_table(
        table.name,
        columns or table.columns,
        table.partition_columns,
        table.lifecycle_days,
        one_per_line=True,
    )
    head = f"-- {table.name}: written by task {task.task_id} ({', '.join(task.stage_names)})."
    if task.models:
        head += (
            f"\n-- {table.name}__kept: the same columns and partitions, for {KEPT_DAYS} days. Made by the"
            "\n-- task when rows leave a partition: what was paid for them comes back when their input does."
        )
    if columns is not None:
        return f"{head}\n{sql};"
    return (
        f"{head}\n"
        f"-- The further columns of {lineage_of(plan, task)} travel through to this table, and they are not\n"
        "-- known here. Either leave the table to the first run, which creates it with them, or name the\n"
        "-- columns of the input: drivepipe schema FILE --source-columns 'video_path string, trip string'\n"
        f"{_commented(sql + ';')}"
    )


def _commented(text: str) -> str:
    return "\n".join(f"-- {line}" for line in text.splitlines())
