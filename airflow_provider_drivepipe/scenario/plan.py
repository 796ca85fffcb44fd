"""plan(scenario): which stages run, in which order, over which tables. Pure: scenario in, plan out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_drivepipe.contracts import (
    FRAME_COLUMNS,
    FRAME_QUALITY_COLUMNS,
    IMAGE_COLUMNS,
    KEYFRAME_COLUMNS,
    LABEL_COLUMNS,
    MANIFEST_COLUMNS,
    STATUS_COLUMNS,
    Column,
    Stage,
)
from airflow_provider_drivepipe.scenario.columns import model_columns
from airflow_provider_drivepipe.scenario.model import InputShape, Scenario, Target
from airflow_provider_drivepipe.scenario.options import (
    DEFAULT_QUALITY,
    FRAME_FILTERS,
    FrameOptions,
    GateOptions,
    ImageEmbeddingOptions,
    ImageOptions,
    KeyframeOptions,
    LabelEmbeddingOptions,
    LabelOptions,
    ManifestOptions,
    OssOptions,
    PartitionOptions,
    PreparedImages,
    PriceOptions,
    QualityOptions,
    SelectionOptions,
    StageOptions,
    TableOptions,
)
from airflow_provider_drivepipe.scenario.prompts import full_name, load_prompt

_IMAGE_URL = Column("image_url", "string", "full OSS URI of the image")
_LABEL_TEXT = next(c for c in LABEL_COLUMNS if c.name == "label_text")


class StageKind(StrEnum):
    """Which operator runs a stage."""

    MANIFEST = "manifest"
    FRAMES = "frames"
    SINGLE_JOB = "single_job"
    KEYFRAMES = "keyframes"
    CLIP_JOB = "clip_job"
    IMAGES = "images"
    IMAGE_JOB = "image_job"
    LABELS = "labels"


@dataclass(frozen=True)
class StagePlan:
    """One task of the DAG."""

    task_id: str
    kind: StageKind
    stages: tuple[Stage, ...]
    source: str
    """What it reads: a table, or the OSS prefix of a listing."""
    output_table: TableOptions
    lineage_known: bool
    """False when further columns of ``source`` travel through that are only known at run time."""
    gate: GateOptions
    manifest: ManifestOptions | None = None
    oss: OssOptions | None = None
    frames: FrameOptions | None = None
    quality: QualityOptions | None = None
    labels: LabelOptions | None = None
    embedding: ImageEmbeddingOptions | None = None
    keyframes: KeyframeOptions | None = None
    images: ImageOptions | None = None
    label_embedding: LabelEmbeddingOptions | None = None
    image_column: str = "image_url"
    """The column of ``source`` with the URI of what models get to see."""
    image_root: str | None = None
    """Full OSS URI where images are when they are not in the connection's OSS."""

    @property
    def models(self) -> dict[str, str]:
        """The models that the task calls, by stage."""
        models = {}
        if self.labels:
            models[str(Stage.LABEL)] = self.labels.model
        if self.embedding:
            models[str(Stage.IMAGE_EMBEDDING)] = self.embedding.model
        if self.label_embedding:
            models[str(Stage.LABEL_EMBEDDING)] = self.label_embedding.model
        return models


