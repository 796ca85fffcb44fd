"""A run with failed inputs says so in its notes, which the grid marks; also one of 'airflow dags test'."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DAG = """
from airflow.sdk import DAG, task
with DAG("noted") as dag:
    @task
    def fails(**context):
        failed = {"input": "oss://h/b/a.mp4", "stage": "s", "reason": "truncated", "message": "cut off"}
        value = {"summary": "1 failed: s truncated 1", "inputs": [failed], "query": "SELECT 1"}
        context["ti"].xcom_push(key="failures_sample", value=value)
    fails()
"""

RUN = """
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from airflow.utils.cli import get_bagged_dag
from airflow.utils.session import create_session
from airflow_provider_drivepipe.listener import on_dag_run_success

get_bagged_dag(None, "noted").test()
with create_session() as session:
    run = session.query(DagRun).one()
    [task] = run.get_task_instances(session=session)
    assert "task `fails`: 1 failed: s truncated 1" in run.note, run.note
    assert "a.mp4: s truncated: cut off" in task.note, task.note
    assert "SELECT 1" in task.note
    task.note = "the camera was changed that day"
    session.query(XComModel).delete()
    session.flush()
    on_dag_run_success(run)
    session.flush()
    session.expire_all()
    assert run.note is None, run.note
    assert task.note == "the camera was changed that day"
print("as it must be")
"""


def test_failed_inputs_are_in_the_notes_of_run_and_task(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "noted.py").write_text(DAG)
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
    }
    for command in (["-m", "airflow", "db", "migrate"], ["-c", RUN]):
        done = subprocess.run(
            [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "as it must be" in done.stdout
