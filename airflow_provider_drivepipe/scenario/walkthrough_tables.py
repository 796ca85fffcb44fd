"""Parts of the walkthrough: connection, settings, input and output tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from airflow_provider_drivepipe.contracts import (
    IMAGE_EMBEDDING_COLUMNS,
    LABEL_COLUMNS,
    LABEL_EMBEDDING_COLUMNS,
    RAW_RESPONSE_COLUMN,
    STATUS_COLUMNS,
    Stage,
)
from airflow_provider_drivepipe.scenario.markdown import (
    NOTHING,
    code,
    codes,
    paragraph,
    plain,
    section,
    table,
)
from airflow_provider_drivepipe.scenario.model import Scenario, Target
from airflow_provider_drivepipe.scenario.plan import Plan, StageKind, StagePlan
from airflow_provider_drivepipe.scenario.stage_guide import STAGES, InputColumn

_ALWAYS_SHOWN = (
    "partition_col",
    "partition_granularity",
    "timezone",
    "schedule",
    "reprocess",
    "max_row_attempts",
    "max_failure_rate",
    "min_rows",
    "max_active_runs",
    "meta_lifecycle",
)


def connection_and_settings(scenario: Scenario, plan: Plan) -> str:
    """Return which fields of the Airflow connection are needed, and the settings that the scenario makes."""
    return section(
        "## Connection and settings",
        paragraph(
            f"Airflow connection {code(plan.conn_id)} of type `drivepipe`. Credentials stand there and",
            "nowhere else.",
        ),
        table(["field", "needed", "meaning"], _connection_fields(plan)),
        _python_version(plan),
        "The scenario's settings, with its defaults:",
        table(["key", "value", "meaning"], _settings(scenario, plan)),
    )


def _runs_maxframe(plan: Plan) -> bool:
    return any(task.kind is not StageKind.MANIFEST for task in plan.tasks)


def _connection_fields(plan: Plan) -> Iterator[list[str]]:
    yield ["`host`", "yes", "endpoint of MaxCompute"]
    yield ["`login`, `password`", "yes", "access key pair of a RAM user who may use project and bucket"]
    yield ["`project`", "yes", "MaxCompute project that jobs run in and tables live in"]
    yield ["`region`", "yes", "region of MaxCompute, and of OSS unless `oss_region` names another"]
    yield ["`oss_endpoint`", "yes", "endpoint of OSS, as in `oss://<endpoint>/<bucket>/<key>`"]
    if any(task.oss for task in plan.tasks):
        yield ["`oss_role_arn`", "yes", "RAM role that workers mount the bucket with"]
    if any(task.models for task in plan.tasks):
        yield ["`model_project`", "yes", "MaxCompute project that holds the models"]
    if _runs_maxframe(plan):
        yield ["`dpe_python_version`", "no", "Python of the workers' image, 3.11 unless you use your own"]
    yield ["`quota_name`", "no", "MaxCompute quota of SQL and jobs"]


def _python_version(plan: Plan) -> str:
    if not _runs_maxframe(plan):
        return ""
    return paragraph(
        "Airflow's workers run the same minor version of Python as the workers' image",
        "(`dpe_python_version`): functions travel as byte code.",
    )


def _settings(scenario: Scenario, plan: Plan) -> Iterator[list[str]]:
    keys = list(_ALWAYS_SHOWN)
    if any(task.frames for task in plan.tasks):
        keys = ["frame_fps", "frame_sample_count", "frames_prefix", "ffmpeg_timeout_sec", *keys]
    if any(task.keyframes for task in plan.tasks):
        keys = ["clip_id_column", "clip_dir_column", "keyframe_count", "keyframe_stride", *keys]
    if any(task.images for task in plan.tasks):
        keys = ["prepared_images", "prepared_prefix", "image_longest_side", "image_exact_size", *keys]
    if any(task.oss or task.manifest for task in plan.tasks):
        keys = ["oss_bucket", "oss_root", "oss_mount_path", *keys]
    for key in keys:
        value = getattr(scenario, key)
        if value not in (None, ""):
            yield [code(key), code(value), plain(Scenario.model_fields[key].description or "")]
    for quality in (task.quality for task in plan.tasks if task.quality):
        for key in quality.rules():
            description = Scenario.model_fields[key].description or ""
            yield [code(key), code(getattr(quality, key)), plain(description)]


def input_expected(plan: Plan) -> str:
    """Return what the first task reads: a listing, or a table with its columns."""
    first = plan.tasks[0]
    if first.manifest:
        place = "{" + plan.partition.columns[0] + "}"
        below = f"below {code(first.manifest.prefix)}" if first.manifest.prefix else "as a whole"
        return section(
            "## Input",
            paragraph(
                f"The bucket {code(first.manifest.bucket)} is listed {below}. Objects whose names end in",
                f"{codes(first.manifest.video_extensions)} are videos. {code(place)} in `oss_prefix` becomes",
                "the partition's value.",
            ),
        )
    rows = [[code(c.name), "yes" if c.needed else "no", c.meaning] for c in _columns_read(first)]
    return section(
        "## Input",
        paragraph(
            f"The table {code(first.source)} has to exist, partitioned by {codes(plan.partition.columns)}",
            "(string). A run reads the same partition that it writes.",
        ),
        table(["column", "needed", "meaning"], rows),
        _travelling(first),
    )


def _columns_read(first: StagePlan) -> list[InputColumn]:
    """Return the columns that the first task reads, under the names that the scenario gives them."""
    columns = list(STAGES[first.stages[0]].reads)
    if first.keyframes:
        names = {
            "clip_id": first.keyframes.clip_id_column,
            "clip_dir": first.keyframes.clip_dir_column,
            "start_ms": first.keyframes.start_column,
            "end_ms": first.keyframes.end_column,
        }
        columns = [replace(c, name=name) for c in columns if (name := names[c.name]) is not None]
    embeds_given = first.label_embedding is not None and first.labels is None
    if embeds_given and first.stages[0] is not Stage.LABEL_EMBEDDING:
        columns += STAGES[Stage.LABEL_EMBEDDING].reads
    return columns


def _travelling(first: StagePlan) -> str:
    if first.lineage_known:
        return ""
    return paragraph(
        "Its further columns travel through to the output, unchanged. They must not have the names of",
        f"columns that the output has for itself ({codes(c.name for c in STATUS_COLUMNS)} and those below),",
        "and not start with `drivepipe_`.",
    )


def output_tables(plan: Plan) -> str:
    """Return the tables that the tasks write, column by column."""
    lifecycle = plan.tasks[0].output_table.lifecycle_days
    parts = [
        paragraph(
            "Created by the first run unless they exist, partitioned by",
            f"{codes(plan.partition.columns)} (string). A reader sees the old partition or the new one,",
            "never a half of it.",
            f"Partitions expire after {lifecycle} days." if lifecycle else "",
        )
    ]
    for task in plan.tasks:
        rows = [[code(c.name), c.type, plain(c.comment)] for c in task.output_table.columns]
        parts.append(
            section(
                f"### {task.output_table.name}",
                f"Written by task {code(task.task_id)}.",
                table(["column", "type", "meaning"], rows),
                "" if task.lineage_known else f"And the further columns of {code(plan.tasks[0].source)}.",
            )
        )
    return section("## Output tables", *parts)


def left_out(plan: Plan) -> str:
    """Return which columns are deliberately absent, and why."""
    rows = [
        [code(task.output_table.name), *row] for task in plan.tasks for row in _absent_columns(task, plan)
    ]
    return section("### Left out on purpose", table(["table", "columns", "why", "to get them"], rows))


def _absent_columns(task: StagePlan, plan: Plan) -> Iterator[list[str]]:
    """Yield columns, why they are not there, and what would bring them."""
    if task.manifest:
        why = "a row is a video that was found; what was left out is counted in the report"
        yield [codes(c.name for c in STATUS_COLUMNS), why, NOTHING]
        return
    yield ["the image itself", "`image_url` says where in OSS it is", NOTHING]
    there = {c.name for c in task.output_table.columns}
    later = [other for other in plan.tasks[plan.tasks.index(task) + 1 :] if other.models]
    if later and not task.models:
        added = codes(c.name for c in later[0].output_table.columns if c.name not in there)
        yield [added, f"task {code(later[0].task_id)} adds them", f"read {code(later[0].output_table.name)}"]
        return
    for target, columns, setting in (
        (Target.LABELING, LABEL_COLUMNS, "vlm_model"),
        (Target.EMBEDDING, IMAGE_EMBEDDING_COLUMNS, "embedding_model"),
        (Target.LABEL_EMBEDDING, LABEL_EMBEDDING_COLUMNS, "label_embedding_model"),
    ):
        if not there.intersection(c.name for c in columns):
            why = f"the target {code(target)} is not asked for"
            yield [codes(c.name for c in columns), why, f"add it to `targets`, and {code(setting)}"]
    if task.labels and not task.labels.label_schema:
        yield ["`label_json_valid`", "answers are free text", "set `label_schema`"]
    if task.labels and not task.labels.keep_raw_response:
        why = "raw responses are long; `label_text` has the answer"
        yield [code(RAW_RESPONSE_COLUMN.name), why, "set `keep_raw_response: true`"]
