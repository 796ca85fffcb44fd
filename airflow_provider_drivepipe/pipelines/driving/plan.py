"""plan(scenario): which stages run, in which order, over which tables. Pure: scenario in, plan out."""

from __future__ import annotations

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column
from airflow_provider_drivepipe.pipelines.driving import models
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.images import ImagePreparation
from airflow_provider_drivepipe.pipelines.driving.keyframes import KeyframeExpansion
from airflow_provider_drivepipe.pipelines.driving.manifest import Manifest
from airflow_provider_drivepipe.pipelines.driving.options import (
    DEFAULT_QUALITY,
    FRAME_FILTERS,
    FrameOptions,
    ImageOptions,
    KeyframeOptions,
    ManifestOptions,
    OssOptions,
    PreparedImages,
    QualityOptions,
)
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario, InputShape, Target
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.prompts import full_name, load_prompt
from airflow_provider_drivepipe.stages.stage import RowStage, UnitStage

_IMAGE_URL = Column("image_url", "string", "full OSS URI of the image")
_LABEL_TEXT = Column("label_text", "string", "text of the label")
_OPERATORS = {
    FrameExtraction: ("MaxFrameFrameExtractOperator", "frames", "MaxFrameSingleJobOperator"),
    KeyframeExpansion: ("MaxFrameKeyframeExpandOperator", "keyframes", "MaxFrameClipLabelOperator"),
    ImagePreparation: ("MaxFrameImagePrepareOperator", "images", "MaxFrameImageLabelOperator"),
}
"""Operator and task id of a stage that makes rows of units, and the operator where models follow."""


def plan(scenario: DrivingScenario) -> Plan:
    """Return the plan of a validated scenario.

    ``oss_prefix`` starts with a manifest task. Frames, keyframes or prepared images with labels or embeddings
    are one single job with one final table, or with split-video two tasks with a table in between.
    """
    tasks = []
    if scenario.input_shape is InputShape.OSS_PREFIX:
        tasks.append(_manifest_task(scenario))
    if set(scenario.targets) != {Target.MANIFEST}:
        tasks += _work_tasks(scenario)
    return Plan.of(scenario, tasks)


def _listing(scenario: DrivingScenario) -> Manifest:
    return Manifest(
        ManifestOptions(
            scenario.bucket or "",
            scenario.oss_prefix,
            scenario.video_extensions,
            scenario.incremental,
            scenario.listing,
            scenario.workers,
        )
    )


def _manifest_task(scenario: DrivingScenario) -> TaskPlan:
    listing = _listing(scenario)
    return TaskPlan(
        task_id="manifest",
        operator="OssManifestOperator",
        stages=(listing,),
        source=f"oss://{listing.options.bucket}/{listing.options.prefix}",
        output_table=scenario.output(scenario.video_input_table or "", listing.columns()),
        lineage_known=True,
        gate=scenario.gate(scenario.allow_empty),
    )


def _work_tasks(scenario: DrivingScenario) -> list[TaskPlan]:
    """The tasks behind the manifest: the one that makes images, the one that prepares them, the models.

    Models are part of the task before them, unless the scenario asks for a table in between.
    """
    tasks: list[TaskPlan] = []
    units = _unit_stages(scenario)
    models_alone = scenario.is_split or not units
    for unit in units:
        last = unit is units[-1]
        rows = _row_stages(scenario, unit) if last and not models_alone else ()
        is_final = last and (not _row_stages(scenario, None) or bool(rows))
        between = scenario.prepared_table if isinstance(unit, ImagePreparation) else scenario.frames_table
        table = scenario.final_table if is_final else between
        tasks.append(_unit_task(scenario, unit, rows, tasks[-1] if tasks else None, table))
    rows = _row_stages(scenario, units[-1] if units else None, in_table=True) if models_alone else ()
    if rows:
        tasks.append(_models_task(scenario, rows, tasks[-1] if tasks else None))
    return tasks


