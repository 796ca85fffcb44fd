"""Cuts the videos of a partition into frames: JPEGs in OSS, one row per frame in the output table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, OssUri, Stage
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import MaxFrameStageOperator, StageRun
from airflow_provider_drivepipe.pipelines.fingerprint import Fingerprint, fingerprint_of
from airflow_provider_drivepipe.pipelines.pictures import Pictures
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.pipelines.stage_tables import WORK_COLUMN, StageTables, Work, WorkingTables
from airflow_provider_drivepipe.scenario.columns import frame_columns, model_columns, output_columns
from airflow_provider_drivepipe.scenario.options import (
    FrameOptions,
    OssOptions,
    QualityOptions,
    StageOptions,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec


class MaxFrameFrameExtractOperator(MaxFrameStageOperator):
    """Writes the frames table of a partition of videos.

    :param oss: bucket (or full root URI) that holds the videos and receives the frames.
    :param frames: sampling, JPEG quality, deadline and resources.
    :param quality: measure the frames, and leave out those that a rule refuses.
    """

    stage_name: str = str(Stage.FRAME_EXTRACTION)

    def __init__(
        self,
        *,
        oss: OssOptions,
        frames: FrameOptions | None = None,
        quality: QualityOptions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.oss = oss
        frames = frames or FrameOptions()
        self.frames = replace(frames, frames_prefix=frames.frames_prefix or self.output_table.name)
        self.quality = quality

    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""
        return StageOptions(frames=self.frames, quality=self.quality)

    def layout(
        self,
        partition: PartitionSpec,
        source: Sequence[Column],
        working: WorkingTables,
        options: StageOptions,
    ) -> StageTables:
        """Return the tables of a run; input units are videos, told apart by ``video_path``."""
        names = [c.name for c in source]
        if "video_path" not in names:
            raise ConfigurationError(
                f"table {self.source_table} has no column video_path (its columns: {', '.join(names)})"
            )
        measured = options.quality is not None
        lineage = lineage_of(source, frame_columns(measured=measured))
        models = model_columns(options.labels, options.embedding, options.label_embedding)
        check_names(lineage, {c.name for c in models})
        return StageTables(
            source=self.source_table,
            output=self.output_table.name,
            working=working,
            partition=partition,
            expands=True,
            unit_key=("video_path",),
            row_key=("video_path", "frame_idx"),
            identity=("video_path", "etag") if "etag" in names else ("video_path",),
            source_columns=(*(c for c in source if c.name == "video_path"), *lineage),
            output_columns=output_columns(
                lineage, options.labels, options.embedding, options.label_embedding, measured=measured
            ),
            stages=(Stage.FRAME_EXTRACTION, *options.model_stages),
        )

    def fingerprint(self, hook: MaxFrameHook, options: StageOptions) -> Fingerprint:
        """Return what the rows of a run are made with."""
        project = hook.settings.require_model_project() if options.model_stages else None
        return fingerprint_of(options, self._root(hook), project)

    def pictures(self, hook: MaxFrameHook, run: StageRun) -> Pictures:
        """Return where a run writes frames."""
        assert run.options.frames is not None
        place = OssUri.parse(self._root(hook)).join(run.options.frames.frames_prefix, run.partition.path())
        return Pictures("image_url", place, run.wanted["frames"])

    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:  # noqa: ARG002
        """Return the lazy frame rows of the selected videos."""
        return self.frames_of(hook, run)

    def frames_of(self, hook: MaxFrameHook, run: StageRun) -> Any:
        """Return the lazy frame rows of the videos that are done from the start."""
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.pipelines.context import MountOptions
        from airflow_provider_drivepipe.pipelines.frames import extract, frame_job

        assert run.options.frames is not None
        mount = MountOptions(self._root(hook), self.oss.mount_path, hook.oss_settings.require_role_arn())
        lineage = tuple(c.name for c in run.tables.source_columns if c.name != "video_path")
        folder = (
            f"{run.options.frames.frames_prefix.strip('/')}/{run.partition.path()}/{run.wanted['frames']}"
        )
        try:
            job = frame_job(run.options.frames, mount, folder, lineage, run.options.quality)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        videos = md.read_odps_table(
            run.tables.working.units,
            partitions=[f"{WORK_COLUMN.name}={Work.RUN}"],
            odps_entry=hook.odps,
        )
        return extract(videos, run.options.frames, mount, job)

    def _root(self, hook: MaxFrameHook) -> str:
        return str(hook.oss_root(self.oss.bucket, self.oss.root))


def lineage_of(source: Sequence[Column], own: Sequence[Column]) -> tuple[Column, ...]:
    """Return the input columns that travel through: all but the stage's own.

    Raises ConfigurationError when an input column has a name that the output needs for something else.
    """
    check_names(source, {c.name for c in STATUS_COLUMNS})
    own_names = {c.name for c in own}
    return tuple(c for c in source if c.name not in own_names)


def check_names(source: Sequence[Column], taken: set[str]) -> None:
    """Raise ConfigurationError when input columns have names that the output needs for something else."""
    clashes = [c.name for c in source if c.name in taken or c.name.startswith("drivepipe_")]
    if clashes:
        raise ConfigurationError(
            f"input columns {', '.join(clashes)} have names that the output needs for itself; rename them in "
            "the input, or read it through a view"
        )
