"""Scenario to Airflow DAG, or to a group of tasks in somebody's own."""

from airflow_provider_drivepipe.factory.dags import build_dag
from airflow_provider_drivepipe.factory.loader import load_scenarios
from airflow_provider_drivepipe.factory.task_group import DrivepipeTaskGroup

__all__ = ["DrivepipeTaskGroup", "build_dag", "load_scenarios"]
