"""Scenario to Airflow DAG."""
