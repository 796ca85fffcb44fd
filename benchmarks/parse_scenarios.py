"""Makes DAGs of scenario files (--files); baselines: a loop written by hand, and dag-factory where it is.

Each figure is CPU seconds of a process of its own, after its imports. The loop reads the same YAML with the
C loader, and makes DAGs with the same tasks, documentation and params. "cold" is the first parse, "warm" that
of the next process. "task_start" is what a task's process needs to make its own DAG.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DAG_FACTORY_HOME = Path(sys.prefix) / "dag-factory"
"""Where ``make bench`` installs dag-factory."""
DEMO = Path(__file__).parents[1] / "dags/scenarios/driving_demo.yaml"

PRELUDE = """
import json, sys, time
from pathlib import Path
import yaml
from airflow.sdk import DAG, Param, get_parsing_context
from airflow_provider_drivepipe import operators
from airflow_provider_drivepipe.operators import MaxFrameSingleJobOperator, OssManifestOperator
folder = Path(sys.argv[1])
"""
OURS = """
from airflow_provider_drivepipe.factory import load_scenarios
load_scenarios(folder.parent / "one")
started = time.process_time()
dags = load_scenarios(folder)
print(time.process_time() - started, len(dags))
"""
OURS_START = """
from airflow_provider_drivepipe.factory import load_scenarios
from airflow_provider_drivepipe.pipelines.driving import family
started = time.process_time()
dags = load_scenarios(folder)
print(time.process_time() - started, len(dags))
"""
SAME = """
from airflow_provider_drivepipe.factory import load_scenarios
[dag] = load_scenarios(folder.parent / "one").values()
params = {name: param for name, param in ((name, dag.params.get_param(name)) for name in dag.params)}
print(json.dumps({
    "doc": dag.doc_md,
    "task_docs": {task.task_id: task.doc_md for task in dag.tasks},
    "params": {name: [p.value, p.description, p.schema] for name, p in params.items()},
}))
"""
LOOP = """
import pendulum
from airflow_provider_drivepipe.assets import table_asset
from airflow_provider_drivepipe.timetables.odps_partition import OnDemandPartitionTimetable

same = json.loads((folder.parent / "same.json").read_text())


def make(given):
    name = given["scenario_name"]
    with DAG(
        f"drivepipe_{name}",
        description=given["description"],
        schedule=OnDemandPartitionTimetable(timezone="Asia/Shanghai"),
        start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Shanghai"),
        catchup=False,
        max_active_runs=1,
        doc_md=same["doc"].replace("driving_demo", name),
        tags=["drivepipe", name],
        default_args={"owner": "airflow", "retries": 2, "deferrable": True},
        params={
            key: Param(value, description=description, **schema)
            for key, (value, description, schema) in same["params"].items()
        },
    ) as dag:
        videos = OssManifestOperator(
            task_id="manifest",
            doc_md=same["task_docs"]["manifest"].replace("driving_demo", name),
            bucket=given["oss_bucket"],
            prefix=given["oss_prefix"],
            output_table=given["video_input_table"],
            outlets=[table_asset(given["video_input_table"])],
        )
        frames = MaxFrameSingleJobOperator(
            task_id="video_labels",
            doc_md=same["task_docs"]["video_labels"].replace("driving_demo", name),
            source_table=given["video_input_table"],
            bucket=given["oss_bucket"],
            fps=given["frame_fps"],
            model=given["vlm_model"],
            label_schema=given["label_schema"],
            embedding_model=given["embedding_model"],
            embedding_dim=given["embedding_dim"],
            output_table=given["output_table"],
            outlets=[table_asset(given["output_table"])],
        )
        videos >> frames
    return dag


wanted = get_parsing_context().dag_id
make(yaml.load((folder.parent / "one" / "s0.yaml").read_text(), Loader=yaml.CSafeLoader))
started = time.process_time()
dags = {}
for path in sorted(folder.glob("*.yaml")):
    given = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
    if wanted in (None, f"drivepipe_{given['scenario_name']}"):
        dags[path] = make(given)
