"""One DAG per file that tests write into scenarios/."""

from pathlib import Path

from airflow_provider_drivepipe.factory import load_scenarios

FOLDER = Path(__file__).parent / "scenarios"
FOLDER.mkdir(exist_ok=True)

globals().update(load_scenarios(FOLDER))
