"""Airflow operators, one module per operator."""
