"""Asset events in a real Airflow database: who starts on them, and who does not.

Runs the producer with ``dag.test()`` and asks the scheduler's own code which runs it would create; no process
of Airflow is started.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.example_dags import EXAMPLES

DAYS = [f"202611{day}" for day in range(16, 23)]

DAGS = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, PartitionedAssetTimetable, Param, task
from airflow_provider_drivepipe.assets import publish_asset_events, table_asset

labels = table_asset("driving_demo_labels")

with DAG("labels", schedule=None, params={"gate_fails": Param(False), "ds": Param("")}):

    @task(outlets=[labels])
    def publish(**context):
        from airflow_provider_drivepipe.scenario.partition import PartitionSpec

        partition = PartitionSpec(("ds",), (context["params"]["ds"],))
        publish_asset_events(context, context["ti"].task.outlets, {"ok": 3}, partition)
        if context["params"]["gate_fails"]:
            raise RuntimeError("gate")

    publish()

with DAG("daily", schedule=PartitionedAssetTimetable(assets=labels), catchup=False):
    EmptyOperator(task_id="use")

with DAG("without_partitions", schedule=[labels], catchup=False):
    EmptyOperator(task_id="use")
"""

SCRIPT = """
import json, sys
from pathlib import Path

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.asset import AssetDagRunQueue, AssetEvent
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.cli import get_bagged_dag
from airflow.utils.session import create_session
from sqlalchemy import select

folder, result, days = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
bag = DagBag(folder, bundle_path=Path(folder), bundle_name="dags-folder")
assert not bag.import_errors, bag.import_errors
DagBundlesManager().sync_bundles_to_db()
sync_bag_to_db(bag, "dags-folder", None)
with create_session() as session:
    for model in session.scalars(select(DagModel)):
        model.is_paused = False

def publish(day, gate_fails=False):
    get_bagged_dag(None, "labels").test(run_conf={"ds": day, "gate_fails": gate_fails})

def runs():
    with create_session() as session:
        SchedulerJobRunner(job=Job(), num_runs=1)._create_dagruns_for_partitioned_asset_dags(session)
    with create_session() as session:
        found = session.scalars(select(DagRun).where(DagRun.dag_id != "labels").order_by(DagRun.id))
        date = lambda run: run.partition_date and run.partition_date.isoformat()
        return [(run.dag_id, run.partition_key, date(run)) for run in found]

seen = {}
for day in days[:-1]:
    publish(day)
publish(days[-1], gate_fails=True)
seen["six days and a failed one"] = runs()
publish(days[-1])
seen["seven days"] = runs()
publish(days[2])
seen["one day again"] = runs()
with create_session() as session:
    seen["events"] = [(e.partition_key, e.extra) for e in session.scalars(select(AssetEvent))]
    seen["queued without partition"] = [q.target_dag_id for q in session.scalars(select(AssetDagRunQueue))]
Path(result).write_text(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("assets")
    dags = folder / "dags"
    dags.mkdir()
    (dags / "labels.py").write_text(DAGS)
    shutil.copy(EXAMPLES / "weekly_training_set.py", dags)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")} | {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow.db'}",
    }

    def python(*arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    python("-m", "airflow", "db", "migrate")
    result = folder / "seen.json"
    python("-c", SCRIPT, str(dags), str(result), ",".join(DAYS))
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def of(dag: str, runs: list[list[Any]]) -> list[Any]:
    return [key for dag_id, key, _ in runs if dag_id == dag]


def test_each_success_is_an_event_of_its_partition(seen):
    assert seen["events"] == [
        [day, {"partition": f"ds={day}", "report": {"ok": 3}}] for day in [*DAYS, DAYS[2]]
    ]


def test_a_failed_task_starts_nothing(seen):
    assert of("daily", seen["six days and a failed one"]) == DAYS[:-1]
    assert of("weekly_training_set", seen["six days and a failed one"]) == []


def test_one_run_per_day_and_one_per_week(seen):
    assert of("daily", seen["seven days"]) == DAYS
    weeks = [run for run in seen["seven days"] if run[0] == "weekly_training_set"]
    assert weeks == [["weekly_training_set", "20261116", "2026-11-15T16:00:00+00:00"]]


def test_a_repaired_day_runs_the_day_again_but_not_the_week(seen):
    assert of("daily", seen["one day again"]) == [*DAYS, DAYS[2]]
    assert of("weekly_training_set", seen["one day again"]) == ["20261116"]


def test_a_bare_asset_schedule_does_not_hear_of_partitions(seen):
    assert seen["queued without partition"] == []
    assert of("without_partitions", seen["one day again"]) == []
