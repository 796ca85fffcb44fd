"""A scenario of this family: questions about videos, answered from retrieved frames, arms compared."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from airflow_provider_drivepipe.pipelines.retrieval.options import Arm, RetrievalOptions
from airflow_provider_drivepipe.scenario.key_path import check_key_path
from airflow_provider_drivepipe.scenario.model import COLUMN, Scenario, TableName, use

_DEFAULT = RetrievalOptions(())


class InputShape(StrEnum):
    """What a scenario starts from."""

    QUESTION_TABLE = "question_table"


class Target(StrEnum):
    """What a scenario makes."""

    VIDEO_QA = "video-qa"


class Retrieval(BaseModel):
    """The keys below ``retrieval``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    arms: tuple[Arm, ...] = Field(
        (Arm.BLIND, Arm.UNIFORM, Arm.TEXT),
        min_length=1,
        description="ways to choose frames, compared: " + ", ".join(Arm),
    )
    initial_frames: int = Field(8, ge=1, le=32, description="frames that a model sees to plan what it needs")
    max_requests: int = Field(4, ge=1, le=16, description="most frames that a plan asks for")
    top_k: int = Field(
        _DEFAULT.top_k, ge=1, le=64, description="frames chosen for a query, and by arms without queries"
    )
    max_frames: int = Field(
        _DEFAULT.max_frames, ge=1, le=64, description="most frames that a model sees to answer a question"
    )
    min_gap_ms: int = Field(
        _DEFAULT.min_gap_ms, ge=0, description="frames nearer in time to a better one are passed over"
    )
    frames_partition: str | None = Field(
        None, description="partition of the frames (default: that of the questions)"
    )
    language: str = Field("en", pattern="^(en|zh)$", description="of prompts: en or zh")
    image_model: str | None = Field(None, description="image model that draws, for the arm planned_image")
    image_conn_id: str | None = Field(
        None,
        description="Airflow connection of type http to an endpoint that draws, in OpenAI's images style",
    )
    image_size: str = Field("1024x1024", pattern="^[0-9]{2,4}x[0-9]{2,4}$", description="of drawn pictures")

    @field_validator("arms")
    @classmethod
    def _each_once(cls, value: tuple[Arm, ...]) -> tuple[Arm, ...]:
        return tuple(dict.fromkeys(value))


_DEFAULTS = Retrieval.model_validate({})


class RetrievalScenario(Scenario):
    """One scenario file of this family."""

    input_shape: InputShape = Field(
        description="what it starts from: " + ", ".join(InputShape),
        json_schema_extra=use(example="question_table"),
    )
    targets: tuple[Target, ...] = Field(
        min_length=1,
        description="what it makes: " + ", ".join(Target),
        json_schema_extra=use(example="[video-qa]"),
    )
    source_table: TableName | None = Field(
        None, description="existing table of questions", json_schema_extra=use(example="my_questions")
    )
    frames_table: TableName | None = Field(
        None,
        description="table of frames with image_embedding, as a driving scenario writes it",
        json_schema_extra=use(target=Target.VIDEO_QA, needed=True, example="night_rain_labels"),
    )
    video_key: str = Field(
        "video_path", description="column of questions and frames that says which video it is"
    )
    output_prefix: str | None = Field(
        None, description="key prefix of drawn pictures (default: scenario_name)"
    )
    vlm_model: str | None = Field(
        None,
        description="vision-language model that plans and answers",
        json_schema_extra=use(target=Target.VIDEO_QA, needed=True, example="qwen3-vl-plus"),
    )
    embedding_model: str | None = Field(
        None,
        description="multi-modal model that the frames were embedded with",
        json_schema_extra=use(target=Target.VIDEO_QA, needed=True, example="qwen3-vl-embedding"),
    )
    embedding_dim: int | None = Field(
        None, ge=1, le=8192, description="dimension of the vectors (default: the model's)"
    )
    max_tokens: int = Field(2048, ge=1, le=32_768, description="longest answer in tokens")
    repair_rounds: int = Field(1, ge=0, le=3, description="how often a plan that does not fit is asked again")
    retrieval: Retrieval = Field(_DEFAULTS, description="arms, and how frames are chosen")

    @field_validator("targets", mode="before")
    @classmethod
    def _read_targets(cls, value: Any) -> Any:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            return items
        return tuple(dict.fromkeys(str(item).strip() for item in items))

    @field_validator("video_key")
    @classmethod
    def _check_video_key(cls, value: str) -> str:
        if not COLUMN.fullmatch(value):
            raise ValueError("use lower-case letters, digits and underscores")
        return value

    @field_validator("output_prefix")
    @classmethod
    def _check_output_prefix(cls, value: str | None) -> str | None:
        return None if value is None else check_key_path(value)

    def table(self, task: str) -> str:
        """Return the name of a task's table."""
        return f"{self.scenario_name}_{task}"
