"""Extra links shown on Airflow tasks."""
