"""DAGs from scenario files: light, deterministic, and independent of each other."""

import json
import os
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest

HEAVY = ["pandas", "numpy", "maxframe", "odps", "pyarrow", "av", "duckdb", "cv2", "sqlglot", "openlineage"]
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
    """Whatever hashes are, and whether what the files become is made or kept from a process before."""
    folder = str(EXAMPLES / "scenarios")
    seeds = ("1", "2", "3")
    made, *kept = (run(SERIALIZE, {**airflow_env, "PYTHONHASHSEED": seed}, folder) for seed in seeds)
    assert len(made.splitlines()) == 10
    assert kept == [made, made]


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


COUNTED = """
import sys
from collections import Counter
from pathlib import Path
from unittest import mock
from airflow.sdk.definitions.context import AirflowParsingContext
from airflow_provider_drivepipe.factory import compiled, loader
from airflow_provider_drivepipe.pipelines import loading
folder, wanted = Path(sys.argv[1]), sys.argv[2] or None
did = Counter()

def counted(module, name, key, real):
    def count(*arguments):
        did[key(*arguments)] += 1
        return real(*arguments)
    return mock.patch.object(module, name, count)

with (
    mock.patch.object(loader, "get_parsing_context", lambda: AirflowParsingContext(wanted, "t")),
    counted(Path, "read_bytes", lambda path: path.name, Path.read_bytes),
    counted(loading, "_LOADER", lambda *_: "YAML", loading._LOADER),
    counted(compiled, "plan", lambda *_: "plans", compiled.plan),
    counted(loader, "dag_of", lambda *_: "DAGs", loader.dag_of),
):
    for path in sys.argv[3:]:
        (folder / path).write_text((folder / path).read_text() + "owner: changed\\n")
    dags = loader.load_scenarios(folder)
print(sorted(dags))
print({key: did[key] for key in sorted(did)})
"""


@pytest.fixture
def folder(tmp_path):
    """Twelve scenarios; the file of one is named after something else."""
    text = (EXAMPLES / "scenarios" / "driving_demo.yaml").read_text()
    folder = tmp_path / "scenarios"
    folder.mkdir()
    (folder / "defaults.yaml").write_text("description: of all\n")
    for i in range(12):
        (folder / f"{'other' if i == 7 else f's{i}'}.yaml").write_text(text.replace("driving_demo", f"s{i}"))
    return folder


def work(env, folder, wanted="", changed=()):
    *_, dags, did = run(COUNTED, env, str(folder), wanted, *changed).splitlines()
    return literal_eval(dags), literal_eval(did)


def test_a_task_s_own_start_reads_the_file_of_its_dag_alone(airflow_env, folder):
    dags, did = work(airflow_env, folder, "drivepipe_s3")
    assert dags == ["drivepipe_s3"]
    assert did == {"DAGs": 1, "YAML": 2, "defaults.yaml": 1, "plans": 1, "s3.yaml": 1}
    _, did = work(airflow_env, folder, "drivepipe_s3")
    assert did == {"DAGs": 1, "defaults.yaml": 1, "s3.yaml": 1}


def test_a_file_named_otherwise_is_found_by_the_name_in_it(airflow_env, folder):
    dags, did = work(airflow_env, folder, "drivepipe_s7")
    assert dags == ["drivepipe_s7"]
    assert (did["YAML"], did["plans"], did["DAGs"]) == (2, 1, 1)


@pytest.mark.parametrize("wanted", ["somebody_s_dag", "drivepipe_nothing"])
def test_a_task_of_another_dag_builds_none(airflow_env, folder, wanted):
    assert work(airflow_env, folder, wanted)[0] == []


def test_of_two_files_with_one_name_the_dag_and_its_tasks_take_the_same(airflow_env, folder):
    (folder / "a_copy.yaml").write_text((folder / "s3.yaml").read_text() + "owner: copy\n")
    dags, _ = work(airflow_env, folder)
    assert "drivepipe_broken_a_copy" in dags
    assert "drivepipe_s3" in dags
    assert "a_copy.yaml" not in work(airflow_env, folder, "drivepipe_s3")[1]


def test_only_what_has_changed_is_made_again(airflow_env, folder):
    dags, did = work(airflow_env, folder)
    assert len(dags) == 12
    # Defaults are parsed once.
    assert (did["YAML"], did["plans"], did["DAGs"]) == (13, 12, 12)
    dags, did = work(airflow_env, folder, changed=["s5.yaml"])
    assert (did["YAML"], did["plans"], did["DAGs"]) == (2, 1, 12)
    assert {did[f"s{i}.yaml"] for i in (0, 1, 2)} == {1}


IMPORTED = """
import sys
from pathlib import Path
from unittest import mock
from airflow.sdk.definitions.context import AirflowParsingContext
from airflow_provider_drivepipe.factory import loader
with mock.patch.object(loader, "get_parsing_context", lambda: AirflowParsingContext(sys.argv[2], "t")):
    loader.load_scenarios(Path(sys.argv[1]))
print([m for m in sys.argv[3:] if f"airflow_provider_drivepipe.{m}" in sys.modules or m in sys.modules])
"""


def test_a_task_s_own_start_imports_what_its_dag_needs(airflow_env, folder):
    unwanted = ["pipelines.reasoning.plan", "pipelines.retrieval.plan", "documents.walkthrough"]
    unwanted += ["airflow.models.deadline", *HEAVY]
    run(COUNTED, airflow_env, str(folder), "drivepipe_s3")
    out = run(IMPORTED, airflow_env, str(folder), "drivepipe_s3", "factory.dags", *unwanted)
    assert out.splitlines()[-1] == "['factory.dags']"


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
