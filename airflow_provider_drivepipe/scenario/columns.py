"""The columns of each stage's output, in their fixed order; pure."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_drivepipe.contracts import (
    FRAME_COLUMNS,
    IMAGE_EMBEDDING_COLUMNS,
    LABEL_COLUMNS,
    RAW_RESPONSE_COLUMN,
    STATUS_COLUMNS,
    Column,
)
from airflow_provider_drivepipe.scenario.options import ImageEmbeddingOptions, LabelOptions


def model_columns(labels: LabelOptions | None, embedding: ImageEmbeddingOptions | None) -> tuple[Column, ...]:
    """Return the columns that labeling and embedding add, only those that are asked for."""
    columns: list[Column] = []
    if labels is not None:
        columns += [c for c in LABEL_COLUMNS if labels.label_schema or c.name != "label_json_valid"]
        columns += [RAW_RESPONSE_COLUMN] if labels.keep_raw_response else []
    if embedding is not None:
        columns += IMAGE_EMBEDDING_COLUMNS
    return tuple(columns)


def output_columns(
    lineage: Sequence[Column], labels: LabelOptions | None, embedding: ImageEmbeddingOptions | None
) -> tuple[Column, ...]:
    """Return the columns of a table of frames, labelled or not.

    Frame columns, lineage of the input, label columns, embedding columns, status columns.
    """
    return (*FRAME_COLUMNS, *lineage, *model_columns(labels, embedding), *STATUS_COLUMNS)