print(time.process_time() - started, len(dags))
"""
DAG_FACTORY = """
from dagfactory import load_yaml_dags
started = time.process_time()
found = {}
load_yaml_dags(globals_dict=found, dags_folder=str(folder.parent / "dag_factory"))
print(time.process_time() - started, len([each for each in found.values() if isinstance(each, DAG)]))
"""


def dag_factory_file(name: str, given: dict[str, object], same: dict[str, object]) -> str:
    """Return a scenario's DAG in dag-factory's own YAML; its timetable and its assets are left out."""
    text = json.dumps(same).replace("driving_demo", name)
    own = json.loads(text)
    operators = "airflow_provider_drivepipe.operators"
    videos = {
        "operator": f"{operators}.oss_manifest.OssManifestOperator",
        "doc_md": own["task_docs"]["manifest"],
        "bucket": given["oss_bucket"],
        "prefix": given["oss_prefix"],
        "output_table": given["video_input_table"],
    }
    frames = {
        "operator": f"{operators}.frame_extract.MaxFrameSingleJobOperator",
        "doc_md": own["task_docs"]["video_labels"],
        "source_table": given["video_input_table"],
        "output_table": given["output_table"],
        "bucket": given["oss_bucket"],
        "fps": given["frame_fps"],
        "model": given["vlm_model"],
        "label_schema": given["label_schema"],
        "embedding_model": given["embedding_model"],
        "embedding_dim": given["embedding_dim"],
        "dependencies": ["manifest"],
    }
    dag = {
        "description": given["description"],
        "schedule": None,
        "catchup": False,
        "max_active_runs": 1,
        "doc_md": own["doc"],
        "tags": ["drivepipe", name],
        "default_args": {"owner": "airflow", "retries": 2, "deferrable": True, "start_date": "2026-01-01"},
        "params": {
            key: {"__type__": "airflow.sdk.Param", "default": value, "description": said, **schema}
            for key, (value, said, schema) in own["params"].items()
        },
        "tasks": [{"task_id": "manifest", **videos}, {"task_id": "video_labels", **frames}],
    }
    return json.dumps({f"drivepipe_{name}": dag})  # JSON is YAML


def measured(code: str, folder: Path, wanted: str | None, count: int, packages: Path | None = None) -> float:
    """Return the CPU seconds that a process says it needed for ``count`` DAGs."""
    environment = {**os.environ, "AIRFLOW_HOME": str(folder.parent / "airflow")}
    environment["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    if packages:
        environment["PYTHONPATH"] = str(packages)
    if wanted:
        environment["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = wanted
    command = [sys.executable, "-W", "ignore", "-c", PRELUDE + code, str(folder)]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    seconds, made = out.splitlines()[-1].split()
    assert int(made) == count, out
    return float(seconds)


def same_texts(folder: Path) -> dict[str, object]:
    environment = {**os.environ, "AIRFLOW_HOME": str(folder.parent / "other")}
    command = [sys.executable, "-W", "ignore", "-c", PRELUDE + SAME, str(folder)]
    out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, object] = json.loads(out.splitlines()[-1].replace("s0", "driving_demo"))
    return found


def report(name: str, ours: float, baseline: float, unit: str) -> None:
    figures = {"ours": round(ours, 4), "baseline": round(baseline, 4)}
    print(json.dumps({"name": name, "ratio": round(baseline / ours, 2), **figures, "unit": unit}), flush=True)


def main() -> None:
    import yaml

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1000)
    count = parser.parse_args().files
    text = DEMO.read_text()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        folder = root / "scenarios"
        for place in ("scenarios", "one", "dag_factory"):
            (root / place).mkdir()
        (root / "one" / "s0.yaml").write_text(text.replace("driving_demo", "s0"))
        same = same_texts(folder)
        (root / "same.json").write_text(json.dumps(same))
        for i in range(count):
            content = text.replace("driving_demo", f"s{i}")
            (folder / f"s{i}.yaml").write_text(content)
            given = yaml.load(content, Loader=yaml.CSafeLoader)
            (root / "dag_factory" / f"s{i}.yaml").write_text(dag_factory_file(f"s{i}", given, same))
        unit = f"CPU s for {count:,} DAGs"
        cold = measured(OURS, folder, None, count)
        warm = measured(OURS, folder, None, count)
        loop = measured(LOOP, folder, None, count)
        report("dag_parse_vs_loop", cold, loop, f"{unit}, cold")
        report("dag_parse_vs_loop_warm", warm, loop, f"{unit}, warm")
        if DAG_FACTORY_HOME.exists():
            factory = measured(DAG_FACTORY, folder, None, count, DAG_FACTORY_HOME)
            report("dag_parse_vs_dag_factory", cold, factory, f"{unit}, cold")
            report("dag_parse_vs_dag_factory_warm", warm, factory, f"{unit}, warm")
        else:
            print(
                f"dag_parse_vs_dag_factory left out: no {DAG_FACTORY_HOME}, see make bench", file=sys.stderr
            )
        wanted = f"drivepipe_s{count // 2}"
        start, loop = measured(OURS_START, folder, wanted, 1), measured(LOOP, folder, wanted, 1)
        report("task_start", start, loop, f"CPU s for one DAG of {count:,}")


if __name__ == "__main__":
    main()
