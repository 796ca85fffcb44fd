"""Scenario to Airflow DAG: one DAG per scenario, one task per stage of its plan."""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, BaseOperator

from airflow_provider_drivepipe import operators
from airflow_provider_drivepipe.assets import table_asset
from airflow_provider_drivepipe.documents.dag_doc import dag_doc
from airflow_provider_drivepipe.factory.params import trigger_form
from airflow_provider_drivepipe.pipelines.driving.plan import plan
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.timetables.odps_partition import (
    OdpsPartitionTimetable,
    OnDemandPartitionTimetable,
)

DEFAULT_RETRIES = 2


def build_dag(scenario: Scenario) -> DAG:
    """Return the DAG of a scenario; the same scenario always gives the same DAG."""
    steps = plan(scenario)
    with DAG(
        dag_id=scenario.dag_id,
        description=scenario.description or f"driving-video pipeline {scenario.scenario_name}",
        schedule=_timetable(scenario),
        start_date=pendulum.from_format(scenario.start_date, "YYYY-MM-DD", tz=scenario.timezone),
        catchup=False,
        max_active_runs=scenario.max_active_runs,
        doc_md=dag_doc(scenario, steps),
        tags=["drivepipe", scenario.scenario_name, *scenario.tags],
        default_args={"owner": scenario.owner, "retries": DEFAULT_RETRIES, "deferrable": True},
        params=trigger_form(steps, scenario.partition_value),
    ) as dag:
        previous: BaseOperator | None = None
        for step in steps.tasks:
            task = _task(steps, step)
            if previous is not None:
                previous >> task
            previous = task
    return dag


def _timetable(scenario: Scenario) -> OdpsPartitionTimetable:
    if scenario.schedule is None:
        return OnDemandPartitionTimetable(
            timezone=scenario.timezone,
            granularity=scenario.partition_granularity,
            key_format=scenario.key_format,
        )
    return OdpsPartitionTimetable(
        scenario.schedule,
        timezone=scenario.timezone,
        granularity=scenario.partition_granularity,
        lag=scenario.partition_lag,
        key_format=scenario.key_format,
    )


def _task(steps: Plan, step: TaskPlan) -> BaseOperator:
    arguments: dict[str, Any] = {
        "task_id": step.task_id,
        "stages": step.stages,
        "scenario": steps.scenario,
        "partition": steps.partition,
        "output_table": step.output_table.name,
        "lifecycle_days": step.output_table.lifecycle_days,
        "gate": step.gate,
        "conn_id": steps.conn_id,
        "later_models": steps.models_behind(step),
        "outlets": [table_asset(step.output_table.name)],
    }
    if not step.is_listing:
        arguments |= {
            "source_table": step.source,
            "selection": steps.selection,
            "prices": steps.prices,
            "image_root": step.image_root,
        }
    task: BaseOperator = getattr(operators, step.operator)(**arguments)
    return task
