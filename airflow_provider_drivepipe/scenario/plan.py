"""plan(scenario): which stages run, in which order, over which tables. Pure: scenario in, plan out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_drivepipe.contracts import (
    MANIFEST_COLUMNS,
    STATUS_COLUMNS,
    Column,
    Stage,
)
from airflow_provider_drivepipe.scenario.columns import frame_columns, model_columns, output_columns
from airflow_provider_drivepipe.scenario.model import InputShape, Scenario, Target
from airflow_provider_drivepipe.scenario.options import (
    DEFAULT_QUALITY,
    FRAME_FILTERS,
    FrameOptions,
    GateOptions,
    ImageEmbeddingOptions,
    LabelOptions,
    ManifestOptions,
    OssOptions,
    PartitionOptions,
    PriceOptions,
    QualityOptions,
    SelectionOptions,
    StageOptions,
    TableOptions,
)
from airflow_provider_drivepipe.scenario.prompts import full_name, load_prompt


class StageKind(StrEnum):
    """Which operator runs a stage."""

    MANIFEST = "manifest"
    FRAMES = "frames"
    SINGLE_JOB = "single_job"
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

    @property
    def models(self) -> dict[str, str]:
        """The models that the task calls, by stage."""
        models = {}
        if self.labels:
            models[str(Stage.LABEL)] = self.labels.model
        if self.embedding:
            models[str(Stage.IMAGE_EMBEDDING)] = self.embedding.model
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

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON-serialisable values."""
        return asdict(self)


def plan(scenario: Scenario) -> Plan:
    """Return the plan of a validated scenario.

    ``oss_prefix`` starts with a manifest task. Frames with labels or embeddings are one single job with one
    final table, or with split-video two tasks with a frames table in between.
    """
    tasks = []
    if scenario.input_shape is InputShape.OSS_PREFIX:
        tasks.append(_manifest_task(scenario))
    if scenario.wants(Target.FRAME_EXTRACTION):
        tasks += _video_tasks(scenario)
    partition = PartitionOptions(
        columns=_partition_columns(scenario),
        timezone=scenario.timezone,
        key_format=scenario.key_format,
        fixed_values=tuple(scenario.partition_fixed.values()),
        granularity=scenario.partition_granularity,
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
    return GateOptions(scenario.max_failure_rate, scenario.min_rows)


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


def _video_tasks(scenario: Scenario) -> list[StagePlan]:
    labels = _labels(scenario)
    embedding = _embedding(scenario)
    if not labels and not embedding:
        return [_video_task(scenario, StageKind.FRAMES, "frames", scenario.final_table, StageOptions())]
    models = StageOptions(labels=labels, embedding=embedding)
    if not scenario.is_split:
        return [_video_task(scenario, StageKind.SINGLE_JOB, "video_labels", scenario.final_table, models)]
    frames = _video_task(scenario, StageKind.FRAMES, "frames", scenario.frames_table, StageOptions())
    return [frames, _labels_task(scenario, frames, models)]


def _video_task(
    scenario: Scenario, kind: StageKind, task_id: str, output: str, models: StageOptions
) -> StagePlan:
    our_manifest = scenario.input_shape is InputShape.OSS_PREFIX
    lineage: tuple[Column, ...] = ()
    quality = _quality(scenario)
    measured = quality is not None
    if our_manifest:
        own = {c.name for c in frame_columns(measured=measured)}
        lineage = tuple(c for c in MANIFEST_COLUMNS if c.name not in own)
    return StagePlan(
        task_id=task_id,
        kind=kind,
        stages=(Stage.FRAME_EXTRACTION, *_model_stages(models)),
        source=(scenario.video_input_table if our_manifest else scenario.source_table) or "",
        output_table=_output(
            scenario, output, output_columns(lineage, models.labels, models.embedding, measured=measured)
        ),
        lineage_known=our_manifest,
        gate=_gate(scenario),
        oss=OssOptions(_bucket(scenario), scenario.oss_root, scenario.oss_mount_path),
        frames=_frames(scenario),
        quality=quality,
        labels=models.labels,
        embedding=models.embedding,
    )


def _labels_task(scenario: Scenario, frames: StagePlan, models: StageOptions) -> StagePlan:
    """The second task of split-video: reads only what the first published."""
    status = {c.name for c in STATUS_COLUMNS}
    travelling = tuple(c for c in frames.output_table.columns if c.name not in status)
    columns = (*travelling, *model_columns(models.labels, models.embedding), *STATUS_COLUMNS)
    return StagePlan(
        task_id="labels" if models.labels else "embeddings",
        kind=StageKind.LABELS,
        stages=_model_stages(models),
        source=frames.output_table.name,
        output_table=_output(scenario, scenario.final_table, columns),
        lineage_known=frames.lineage_known,
        gate=_gate(scenario),
        labels=models.labels,
        embedding=models.embedding,
    )


def _model_stages(models: StageOptions) -> tuple[Stage, ...]:
    stages = [Stage.LABEL] if models.labels else []
    return (*stages, Stage.IMAGE_EMBEDDING) if models.embedding else tuple(stages)


def _output(scenario: Scenario, name: str, columns: tuple[Column, ...]) -> TableOptions:
    return TableOptions(name, columns, _partition_columns(scenario), scenario.meta_lifecycle)


def _frames(scenario: Scenario) -> FrameOptions:
    fps = None if scenario.frame_sample_count else (scenario.frame_fps or FrameOptions.fps)
    return FrameOptions(
        fps=fps,
        sample_count=scenario.frame_sample_count,
        sampling_rule=scenario.sampling_rule,
        frames_prefix=scenario.frames_prefix,
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
