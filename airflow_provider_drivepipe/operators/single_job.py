"""Frames, labels and embeddings of a day's videos in one lazy MaxFrame job and one final table."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import StageRun
from airflow_provider_drivepipe.operators.frame_extract import MaxFrameFrameExtractOperator
from airflow_provider_drivepipe.operators.models import assemble_job, model_access, rows_to_do
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.scenario.options import ImageEmbeddingOptions, LabelOptions, StageOptions


class MaxFrameSingleJobOperator(MaxFrameFrameExtractOperator):
    """Cuts videos into frames, labels and embeds the frames, and writes one final table.

    Frames that could not be made, or that a rule left out, never reach a model. A label that failed does
    not throw away the embedding.

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

    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""
        return StageOptions(self.frames, self.labels, self.embedding, quality=self.quality)

    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:
        """Return the lazy final rows.

        Videos that are done from the start are cut into frames; frames that are ok go through the models,
        the others pass by, and so do those beyond the budget. Published rows that only lack results of models
        join them.
        """
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.pipelines.models import (
            beyond_budget,
            call_models,
            first_rows,
            pass_through,
        )

        pieces = rows_to_do(hook, run, counts)
        if counts.run:
            frames = self.frames_of(hook, run)
            job = assemble_job(run.tables, run.options)
            status = frames["status"]
            ok = frames[status == "ok"]
            pieces.append(pass_through(frames[status != "ok"], job))
            if run.budget is not None:
                left = run.budget.rows_left(counts.todo, run.tables.parts)
                ok, beyond = first_rows(ok, run.tables.row_key, left)
                pieces.append(beyond_budget(beyond, job, str(run.tables.parts[0].stage)))
            pieces.append(call_models(ok, run.options, model_access(hook), job))
        return pieces[0] if len(pieces) == 1 else md.concat(pieces)
