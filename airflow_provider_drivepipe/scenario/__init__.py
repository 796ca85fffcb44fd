"""Scenario files, their plan and their text; no Airflow, no MaxFrame."""