def _unit_stages(scenario: DrivingScenario) -> list[UnitStage]:
    units: list[UnitStage] = []
    if scenario.input_shape in (InputShape.OSS_PREFIX, InputShape.VIDEO_TABLE):
        units.append(FrameExtraction(_oss(scenario), _frames(scenario), _quality(scenario)))
    if scenario.input_shape is InputShape.CLIP_DIR_TABLE:
        units.append(KeyframeExpansion(_oss(scenario), _keyframes(scenario), _quality(scenario)))
    if scenario.wants(Target.IMAGE_PREPARATION):
        units.append(ImagePreparation(_oss(scenario), _images(scenario)))
    return units


def _row_stages(
    scenario: DrivingScenario, behind: UnitStage | None, in_table: bool = False
) -> tuple[RowStage, ...]:
    """The stages that call models, in order.

    :param behind: the stage that makes the images.
    :param in_table: whether these come from its table instead of the same job.
    """
    image = Image("image_url")
    if isinstance(behind, ImagePreparation):
        image = Image("prepared_url") if in_table else behind.prepared_image
    made = (_label(scenario, image), _image_embedding(scenario, image), _label_embedding(scenario))
    return tuple(stage for stage in made if stage is not None)


def _unit_task(
    scenario: DrivingScenario,
    unit: UnitStage,
    rows: tuple[RowStage, ...],
    before: TaskPlan | None,
    table: str,
) -> TaskPlan:
    alone, task_id, with_models = _OPERATORS[type(unit)]
    own = unit.columns()
    own_names = {c.name for c in own}
    lineage = tuple(c for c in _travelling(scenario, before) if c.name not in own_names)
    first = (*lineage, *own) if isinstance(unit, ImagePreparation) else (*own, *lineage)
    return TaskPlan(
        task_id=unit.with_parts if rows else task_id,
        operator=with_models if rows else alone,
        stages=(unit, *rows),
        source=_source(scenario, before),
        output_table=scenario.output(table, (*first, *_part_columns(rows), *STATUS_COLUMNS)),
        lineage_known=_lineage_known(scenario, before),
        gate=scenario.gate(scenario.allow_empty),
    )


def _models_task(scenario: DrivingScenario, rows: tuple[RowStage, ...], before: TaskPlan | None) -> TaskPlan:
    """The task that only calls models, for rows that another task published or that are the input."""
    columns = (*_travelling(scenario, before), *_part_columns(rows), *STATUS_COLUMNS)
    return TaskPlan(
        task_id="labels" if scenario.wants(Target.LABELING) else "embeddings",
        operator="AiFuncLabelOperator",
        stages=rows,
        source=_source(scenario, before),
        output_table=scenario.output(scenario.final_table, columns),
        lineage_known=_lineage_known(scenario, before),
        gate=scenario.gate(scenario.allow_empty),
        image_root=scenario.oss_root,
    )


def _part_columns(rows: tuple[RowStage, ...]) -> tuple[Column, ...]:
    return tuple(column for stage in rows for column in stage.part().columns)


def _oss(scenario: DrivingScenario) -> OssOptions:
    return OssOptions(scenario.bucket or "", scenario.oss_root, scenario.oss_mount_path)


def _source(scenario: DrivingScenario, before: TaskPlan | None) -> str:
    if before is not None:
        return before.output_table.name
    listed = scenario.input_shape is InputShape.OSS_PREFIX
    return (scenario.video_input_table if listed else scenario.source_table) or ""


def _lineage_known(scenario: DrivingScenario, before: TaskPlan | None) -> bool:
    return before.lineage_known if before else scenario.input_shape is InputShape.OSS_PREFIX


def _travelling(scenario: DrivingScenario, before: TaskPlan | None) -> tuple[Column, ...]:
    """Columns of the input as far as they are known: those of our own tables, and those that are needed."""
    if before is not None:
        status = {c.name for c in STATUS_COLUMNS}
        return tuple(c for c in before.output_table.columns if c.name not in status)
    if scenario.input_shape is InputShape.OSS_PREFIX:
        return _listing(scenario).travelling()
    if scenario.input_shape is InputShape.IMAGE_TABLE:
        return (_IMAGE_URL,)
    if scenario.input_shape is InputShape.LABELED_IMAGE_TABLE:
        image = scenario.wants(Target.EMBEDDING) or scenario.wants(Target.IMAGE_PREPARATION)
        label = scenario.wants(Target.LABEL_EMBEDDING)
        return (*((_IMAGE_URL,) if image else ()), *((_LABEL_TEXT,) if label else ()))
    return ()


