"""What the operators that call models share: access to the models, and how answers become rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import StageRun
from airflow_provider_drivepipe.scenario.options import ImageEmbeddingOptions, LabelOptions

if TYPE_CHECKING:
    from airflow_provider_drivepipe.pipelines.context import ModelAccess
    from airflow_provider_drivepipe.worker.assemble import AssembleJob


def model_access(hook: MaxFrameHook) -> ModelAccess:
    """Return the model project and the key pair with which the model service reads images."""
    from airflow_provider_drivepipe.pipelines.context import ModelAccess

    key = hook.oss_settings.require_oss().access_key
    return ModelAccess(hook.settings.require_model_project(), key.id, key.secret)


def assemble_job(
    run: StageRun, labels: LabelOptions | None, embedding: ImageEmbeddingOptions | None
) -> AssembleJob:
    """Return what the worker needs to know to turn answers into the rows of ``run``."""
    from airflow_provider_drivepipe.scenario.label_schemas import load_label_schema
    from airflow_provider_drivepipe.worker.assemble import AssembleJob

    schema = load_label_schema(labels.label_schema) if labels and labels.label_schema else None
    return AssembleJob(
        columns=tuple(c.name for c in run.columns),
        labels=labels is not None,
        embedding=embedding is not None,
        label_schema=schema,
        keep_raw_response=bool(labels and labels.keep_raw_response),
        dimension=embedding.dimension if embedding else None,
    )
