"""plan(scenario): which stages run, in which order, over which tables. Pure: scenario in, plan out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_drivepipe.contracts import FRAME_COLUMNS, MANIFEST_COLUMNS, Column, Stage
from airflow_provider_drivepipe.scenario.columns import output_columns
from airflow_provider_drivepipe.scenario.label_schemas import load_label_schema
from airflow_provider_drivepipe.scenario.model import InputShape, Scenario, Target
from airflow_provider_drivepipe.scenario.options import (
    FrameOptions,
    GateOptions,
    ImageEmbeddingOptions,
    LabelOptions,
    ManifestOptions,
    OssOptions,
    PartitionOptions,
    TableOptions,
)
from airflow_provider_drivepipe.scenario.prompts import load_prompt


class StageKind(StrEnum):
    """Which operator runs a stage."""

    MANIFEST = "manifest"
    FRAMES = "frames"
    SINGLE_JOB = "single_job"


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
    tasks: tuple[StagePlan, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON-serialisable values."""
        return asdict(self)


def plan(scenario: Scenario) -> Plan:
    """Return the plan of a validated scenario.

    ``oss_prefix`` starts with a manifest task. Frames with labels or embeddings are one single job with one
    final table.
    """
    tasks = []
    if scenario.input_shape is InputShape.OSS_PREFIX:
        tasks.append(_manifest_task(scenario))
    if scenario.wants(Target.FRAME_EXTRACTION):
        tasks.append(_video_task(scenario))
    partition = PartitionOptions(columns=(scenario.partition_col,), timezone=scenario.timezone)
    return Plan(scenario.scenario_name, scenario.dag_id, scenario.conn_id, partition, tuple(tasks))


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
        output_table=TableOptions(
            scenario.video_input_table or "",
            MANIFEST_COLUMNS,
            (scenario.partition_col,),
            scenario.meta_lifecycle,
        ),
        lineage_known=True,
        gate=_gate(scenario),
        manifest=options,
    )


def _video_task(scenario: Scenario) -> StagePlan:
    labels = _labels(scenario)
    embedding = _embedding(scenario)
    stages = [Stage.FRAME_EXTRACTION]
    stages += [Stage.LABEL] if labels else []
    stages += [Stage.IMAGE_EMBEDDING] if embedding else []
    single_job = bool(labels or embedding)
    our_manifest = scenario.input_shape is InputShape.OSS_PREFIX
    lineage: tuple[Column, ...] = ()
    if our_manifest:
        own = {c.name for c in FRAME_COLUMNS}
        lineage = tuple(c for c in MANIFEST_COLUMNS if c.name not in own)
    return StagePlan(
        task_id="video_labels" if single_job else "frames",
        kind=StageKind.SINGLE_JOB if single_job else StageKind.FRAMES,
        stages=tuple(stages),
        source=(scenario.video_input_table if our_manifest else scenario.source_table) or "",
        output_table=TableOptions(
            scenario.output_table or "",
            output_columns(lineage, labels, embedding),
            (scenario.partition_col,),
            scenario.meta_lifecycle,
        ),
        lineage_known=our_manifest,
        gate=_gate(scenario),
        oss=OssOptions(_bucket(scenario), scenario.oss_root, scenario.oss_mount_path),
        frames=_frames(scenario),
        labels=labels,
        embedding=embedding,
    )


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


def _labels(scenario: Scenario) -> LabelOptions | None:
    if not scenario.wants(Target.LABELING) or not scenario.vlm_model:
        return None
    if scenario.label_schema:
        load_label_schema(scenario.label_schema)
    return LabelOptions(
        model=scenario.vlm_model,
        prompt=scenario.label_prompt or load_prompt(scenario.label_prompt_style),
        prompt_name="inline" if scenario.label_prompt else scenario.label_prompt_style,
        label_schema=scenario.label_schema,
        max_tokens=scenario.label_max_tokens,
        keep_raw_response=scenario.keep_raw_response,
    )


def _embedding(scenario: Scenario) -> ImageEmbeddingOptions | None:
    if not scenario.wants(Target.EMBEDDING) or not scenario.embedding_model:
        return None
    return ImageEmbeddingOptions(scenario.embedding_model, scenario.embedding_dim)
