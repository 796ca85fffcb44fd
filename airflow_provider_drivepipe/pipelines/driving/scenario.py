"""A scenario of this family: from driving videos, clips or images to labels and embeddings."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from airflow_provider_drivepipe.pipelines.driving.frame_rate import check_frame_rate
from airflow_provider_drivepipe.pipelines.driving.options import (
    FrameFilter,
    FrameFormat,
    FrameOptions,
    ImageOptions,
    KeyframeOptions,
    Listing,
    ManifestOptions,
    PreparedImages,
    ResizeFilter,
    SamplingRule,
    TimestampUnit,
)
from airflow_provider_drivepipe.scenario.key_path import check_key_path
from airflow_provider_drivepipe.scenario.model import COLUMN, Scenario, TableName, use
from airflow_provider_drivepipe.stages.answer_schemas import answer_fields, check_answer_schema
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.prompts import prompt_styles

_KEY_PREFIX = re.compile(r"[^\x00-\x1f\\]*")


class InputShape(StrEnum):
    """What a scenario starts from."""

    OSS_PREFIX = "oss_prefix"
    VIDEO_TABLE = "video_table"
    CLIP_DIR_TABLE = "clip_dir_table"
    IMAGE_TABLE = "image_table"
    LABELED_IMAGE_TABLE = "labeled_image_table"


class Target(StrEnum):
    """What a scenario makes."""

    MANIFEST = "manifest"
    FRAME_EXTRACTION = "frame-extraction"
    KEYFRAME_EXPANSION = "keyframe-expansion"
    IMAGE_PREPARATION = "image-preparation"
    LABELING = "labeling"
    EMBEDDING = "embedding"
    LABEL_EMBEDDING = "label-embedding"


_INTERMEDIATE_KINDS = {
    InputShape.OSS_PREFIX: "video_frame_extraction",
    InputShape.VIDEO_TABLE: "video_frame_extraction",
    InputShape.CLIP_DIR_TABLE: "clip_keyframe_expansion",
}
"""Kind in the name of the table that the first task writes when further tasks follow."""
_PREPARATION_KIND = "image_preparation"

PixelSide = Annotated[int, Field(ge=1, le=65_500)]
_DEFAULT_FRAMES = FrameOptions()
_DEFAULT_IMAGES = ImageOptions()
_DEFAULT_KEYFRAMES = KeyframeOptions()


class OutputTables(BaseModel):
    """Names of the tables of split-video."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: TableName = Field(description="table of frames, keyframes or prepared images")
    final: TableName | None = Field(None, description="final table, instead of output_table")


