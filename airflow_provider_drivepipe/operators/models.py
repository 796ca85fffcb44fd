"""What the operators that call models share: access to the models, and the rows that lack their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import StageRun
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.pipelines.stage_tables import WORK_COLUMN, StageTables, parts_of_todo
from airflow_provider_drivepipe.scenario.options import StageOptions

if TYPE_CHECKING:
    from airflow_provider_drivepipe.pipelines.context import ModelAccess
    from airflow_provider_drivepipe.worker.assemble import AssembleJob


def require_a_model(kind: type, *options: object) -> None:
    """Raise ValueError for an operator that is to call models and got the options of none."""
    if not any(options):
        raise ValueError(f"{kind.__name__} needs labels, embedding or label_embedding")


def given_labels(table: str, source: Sequence[Column], options: StageOptions) -> tuple[str, ...]:
    """Return the column with the labels that the input holds, if they are embedded, else nothing.

    Raises ConfigurationError when they are to be embedded and are not there.
    """
    if options.label_embedding is None or options.labels is not None:
        return ()
    types = {c.name: c.type for c in source}
    if "label_text" not in types:
        raise ConfigurationError(
            f"table {table} has no column label_text to embed (its columns: {', '.join(types)})"
        )
    if types["label_text"].lower() != "string":
        raise ConfigurationError(
            f"column label_text of table {table} is {types['label_text']}, not string; cast it in a view"
        )
    return ("label_text",)


def model_access(hook: MaxFrameHook, image_column: str, inline: bool = False) -> ModelAccess:
    """Return the model project, and how the model service reads images: column and key pair."""
    from airflow_provider_drivepipe.pipelines.context import ModelAccess

    key = hook.oss_settings.require_oss().access_key
    return ModelAccess(hook.settings.require_model_project(), key.id, key.secret, image_column, inline)


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
        label_embedding=options.label_embedding is not None,
    )


def models_behind(
    hook: MaxFrameHook,
    run: StageRun,
    counts: WorkCounts,
    access: ModelAccess,
    first_stage: Callable[[], Any],
    again: Callable[[Any], Any] | None = None,
) -> Any:
    """Return the lazy final rows of a task whose first stage makes the rows that models get.

    Rows of the first stage that are ok go through the models, the others pass by, and so do those beyond the
    budget. Published rows that only lack results of models join them.

    :param first_stage: gives the lazy rows of the units that are done from the start.
    :param again: what such published rows go through first, where models need more than the table holds.
    """
    import maxframe.dataframe as md

    pieces = rows_to_do(hook, run, counts, access, again)
    if counts.run:
        left = None if run.budget is None else run.budget.rows_left(counts.todo, run.tables.parts)
        pieces += _through_models(first_stage(), run, run.options, access, left)
    return pieces[0] if len(pieces) == 1 else md.concat(pieces)


def _through_models(
    rows: Any, run: StageRun, options: StageOptions, access: ModelAccess, in_budget: int | None = None
) -> list[Any]:
    """Return lazy final rows; of those that are ok, only the first ``in_budget`` go through the models."""
    from airflow_provider_drivepipe.pipelines.models import (
        beyond_budget,
        call_models,
        first_rows,
        pass_through,
    )

    job = assemble_job(run.tables, options)
    ok, rest = rows[rows["status"] == "ok"], rows[rows["status"] != "ok"]
    pieces = [pass_through(rest, job)]
    if in_budget is not None:
        ok, beyond = first_rows(ok, run.tables.row_key, in_budget)
        pieces.append(beyond_budget(beyond, job, str(run.tables.parts[0].stage)))
    return [call_models(ok, options, access, job), *pieces]


def rows_to_do(
    hook: MaxFrameHook,
    run: StageRun,
    counts: WorkCounts,
    access: ModelAccess,
    again: Callable[[Any], Any] | None = None,
) -> list[Any]:
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
        if again is not None:
            pieces += _through_models(again(rows), run, options, access)
        else:
            pieces.append(call_models(rows, options, access, assemble_job(run.tables, options)))
    return pieces
