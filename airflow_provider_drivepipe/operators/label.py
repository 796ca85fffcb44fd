"""Labels and embeds the images of a table that exists already, frames or plain images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, Stage
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import MaxFrameStageOperator, StageRun
from airflow_provider_drivepipe.operators.models import assemble_job, model_access
from airflow_provider_drivepipe.pipelines.fingerprint import (
    combined,
    image_embedding_fingerprint,
    label_fingerprint,
)
from airflow_provider_drivepipe.pipelines.stage_sql import StageTables
from airflow_provider_drivepipe.scenario.columns import model_columns
from airflow_provider_drivepipe.scenario.options import ImageEmbeddingOptions, LabelOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec

_KEY = ("video_path", "frame_idx", "image_id", "image_url")


class AiFuncLabelOperator(MaxFrameStageOperator):
    """Calls vision-language and embedding models for every image of a partition.

    The input needs a column ``image_url``; all its columns travel through. If it has a ``status`` column
    (a frames table), rows that are not ``ok`` pass by unchanged and cost nothing.

    :param labels: how to label, or None.
    :param embedding: how to embed, or None. At least one of the two is given.
    """

    stage_name: ClassVar[str] = str(Stage.LABEL)

    def __init__(
        self,
        *,
        labels: LabelOptions | None = None,
        embedding: ImageEmbeddingOptions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if labels is None and embedding is None:
            raise ValueError("AiFuncLabelOperator needs labels, embedding or both")
        self.labels = labels
        self.embedding = embedding

    def resolve(
        self, hook: MaxFrameHook, partition: PartitionSpec, source: Sequence[Column], suffix: str
    ) -> StageRun:
        """Return the run of this partition; input units are the rows of the input."""
        names = [c.name for c in source]
        if "image_url" not in names:
            raise ConfigurationError(
                f"table {self.source_table} has no column image_url (its columns: {', '.join(names)})"
            )
        status = {c.name for c in STATUS_COLUMNS}
        has_status = status <= set(names)
        travelling = tuple(c for c in source if not (has_status and c.name in status))
        columns = (*travelling, *model_columns(self.labels, self.embedding), *STATUS_COLUMNS)
        project = hook.settings.require_model_project()
        prefix = combined(
            label_fingerprint(self.labels, project) if self.labels else None,
            image_embedding_fingerprint(self.embedding, project) if self.embedding else None,
        )
        tables = StageTables(
            source=self.source_table,
            output=self.output_table.name,
            selection=f"{self.output_table.name}__selection_{suffix}",
            staging=f"{self.output_table.name}__staging_{suffix}",
            partition_filter=partition.sql(" AND "),
            partition_clause=partition.sql(", "),
            key=tuple(c for c in _KEY if c in names),
            identity=("image_url", "fingerprint") if has_status else ("image_url",),
            source_columns=tuple(c.name for c in travelling),
            output_columns=tuple(c.name for c in columns),
            source_has_status=has_status,
        )
        stages = [Stage.LABEL] if self.labels else []
        stages += [Stage.IMAGE_EMBEDDING] if self.embedding else []
        return StageRun(partition, tables, columns, tuple(stages), prefix)

    def build(self, hook: MaxFrameHook, run: StageRun) -> Any:
        """Return the lazy labelled rows of the selected images."""
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.pipelines.models import call_models

        rows = md.read_odps_table(run.tables.selection, odps_entry=hook.odps)
        job = assemble_job(run, self.labels, self.embedding)
        return call_models(rows, self.labels, self.embedding, model_access(hook), job)
