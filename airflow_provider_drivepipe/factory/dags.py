"""Scenario to Airflow DAG: one DAG per scenario, one task per stage of its plan."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import pendulum
from airflow.sdk import DAG
from airflow.sdk.configuration import conf
from airflow.sdk.definitions.param import ParamsDict

from airflow_provider_drivepipe.factory.compiled import CompiledScenario, compile_scenario
from airflow_provider_drivepipe.factory.params import trigger_form
from airflow_provider_drivepipe.factory.tasks import build_tasks, default_arguments
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.options import Granularity
from airflow_provider_drivepipe.timetables.odps_partition import (
    OdpsPartitionTimetable,
    OnDemandPartitionTimetable,
)


def build_dag(scenario: Scenario) -> DAG:
    """Return the DAG of a scenario; the same scenario always gives the same DAG."""
    return dag_of(compile_scenario(scenario))


def dag_of(compiled: CompiledScenario) -> DAG:
    """Return the DAG of a compiled scenario."""
    scenario = compiled.scenario
    with DAG(
        dag_id=scenario.dag_id,
        description=scenario.description or f"driving-video pipeline {scenario.scenario_name}",
        schedule=_timetable(
            scenario.schedule,
            scenario.timezone,
            scenario.partition_granularity,
            scenario.partition_lag,
            scenario.key_format,
        ),
        start_date=pendulum.from_format(scenario.start_date, "YYYY-MM-DD", tz=scenario.timezone),
        catchup=False,
        max_active_runs=scenario.max_active_runs,
        doc_md=compiled.doc,
        tags=["drivepipe", scenario.scenario_name, *scenario.tags],
        default_args=default_arguments(scenario),
        **_configured(),
    ) as dag:
        build_tasks(compiled, grouped=True)
    # Behind the tasks, each of which would copy them several times. A run takes them from the DAG.
    dag.params = ParamsDict(trigger_form(compiled.plan, scenario.partition_value))
    return dag


@cache
def _configured() -> dict[str, Any]:
    """Return what Airflow's configuration says of DAGs; each would look it up anew, which is slow."""
    return {
        "max_active_tasks": conf.getint("core", "max_active_tasks_per_dag"),
        "max_consecutive_failed_dag_runs": conf.getint("core", "max_consecutive_failed_dag_runs_per_dag"),
        "disable_bundle_versioning": conf.getboolean("dag_processor", "disable_bundle_versioning"),
    }


@lru_cache(maxsize=256)
def _timetable(
    schedule: str | None, timezone: str, granularity: Granularity, lag: int, key_format: str
) -> OdpsPartitionTimetable:
    """Return a timetable; DAGs with the same schedule share it, for a cron expression is slow to read."""
    if schedule is None:
        return OnDemandPartitionTimetable(timezone=timezone, granularity=granularity, key_format=key_format)
    return OdpsPartitionTimetable(
        schedule, timezone=timezone, granularity=granularity, lag=lag, key_format=key_format
    )
