"""Datasets of OpenLineage: named as assets are, and known before a task has looked at anything."""

import pytest
from airflow.providers.common.compat.openlineage.utils.utils import translate_airflow_asset

from airflow_provider_drivepipe.assets import table_asset
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.lineage import Data
from airflow_provider_drivepipe.operators import FrameSearchOperator, OssManifestOperator
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor
from tests.example_dags import EXAMPLES


def names(datasets):
    return [f"{each.namespace} {each.name}" for each in datasets]


def tables(datasets):
    return {name for name in names(datasets) if name.startswith("odps:")}


@pytest.mark.parametrize("table", ["labels", "Fleet.Labels"])
def test_a_table_is_named_as_its_asset_is(table):
    asset = table_asset(table)
    data = Data.of_table(table)
    assert f"{data.namespace}/{data.name}" == asset.uri
    assert names([translate_airflow_asset(asset, None)]) == names([data])


@pytest.mark.parametrize(
    ("root", "prefix", "name"),
    [
        ("videos", "trips/{ds}/", "oss://videos trips"),
        ("videos", "", "oss://videos /"),
        ("oss://oss-cn-shanghai.aliyuncs.com/videos/team", "frames", "oss://videos team/frames"),
    ],
)
def test_a_folder_is_named_by_bucket_and_prefix(root, prefix, name):
    assert names([Data.of_folder(root, prefix)]) == [name]


@pytest.mark.parametrize("file", sorted((EXAMPLES / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_tasks_of_a_scenario_are_linked_by_their_tables(file):
    dag = build_dag(load_scenario(file))
    written = set()
    for task in dag.topological_sort():
        lineage = task.get_openlineage_facets_on_start()
        assert tables(lineage.outputs) == {f"odps://default {task.output_table}"}
        assert lineage.inputs
        if task.upstream_task_ids:
            assert tables(lineage.inputs) & written
        written |= tables(lineage.outputs)


def test_folders_are_datasets_too():
    reasoning = build_dag(load_scenario(EXAMPLES / "scenarios" / "reasoning_demo.yaml"))
    outputs = {
        name
        for task in reasoning.tasks
        for name in names(task.get_openlineage_facets_on_start().outputs)
        if name.startswith("oss:")
    }
    manifest = OssManifestOperator(task_id="m", bucket="b", prefix="trips/{ds}/", output_table="t")
    assert names(manifest.get_openlineage_facets_on_start().inputs) == ["oss://b trips"]
    assert outputs == {"oss://drivepipe-demo reasoning_demo", "oss://drivepipe-demo reasoning_demo_export"}


def test_a_search_and_a_sensor_read_their_table():
    search = FrameSearchOperator(
        task_id="s", source_table="frames", output_table="hits", model="m", query="a van"
    )
    sensor = OdpsPartitionSensor(task_id="w", table="fleet.trips")
    assert names(search.get_openlineage_facets_on_start().inputs) == ["odps://default frames"]
    lineage = sensor.get_openlineage_facets_on_start()
    assert names(lineage.inputs) == ["odps://fleet trips"]
    assert lineage.outputs == []
