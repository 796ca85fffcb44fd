"""A scenario: what a team wants done with its driving videos, as it stands in a YAML file."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from airflow_provider_drivepipe.pipelines.driving.frame_rate import check_frame_rate
from airflow_provider_drivepipe.pipelines.driving.options import (
    FrameFilter,
    FrameOptions,
    ImageOptions,
    KeyframeOptions,
    ManifestOptions,
    PreparedImages,
    ResizeFilter,
    SamplingRule,
    TimestampUnit,
)
from airflow_provider_drivepipe.scenario.key_path import check_endpoint, check_key_path
from airflow_provider_drivepipe.scenario.options import (
    Granularity,
    PartitionOptions,
    Reprocess,
    SelectionOptions,
)
from airflow_provider_drivepipe.scenario.partition import (
    check_key_format,
    check_partition_value,
    parse_partition_key,
)
from airflow_provider_drivepipe.scenario.partition_calendar import default_key_format
from airflow_provider_drivepipe.stages.answer_schemas import answer_fields, load_answer_schema
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.prompts import prompt_styles

_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_TABLE = re.compile(r"([a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*")
_COLUMN = re.compile(r"[a-z_][a-z0-9_]*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
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
TableName = Annotated[str, Field(pattern=_TABLE.pattern.join(("^", "$")))]
_DEFAULT_FRAMES = FrameOptions()
_DEFAULT_IMAGES = ImageOptions()
_DEFAULT_KEYFRAMES = KeyframeOptions()
_DEFAULT_PARTITION = PartitionOptions()
_DEFAULT_SELECTION = SelectionOptions()


class OutputTables(BaseModel):
    """Names of the tables of split-video."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frames: TableName = Field(description="table of frames, keyframes or prepared images")
    final: TableName | None = Field(None, description="final table, instead of output_table")


