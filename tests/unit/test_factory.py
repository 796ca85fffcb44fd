"""DAGs from scenario files: light, deterministic, and independent of each other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ["pandas", "numpy", "maxframe", "odps", "pyarrow", "av", "duckdb", "cv2", "sqlglot"]
EXAMPLES = Path(__file__).parents[2] / "dags"


@pytest.fixture
def airflow_env(tmp_path, monkeypatch):
    for key, value in {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }.items():
        monkeypatch.setenv(key, value)
    return dict(os.environ)


def run(code, env, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PARSE = """
import sys, runpy
found = runpy.run_path(sys.argv[1])
from airflow.sdk import DAG
print(sorted(k for k, v in found.items() if isinstance(v, DAG)))
print([m for m in sys.argv[2].split(",") if m in sys.modules])
"""


def test_parsing_the_examples_imports_nothing_heavy(airflow_env):
    out = run(PARSE, airflow_env, str(EXAMPLES / "drivepipe_scenarios.py"), ",".join(HEAVY)).splitlines()
    files = sorted((EXAMPLES / "scenarios").glob("*.yaml"))
    assert len(files) == 10
    assert out[-2] == str([f"drivepipe_{file.stem}" for file in files])
    assert out[-1] == "[]"


SERIALIZE = """
import sys, json
from pathlib import Path
from airflow_provider_drivepipe.factory import load_scenarios
from airflow.serialization.serialized_objects import DagSerialization
for dag in load_scenarios(Path(sys.argv[1])).values():
    print(json.dumps(DagSerialization.to_dict(dag), sort_keys=True))
"""


def test_the_same_files_give_the_same_dags_in_every_process(airflow_env):
    folder = str(EXAMPLES / "scenarios")
    assert run(SERIALIZE, airflow_env, folder) == run(SERIALIZE, airflow_env, folder)


BAG = """
import sys, structlog
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.dag_processing.processor import _serialize_dags
folder = sys.argv[1]
bag = DagBag(folder, bundle_path=Path(folder), bundle_name="dags-folder")
good, errors = _serialize_dags(bag, structlog.get_logger())
print("RESULT", sorted(d.dag_id for d in good), bag.import_errors, sorted(errors))
print("ERROR", errors.get("scenarios/broken.yaml", "").replace("\\n", " "))
"""


def test_broken_scenario_is_an_import_error_of_its_own(airflow_env, tmp_path):
    folder = tmp_path / "dags"
    (folder / "scenarios").mkdir(parents=True)
    for file in ("drivepipe_scenarios.py", "scenarios/driving_demo.yaml"):
        (folder / file).write_text((EXAMPLES / file).read_text())
    (folder / "scenarios" / "broken.yaml").write_text("scenario_name: broken\ninput_shap: oss_prefix\n")
    out = run(BAG, airflow_env, str(folder))
    assert "RESULT ['drivepipe_driving_demo'] {} ['scenarios/broken.yaml']" in out
    error = next(line for line in out.splitlines() if line.startswith("ERROR "))
    assert "broken.yaml:2: input_shap: unknown key; did you mean input_shape?" in error
    assert "Traceback" not in error
    assert ".py" not in error


CONTEXT = """
import sys
from pathlib import Path
from unittest import mock
from airflow.sdk.definitions.context import AirflowParsingContext
from airflow_provider_drivepipe.factory import loader
with mock.patch.object(loader, "get_parsing_context", lambda: AirflowParsingContext(sys.argv[2], "t")):
    print(sorted(loader.load_scenarios(Path(sys.argv[1]))))
"""


def test_a_task_run_builds_only_its_own_dag(airflow_env):
    out = run(CONTEXT, airflow_env, str(EXAMPLES / "scenarios"), "drivepipe_frames_only")
    assert out.splitlines()[-1] == "['drivepipe_frames_only']"


HUNDRED = """
import sys
from pathlib import Path
from airflow_provider_drivepipe.factory import load_scenarios
from airflow_provider_drivepipe.pipelines import loading
folder = Path(sys.argv[1])
print(len(load_scenarios(folder)))
before = loading._load.cache_info().misses
(folder / "s7.yaml").write_text((folder / "s7.yaml").read_text() + "owner: changed\\n")
dags = load_scenarios(folder)
print(loading._load.cache_info().misses - before, dags["drivepipe_s7"].default_args["owner"])
"""


def test_hundred_scenarios_and_only_the_changed_one_is_read_again(airflow_env, tmp_path):
    text = (EXAMPLES / "scenarios" / "driving_demo.yaml").read_text()
    for i in range(100):
        (tmp_path / f"s{i}.yaml").write_text(text.replace("driving_demo", f"s{i}"))
    assert run(HUNDRED, airflow_env, str(tmp_path)).splitlines()[-2:] == ["100", "1 changed"]


FORM = """
import sys, json
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
dag = build_dag(DrivingScenario(**json.loads(sys.argv[1])))
print(json.dumps({
    "params": sorted(dag.params),
    "tasks": {t.task_id: sorted(t.downstream_task_ids) for t in dag.tasks},
    "timetable": type(dag.timetable).__name__,
    "fields": {t.task_id: list(t.template_fields) for t in dag.tasks},
    "policies": sorted({type(t.retry_policy).__name__ for t in dag.tasks}),
}))
"""


def test_split_video_dag_has_a_trigger_form_and_partitions_without_a_schedule(airflow_env):
    scenario = {
        "scenario_name": "s",
        "input_shape": "oss_prefix",
        "targets": ["manifest", "frame-extraction", "labeling"],
        "oss_bucket": "bucket",
        "video_input_table": "m",
        "output_table": "o",
        "vlm_model": "v",
        "split_video": True,
    }
    found = json.loads(run(FORM, airflow_env, json.dumps(scenario)).splitlines()[-1])
    assert found["params"] == [
        "allow_empty",
        "allow_shrink",
        "ds",
        "frame_fps",
        "label_prompt",
        "limit",
        "reprocess",
    ]
    assert found["tasks"] == {"manifest": ["frames"], "frames": ["labels"], "labels": []}
    assert found["timetable"] == "OnDemandPartitionTimetable"
    assert all("partition_spec" in fields for fields in found["fields"].values())
    assert found["policies"] == ["ExceptionRetryPolicy"]
    scenario.update(
        targets=["manifest"], output_table=None, vlm_model=None, split_video=None, schedule="@daily"
    )
    found = json.loads(run(FORM, airflow_env, json.dumps(scenario)).splitlines()[-1])
    assert found["params"] == ["allow_empty", "allow_shrink", "ds"]
    assert found["timetable"] == "OdpsPartitionTimetable"