def _frames(scenario: DrivingScenario) -> FrameOptions:
    fps = None if scenario.frame_sample_count else (scenario.frame_fps or FrameOptions.fps)
    return FrameOptions(
        fps=fps,
        sample_count=scenario.frame_sample_count,
        sampling_rule=scenario.sampling_rule,
        frames_prefix=scenario.frames_prefix or scenario.scenario_name,
        snap_to_keyframe_ms=scenario.snap_to_keyframe_ms,
        image_format=scenario.frame_format,
        jpeg_quality=scenario.jpeg_quality,
        longest_side=scenario.frame_longest_side,
        allow_partial=scenario.allow_partial,
        timeout_sec=scenario.ffmpeg_timeout_sec,
        cpu=scenario.frame_cpu,
        memory_gb=scenario.frame_memory_gb,
    )


def _quality(scenario: DrivingScenario) -> QualityOptions | None:
    """Return the rules that are named or have a threshold; None when frames are not even measured."""
    given = {key: getattr(scenario, key) for key in FRAME_FILTERS}
    if scenario.frame_filters is None and all(value is None for value in given.values()):
        return None
    for key, rule in FRAME_FILTERS.items():
        if given[key] is None and rule in (scenario.frame_filters or ()):
            given[key] = getattr(DEFAULT_QUALITY, key)
    return QualityOptions(**given)


def _label(scenario: DrivingScenario, image: Image) -> RowStage | None:
    if not scenario.wants(Target.LABELING) or not scenario.vlm_model:
        return None
    own_name = scenario.label_prompt_name or "inline"
    return models.label(
        scenario.vlm_model,
        scenario.label_prompt or load_prompt(scenario.label_prompt_style),
        image,
        prompt_name=own_name if scenario.label_prompt else full_name(scenario.label_prompt_style),
        schema=scenario.label_schema,
        max_tokens=scenario.label_max_tokens,
        keep_raw_response=scenario.keep_raw_response,
        repair_rounds=scenario.repair_rounds,
        flat_columns=scenario.label_columns,
    )


def _image_embedding(scenario: DrivingScenario, image: Image) -> RowStage | None:
    if not scenario.wants(Target.EMBEDDING) or not scenario.embedding_model:
        return None
    return models.image_embedding(scenario.embedding_model, scenario.embedding_dim, image)


def _label_embedding(scenario: DrivingScenario) -> RowStage | None:
    if not scenario.wants(Target.LABEL_EMBEDDING) or not scenario.label_embedding_model:
        return None
    given = not scenario.wants(Target.LABELING)
    return models.label_embedding(scenario.label_embedding_model, scenario.label_embedding_dim, given=given)


def _keyframes(scenario: DrivingScenario) -> KeyframeOptions:
    return KeyframeOptions(
        count=scenario.keyframe_count,
        stride=scenario.keyframe_stride,
        clip_id_column=scenario.clip_id_column,
        clip_dir_column=scenario.clip_dir_column,
        start_column=scenario.clip_start_column,
        end_column=scenario.clip_end_column,
        image_extensions=scenario.image_extensions,
        timestamp_unit=scenario.timestamp_unit,
        max_files=scenario.clip_max_files,
        timeout_sec=scenario.clip_timeout_sec,
        max_pixels=scenario.image_max_pixels,
        max_bytes=scenario.image_max_bytes,
        image_timeout_sec=scenario.image_timeout_sec,
    )


def _images(scenario: DrivingScenario) -> ImageOptions:
    return ImageOptions(
        longest_side=scenario.image_longest_side,
        exact_size=scenario.image_exact_size,
        enlarge=scenario.image_enlarge,
        resize_filter=scenario.image_resize_filter,
        jpeg_quality=scenario.image_jpeg_quality,
        write_back=scenario.prepared_images is PreparedImages.WRITE_BACK,
        inline=scenario.prepared_images is PreparedImages.INLINE,
        prepared_prefix=scenario.prepared_prefix or f"{scenario.scenario_name}_prepared",
        max_pixels=scenario.image_max_pixels,
        max_bytes=scenario.image_max_bytes,
        timeout_sec=scenario.image_timeout_sec,
    )
