"""Arguments of the operators that Airflow's configuration or a DAG's ``default_args`` decide."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from airflow.sdk import DAG, BaseOperator, ExceptionRetryPolicy

from airflow_provider_drivepipe.operators import (
    AiFuncEmbedOperator,
    AiFuncGenerateOperator,
    AiFuncLabelOperator,
    MaxFrameClipLabelOperator,
    MaxFrameFrameExtractOperator,
    MaxFrameImageLabelOperator,
    MaxFrameImagePrepareOperator,
    MaxFrameKeyframeExpandOperator,
    MaxFrameSingleJobOperator,
    OssManifestOperator,
)
from airflow_provider_drivepipe.operators.retry import drivepipe_retry_policy
from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor

TABLES = {"source_table": "images", "output_table": "labels"}


def label_operator(**more) -> AiFuncLabelOperator:
    return AiFuncLabelOperator(task_id="label", **TABLES, embedding_model="m", **more)


def manifest_operator(**more) -> OssManifestOperator:
    return OssManifestOperator(task_id="manifest", bucket="bucket", output_table="videos", **more)


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
    ("operator", "given", "stage"),
    [
        (AiFuncLabelOperator, {"model": "m", "embedding_model": "m"}, "label"),
        (AiFuncLabelOperator, {"embedding_model": "m"}, "image_embedding"),
        (AiFuncLabelOperator, {"label_embedding_model": "m"}, "label_embedding"),
        (AiFuncGenerateOperator, {"model": "m", "prompt": "p", "name": "reason"}, "reason"),
        (AiFuncEmbedOperator, {"model": "m", "column": "note"}, "embedding"),
        (MaxFrameFrameExtractOperator, {"bucket": "b"}, "frame_extraction"),
        (MaxFrameKeyframeExpandOperator, {"bucket": "b"}, "keyframe_expansion"),
        (MaxFrameImagePrepareOperator, {"bucket": "b"}, "image_preparation"),
        (MaxFrameSingleJobOperator, {"bucket": "b", "model": "m"}, "video_labels"),
        (MaxFrameClipLabelOperator, {"bucket": "b", "embedding_model": "m"}, "clip_labels"),
        (MaxFrameImageLabelOperator, {"bucket": "b", "model": "m"}, "image_labels"),
    ],
)
def test_a_task_reports_the_stage_that_it_has(operator, given, stage) -> None:
    assert operator(task_id="t", **TABLES, **given).stage_name == stage


@pytest.mark.parametrize(
    ("operator", "given", "said"),
    [
        (AiFuncLabelOperator, {}, "name a model"),
        (AiFuncLabelOperator, {"embedding_model": "m", "prompt": "p"}, "prompt"),
        (MaxFrameSingleJobOperator, {"bucket": "b"}, "name a model"),
        (AiFuncEmbedOperator, {"model": "m"}, "either column or image_column"),
        (MaxFrameKeyframeExpandOperator, {"bucket": "b", "count": 1, "stride": 1}, "not by both"),
    ],
)
def test_arguments_that_do_not_go_together_are_named_when_a_dag_is_parsed(operator, given, said) -> None:
    with pytest.raises(ValueError, match=said):
        operator(task_id="t", **TABLES, **given)


def test_airflow_says_where_operators_wait_by_default() -> None:
    code = (
        "from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor as S\n"
        "import inspect; from airflow_provider_drivepipe.operators import MaxFrameStageOperator as B\n"
        "print(S(task_id='t', table='t').deferrable, inspect.signature(B).parameters['deferrable'].default)"
    )
    for value in ("True", "False"):
        environment = {**os.environ, "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": value}
        said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert said.split()[-2:] == [value, value]
