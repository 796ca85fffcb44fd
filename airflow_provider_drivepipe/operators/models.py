"""What the operators that call models share: access to the models, and the rows that lack their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import StageRun
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.pipelines.stage_tables import WORK_COLUMN, StageTables, parts_of_todo
from airflow_provider_drivepipe.scenario.options import StageOptions

if TYPE_CHECKING:
    from airflow_provider_drivepipe.pipelines.context import ModelAccess
    from airflow_provider_drivepipe.worker.assemble import AssembleJob


def model_access(hook: MaxFrameHook) -> ModelAccess:
    """Return the model project and the key pair with which the model service reads images."""
    from airflow_provider_drivepipe.pipelines.context import ModelAccess

    key = hook.oss_settings.require_oss().access_key
    return ModelAccess(hook.settings.require_model_project(), key.id, key.secret)


def assemble_job(tables: StageTables, options: StageOptions) -> AssembleJob:
    """Return what the worker needs to know to turn answers into the rows of ``tables``."""
    from airflow_provider_drivepipe.scenario.columns import flat_label_fields
    from airflow_provider_drivepipe.scenario.label_schemas import load_label_schema
    from airflow_provider_drivepipe.scenario.prompts import is_chinese
    from airflow_provider_drivepipe.worker.assemble import AssembleJob

    labels, embedding = options.labels, options.embedding
    schema = load_label_schema(labels.label_schema) if labels and labels.label_schema else None
    return AssembleJob(
        columns=tuple(c.name for c in tables.output_columns),
        labels=labels is not None,
        embedding=embedding is not None,
        label_schema=schema,
        keep_raw_response=bool(labels and labels.keep_raw_response),
        dimension=embedding.dimension if embedding else None,
        repair_rounds=labels.repair_rounds if labels else 0,
        repair_in_chinese=labels is not None and is_chinese(labels.prompt),
        label_fields=tuple((f.property, f.column, f.type) for f in flat_label_fields(labels)),
    )


def rows_to_do(hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> list[Any]:
    """Return lazy final rows for rows that lack results of models: only what is missing is asked for."""
    import maxframe.dataframe as md

    from airflow_provider_drivepipe.pipelines.models import call_models

    pieces = []
    for work in counts.todo:
        missing = {part.stage for part in parts_of_todo(work)}
        options = run.options.only(missing)
        rows = md.read_odps_table(
            run.tables.rows_to_do, partitions=[f"{WORK_COLUMN.name}={work}"], odps_entry=hook.odps
        )
        pieces.append(call_models(rows, options, model_access(hook), assemble_job(run.tables, options)))
    return pieces