class DrivingScenario(Scenario):
    """One scenario file of this family."""

    input_shape: InputShape = Field(
        description="what it starts from: " + ", ".join(InputShape),
        json_schema_extra=use(example="oss_prefix"),
    )
    targets: tuple[Target, ...] = Field(
        min_length=1,
        description="what it makes: " + ", ".join(Target),
        json_schema_extra=use(example="[manifest, frame-extraction, labeling]"),
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
        json_schema_extra=use(example="night_rain_manifest"),
    )
    source_table: TableName | None = Field(
        None,
        description="existing table of videos, clips or images",
        json_schema_extra=use(example="my_videos"),
    )
    output_table: TableName | None = Field(
        None, description="final table", json_schema_extra=use(example="night_rain_labels")
    )
    split_video: bool | None = Field(
        None, description="images and models as two tasks with a table of images in between"
    )
    need_intermediate_table: bool | None = Field(None, description="another word for split_video")
    output_tables: OutputTables | None = Field(
        None, description="split-video with named tables: {frames: my_frames, final: my_labels}"
    )
    frame_fps: str | None = Field(
        None,
        description="frames per second: 2, 0.5 or 1/2 (default 1)",
        json_schema_extra=use(target=Target.FRAME_EXTRACTION),
    )
    frame_sample_count: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="frames per video, instead of frame_fps",
        json_schema_extra=use(target=Target.FRAME_EXTRACTION),
    )
    sampling_rule: SamplingRule = Field(
        SamplingRule.AT_TIME,
        description="which frame stands for a time: at_time or nearest; keyframes: one per interval",
    )
    snap_to_keyframe_ms: int | None = Field(
        None,
        ge=0,
        le=60_000,
        description="a key frame at most so far from a sample's time stands for it, which costs less",
        json_schema_extra=use(target=Target.FRAME_EXTRACTION),
    )
    frames_prefix: str | None = Field(
        None,
        description="key prefix of the pictures (default: scenario_name)",
    )
    frame_format: FrameFormat = Field(
        FrameFormat.JPEG, description="jpeg or webp", json_schema_extra=use(target=Target.FRAME_EXTRACTION)
    )
    jpeg_quality: int = Field(
        _DEFAULT_FRAMES.jpeg_quality, ge=1, le=100, description="quality of JPEG or WebP frames"
    )
    frame_longest_side: PixelSide | None = Field(
        None, description="frames with longer sides are made smaller; pixels (default: as in the video)"
    )
    allow_partial: bool = Field(
        False,
        description="a video that was cut off gives its whole frames and a decode_note; else it fails",
        json_schema_extra=use(target=Target.FRAME_EXTRACTION),
    )
    ffmpeg_timeout_sec: int = Field(
        _DEFAULT_FRAMES.timeout_sec, ge=1, le=86_400, description="deadline per video in seconds"
    )
    frame_cpu: int = Field(
        _DEFAULT_FRAMES.cpu, ge=1, le=64, description="cores per worker; as many decoders side by side"
    )
    frame_memory_gb: int = Field(_DEFAULT_FRAMES.memory_gb, ge=1, le=512, description="memory per worker")
    frame_filters: tuple[FrameFilter, ...] | None = Field(
        None,
        description="left out before a model sees them: too_dark, too_blurred, frozen, near_duplicate",
    )
    min_brightness: float | None = Field(
        None, ge=0, le=255, allow_inf_nan=False, description="a frame below is too_dark; mean luma, 0 to 255"
    )
    min_sharpness: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="a frame below is too_blurred; variance of the Laplacian"
    )
    max_frozen_change: float | None = Field(
        None,
        ge=0,
        le=255,
        allow_inf_nan=False,
        description="a frame that changes by no more is frozen; mean luma difference to the frame before",
    )
    near_duplicate_distance: int | None = Field(
        None,
        ge=0,
        le=64,
        description="a frame that differs by no more is a near_duplicate; bits of the perceptual hash",
    )
    clip_id_column: str = Field(
        _DEFAULT_KEYFRAMES.clip_id_column,
        description="column with a clip's identity",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    clip_dir_column: str = Field(
        _DEFAULT_KEYFRAMES.clip_dir_column,
        description="column with a clip's directory: a full OSS URI, or a path below the OSS root",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    clip_start_column: str | None = Field(
        _DEFAULT_KEYFRAMES.start_column,
        description="column with the start of a time range, in milliseconds",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    clip_end_column: str | None = Field(
        _DEFAULT_KEYFRAMES.end_column,
        description="column with the end of a time range, in milliseconds",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    keyframe_count: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="keyframes per clip, spread evenly (default: all images)",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    keyframe_stride: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="every so many-th image, instead of keyframe_count",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    image_extensions: tuple[str, ...] = Field(
        _DEFAULT_KEYFRAMES.image_extensions,
        min_length=1,
        description="extensions of a clip's images",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    timestamp_unit: TimestampUnit = Field(
        TimestampUnit.AUTO,
        description="unit of a clip's timestamps: auto, s, ms, us or ns",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    clip_max_files: int = Field(
        _DEFAULT_KEYFRAMES.max_files,
        ge=1,
        description="most files in a clip's directory",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    clip_timeout_sec: int = Field(
        _DEFAULT_KEYFRAMES.timeout_sec,
        ge=1,
        le=86_400,
        description="deadline per clip in seconds",
        json_schema_extra=use(shape=InputShape.CLIP_DIR_TABLE),
    )
    prepared_images: PreparedImages = Field(
        PreparedImages.WRITE_BACK,
        description="write_back: to OSS; inline: to the models only; features: leave images as they are",
        json_schema_extra=use(target=Target.IMAGE_PREPARATION),
    )
    prepared_prefix: str | None = Field(
        None,
        description="key prefix of the prepared images (default: <scenario_name>_prepared)",
    )
    image_longest_side: int | None = Field(
        None,
        ge=1,
        le=65_500,
        description="longest side of prepared images in pixels",
        json_schema_extra=use(target=Target.IMAGE_PREPARATION),
    )
    image_exact_size: tuple[PixelSide, PixelSide] | None = Field(
        None,
        description="[width, height] of prepared images, instead of image_longest_side",
        json_schema_extra=use(target=Target.IMAGE_PREPARATION),
    )
    image_enlarge: bool = Field(
        False,
        description="whether smaller images grow to image_longest_side",
        json_schema_extra=use(target=Target.IMAGE_PREPARATION),
    )
    image_resize_filter: ResizeFilter = Field(
        _DEFAULT_IMAGES.resize_filter,
        description="nearest, bilinear, bicubic or lanczos",
        json_schema_extra=use(target=Target.IMAGE_PREPARATION),
    )
    image_jpeg_quality: int = Field(
        _DEFAULT_IMAGES.jpeg_quality,
        ge=1,
        le=100,
        description="JPEG quality of prepared images",
        json_schema_extra=use(target=Target.IMAGE_PREPARATION),
    )
    image_max_pixels: int = Field(
        _DEFAULT_IMAGES.max_pixels, ge=1, le=178_000_000, description="larger images fail"
    )
    image_max_bytes: int = Field(_DEFAULT_IMAGES.max_bytes, ge=1, description="larger image files fail")
    image_timeout_sec: int = Field(
        _DEFAULT_IMAGES.timeout_sec, ge=1, le=86_400, description="deadline per image in seconds"
    )
    vlm_model: str | None = Field(
        None,
        description="vision-language model that labels",
        json_schema_extra=use(target=Target.LABELING, needed=True, example="qwen3-vl-plus"),
    )
    label_prompt: str | None = Field(
        None,
        description="prompt text, instead of label_prompt_style",
        json_schema_extra=use(target=Target.LABELING),
    )
    label_prompt_name: str | None = Field(
        None,
        max_length=200,
        description="name of your prompt in reports, as in night/v2",
        json_schema_extra=use(target=Target.LABELING),
    )
    label_prompt_style: str = Field(
        "driving-scene-en", description="built-in prompt, with or without its version (/v1)"
    )
    label_schema: str | None = Field(
        None,
        description="label schema that the answer has to fit: driving-scene/v1 or file:my_schema.json",
        json_schema_extra=use(target=Target.LABELING),
    )
    label_columns: bool = Field(
        False,
        description="also a column label_<field> for every property of the label schema",
        json_schema_extra=use(target=Target.LABELING),
    )
    repair_rounds: int = Field(
        Generate.repair_rounds,
        ge=0,
        le=3,
        description="how often the model is asked again for an answer that does not fit the label schema",
        json_schema_extra=use(target=Target.LABELING),
    )
    label_max_tokens: int = Field(1024, ge=1, le=32_768, description="longest answer in tokens")
    keep_raw_response: bool = Field(
        False, description="also keep the model's raw response", json_schema_extra=use(target=Target.LABELING)
    )
    embedding_model: str | None = Field(
        None,
        description="multi-modal model that embeds images",
        json_schema_extra=use(target=Target.EMBEDDING, needed=True, example="qwen3-vl-embedding"),
    )
    embedding_dim: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="length of the embedding",
        json_schema_extra=use(target=Target.EMBEDDING),
    )
    label_embedding_model: str | None = Field(
        None,
        description="text model that embeds labels",
        json_schema_extra=use(target=Target.LABEL_EMBEDDING, needed=True, example="text-embedding-v4"),
    )
    label_embedding_dim: int | None = Field(
        None,
        ge=1,
        le=8192,
        description="length of the embedding of a label",
        json_schema_extra=use(target=Target.LABEL_EMBEDDING),
    )
    allow_empty: bool = Field(False, description="whether a listing may find nothing")

    @field_validator("targets", mode="before")
    @classmethod
    def _read_targets(cls, value: Any) -> Any:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            return items
        named = [
            ("labeling" if str(item).strip() == "image-labeling" else str(item).strip()) for item in items
        ]
        return tuple(dict.fromkeys(named))

    @field_validator("frames_prefix", "prepared_prefix")
    @classmethod
    def _check_output_prefix(cls, value: str | None) -> str | None:
        return None if value is None else check_key_path(value)

    @field_validator("clip_id_column", "clip_dir_column", "clip_start_column", "clip_end_column")
    @classmethod
    def _check_column(cls, value: str | None) -> str | None:
        if value is not None and not COLUMN.fullmatch(value):
            raise ValueError("use lower-case letters, digits and underscores")
        return value

    @field_validator("oss_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        segments = value.split("/")
        if value.startswith("/") or ".." in segments or "." in segments or not _KEY_PREFIX.fullmatch(value):
            raise ValueError("a key prefix has no leading slash, no '.' or '..' and no control characters")
        return value

    @field_validator("frame_fps", mode="before")
    @classmethod
    def _check_fps(cls, value: Any) -> str | None:
        return None if value is None else check_frame_rate(value)

    @field_validator("label_schema")
    @classmethod
    def _check_label_schema(cls, value: str | None) -> str | None:
        if value is not None:
            check_answer_schema(value)
        return value

    @field_validator("label_columns")
    @classmethod
    def _check_label_columns(cls, value: bool, info: ValidationInfo) -> bool:
        schema = info.data.get("label_schema")
        if value and schema:
            answer_fields(schema, "label")
        return value

    @field_validator("label_prompt_style")
    @classmethod
    def _check_prompt_style(cls, value: str) -> str:
        if value not in prompt_styles():
            raise ValueError(f"no such prompt; built in: {', '.join(prompt_styles())}")
        return value

    @property
    def is_split(self) -> bool:
        """Whether frames and models are two tasks with a table in between."""
        return bool(self.split_video or self.need_intermediate_table or self.output_tables)

    @property
    def frames_table(self) -> str:
        """Table of the first of several tasks, ``<scenario>_<pipeline kind>`` unless it is named."""
        if self.output_tables is not None:
            return self.output_tables.frames
        return f"{self.scenario_name}_{_INTERMEDIATE_KINDS.get(self.input_shape, _PREPARATION_KIND)}"

    @property
    def prepared_table(self) -> str:
        """Table of prepared images when further tasks follow."""
        first = self.input_shape not in _INTERMEDIATE_KINDS
        return self.frames_table if first else f"{self.scenario_name}_{_PREPARATION_KIND}"

    @property
    def final_table(self) -> str:
        """Table of the last task."""
        named = self.output_tables.final if self.output_tables else None
        return self.output_table or named or ""

    def wants(self, target: Target) -> bool:
        """Whether ``target`` is asked for."""
        return target in self.targets