@dataclass(frozen=True)
class Plan:
    """The ordered tasks of a scenario; each task reads what the one before it published."""

    scenario: str
    dag_id: str
    conn_id: str
    partition: PartitionOptions
    selection: SelectionOptions
    tasks: tuple[StagePlan, ...]
    prices: PriceOptions | None = None

    @property
    def bucket(self) -> str | None:
        """The OSS bucket that the tasks read and write, None when they work on tables alone."""
        options = [task.manifest or task.oss for task in self.tasks]
        return next((o.bucket for o in options if o is not None), None)

    @property
    def models(self) -> dict[str, str]:
        """The models that all tasks call, by stage."""
        return {stage: model for task in self.tasks for stage, model in task.models.items()}

    def models_behind(self, task: StagePlan) -> tuple[str, ...]:
        """Return the models that the tasks behind one call."""
        behind = self.tasks[self.tasks.index(task) + 1 :]
        return tuple(dict.fromkeys(model for later in behind for model in later.models.values()))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON-serialisable values."""
        return asdict(self)


def plan(scenario: Scenario) -> Plan:
    """Return the plan of a validated scenario.

    ``oss_prefix`` starts with a manifest task. Frames, keyframes or prepared images with labels or embeddings
    are one single job with one final table, or with split-video two tasks with a table in between.
    """
    tasks = []
    if scenario.input_shape is InputShape.OSS_PREFIX:
        tasks.append(_manifest_task(scenario))
    if set(scenario.targets) != {Target.MANIFEST}:
        tasks += _work_tasks(scenario)
    partition = PartitionOptions(
        columns=_partition_columns(scenario),
        timezone=scenario.timezone,
        key_format=scenario.key_format,
        fixed_values=tuple(scenario.partition_fixed.values()),
        granularity=scenario.partition_granularity,
        default_lag=scenario.partition_lag,
    )
    selection = SelectionOptions(
        scenario.reprocess,
        scenario.max_row_attempts,
        max_rows=scenario.max_rows,
        max_calls=scenario.max_calls,
    )
    return Plan(
        scenario.scenario_name,
        scenario.dag_id,
        scenario.conn_id,
        partition,
        selection,
        tuple(tasks),
        prices=PriceOptions(**scenario.prices.model_dump()) if scenario.prices else None,
    )


def _partition_columns(scenario: Scenario) -> tuple[str, ...]:
    return (scenario.partition_col, *scenario.partition_fixed)


def _bucket(scenario: Scenario) -> str:
    return scenario.oss_bucket or (scenario.oss_root or "").split("/")[3]


def _gate(scenario: Scenario) -> GateOptions:
    return GateOptions(
        scenario.max_failure_rate, scenario.min_rows, scenario.max_shrink, scenario.allow_empty
    )


def _manifest_task(scenario: Scenario) -> StagePlan:
    options = ManifestOptions(_bucket(scenario), scenario.oss_prefix, scenario.video_extensions)
    return StagePlan(
        task_id="manifest",
        kind=StageKind.MANIFEST,
        stages=(Stage.MANIFEST,),
        source=f"oss://{options.bucket}/{options.prefix}",
        output_table=_output(scenario, scenario.video_input_table or "", MANIFEST_COLUMNS),
        lineage_known=True,
        gate=_gate(scenario),
        manifest=options,
    )


def _work_tasks(scenario: Scenario) -> list[StagePlan]:
    """The tasks behind the manifest: the one that makes images, the one that prepares them, the models.

    Models are part of the task before them, unless the scenario asks for a table in between.
    """
    tasks: list[StagePlan] = []
    models = _models(scenario)
    first = _FIRST_STAGES.get(scenario.input_shape)
    steps = [first] if first else []
    steps += [_PREPARATION] if scenario.wants(Target.IMAGE_PREPARATION) else []
    for step in steps:
        last = step is steps[-1]
        behind = models if last and not scenario.is_split else StageOptions()
        is_final = last and (not models.model_stages or bool(behind.model_stages))
        between = scenario.prepared_table if step is _PREPARATION else scenario.frames_table
        table = scenario.final_table if is_final else between
        tasks.append(_step_task(scenario, step, tasks[-1] if tasks else None, table, behind))
    if models.model_stages and (scenario.is_split or not steps):
        tasks.append(_labels_task(scenario, tasks[-1] if tasks else None, models))
    return tasks


@dataclass(frozen=True)
class _Step:
    """A stage that can stand alone or have models behind it in one job."""

    stage: Stage
    alone: tuple[StageKind, str]
    """Kind and task id without models."""
    with_models: tuple[StageKind, str]
    own: tuple[Column, ...]


_PREPARATION = _Step(
    Stage.IMAGE_PREPARATION,
    (StageKind.IMAGES, "images"),
    (StageKind.IMAGE_JOB, "image_labels"),
    IMAGE_COLUMNS,
)
_VIDEOS = _Step(
    Stage.FRAME_EXTRACTION,
    (StageKind.FRAMES, "frames"),
    (StageKind.SINGLE_JOB, "video_labels"),
    FRAME_COLUMNS,
)
_CLIPS = _Step(
    Stage.KEYFRAME_EXPANSION,
    (StageKind.KEYFRAMES, "keyframes"),
    (StageKind.CLIP_JOB, "clip_labels"),
    KEYFRAME_COLUMNS,
)
_FIRST_STAGES = {
    InputShape.OSS_PREFIX: _VIDEOS,
    InputShape.VIDEO_TABLE: _VIDEOS,
    InputShape.CLIP_DIR_TABLE: _CLIPS,
}


def _step_task(
    scenario: Scenario, step: _Step, before: StagePlan | None, table: str, models: StageOptions
) -> StagePlan:
    kind, task_id = step.with_models if models.model_stages else step.alone
    quality = None if step is _PREPARATION else _quality(scenario)
    own = (*step.own, *FRAME_QUALITY_COLUMNS) if quality else step.own
    own_names = {c.name for c in own}
    lineage = tuple(c for c in _travelling(scenario, before) if c.name not in own_names)
    ahead, behind = (lineage, own) if step is _PREPARATION else (own, lineage)
    columns = (*ahead, *behind, *_model_columns(models), *STATUS_COLUMNS)
    return StagePlan(
        task_id=task_id,
        kind=kind,
        stages=(step.stage, *models.model_stages),
        source=_source(scenario, before),
        output_table=_output(scenario, table, columns),
        lineage_known=_lineage_known(scenario, before),
        gate=_gate(scenario),
        oss=OssOptions(_bucket(scenario), scenario.oss_root, scenario.oss_mount_path),
        frames=_frames(scenario) if step is _VIDEOS else None,
        quality=quality,
        keyframes=_keyframes(scenario) if step is _CLIPS else None,
        images=_images(scenario) if step is _PREPARATION else None,
        labels=models.labels,
        embedding=models.embedding,
        label_embedding=models.label_embedding,
    )


def _labels_task(scenario: Scenario, before: StagePlan | None, models: StageOptions) -> StagePlan:
    """The task that only calls models, for rows that another task published or that are the input."""
    columns = (*_travelling(scenario, before), *_model_columns(models), *STATUS_COLUMNS)
    return StagePlan(
        task_id="labels" if models.labels else "embeddings",
        kind=StageKind.LABELS,
        stages=models.model_stages,
        source=_source(scenario, before),
        output_table=_output(scenario, scenario.final_table, columns),
        lineage_known=_lineage_known(scenario, before),
        gate=_gate(scenario),
        labels=models.labels,
        embedding=models.embedding,
        label_embedding=models.label_embedding,
        image_column="prepared_url" if before is not None and before.images else "image_url",
        image_root=scenario.oss_root,
    )


def _source(scenario: Scenario, before: StagePlan | None) -> str:
    if before is not None:
        return before.output_table.name
    listed = scenario.input_shape is InputShape.OSS_PREFIX
    return (scenario.video_input_table if listed else scenario.source_table) or ""


def _lineage_known(scenario: Scenario, before: StagePlan | None) -> bool:
    return before.lineage_known if before else scenario.input_shape is InputShape.OSS_PREFIX


def _travelling(scenario: Scenario, before: StagePlan | None) -> tuple[Column, ...]:
    """Columns of the input as far as they are known: those of our own tables, and those that are needed."""
    if before is not None:
        status = {c.name for c in STATUS_COLUMNS}
        return tuple(c for c in before.output_table.columns if c.name not in status)
    if scenario.input_shape is InputShape.OSS_PREFIX:
        return MANIFEST_COLUMNS
    if scenario.input_shape is InputShape.IMAGE_TABLE:
        return (_IMAGE_URL,)
    if scenario.input_shape is InputShape.LABELED_IMAGE_TABLE:
        image = scenario.wants(Target.EMBEDDING) or scenario.wants(Target.IMAGE_PREPARATION)
        label = scenario.wants(Target.LABEL_EMBEDDING)
        return (*((_IMAGE_URL,) if image else ()), *((_LABEL_TEXT,) if label else ()))
    return ()


def _models(scenario: Scenario) -> StageOptions:
    return StageOptions(
        labels=_labels(scenario), embedding=_embedding(scenario), label_embedding=_label_embedding(scenario)
    )


def _model_columns(models: StageOptions) -> tuple[Column, ...]:
    return model_columns(models.labels, models.embedding, models.label_embedding)


def _output(scenario: Scenario, name: str, columns: tuple[Column, ...]) -> TableOptions:
    return TableOptions(name, columns, _partition_columns(scenario), scenario.meta_lifecycle)


def _frames(scenario: Scenario) -> FrameOptions:
    fps = None if scenario.frame_sample_count else (scenario.frame_fps or FrameOptions.fps)
    return FrameOptions(
        fps=fps,
        sample_count=scenario.frame_sample_count,
        sampling_rule=scenario.sampling_rule,
        frames_prefix=scenario.frames_prefix or scenario.scenario_name,
        jpeg_quality=scenario.jpeg_quality,
        timeout_sec=scenario.ffmpeg_timeout_sec,
        cpu=scenario.frame_cpu,
        memory_gb=scenario.frame_memory_gb,
    )


def _quality(scenario: Scenario) -> QualityOptions | None:
    """Return the rules that are named or have a threshold; None when frames are not even measured."""
    given = {key: getattr(scenario, key) for key in FRAME_FILTERS}
    if scenario.frame_filters is None and all(value is None for value in given.values()):
        return None
    for key, rule in FRAME_FILTERS.items():
        if given[key] is None and rule in (scenario.frame_filters or ()):
            given[key] = getattr(DEFAULT_QUALITY, key)
    return QualityOptions(**given)


def _labels(scenario: Scenario) -> LabelOptions | None:
    if not scenario.wants(Target.LABELING) or not scenario.vlm_model:
        return None
    own_name = scenario.label_prompt_name or "inline"
    return LabelOptions(
        model=scenario.vlm_model,
        prompt=scenario.label_prompt or load_prompt(scenario.label_prompt_style),
        prompt_name=own_name if scenario.label_prompt else full_name(scenario.label_prompt_style),
        label_schema=scenario.label_schema,
        max_tokens=scenario.label_max_tokens,
        keep_raw_response=scenario.keep_raw_response,
        repair_rounds=scenario.repair_rounds,
        label_columns=scenario.label_columns,
    )


def _embedding(scenario: Scenario) -> ImageEmbeddingOptions | None:
    if not scenario.wants(Target.EMBEDDING) or not scenario.embedding_model:
        return None
    return ImageEmbeddingOptions(scenario.embedding_model, scenario.embedding_dim)


def _label_embedding(scenario: Scenario) -> LabelEmbeddingOptions | None:
    if not scenario.wants(Target.LABEL_EMBEDDING) or not scenario.label_embedding_model:
        return None
    return LabelEmbeddingOptions(scenario.label_embedding_model, scenario.label_embedding_dim)


def _keyframes(scenario: Scenario) -> KeyframeOptions:
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


def _images(scenario: Scenario) -> ImageOptions:
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
