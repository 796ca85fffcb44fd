"""Ready-made queries of the tables of a plan: what failed, why, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_drivepipe.contracts import IMAGE_KEY, Status
from airflow_provider_drivepipe.scenario.options import PartitionOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec, example_key
from airflow_provider_drivepipe.scenario.plan import TaskPlan

_ROWS = 100
"""MaxCompute wants a LIMIT wherever rows are ordered."""


@dataclass(frozen=True)
class Query:
    """A statement and the question that it answers."""

    question: str
    sql: str


def example_partition(partition: PartitionOptions) -> PartitionSpec:
    """Return the partition that examples use."""
    return PartitionSpec(partition.columns, (example_key(partition.key_format), *partition.fixed_values))


def example_queries(task: TaskPlan, partition: PartitionOptions) -> list[Query]:
    """Return queries of the task's table that work as they are, for one partition."""
    names = [column.name for column in task.output_table.columns]
    table = "`" + task.output_table.name.replace(".", "`.`") + "`"
    where = f"WHERE {example_partition(partition).sql(' AND ')}"
    if "status" not in names:
        return [Query("How many rows are there?", f"SELECT COUNT(*) AS n\nFROM {table}\n{where};")]
    identifiers = [name for name in IMAGE_KEY if name in names] or names[:1]
    queries = [
        Query(
            "What failed, at which stage, and why?",
            f"SELECT status, error_stage, error_type, COUNT(*) AS n\nFROM {table}\n{where}\n"
            f"GROUP BY status, error_stage, error_type\nORDER BY n DESC LIMIT {_ROWS};",
        ),
        Query(
            "Which rows failed, and what was said?",
            f"SELECT {_listed([*identifiers, 'error_stage', 'error_type', 'error_msg', 'attempt'])}\n"
            f"FROM {table}\n{where} AND status = '{Status.FAILED}'\nLIMIT {_ROWS};",
        ),
    ]
    tokens = [name for stage in task.row_stages for name in stage.part().tokens]
    if tokens:
        sums = _listed([f"SUM({name}) AS {name}" for name in tokens])
        queries.append(Query("What did the models count?", f"SELECT {sums}\nFROM {table}\n{where};"))
    return queries


def _listed(items: Sequence[str]) -> str:
    return ",\n       ".join(items)
