"""Labels and embeds the images of a table that exists already, frames or plain images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, OssUri, Stage
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import MaxFrameStageOperator, StageRun
from airflow_provider_drivepipe.operators.frame_extract import check_names
from airflow_provider_drivepipe.operators.models import (
    given_labels,
    model_access,
    require_a_model,
    rows_to_do,
)
from airflow_provider_drivepipe.pipelines.fingerprint import Fingerprint, fingerprint_of
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.pipelines.stage_tables import IMAGE_KEY, StageTables, WorkingTables, image_key
from airflow_provider_drivepipe.scenario.columns import model_columns
from airflow_provider_drivepipe.scenario.options import (
    ImageEmbeddingOptions,
    LabelEmbeddingOptions,
    LabelOptions,
    StageOptions,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec


class AiFuncLabelOperator(MaxFrameStageOperator):
    """Calls vision-language and embedding models for every image of a partition.

    The input needs a column ``image_url``, or ``label_text`` when nothing but labels that are there already
    is embedded; all its columns travel through. If it has a ``status`` column
    (a frames table), rows that are not ``ok`` pass by unchanged and cost nothing.

    :param labels: how to label, or None.
    :param embedding: how to embed images, or None.
    :param label_embedding: how to embed labels, or None. Without ``labels``, those of the input. At least one
        of the three is given.
    :param image_column: the column with the OSS URI of what models get to see. The model service fetches
        images with the connection's key pair, so a row whose image is not in the connection's OSS fails.
    :param oss_root: a full OSS URI; images may be at its endpoint too.
    """

    stage_name: str = str(Stage.LABEL)

    def __init__(
        self,
        *,
        labels: LabelOptions | None = None,
        embedding: ImageEmbeddingOptions | None = None,
        label_embedding: LabelEmbeddingOptions | None = None,
        image_column: str = "image_url",
        oss_root: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_a_model(type(self), labels, embedding, label_embedding)
        self.labels = labels
        self.embedding = embedding
        self.label_embedding = label_embedding
        self.stage_name = str(self.stage_options().model_stages[0])
        self.image_column = image_column
        self.oss_root = oss_root

    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""
        return StageOptions(
            labels=self.labels, embedding=self.embedding, label_embedding=self.label_embedding
        )

    def layout(
        self,
        partition: PartitionSpec,
        source: Sequence[Column],
        working: WorkingTables,
        options: StageOptions,
    ) -> StageTables:
        """Return the tables of a run; input units are the rows of the input."""
        names = [c.name for c in source]
        images = {"image_url", self.image_column} if options.labels or options.embedding else set()
        for wanted in sorted(images.difference(names)):
            raise ConfigurationError(
                f"table {self.source_table} has no column {wanted} (its columns: {', '.join(names)})"
            )
        given_labels(self.source_table, source, options)
        status = {c.name for c in STATUS_COLUMNS}
        has_status = status <= set(names)
        travelling = tuple(c for c in source if not (has_status and c.name in status))
        added = model_columns(options.labels, options.embedding, options.label_embedding)
        check_names(travelling, {*status, *(c.name for c in added)})
        key = image_key(names)
        if not key:
            raise ConfigurationError(
                f"table {self.source_table} has none of the columns that tell its rows apart "
                f"({', '.join(IMAGE_KEY)}; its columns: {', '.join(names)})"
            )
        content = tuple(c for c in ("image_url",) if c in names)
        sees_images = bool(options.labels or options.embedding)
        return StageTables(
            source=self.source_table,
            output=self.output_table.name,
            working=working,
            partition=partition,
            expands=False,
            unit_key=key,
            row_key=key,
            identity=(*content, "fingerprint") if has_status else content or key,
            source_columns=travelling,
            output_columns=(*travelling, *added, *STATUS_COLUMNS),
            stages=options.model_stages,
            source_has_status=has_status,
            image_column=self.image_column if sees_images else None,
        )

    def image_roots(self, hook: MaxFrameHook) -> tuple[str, ...]:
        """Return the starts of URIs in the connection's OSS, and in that of ``oss_root``."""
        places = hook.oss_settings.require_oss().netlocs
        if self.oss_root is not None:
            places += (OssUri.parse(self.oss_root).endpoint,)
        return tuple(f"oss://{place}/" for place in dict.fromkeys(places))

    def fingerprint(self, hook: MaxFrameHook, options: StageOptions) -> Fingerprint:
        """Return what the rows of a run are made with."""
        return fingerprint_of(options, None, hook.settings.require_model_project())

    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:
        """Return the lazy labelled rows of the selected images."""
        import maxframe.dataframe as md

        pieces = rows_to_do(hook, run, counts, model_access(hook, self.image_column))
        return pieces[0] if len(pieces) == 1 else md.concat(pieces)
