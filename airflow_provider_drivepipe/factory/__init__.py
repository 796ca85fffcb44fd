"""Scenario to Airflow DAG."""

from airflow_provider_drivepipe.factory.dags import build_dag
from airflow_provider_drivepipe.factory.loader import load_scenarios

__all__ = ["build_dag", "load_scenarios"]
