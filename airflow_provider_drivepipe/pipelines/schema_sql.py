"""The tables of a plan as a file of SQL: ``CREATE TABLE`` as the operators make them, and queries."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_drivepipe.contracts import (
    FRAME_COLUMNS,
    IMAGE_COLUMNS,
    KEYFRAME_COLUMNS,
    STATUS_COLUMNS,
    Column,
    Stage,
)
from airflow_provider_drivepipe.pipelines.keeping import KEPT_DAYS
from airflow_provider_drivepipe.pipelines.stage_sql import create_table
from airflow_provider_drivepipe.scenario.plan import Plan, StagePlan
from airflow_provider_drivepipe.scenario.queries import example_queries

_OWN_COLUMNS = {Stage.FRAME_EXTRACTION: FRAME_COLUMNS, Stage.KEYFRAME_EXPANSION: KEYFRAME_COLUMNS}
"""What stages that make several rows of an input row put before the columns of the input."""

Columns = Sequence[Column]


def schema_sql(plan: Plan, source_columns: Columns | None = None) -> str:
    """Return the statements for all tables of a plan, each with commented queries.

    :param source_columns: columns of the table that the plan starts from, without partition columns; they
        travel through to the output. While they are unknown, the statements of tables that get them are
        commented out: the first run would refuse a table that lacks them.
    """
    known: dict[str, Columns | None] = {plan.tasks[0].source: source_columns}
    blocks = [f"-- Tables of scenario {plan.scenario}, DAG {plan.dag_id}."]
    for task in plan.tasks:
        columns = table_columns(task, known[task.source])
        known[task.output_table.name] = columns
        blocks.append(_statement(plan, task, columns))
        blocks += [
            _commented(f"{query.question}\n{query.sql}") for query in example_queries(task, plan.partition)
        ]
    return "\n\n".join(blocks) + "\n"


def table_columns(task: StagePlan, source: Columns | None) -> Columns | None:
    """Return the columns of a task's table in the operator's order, None while they are not known.

    :param source: columns of the task's input table, None when they are not known.
    """
    planned = task.output_table.columns
    if task.lineage_known:
        return planned
    if source is None:
        return None
    own = _OWN_COLUMNS.get(task.stages[0], ())
    status = {c.name for c in STATUS_COLUMNS}
    taken = {c.name for c in own} | status
    if task.images:
        taken |= {c.name for c in IMAGE_COLUMNS}
    travelling = [c for c in source if c.name not in taken]
    before = {c.name for c in (*own, *travelling)}
    return (*own, *travelling, *(c for c in planned if c.name not in before))


def _statement(plan: Plan, task: StagePlan, columns: Columns | None) -> str:
    table = task.output_table
    sql = create_table(
        table.name,
        columns or table.columns,
        table.partition_columns,
        table.lifecycle_days,
        one_per_line=True,
    )
    head = f"-- {table.name}: written by task {task.task_id} ({', '.join(task.stages)})."
    if task.models:
        head += (
            f"\n-- {table.name}__kept: the same columns and partitions, for {KEPT_DAYS} days. Made by the"
            "\n-- task when rows leave a partition: what was paid for them comes back when their input does."
        )
    if columns is not None:
        return f"{head}\n{sql};"
    return (
        f"{head}\n"
        f"-- The further columns of {plan.tasks[0].source} travel through to this table, and they are not\n"
        "-- known here. Either leave the table to the first run, which creates it with them, or name the\n"
        "-- columns of the input: drivepipe schema FILE --source-columns 'video_path string, trip string'\n"
        f"{_commented(sql + ';')}"
    )


def _commented(text: str) -> str:
    return "\n".join(f"-- {line}" for line in text.splitlines())
