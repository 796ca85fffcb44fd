"""The tasks of a scenario, in whatever DAG or group they are made."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import groupby
from typing import Any

from airflow.sdk import BaseOperator, TaskGroup

from airflow_provider_drivepipe import operators
from airflow_provider_drivepipe.assets import table_asset
from airflow_provider_drivepipe.factory.compiled import CompiledScenario
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan

DEFAULT_RETRIES = 2


def default_arguments(scenario: Scenario) -> dict[str, Any]:
    """Return the ``default_args`` of a scenario's tasks."""
    return {"owner": scenario.owner, "retries": DEFAULT_RETRIES, "deferrable": True}


def build_tasks(compiled: CompiledScenario, *, grouped: bool) -> None:
    """Make the tasks of a scenario, one behind the other, in the DAG and the group that are open.

    :param grouped: whether tasks of a plan's group are shown as one. Their ids stay as they are, so in a
        group of somebody's own they cannot be.
    """
    previous: BaseOperator | None = None
    documented = zip(compiled.plan.tasks, compiled.task_docs, strict=True)
    for group, members in groupby(documented, key=lambda member: member[0].group if grouped else ""):
        with TaskGroup(group, prefix_group_id=False) if group else nullcontext():
            for step, doc in members:
                task = _task(compiled.plan, step, doc)
                if previous is not None:
                    previous >> task
                previous = task


def _task(steps: Plan, step: TaskPlan, doc: str) -> BaseOperator:
    arguments: dict[str, Any] = {
        "task_id": step.task_id,
        "doc_md": doc,
        "stages": step.stages,
        "scenario": steps.scenario,
        "partition": steps.partition,
        "output_table": step.output_table.name,
        "lifecycle_days": step.output_table.lifecycle_days,
        "gate": step.gate,
        "conn_id": steps.conn_id,
        "report_of": steps,
        "later_models": steps.models_behind(step),
        "outlets": [table_asset(step.output_table.name)],
    }
    if not step.is_listing:
        arguments |= {"source": step.gather} if step.gather else {"source_table": step.source}
    if step.is_job:
        arguments |= {
            "selection": steps.selection,
            "prices": steps.prices,
            "image_root": step.image_root,
            "unit_key": step.unit_key,
        }
    task: BaseOperator = getattr(operators, step.operator)(**arguments)
    return task