class Prices(BaseModel):
    """What models cost per so many tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    currency: str = Field(min_length=1, max_length=10, description="for example CNY")
    per_tokens: int = Field(1_000_000, ge=1, description="how many tokens the prices are for")
    input: float | None = Field(None, ge=0, description="of tokens that the labelling model reads")
    output: float | None = Field(None, ge=0, description="of tokens that the labelling model writes")
    embedding: float | None = Field(None, ge=0, description="of tokens that are embedded")


class Scenario(BaseModel):
    """One scenario file. Unknown keys are errors; credentials belong into the Airflow connection."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False)

    scenario_name: str = Field(description="name of the scenario; the DAG is drivepipe_<scenario_name>")
    description: str = Field("", description="one line for people, shown in the DAG's documentation")
    owner: str = Field("airflow", description="owner of the DAG's tasks")
    tags: tuple[str, ...] = Field((), description="further tags of the DAG")
    input_shape: InputShape = Field(description="what it starts from: " + ", ".join(InputShape))
    targets: tuple[Target, ...] = Field(min_length=1, description="what it makes: " + ", ".join(Target))

    conn_id: str = Field("drivepipe_default", description="Airflow connection of type drivepipe")
    schedule: str | None = Field(None, description="cron expression, or null for manual runs only")
    start_date: str = Field("2026-01-01", description="first day that a schedule covers, YYYY-MM-DD")
    timezone: str = Field(_DEFAULT_PARTITION.timezone, description="time zone of schedule and partitions")
    partition_granularity: Granularity = Field(
        Granularity.DAILY, description="how long a partition is: daily or hourly"
    )
    partition_lag: int = Field(
        1,
        ge=0,
        le=8784,
        description="a scheduled run owns the partition of so many days or hours before",
    )
    partition_key_format: str | None = Field(
        None, description="strftime format of partition values (default %Y%m%d, hourly %Y%m%d%H)"
    )
    partition_col: str = Field("ds", description="partition column of all tables")
    partition_fixed: dict[str, str] = Field(
        {}, description="further partition columns with fixed values, for example {region: east}"
    )
    partition_value: str | None = Field(None, description="default partition of manual runs")
    max_active_runs: int = Field(
        1, ge=1, le=1000, description="runs of the DAG at once; a backfill has a limit of its own"
    )

    oss_bucket: str | None = Field(
        None, description="bucket that holds videos, clips or images and receives what is made of them"
    )
    oss_prefix: str = Field("", description="key prefix to list; {ds} in it becomes the partition's value")
    oss_root: str | None = Field(
        None, description="full URI oss://<endpoint>/<bucket>[/<prefix>] instead of the connection's endpoint"
    )
    oss_mount_path: str = Field("/mnt/drivepipe", description="where workers see the bucket")
    video_extensions: tuple[str, ...] = Field(
        ManifestOptions.video_extensions, min_length=1, description="extensions that make an object a video"
    )
    video_input_table: TableName | None = Field(None, description="manifest table that the listing writes")
    source_table: TableName | None = Field(None, description="existing table of videos, clips or images")
    output_table: TableName | None = Field(None, description="final table")
    split_video: bool | None = Field(
        None, description="images and models as two tasks with a table of images in between"
    )
    need_intermediate_table: bool | None = Field(None, description="another word for split_video")
    output_tables: OutputTables | None = Field(
        None, description="split-video with named tables: {frames: my_frames, final: my_labels}"
    )
    meta_lifecycle: int | None = Field(None, ge=1, description="days until partitions of our tables expire")

    frame_fps: str | None = Field(None, description="frames per second: 2, 0.5 or 1/2 (default 1)")
    frame_sample_count: int | None = Field(
        None, ge=1, le=100_000, description="frames per video, instead of frame_fps"
    )
    sampling_rule: SamplingRule = Field(
        SamplingRule.AT_TIME, description="which frame stands for a time: at_time or nearest"
    )
    frames_prefix: str | None = Field(
        None,
        description="key prefix of the JPEGs (default: scenario_name)",
    )
    jpeg_quality: int = Field(_DEFAULT_FRAMES.jpeg_quality, ge=1, le=100, description="JPEG quality")
    ffmpeg_timeout_sec: int = Field(
        _DEFAULT_FRAMES.timeout_sec, ge=1, le=86_400, description="deadline per video in seconds"
    )
    frame_cpu: int = Field(_DEFAULT_FRAMES.cpu, ge=1, le=64, description="cores per worker")
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
        _DEFAULT_KEYFRAMES.clip_id_column, description="column with a clip's identity"
    )
    clip_dir_column: str = Field(
        _DEFAULT_KEYFRAMES.clip_dir_column,
        description="column with a clip's directory: a full OSS URI, or a path below the OSS root",
    )
    clip_start_column: str | None = Field(
        _DEFAULT_KEYFRAMES.start_column, description="column with the start of a time range, in milliseconds"
    )
    clip_end_column: str | None = Field(
        _DEFAULT_KEYFRAMES.end_column, description="column with the end of a time range, in milliseconds"
    )
    keyframe_count: int | None = Field(
        None, ge=1, le=100_000, description="keyframes per clip, spread evenly (default: all images)"
    )
    keyframe_stride: int | None = Field(
        None, ge=1, le=1_000_000, description="every so many-th image, instead of keyframe_count"
    )
    image_extensions: tuple[str, ...] = Field(
        _DEFAULT_KEYFRAMES.image_extensions, min_length=1, description="extensions of a clip's images"
    )
    timestamp_unit: TimestampUnit = Field(
        TimestampUnit.AUTO, description="unit of a clip's timestamps: auto, s, ms, us or ns"
    )
    clip_max_files: int = Field(
        _DEFAULT_KEYFRAMES.max_files, ge=1, description="most files in a clip's directory"
    )
    clip_timeout_sec: int = Field(
        _DEFAULT_KEYFRAMES.timeout_sec, ge=1, le=86_400, description="deadline per clip in seconds"
    )

    prepared_images: PreparedImages = Field(
        PreparedImages.WRITE_BACK,
        description="write_back: to OSS; inline: to the models only; features: leave images as they are",
    )
    prepared_prefix: str | None = Field(
        None,
        description="key prefix of the prepared images (default: <scenario_name>_prepared)",
    )
    image_longest_side: int | None = Field(
        None, ge=1, le=65_500, description="longest side of prepared images in pixels"
    )
    image_exact_size: tuple[PixelSide, PixelSide] | None = Field(
        None, description="[width, height] of prepared images, instead of image_longest_side"
    )
    image_enlarge: bool = Field(False, description="whether smaller images grow to image_longest_side")
    image_resize_filter: ResizeFilter = Field(
        _DEFAULT_IMAGES.resize_filter, description="nearest, bilinear, bicubic or lanczos"
    )
    image_jpeg_quality: int = Field(
        _DEFAULT_IMAGES.jpeg_quality, ge=1, le=100, description="JPEG quality of prepared images"
    )
    image_max_pixels: int = Field(
        _DEFAULT_IMAGES.max_pixels, ge=1, le=178_000_000, description="larger images fail"
    )
    image_max_bytes: int = Field(_DEFAULT_IMAGES.max_bytes, ge=1, description="larger image files fail")
    image_timeout_sec: int = Field(
        _DEFAULT_IMAGES.timeout_sec, ge=1, le=86_400, description="deadline per image in seconds"
    )

    vlm_model: str | None = Field(None, description="vision-language model that labels")
    label_prompt: str | None = Field(None, description="prompt text, instead of label_prompt_style")
    label_prompt_name: str | None = Field(
        None, max_length=200, description="name of your prompt in reports, as in night/v2"
    )
    label_prompt_style: str = Field(
        "driving-scene-en", description="built-in prompt, with or without its version (/v1)"
    )
    label_schema: str | None = Field(
        None, description="label schema that the answer has to fit: driving-scene/v1 or file:my_schema.json"
    )
    label_columns: bool = Field(
        False, description="also a column label_<field> for every property of the label schema"
    )
    repair_rounds: int = Field(
        Generate.repair_rounds,
        ge=0,
        le=3,
        description="how often the model is asked again for an answer that does not fit the label schema",
    )
    label_max_tokens: int = Field(1024, ge=1, le=32_768, description="longest answer in tokens")
    keep_raw_response: bool = Field(False, description="also keep the model's raw response")
    embedding_model: str | None = Field(None, description="multi-modal model that embeds images")
    embedding_dim: int | None = Field(None, ge=1, le=8192, description="length of the embedding")
    label_embedding_model: str | None = Field(None, description="text model that embeds labels")
    label_embedding_dim: int | None = Field(
        None, ge=1, le=8192, description="length of the embedding of a label"
    )

    reprocess: Reprocess = Field(
        Reprocess.CHANGED, description="which rows a run works on: changed, failed or all"
    )
    max_row_attempts: int = Field(
        _DEFAULT_SELECTION.max_row_attempts,
        ge=1,
        le=1000,
        description="tries after which a row stays failed, until its configuration or its input changes",
    )
    max_rows: int | None = Field(
        None, ge=1, description="most rows that a run sends to models; the others wait for the next run"
    )
    max_calls: int | None = Field(
        None, ge=1, description="most calls of models that a run makes, repair rounds included"
    )
    prices: Prices | None = Field(
        None,
        description="per 1,000,000 tokens: {currency: CNY, input: 1.5, output: 4.5, embedding: 0.7}",
    )
    max_failure_rate: float = Field(1.0, ge=0, le=1, description="largest tolerated share of failures")
    min_rows: int = Field(0, ge=0, description="fewest ok rows that are tolerated")
    max_shrink: float = Field(
        0.5, ge=0, le=1, description="largest share of its ok rows that a run may take from a partition"
    )
    allow_empty: bool = Field(False, description="whether a listing may find nothing")

    @field_validator("scenario_name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("use lower-case letters, digits and underscores, starting with a letter")
        return value

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

    @field_validator("partition_col")
    @classmethod
    def _check_partition_col(cls, value: str) -> str:
        if not _COLUMN.fullmatch(value):
            raise ValueError("use lower-case letters, digits and underscores")
        return value

    @field_validator("partition_value", mode="before")
    @classmethod
    def _check_partition_value(cls, value: Any, info: ValidationInfo) -> Any:
        granularity = info.data.get("partition_granularity")
        if value is None or granularity is None:
            return value
        key_format = info.data.get("partition_key_format") or default_key_format(granularity)
        parse_partition_key(str(value), key_format)
        return str(value)

    @field_validator("partition_fixed", mode="before")
    @classmethod
    def _check_partition_fixed(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, dict):
            return value
        for column in value:
            if not isinstance(column, str) or not _COLUMN.fullmatch(column):
                raise ValueError(f"{column!r}: use lower-case letters, digits and underscores for columns")
        if info.data.get("partition_col") in value:
            raise ValueError(f"{info.data['partition_col']} takes the run's value, so it cannot be fixed")
        return {column: check_partition_value(str(fixed)) for column, fixed in value.items()}

    @field_validator("partition_key_format")
    @classmethod
    def _check_key_format(cls, value: str | None, info: ValidationInfo) -> str | None:
        granularity = info.data.get("partition_granularity")
        return value if value is None or granularity is None else check_key_format(value, granularity)

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("not an IANA time zone, for example Asia/Shanghai")
        ZoneInfo(value)
        return value

    @field_validator("start_date", mode="before")
    @classmethod
    def _check_start_date(cls, value: Any) -> str:
        return datetime.strptime(str(value), "%Y-%m-%d").strftime("%Y-%m-%d")

    @field_validator("schedule")
    @classmethod
    def _check_schedule(cls, value: str | None) -> str | None:
        from croniter import croniter

        if value is not None and not croniter.is_valid(value):
            raise ValueError("not a cron expression, for example '30 2 * * *'")
        return value

    @field_validator("oss_bucket")
    @classmethod
    def _check_bucket(cls, value: str | None) -> str | None:
        if value is not None and not _BUCKET.fullmatch(value):
            raise ValueError("not a bucket name: 3 to 63 lower-case letters, digits and hyphens")
        return value

    @field_validator("frames_prefix", "prepared_prefix")
    @classmethod
    def _check_output_prefix(cls, value: str | None) -> str | None:
        return None if value is None else check_key_path(value)

    @field_validator("clip_id_column", "clip_dir_column", "clip_start_column", "clip_end_column")
    @classmethod
    def _check_column(cls, value: str | None) -> str | None:
        if value is not None and not _COLUMN.fullmatch(value):
            raise ValueError("use lower-case letters, digits and underscores")
        return value

    @field_validator("oss_prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        segments = value.split("/")
        if value.startswith("/") or ".." in segments or "." in segments or not _KEY_PREFIX.fullmatch(value):
            raise ValueError("a key prefix has no leading slash, no '.' or '..' and no control characters")
        return value

    @field_validator("oss_root")
    @classmethod
    def _check_root(cls, value: str | None) -> str | None:
        from airflow_provider_drivepipe.contracts import OssUri

        if value is None:
            return value
        root = OssUri.parse(value.removesuffix("/"))
        check_endpoint(root.endpoint)
        if not _BUCKET.fullmatch(root.bucket):
            raise ValueError("not a bucket name: 3 to 63 lower-case letters, digits and hyphens")
        return str(OssUri(root.endpoint, root.bucket, check_key_path(root.key) if root.key else ""))

    @field_validator("oss_mount_path")
    @classmethod
    def _check_mount(cls, value: str) -> str:
        if not re.fullmatch(r"/mnt/[A-Za-z0-9_\-/]+", value):
            raise ValueError("a mount path lies below /mnt/")
        return value

    @field_validator("frame_fps", mode="before")
    @classmethod
    def _check_fps(cls, value: Any) -> str | None:
        return None if value is None else check_frame_rate(value)

    @field_validator("label_schema")
    @classmethod
    def _check_label_schema(cls, value: str | None) -> str | None:
        if value is not None:
            load_answer_schema(value)
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
    def dag_id(self) -> str:
        """Id of the DAG: ``drivepipe_<scenario_name>``."""
        return f"drivepipe_{self.scenario_name}"

    @property
    def key_format(self) -> str:
        """``strftime`` format of partition values."""
        return self.partition_key_format or default_key_format(self.partition_granularity)

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
