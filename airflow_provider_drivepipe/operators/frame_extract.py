"""Cuts the videos of a partition into frames: JPEGs in OSS, one row per frame in the output table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider_drivepipe.contracts import FRAME_COLUMNS, Column, Stage
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import MaxFrameStageOperator, StageRun, lineage_of
from airflow_provider_drivepipe.pipelines.fingerprint import frames_fingerprint
from airflow_provider_drivepipe.pipelines.stage_sql import StageTables
from airflow_provider_drivepipe.scenario.columns import output_columns
from airflow_provider_drivepipe.scenario.options import FrameOptions, OssOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec


class MaxFrameFrameExtractOperator(MaxFrameStageOperator):
    """Writes the frames table of a partition of videos.

    :param oss: bucket (or full root URI) that holds the videos and receives the frames.
    :param frames: sampling, JPEG quality, deadline and resources.
    """

    stage_name: ClassVar[str] = str(Stage.FRAME_EXTRACTION)

    def __init__(self, *, oss: OssOptions, frames: FrameOptions | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.oss = oss
        self.frames = frames or FrameOptions()

    def resolve(
        self, hook: MaxFrameHook, partition: PartitionSpec, source: Sequence[Column], suffix: str
    ) -> StageRun:
        """Return the run of this partition."""
        root = str(hook.oss_root(self.oss.bucket, self.oss.root))
        return video_stage_run(
            source_table=self.source_table,
            output_table=self.output_table.name,
            partition=partition,
            source=source,
            columns=output_columns(lineage_of(source, FRAME_COLUMNS), None, None),
            stages=(Stage.FRAME_EXTRACTION,),
            fingerprint_prefix=frames_fingerprint(self.frames, root),
            suffix=suffix,
        )

    def build(self, hook: MaxFrameHook, run: StageRun) -> Any:
        """Return the lazy frame rows of the selected videos."""
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.pipelines.context import MountOptions
        from airflow_provider_drivepipe.pipelines.frames import extract, frame_job

        root = str(hook.oss_root(self.oss.bucket, self.oss.root))
        mount = MountOptions(root, self.oss.mount_path, hook.oss_settings.require_role_arn())
        lineage = tuple(c for c in run.tables.source_columns if c != "video_path")
        job = frame_job(self.frames, mount, run.partition.path(), lineage)
        videos = md.read_odps_table(run.tables.selection, odps_entry=hook.odps)
        return extract(videos, self.frames, mount, job)


def video_stage_run(
    *,
    source_table: str,
    output_table: str,
    partition: PartitionSpec,
    source: Sequence[Column],
    columns: tuple[Column, ...],
    stages: tuple[Stage, ...],
    fingerprint_prefix: str,
    suffix: str,
) -> StageRun:
    """Return a stage run whose input units are videos, told apart by ``video_path``."""
    names = tuple(c.name for c in source)
    if "video_path" not in names:
        raise ConfigurationError(
            f"table {source_table} has no column video_path (its columns: {', '.join(names)})"
        )
    tables = StageTables(
        source=source_table,
        output=output_table,
        selection=f"{output_table}__selection_{suffix}",
        staging=f"{output_table}__staging_{suffix}",
        partition_filter=partition.sql(" AND "),
        partition_clause=partition.sql(", "),
        key=("video_path",),
        identity=("video_path", "etag") if "etag" in names else ("video_path",),
        source_columns=names,
        output_columns=tuple(c.name for c in columns),
    )
    return StageRun(partition, tables, columns, stages, fingerprint_prefix)
