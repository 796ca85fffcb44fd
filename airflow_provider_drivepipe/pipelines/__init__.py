"""Lazy MaxFrame graphs, one module per stage; no Airflow."""
