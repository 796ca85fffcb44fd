"""Scenario to Airflow DAG: one DAG per scenario, one task per stage of its plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pendulum
from airflow.sdk import DAG, BaseOperator

from airflow_provider_drivepipe.assets import table_asset
from airflow_provider_drivepipe.factory.params import trigger_form
from airflow_provider_drivepipe.operators.frame_extract import MaxFrameFrameExtractOperator
from airflow_provider_drivepipe.operators.image_prepare import MaxFrameImagePrepareOperator
from airflow_provider_drivepipe.operators.keyframe_expand import MaxFrameKeyframeExpandOperator
from airflow_provider_drivepipe.operators.label import AiFuncLabelOperator
from airflow_provider_drivepipe.operators.oss_manifest import OssManifestOperator
from airflow_provider_drivepipe.operators.single_job import (
    MaxFrameClipLabelOperator,
    MaxFrameImageLabelOperator,
    MaxFrameSingleJobOperator,
)
from airflow_provider_drivepipe.scenario.describe import dag_doc
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan, StageKind, StagePlan, plan
from airflow_provider_drivepipe.timetables.odps_partition import (
    OdpsPartitionTimetable,
    OnDemandPartitionTimetable,
)

DEFAULT_RETRIES = 2


def build_dag(scenario: Scenario) -> DAG:
    """Return the DAG of a scenario; the same scenario always gives the same DAG."""
    steps = plan(scenario)
    with DAG(
        dag_id=scenario.dag_id,
        description=scenario.description or f"driving-video pipeline {scenario.scenario_name}",
        schedule=_timetable(scenario),
        start_date=pendulum.from_format(scenario.start_date, "YYYY-MM-DD", tz=scenario.timezone),
        catchup=False,
        max_active_runs=scenario.max_active_runs,
        doc_md=dag_doc(scenario, steps),
        tags=["drivepipe", scenario.scenario_name, *scenario.tags],
        default_args={"owner": scenario.owner, "retries": DEFAULT_RETRIES, "deferrable": True},
        params=trigger_form(steps, scenario.partition_value),
    ) as dag:
        previous: BaseOperator | None = None
        for step in steps.tasks:
            task = _BUILDERS[step.kind](steps, step)
            if previous is not None:
                previous >> task
            previous = task
    return dag


def _timetable(scenario: Scenario) -> OdpsPartitionTimetable:
    if scenario.schedule is None:
        return OnDemandPartitionTimetable(
            timezone=scenario.timezone,
            granularity=scenario.partition_granularity,
            key_format=scenario.key_format,
        )
    return OdpsPartitionTimetable(
        scenario.schedule,
        timezone=scenario.timezone,
        granularity=scenario.partition_granularity,
        lag=scenario.partition_lag,
        key_format=scenario.key_format,
    )


def _common(steps: Plan, step: StagePlan) -> dict[str, Any]:
    return {
        "task_id": step.task_id,
        "scenario": steps.scenario,
        "partition": steps.partition,
        "output_table": step.output_table,
        "gate": step.gate,
        "conn_id": steps.conn_id,
        "later_models": steps.models_behind(step),
        "outlets": [table_asset(step.output_table.name)],
    }


def _manifest(steps: Plan, step: StagePlan) -> BaseOperator:
    assert step.manifest is not None
    return OssManifestOperator(**_common(steps, step), options=step.manifest)


def _maxframe(steps: Plan, step: StagePlan) -> dict[str, Any]:
    return {
        **_common(steps, step),
        "source_table": step.source,
        "selection": steps.selection,
        "prices": steps.prices,
    }


def _models(step: StagePlan) -> dict[str, Any]:
    return {
        "labels": step.labels,
        "embedding": step.embedding,
        "label_embedding": step.label_embedding,
    }


def _frames(steps: Plan, step: StagePlan) -> BaseOperator:
    assert step.oss is not None
    return MaxFrameFrameExtractOperator(
        **_maxframe(steps, step), oss=step.oss, frames=step.frames, quality=step.quality
    )


def _single_job(steps: Plan, step: StagePlan) -> BaseOperator:
    assert step.oss is not None
    return MaxFrameSingleJobOperator(
        **_maxframe(steps, step), **_models(step), oss=step.oss, frames=step.frames, quality=step.quality
    )


def _keyframes(steps: Plan, step: StagePlan) -> BaseOperator:
    assert step.oss is not None
    return MaxFrameKeyframeExpandOperator(
        **_maxframe(steps, step), oss=step.oss, keyframes=step.keyframes, quality=step.quality
    )


def _clip_job(steps: Plan, step: StagePlan) -> BaseOperator:
    assert step.oss is not None
    return MaxFrameClipLabelOperator(
        **_maxframe(steps, step),
        **_models(step),
        oss=step.oss,
        keyframes=step.keyframes,
        quality=step.quality,
    )


def _images(steps: Plan, step: StagePlan) -> BaseOperator:
    assert step.oss is not None
    return MaxFrameImagePrepareOperator(**_maxframe(steps, step), oss=step.oss, images=step.images)


def _image_job(steps: Plan, step: StagePlan) -> BaseOperator:
    assert step.oss is not None
    return MaxFrameImageLabelOperator(
        **_maxframe(steps, step), **_models(step), oss=step.oss, images=step.images
    )


def _labels(steps: Plan, step: StagePlan) -> BaseOperator:
    return AiFuncLabelOperator(
        **_maxframe(steps, step),
        **_models(step),
        image_column=step.image_column,
        oss_root=step.image_root,
    )


_BUILDERS: dict[StageKind, Callable[[Plan, StagePlan], BaseOperator]] = {
    StageKind.MANIFEST: _manifest,
    StageKind.FRAMES: _frames,
    StageKind.SINGLE_JOB: _single_job,
    StageKind.KEYFRAMES: _keyframes,
    StageKind.CLIP_JOB: _clip_job,
    StageKind.IMAGES: _images,
    StageKind.IMAGE_JOB: _image_job,
    StageKind.LABELS: _labels,
}
