"""Prepares the images of a table: features of each, and an upright RGB JPEG of a wanted size in OSS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_drivepipe.contracts import IMAGE_COLUMNS, STATUS_COLUMNS, Column, OssUri, Stage
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import MaxFrameStageOperator, StageRun
from airflow_provider_drivepipe.operators.frame_extract import check_names
from airflow_provider_drivepipe.operators.models import given_labels
from airflow_provider_drivepipe.pipelines.fingerprint import Fingerprint, fingerprint_of
from airflow_provider_drivepipe.pipelines.pictures import Pictures
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.pipelines.stage_tables import (
    WORK_COLUMN,
    StageTables,
    Work,
    WorkingTables,
    image_key,
)
from airflow_provider_drivepipe.scenario.columns import model_columns
from airflow_provider_drivepipe.scenario.options import ImageOptions, OssOptions, StageOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec

_OF_FRAMES = {"width", "height", "phash", "size_bytes"}
"""Columns of a stage's table whose place this stage's values take: they say the same of its images, or, as
``size_bytes`` of a manifest, something of the video, which stays in that table."""


class MaxFrameImagePrepareOperator(MaxFrameStageOperator):
    """Writes the image features of a partition of images, one row for each input row.

    The input needs a column ``image_url``; all its columns travel through. If it has a ``status`` column
    (a frames table), rows that are not ``ok`` pass by unchanged. An image whose object changes under the same
    URL is prepared again when the input has a column ``etag``, or with ``reprocess: all``.

    :param oss: bucket (or full root URI) that holds the images and receives the prepared ones.
    :param images: size, filter, quality, limits, deadline and resources.
    """

    stage_name: str = str(Stage.IMAGE_PREPARATION)

    def __init__(self, *, oss: OssOptions, images: ImageOptions | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.oss = oss
        images = images or ImageOptions()
        self.images = replace(images, prepared_prefix=images.prepared_prefix or self.output_table.name)

    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""
        return StageOptions(images=self.images)

    def layout(
        self,
        partition: PartitionSpec,
        source: Sequence[Column],
        working: WorkingTables,
        options: StageOptions,
    ) -> StageTables:
        """Return the tables of a run; input units are the rows of the input."""
        names = [c.name for c in source]
        if "image_url" not in names:
            raise ConfigurationError(
                f"table {self.source_table} has no column image_url (its columns: {', '.join(names)})"
            )
        status = {c.name for c in STATUS_COLUMNS}
        has_status = status <= set(names)
        replaced = status | _OF_FRAMES if has_status else set()
        travelling = tuple(c for c in source if c.name not in replaced)
        own = {c.name for c in IMAGE_COLUMNS}
        models = model_columns(options.labels, options.embedding, options.label_embedding)
        taken = status | own | {c.name for c in models}
        check_names(travelling, taken)
        key = image_key(names)
        stages = (Stage.IMAGE_PREPARATION, *options.model_stages)
        given = given_labels(self.source_table, source, options)
        identity = ("image_url", *(c for c in ("etag", "fingerprint") if c in names), *given)
        return StageTables(
            source=self.source_table,
            output=self.output_table.name,
            working=working,
            partition=partition,
            expands=True,
            unit_key=key,
            row_key=key,
            identity=identity,
            source_columns=travelling,
            output_columns=(*travelling, *IMAGE_COLUMNS, *models, *STATUS_COLUMNS),
            stages=stages,
            source_has_status=has_status,
        )

    def fingerprint(self, hook: MaxFrameHook, options: StageOptions) -> Fingerprint:
        """Return what the rows of a run are made with."""
        from airflow_provider_drivepipe.pipelines.images import images_fingerprint

        assert options.images is not None
        project = hook.settings.require_model_project() if options.model_stages else None
        own = {"images": images_fingerprint(options.images, self._root(hook))}
        return Fingerprint({**own, **fingerprint_of(options, None, project).hashes})

    def pictures(self, hook: MaxFrameHook, run: StageRun) -> Pictures | None:
        """Return where a run writes prepared images, None where it writes none."""
        images = run.options.images
        if images is None or not images.write_back:
            return None
        place = OssUri.parse(self._root(hook)).join(images.prepared_prefix, run.partition.path())
        return Pictures("prepared_url", place, run.wanted["images"])

    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:  # noqa: ARG002
        """Return the lazy rows of the selected images, prepared."""
        return self.images_of(hook, run)

    def images_of(self, hook: MaxFrameHook, run: StageRun) -> Any:
        """Return the lazy rows, prepared, of the images that are done from the start."""
        import maxframe.dataframe as md

        images = md.read_odps_table(
            run.tables.working.units,
            partitions=[f"{WORK_COLUMN.name}={Work.RUN}"],
            odps_entry=hook.odps,
        )
        return self.prepared(hook, run, images, run.tables.source_columns)

    def prepared(self, hook: MaxFrameHook, run: StageRun, images: Any, lineage: Sequence[Column]) -> Any:
        """Return lazy rows with the columns ``lineage``, prepared."""
        from airflow_provider_drivepipe.pipelines.context import MountOptions
        from airflow_provider_drivepipe.pipelines.images import image_job, prepare

        assert run.options.images is not None
        mount = MountOptions(self._root(hook), self.oss.mount_path, hook.oss_settings.require_role_arn())
        names = tuple(c.name for c in lineage)
        folder = (
            f"{run.options.images.prepared_prefix.strip('/')}/{run.partition.path()}/{run.wanted['images']}"
        )
        try:
            job = image_job(run.options.images, mount, folder, names)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return prepare(images, run.options.images, mount, job)

    def _root(self, hook: MaxFrameHook) -> str:
        return str(hook.oss_root(self.oss.bucket, self.oss.root))
