"""Expands the clips of a partition, directories of images, into one row per keyframe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, Stage
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators.base import MaxFrameStageOperator, StageRun
from airflow_provider_drivepipe.operators.frame_extract import check_names
from airflow_provider_drivepipe.pipelines.fingerprint import Fingerprint, fingerprint_of
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.pipelines.stage_tables import WORK_COLUMN, StageTables, Work, WorkingTables
from airflow_provider_drivepipe.scenario.columns import keyframe_columns, model_columns
from airflow_provider_drivepipe.scenario.options import (
    KeyframeOptions,
    OssOptions,
    QualityOptions,
    StageOptions,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec

_INTEGER_TYPES = ("tinyint", "smallint", "int", "bigint")
_DEFAULTS = KeyframeOptions()


class MaxFrameKeyframeExpandOperator(MaxFrameStageOperator):
    """Writes the keyframes table of a partition of clips.

    Input units are clips, told apart by their id and directory together. Whether a directory has got other
    images since is not looked at: run with ``reprocess: all`` for that.

    :param oss: bucket (or full root URI) that holds the clips.
    :param keyframes: which images, the names of the input's columns, deadline and resources.
    :param quality: measure the keyframes, and leave out those that a rule refuses.
    """

    stage_name: str = str(Stage.KEYFRAME_EXPANSION)

    def __init__(
        self,
        *,
        oss: OssOptions,
        keyframes: KeyframeOptions | None = None,
        quality: QualityOptions | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.oss = oss
        self.quality = quality
        self.keyframes = keyframes or KeyframeOptions()
        if self.keyframes.count is not None and self.keyframes.stride is not None:
            raise ValueError("keyframes are chosen by count or by stride, not by both")

    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""
        return StageOptions(quality=self.quality)

    def layout(
        self,
        partition: PartitionSpec,
        source: Sequence[Column],
        working: WorkingTables,
        options: StageOptions,
    ) -> StageTables:
        """Return the tables of a run; input units are clips, told apart by id and directory."""
        keys = (self.keyframes.clip_id_column, self.keyframes.clip_dir_column)
        self._check_columns(source)
        columns = keyframe_columns(measured=options.quality is not None)
        own = {c.name for c in columns}
        models = model_columns(options.labels, options.embedding, options.label_embedding)
        taken = {c.name for c in (*models, *STATUS_COLUMNS)}
        check_names(source, taken | own.difference(keys))
        lineage = tuple(c for c in source if c.name not in own)
        times = tuple(name for name in self._time_columns(source) if name is not None)
        return StageTables(
            source=self.source_table,
            output=self.output_table.name,
            working=working,
            partition=partition,
            expands=True,
            unit_key=keys,
            row_key=(*keys, "frame_idx"),
            identity=(*keys, *times),
            source_columns=tuple(source),
            output_columns=(*columns, *lineage, *models, *STATUS_COLUMNS),
            stages=(Stage.KEYFRAME_EXPANSION, *options.model_stages),
        )

    def fingerprint(self, hook: MaxFrameHook, options: StageOptions) -> Fingerprint:
        """Return what the rows of a run are made with."""
        from airflow_provider_drivepipe.pipelines.keyframes import keyframes_fingerprint

        project = hook.settings.require_model_project() if options.model_stages else None
        own = keyframes_fingerprint(self.keyframes, self._root(hook), options.quality)
        return Fingerprint({**own, **fingerprint_of(options, None, project).hashes})

    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:  # noqa: ARG002
        """Return the lazy keyframe rows of the selected clips."""
        return self.keyframes_of(hook, run)

    def keyframes_of(self, hook: MaxFrameHook, run: StageRun) -> Any:
        """Return the lazy keyframe rows of the clips that are done from the start."""
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.pipelines.context import MountOptions
        from airflow_provider_drivepipe.pipelines.keyframes import expand, keyframe_job

        mount = MountOptions(self._root(hook), self.oss.mount_path, hook.oss_settings.require_role_arn())
        source = run.tables.source_columns
        quality = run.options.quality
        own = {c.name for c in keyframe_columns(measured=quality is not None)}
        lineage = tuple(c.name for c in source if c.name not in own)
        job = keyframe_job(self.keyframes, mount, self._time_columns(source), lineage, quality)
        clips = md.read_odps_table(
            run.tables.working.units,
            partitions=[f"{WORK_COLUMN.name}={Work.RUN}"],
            odps_entry=hook.odps,
        )
        return expand(clips, self.keyframes, mount, job)

    def _root(self, hook: MaxFrameHook) -> str:
        return str(hook.oss_root(self.oss.bucket, self.oss.root))

    def _time_columns(self, source: Sequence[Column]) -> tuple[str | None, str | None]:
        """Return the columns of the time range that the input has."""
        names = {c.name for c in source}
        start, end = self.keyframes.start_column, self.keyframes.end_column
        return (start if start in names else None, end if end in names else None)

    def _check_columns(self, source: Sequence[Column]) -> None:
        """Raise ConfigurationError unless the input has the columns that the options name, of their types."""
        types = {c.name: c.type for c in source}
        options = self.keyframes
        wanted: list[tuple[str, tuple[str, ...]]] = [
            (options.clip_id_column, ("string",)),
            (options.clip_dir_column, ("string",)),
        ]
        for name, default in (
            (options.start_column, _DEFAULTS.start_column),
            (options.end_column, _DEFAULTS.end_column),
        ):
            if name is not None and (name != default or name in types):
                wanted.append((name, _INTEGER_TYPES))
        for name, allowed in wanted:
            if name not in types:
                raise ConfigurationError(
                    f"table {self.source_table} has no column {name} (its columns: {', '.join(types)})"
                )
            if types[name].lower() not in allowed:
                raise ConfigurationError(
                    f"column {name} of table {self.source_table} is {types[name]}, "
                    f"not {' or '.join(allowed)}; cast it in a view"
                )
