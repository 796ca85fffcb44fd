"""Scenario to Airflow DAG: one DAG per scenario, one task per stage of its plan."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_provider_drivepipe.documents.dag_doc import dag_doc
from airflow_provider_drivepipe.factory.params import trigger_form
from airflow_provider_drivepipe.factory.tasks import build_tasks, default_arguments
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.timetables.odps_partition import (
    OdpsPartitionTimetable,
    OnDemandPartitionTimetable,
)


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
        default_args=default_arguments(scenario),
        params=trigger_form(steps, scenario.partition_value),
    ) as dag:
        build_tasks(steps, grouped=True)
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
