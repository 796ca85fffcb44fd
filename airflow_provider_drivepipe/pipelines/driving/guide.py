"""What people need to know of this family beside its stages: what it starts from, what it makes."""

from __future__ import annotations

from airflow_provider_drivepipe.pipelines.driving import models
from airflow_provider_drivepipe.pipelines.driving.images import ImagePreparation
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.family import Split
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.stage import RowStage, UnitStage

INPUT_SHAPES: dict[str, str] = {
    "oss_prefix": "videos in an OSS bucket that no table lists yet",
    "video_table": "a table with one row per video",
    "clip_dir_table": "a table with one row per clip, which is a directory of images in OSS",
    "image_table": "a table with one row per image",
    "labeled_image_table": "a table of images that have labels already",
}
"""What a scenario starts from."""

TARGETS: dict[str, str] = {
    "manifest": "a table of the videos",
    "frame-extraction": "JPEGs in OSS, and a row per frame",
    "keyframe-expansion": "a row per keyframe of each clip",
    "image-preparation": "prepared images and their features",
    "labeling": "labels by a vision-language model",
    "embedding": "vectors of the images by a multi-modal model",
    "label-embedding": "vectors of the labels by a text model",
}
"""What a scenario makes."""

_IMAGE = Image("image_url")
ADDED: dict[str, tuple[str, RowStage]] = {
    "labeling": ("vlm_model", models.label("", "", _IMAGE, schema="driving-scene/v1")),
    "embedding": ("embedding_model", models.image_embedding("", None, _IMAGE)),
    "label-embedding": ("label_embedding_model", models.label_embedding("", None, given=True)),
}
"""The targets that add columns to a table of images: the key that they need, the stage that makes them."""


def starts_from(scenario: DrivingScenario) -> str:
    """Return what a scenario starts from, as Markdown."""
    return f"{INPUT_SHAPES[scenario.input_shape]} (`input_shape: {scenario.input_shape}`)"


def split_of(scenario: DrivingScenario, unit: UnitStage) -> Split:
    """Return how a scenario says whether there is a table between ``unit`` and the models."""
    keys = ("output_tables", "split_video", "need_intermediate_table")
    prepared = isinstance(unit, ImagePreparation)
    return Split(
        asked=next((key for key in keys if getattr(scenario, key)), ""),
        setting=("`prepared_images: write_back` and " if prepared and unit.passed_on else "")
        + "`split_video: true`",
        table=scenario.prepared_table if prepared else scenario.frames_table,
    )
