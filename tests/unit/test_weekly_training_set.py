"""The example DAG over daily label partitions: light to parse, and scheduled by whole weeks."""

import json

from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable

from airflow_provider_drivepipe.factory.dags import build_dag
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from tests.example_dags import EXAMPLES, example
from tests.unit.test_factory import HEAVY, PARSE, airflow_env, run

__all__ = ["airflow_env"]


def test_parsing_imports_nothing_heavy(airflow_env):
    out = run(PARSE, airflow_env, str(EXAMPLES / "weekly_training_set.py"), ",".join(HEAVY)).splitlines()
    assert out[-2:] == ["['dag']", "[]"]


def test_it_listens_to_the_labels_of_the_demo():
    demo = build_dag(load_scenario(EXAMPLES / "scenarios" / "driving_demo.yaml"))
    published = [asset for task in demo.tasks for asset in task.outlets]
    assert example("weekly_training_set").dag.timetable.asset_condition in published


def test_a_week_is_its_monday_and_needs_seven_days():
    encoded = json.loads(json.dumps(encode_timetable(example("weekly_training_set").dag.timetable)))
    mapper = decode_timetable(encoded).default_partition_mapper
    assert [mapper.to_downstream(day) for day in ("20261115", "20261116", "20261122", "20261123")] == [
        "20261109",
        "20261116",
        "20261116",
        "20261123",
    ]
    assert mapper.to_upstream("20261228") == {
        *("20261228", "20261229", "20261230", "20261231"),
        *("20270101", "20270102", "20270103"),
    }
    assert mapper.to_partition_date("20261116").isoformat() == "2026-11-16T00:00:00+08:00"
