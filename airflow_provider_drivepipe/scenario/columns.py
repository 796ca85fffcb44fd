"""The columns of each stage's output, in their fixed order; pure."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_drivepipe.contracts import (
    FRAME_COLUMNS,
    FRAME_QUALITY_COLUMNS,
    IMAGE_EMBEDDING_COLUMNS,
    KEYFRAME_COLUMNS,
    LABEL_COLUMNS,
    LABEL_EMBEDDING_COLUMNS,
    RAW_RESPONSE_COLUMN,
    STATUS_COLUMNS,
    Column,
)
from airflow_provider_drivepipe.scenario.label_schemas import LabelField, label_fields
from airflow_provider_drivepipe.scenario.options import (
    ImageEmbeddingOptions,
    LabelEmbeddingOptions,
    LabelOptions,
)

LABEL_NORMALISED_COLUMN = Column(
    "label_normalised", "bigint", "how many values of the label were put right, NULL without one"
)


def model_columns(
    labels: LabelOptions | None,
    embedding: ImageEmbeddingOptions | None,
    label_embedding: LabelEmbeddingOptions | None = None,
) -> tuple[Column, ...]:
    """Return the columns that labeling and embedding add, only those that are asked for."""
    columns: list[Column] = []
    if labels is not None:
        columns += [c for c in LABEL_COLUMNS if labels.label_schema or c.name != "label_json_valid"]
        columns += [LABEL_NORMALISED_COLUMN] if labels.label_schema else []
        columns += [RAW_RESPONSE_COLUMN] if labels.keep_raw_response else []
        columns += [
            Column(f.column, f.type, f"{f.property} of the label, NULL where it failed")
            for f in flat_label_fields(labels)
        ]
    if embedding is not None:
        columns += IMAGE_EMBEDDING_COLUMNS
    if label_embedding is not None:
        columns += LABEL_EMBEDDING_COLUMNS
    return tuple(columns)


def flat_label_fields(labels: LabelOptions | None) -> tuple[LabelField, ...]:
    """Return the properties that get a column of their own; none unless asked for."""
    if labels is None or not labels.label_columns or not labels.label_schema:
        return ()
    return label_fields(labels.label_schema)


def frame_columns(*, measured: bool) -> tuple[Column, ...]:
    """Return the columns that frame extraction makes; those of the measures where frames are measured."""
    return (*FRAME_COLUMNS, *FRAME_QUALITY_COLUMNS) if measured else FRAME_COLUMNS


def keyframe_columns(*, measured: bool) -> tuple[Column, ...]:
    """Return the columns that keyframe expansion makes; those of the measures where it measures."""
    return (*KEYFRAME_COLUMNS, *FRAME_QUALITY_COLUMNS) if measured else KEYFRAME_COLUMNS


def output_columns(
    lineage: Sequence[Column],
    labels: LabelOptions | None,
    embedding: ImageEmbeddingOptions | None,
    label_embedding: LabelEmbeddingOptions | None = None,
    *,
    measured: bool = False,
) -> tuple[Column, ...]:
    """Return the columns of a table of frames, labelled or not.

    Frame columns, lineage of the input, label columns, embedding columns, status columns.
    """
    models = model_columns(labels, embedding, label_embedding)
    return (*frame_columns(measured=measured), *lineage, *models, *STATUS_COLUMNS)
