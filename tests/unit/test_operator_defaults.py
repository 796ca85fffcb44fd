"""Arguments of the operators that Airflow's configuration or a DAG's ``default_args`` decide."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from airflow.sdk import DAG, BaseOperator, ExceptionRetryPolicy

from airflow_provider_drivepipe.operators.label import AiFuncLabelOperator
from airflow_provider_drivepipe.operators.oss_manifest import OssManifestOperator
from airflow_provider_drivepipe.operators.retry import drivepipe_retry_policy
from airflow_provider_drivepipe.scenario.options import (
    ImageEmbeddingOptions,
    LabelEmbeddingOptions,
    LabelOptions,
    ManifestOptions,
    PartitionOptions,
    TableOptions,
)
from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor

EMBEDDING = ImageEmbeddingOptions("m")


def label_operator(**more) -> AiFuncLabelOperator:
    given = {"embedding": EMBEDDING, **more}
    return AiFuncLabelOperator(
        task_id="label",
        scenario="s",
        partition=PartitionOptions(),
        source_table="images",
        output_table=TableOptions("labels", ()),
        **given,
    )


def manifest_operator(**more) -> OssManifestOperator:
    return OssManifestOperator(
        task_id="manifest",
        scenario="s",
        partition=PartitionOptions(),
        options=ManifestOptions("bucket", ""),
        output_table=TableOptions("videos", ()),
        **more,
    )


def sensor(**more) -> OdpsPartitionSensor:
    return OdpsPartitionSensor(task_id="wait", table="t", **more)


@pytest.mark.parametrize("make", [label_operator, manifest_operator, sensor])
def test_a_retry_policy_of_the_dag_stands(make) -> None:
    mine = ExceptionRetryPolicy(rules=[])

    def policy(operator: BaseOperator) -> dict[str, object]:
        return operator.retry_policy.serialize()

    with DAG("with_policy", default_args={"retry_policy": mine}):
        assert policy(make()) == mine.serialize()
    with DAG("without_policy", default_args={"retries": 1}):
        assert policy(make()) == drivepipe_retry_policy().serialize()
    assert policy(make(retry_policy=mine)) == mine.serialize()
    assert make(retry_policy=None).retry_policy is None


@pytest.mark.parametrize("make", [label_operator, sensor])
def test_default_args_say_where_to_wait(make) -> None:
    with DAG("waits", default_args={"deferrable": True}):
        assert make().deferrable
    with DAG("waits_elsewhere", default_args={"deferrable": True}):
        assert not make(deferrable=False).deferrable


@pytest.mark.parametrize(
    ("given", "stage"),
    [
        ({"labels": LabelOptions("m", "p"), "embedding": EMBEDDING}, "label"),
        ({"embedding": EMBEDDING}, "image_embedding"),
        ({"embedding": None, "label_embedding": LabelEmbeddingOptions("m")}, "label_embedding"),
    ],
)
def test_a_task_reports_the_stage_that_it_has(given, stage) -> None:
    assert label_operator(**given).stage_name == stage


def test_airflow_says_where_operators_wait_by_default() -> None:
    code = (
        "from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor as S\n"
        "from airflow_provider_drivepipe.operators.single_job import MaxFrameSingleJobOperator as O\n"
        "import inspect; from airflow_provider_drivepipe.operators.base import MaxFrameStageOperator as B\n"
        "print(S(task_id='t', table='t').deferrable, inspect.signature(B).parameters['deferrable'].default)"
    )
    for value in ("True", "False"):
        environment = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": value}
        said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert said.split()[-2:] == [value, value]
