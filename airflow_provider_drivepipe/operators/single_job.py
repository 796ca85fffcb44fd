"""Frames, labels and embeddings of a day's videos in one lazy MaxFrame job and one final table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_drivepipe.contracts import FRAME_COLUMNS, Column, Stage
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import StageRun, lineage_of
from airflow_provider_drivepipe.operators.frame_extract import MaxFrameFrameExtractOperator, video_stage_run
from airflow_provider_drivepipe.operators.models import assemble_job, model_access
from airflow_provider_drivepipe.pipelines.fingerprint import (
    combined,
    frames_fingerprint,
    image_embedding_fingerprint,
    label_fingerprint,
)
from airflow_provider_drivepipe.scenario.columns import output_columns
from airflow_provider_drivepipe.scenario.options import ImageEmbeddingOptions, LabelOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec


class MaxFrameSingleJobOperator(MaxFrameFrameExtractOperator):
    """Cuts videos into frames, labels and embeds the frames, and writes one final table.

    Frames that could not be made never reach a model. A label that failed does not throw away the embedding.

    :param labels: how to label, or None.
    :param embedding: how to embed, or None. At least one of the two is given.
    """

    stage_name: ClassVar[str] = "single_job"

    def __init__(
        self,
        *,
        labels: LabelOptions | None = None,
        embedding: ImageEmbeddingOptions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if labels is None and embedding is None:
            raise ValueError(
                "MaxFrameSingleJobOperator needs labels, embedding or both; "
                "for frames alone use MaxFrameFrameExtractOperator"
            )
        self.labels = labels
        self.embedding = embedding

    def resolve(
        self, hook: MaxFrameHook, partition: PartitionSpec, source: Sequence[Column], suffix: str
    ) -> StageRun:
        """Return the run of this partition: frames first, then the models asked for."""
        project = hook.settings.require_model_project()
        root = str(hook.oss_root(self.oss.bucket, self.oss.root))
        lineage = lineage_of(source, FRAME_COLUMNS)
        stages = [Stage.FRAME_EXTRACTION]
        if self.labels:
            stages.append(Stage.LABEL)
        if self.embedding:
            stages.append(Stage.IMAGE_EMBEDDING)
        prefix = combined(
            frames_fingerprint(self.frames, root),
            label_fingerprint(self.labels, project) if self.labels else None,
            image_embedding_fingerprint(self.embedding, project) if self.embedding else None,
        )
        return video_stage_run(
            source_table=self.source_table,
            output_table=self.output_table.name,
            partition=partition,
            source=source,
            columns=output_columns(lineage, self.labels, self.embedding),
            stages=tuple(stages),
            fingerprint_prefix=prefix,
            suffix=suffix,
        )

    def build(self, hook: MaxFrameHook, run: StageRun) -> Any:
        """Return the lazy final rows: frames that are ok go through the models, the others pass by."""
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.pipelines.models import call_models, pass_through

        frames = super().build(hook, run)
        job = assemble_job(run, self.labels, self.embedding)
        status = frames["status"]
        ok = frames[status == "ok"]
        rest = frames[status != "ok"]
        done = call_models(ok, self.labels, self.embedding, model_access(hook), job)
        return md.concat([done, pass_through(rest, job)])
