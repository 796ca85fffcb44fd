"""One DAG per file in scenarios/."""

from pathlib import Path

from airflow_provider_drivepipe.factory import load_scenarios

globals().update(load_scenarios(Path(__file__).parent / "scenarios"))
