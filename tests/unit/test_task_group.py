"""A scenario's tasks as a group in somebody's own DAG."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_drivepipe.factory import DrivepipeTaskGroup, build_dag
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from tests.example_dags import EXAMPLES

DEMO = EXAMPLES / "scenarios" / "driving_demo.yaml"
SPLIT = EXAMPLES / "scenarios" / "driving_split.yaml"


def test_groups_stand_in_a_dag_like_tasks() -> None:
    with DAG("own") as dag:
        start, end = EmptyOperator(task_id="start"), EmptyOperator(task_id="end")
        start >> DrivepipeTaskGroup(DEMO) >> DrivepipeTaskGroup(SPLIT, group_id="split") >> end
    assert {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks} == {
        "start": [],
        "driving_demo.manifest": ["start"],
        "driving_demo.video_labels": ["driving_demo.manifest"],
        "split.frames": ["driving_demo.video_labels"],
        "split.labels": ["split.frames"],
        "end": ["split.labels"],
    }
    shown = DagSerialization.to_dict(dag)["dag"]["task_group"]["children"]
    assert sorted(shown) == ["driving_demo", "end", "split", "start"]


def test_its_tasks_are_those_of_the_scenarios_own_dag() -> None:
    scenario = load_scenario(SPLIT)
    with DAG("own") as dag:
        DrivepipeTaskGroup(SPLIT, group_id="g")
    fields = ("stages", "partition", "output_table", "source_table", "scenario", "outlets", "gate")
    fields += ("later_models", "owner", "retries", "deferrable")
    for task in build_dag(scenario).tasks:
        here = dag.get_task(f"g.{task.task_id}")
        assert type(here) is type(task)
        for name in fields:
            assert getattr(here, name, None) == getattr(task, name, None), name


def test_defaults_of_the_dag_and_of_the_group_go_before_those_of_the_scenario() -> None:
    with DAG("own", default_args={"retries": 5, "owner": "us"}) as dag:
        DrivepipeTaskGroup(DEMO, default_args={"deferrable": False, "owner": "them"})
    task = dag.get_task("driving_demo.video_labels")
    assert (task.retries, task.owner, task.deferrable) == (5, "them", False)


def test_a_file_is_looked_for_beside_the_dag_file_and_all_its_problems_are_named(tmp_path: Path) -> None:
    shutil.copy(DEMO, tmp_path / "night.yaml")
    (tmp_path / "own.py").write_text(
        "from airflow.sdk import DAG\n"
        "from airflow_provider_drivepipe.factory import DrivepipeTaskGroup\n"
        "with DAG('own') as dag:\n"
        "    DrivepipeTaskGroup('night.yaml')\n"
    )
    dag = runpy.run_path(str(tmp_path / "own.py"))["dag"]
    assert sorted(dag.task_ids) == ["night.manifest", "night.video_labels"]
    (tmp_path / "night.yaml").write_text("scenario_name: Night\ninput_shap: oss_prefix\n")
    with pytest.raises(ScenarioError) as raised:
        runpy.run_path(str(tmp_path / "own.py"))
    assert {problem.key for problem in raised.value.problems} >= {"scenario_name", "input_shap", "targets"}
