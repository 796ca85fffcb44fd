"""A scenario of this family: from raw driving videos to checked question-and-answer training data."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from airflow_provider_drivepipe.pipelines.driving.options import Listing, ManifestOptions
from airflow_provider_drivepipe.pipelines.reasoning.options import (
    ChunkOptions,
    HighlightOptions,
    Mode,
    QaType,
    SheetOptions,
    Step,
    VideoAs,
)
from airflow_provider_drivepipe.pipelines.reasoning.quality import FLAGS, Check
from airflow_provider_drivepipe.scenario.key_path import check_key_path
from airflow_provider_drivepipe.scenario.model import Scenario, TableName, use

_CHUNKS, _HIGHLIGHT, _SHEET = ChunkOptions(), HighlightOptions(), SheetOptions()


class InputShape(StrEnum):
    """What a scenario starts from."""

    OSS_PREFIX = "oss_prefix"
    VIDEO_TABLE = "video_table"


class Target(StrEnum):
    """What a scenario makes."""

    MANIFEST = "manifest"
    REASONING_ANNOTATION = "reasoning-annotation"


class Reasoning(BaseModel):
    """The keys below ``reasoning``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    steps: tuple[Step, ...] = Field(tuple(Step), min_length=1, description="steps to run: " + ", ".join(Step))
    mode: Mode = Field(
        Mode.AUTO, description="auto: the filter says of each video whether it shows an anomaly; or all alike"
    )
    qa_types: tuple[QaType, ...] = Field(
        tuple(QaType), min_length=1, description="kinds of questions: " + ", ".join(QaType)
    )
    prompt_pack: str = Field("dashcam", description="built-in prompt pack, or a folder of your own")
    language: str = Field("en", pattern="^(en|zh)$", description="of prompts and answers: en or zh")
    video_as: VideoAs = Field(
        VideoAs.AUTO,
        description=(
            "how models see videos: video, or frames on a sheet with their times; auto: whole videos as "
            "frames, chunks and highlights as video"
        ),
    )
    max_frames: int = Field(_SHEET.max_frames, ge=1, le=64, description="most frames on a sheet")
    max_video_length_sec: float = Field(
        300, gt=0, le=36_000, description="longer videos are left out, with reason too_long"
    )
    chunk_lengths_sec: tuple[int, ...] = Field(
        _CHUNKS.lengths_sec, min_length=1, description="lengths that chunks may have, in seconds"
    )
    max_chunks: int = Field(_CHUNKS.max_chunks, ge=1, le=100, description="most chunks of a video")
    highlight_before_sec: float = Field(
        _HIGHLIGHT.before_sec, ge=0, le=60, description="what is shown before a critical moment"
    )
    highlight_after_sec: float = Field(
        _HIGHLIGHT.after_sec, ge=0, le=60, description="what is shown after a critical moment"
    )
    quality_checks: tuple[Check, ...] = Field(
        tuple(Check), description="what items are checked for: " + ", ".join(Check)
    )
    exclude: tuple[Check, ...] = Field(
        (), description="flags whose items are in no file: " + ", ".join(FLAGS)
    )
    min_item_quality: float = Field(
        0.0, ge=0, le=1, description="smallest share of items without a flag with which files are published"
    )
    license: str = Field("", description="license in the metadata of the exported files")
    description_extra: str = Field("", description="added to the description of each exported file")


_DEFAULTS = Reasoning.model_validate({})


class ReasoningScenario(Scenario):
    """One scenario file of this family."""

    input_shape: InputShape = Field(
        description="what it starts from: " + ", ".join(InputShape),
        json_schema_extra=use(example="video_table"),
    )
    targets: tuple[Target, ...] = Field(
        min_length=1,
        description="what it makes: " + ", ".join(Target),
        json_schema_extra=use(example="[reasoning-annotation]"),
    )
    oss_prefix: str = Field("", description="key prefix to list; {ds} in it becomes the partition's value")
    video_extensions: tuple[str, ...] = Field(
        ManifestOptions.video_extensions, min_length=1, description="extensions that make an object a video"
    )
    incremental: bool = Field(
        False,
        description="the manifest has no video that another partition has, and leaves copies out",
        json_schema_extra=use(shape=InputShape.OSS_PREFIX),
    )
    listing: Listing = Field(
        Listing.CLIENT,
        description="who lists: client, or the workers of a maxframe job for tens of millions of objects",
        json_schema_extra=use(shape=InputShape.OSS_PREFIX),
    )
    video_input_table: TableName | None = Field(
        None,
        description="manifest table that the listing writes",
        json_schema_extra=use(example="rear_end_manifest"),
    )
    source_table: TableName | None = Field(
        None, description="existing table of videos", json_schema_extra=use(example="my_videos")
    )
    output_prefix: str | None = Field(
        None, description="key prefix of clips, sheets and exported files (default: scenario_name)"
    )
    vlm_model: str | None = Field(
        None,
        description="vision-language model that watches videos",
        json_schema_extra=use(target=Target.REASONING_ANNOTATION, needed=True, example="qwen3-vl-plus"),
    )
    llm_model: str | None = Field(
        None,
        description="language model that writes descriptions and questions",
        json_schema_extra=use(target=Target.REASONING_ANNOTATION, needed=True, example="qwen3-max"),
    )
    max_tokens: int = Field(4096, ge=1, le=32_768, description="longest answer in tokens")
    repair_rounds: int = Field(
        1, ge=0, le=3, description="how often a model is asked again for an answer that does not fit"
    )
    reasoning: Reasoning = Field(_DEFAULTS, description="what is annotated, and how")
    allow_empty: bool = Field(False, description="whether a listing may find nothing")

    @field_validator("targets", mode="before")
    @classmethod
    def _read_targets(cls, value: Any) -> Any:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            return items
        return tuple(dict.fromkeys(str(item).strip() for item in items))

    @field_validator("output_prefix")
    @classmethod
    def _check_output_prefix(cls, value: str | None) -> str | None:
        return None if value is None else check_key_path(value)

    def table(self, task: str) -> str:
        """Return the name of a task's table."""
        return f"{self.scenario_name}_{task}"
