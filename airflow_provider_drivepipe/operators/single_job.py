"""A first stage and the models behind it in one lazy MaxFrame job and one final table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow_provider_drivepipe.contracts import IMAGE_COLUMNS, STATUS_COLUMNS
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import StageRun
from airflow_provider_drivepipe.operators.frame_extract import MaxFrameFrameExtractOperator
from airflow_provider_drivepipe.operators.image_prepare import MaxFrameImagePrepareOperator
from airflow_provider_drivepipe.operators.keyframe_expand import MaxFrameKeyframeExpandOperator
from airflow_provider_drivepipe.operators.models import model_access, models_behind, require_a_model
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.scenario.options import (
    ImageEmbeddingOptions,
    LabelEmbeddingOptions,
    LabelOptions,
    StageOptions,
)


class MaxFrameSingleJobOperator(MaxFrameFrameExtractOperator):
    """Cuts videos into frames, labels and embeds the frames, and writes one final table.

    Frames that could not be made, or that a rule left out, never reach a model. A label that failed does
    not throw away the embedding.

    :param labels: how to label, or None.
    :param embedding: how to embed images, or None.
    :param label_embedding: how to embed the labels, or None; only together with ``labels``.
    """

    stage_name: str = "single_job"

    def __init__(
        self,
        *,
        labels: LabelOptions | None = None,
        embedding: ImageEmbeddingOptions | None = None,
        label_embedding: LabelEmbeddingOptions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_a_model(type(self), labels, embedding)
        self.labels = labels
        self.embedding = embedding
        self.label_embedding = label_embedding

    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""
        return replace(
            super().stage_options(),
            labels=self.labels,
            embedding=self.embedding,
            label_embedding=self.label_embedding,
        )

    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:
        """Return the lazy final rows."""
        access = model_access(hook, "image_url")
        return models_behind(hook, run, counts, access, lambda: self.frames_of(hook, run))


class MaxFrameClipLabelOperator(MaxFrameKeyframeExpandOperator):
    """Expands clips into keyframes, labels and embeds these, and writes one final table.

    Clips that could not be expanded never reach a model.

    :param labels: how to label, or None.
    :param embedding: how to embed images, or None.
    :param label_embedding: how to embed the labels, or None; only together with ``labels``.
    """

    stage_name: str = "clip_labels"

    def __init__(
        self,
        *,
        labels: LabelOptions | None = None,
        embedding: ImageEmbeddingOptions | None = None,
        label_embedding: LabelEmbeddingOptions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_a_model(type(self), labels, embedding)
        self.labels = labels
        self.embedding = embedding
        self.label_embedding = label_embedding

    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""
        return replace(
            super().stage_options(),
            labels=self.labels,
            embedding=self.embedding,
            label_embedding=self.label_embedding,
        )

    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:
        """Return the lazy final rows."""
        access = model_access(hook, "image_url")
        return models_behind(hook, run, counts, access, lambda: self.keyframes_of(hook, run))


class MaxFrameImageLabelOperator(MaxFrameImagePrepareOperator):
    """Prepares images, labels and embeds what came out, and writes one final table.

    Images that cannot be prepared never reach a model. Models get the prepared image: by its URL, or within
    the request when ``images.inline`` is set.

    :param labels: how to label, or None.
    :param embedding: how to embed images, or None.
    :param label_embedding: how to embed labels, or None; without ``labels``, those of the input.
    """

    stage_name: str = "image_labels"

    def __init__(
        self,
        *,
        labels: LabelOptions | None = None,
        embedding: ImageEmbeddingOptions | None = None,
        label_embedding: LabelEmbeddingOptions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_a_model(type(self), labels, embedding, label_embedding)
        self.labels = labels
        self.embedding = embedding
        self.label_embedding = label_embedding

    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""
        return replace(
            super().stage_options(),
            labels=self.labels,
            embedding=self.embedding,
            label_embedding=self.label_embedding,
        )

    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:
        """Return the lazy final rows.

        An image that is passed on inline stands in no table: for rows that only lack results of models it is
        prepared again.
        """
        from airflow_provider_drivepipe.worker.image_preparation import INLINE_NAME

        inline = self.images.inline
        access = model_access(hook, INLINE_NAME if inline else "prepared_url", inline)
        again: Callable[[Any], Any] | None = None
        if inline:
            made_again = {c.name for c in (*IMAGE_COLUMNS, *STATUS_COLUMNS)}
            kept = [c for c in run.tables.output_columns if c.name not in made_again]

            def again(rows: Any) -> Any:
                return self.prepared(hook, run, rows, kept)

        return models_behind(hook, run, counts, access, lambda: self.images_of(hook, run), again)
