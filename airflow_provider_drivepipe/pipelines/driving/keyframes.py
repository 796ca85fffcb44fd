"""Keyframe expansion: lists the images of clips, directories in OSS, and gives one row per keyframe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import (
    FRAME_QUALITY_COLUMNS,
    KEYFRAME_COLUMNS,
    Column,
    Reason,
)
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.driving.frames import (
    PATH_REASONS,
    THE_IMAGE,
    filters_text,
    left_out,
    oss_settings,
    quality_hash,
    thresholds,
)
from airflow_provider_drivepipe.pipelines.driving.options import KeyframeOptions, OssOptions, QualityOptions
from airflow_provider_drivepipe.sql import quote_name
from airflow_provider_drivepipe.stages.stage import (
    RULES,
    STATUS_NAMES,
    Build,
    Grain,
    InputColumn,
    RowsMade,
    Site,
    StageGuide,
    UnitLayout,
    UnitStage,
    check_names,
)
from airflow_provider_drivepipe.stages.worker_call import PILLOW_REQUIREMENT, MountOptions, WorkerCall

if TYPE_CHECKING:
    from airflow_provider_drivepipe.worker.keyframe_quality import KeyframeQuality
    from airflow_provider_drivepipe.worker.keyframes import KeyframeJob

UNREADABLE_KEYFRAME = (
    Reason.IMAGE_DECODE_ERROR,
    Reason.IMAGE_TOO_LARGE,
    Reason.EMPTY_FILE,
    Reason.NOT_FOUND,
    Reason.ACCESS_DENIED,
    Reason.TIMEOUT,
)
"""Why a keyframe fails alone, where keyframes are measured."""

_CONTENT = ("count", "stride", "image_extensions", "timestamp_unit")
"""Options that change what comes out. The input's columns do so by their values, which identify the clip."""
_LIMITS = ("max_pixels", "max_bytes")
"""Options that decide which keyframes fail, where they are measured."""
_INTEGER_TYPES = ("tinyint", "smallint", "int", "bigint")
_DEFAULTS = KeyframeOptions()


def keyframe_columns(*, measured: bool) -> tuple[Column, ...]:
    """Return the columns that keyframe expansion makes; those of the measures where it measures."""
    return (*KEYFRAME_COLUMNS, *FRAME_QUALITY_COLUMNS) if measured else KEYFRAME_COLUMNS


@dataclass(frozen=True)
class KeyframeExpansion(UnitStage):
    """Expands clips into keyframes.

    Whether a directory has got other images since is not looked at: run with ``reprocess: all`` for that.

    :param oss: bucket (or full root URI) that holds the clips.
    :param keyframes: which images, the names of the input's columns, deadline and resources.
    :param quality: measure the keyframes, and leave out those that a rule refuses.
    """

    oss: OssOptions
    keyframes: KeyframeOptions = _DEFAULTS
    quality: QualityOptions | None = None

    name = "keyframe_expansion"
    hash_name = "keyframes"
    hash_names = ("keyframes", RULES)
    grain = Grain.MANY
    with_parts = "clip_labels"
    units_per_job = 500
    mounts = True

    def __post_init__(self) -> None:
        if self.keyframes.count is not None and self.keyframes.stride is not None:
            raise ValueError("keyframes are chosen by count or by stride, not by both")

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        return keyframe_columns(measured=self.quality is not None)

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are clips, told apart by id and directory."""
        keys = (self.keyframes.clip_id_column, self.keyframes.clip_dir_column)
        self._check_columns(table, source)
        own = {c.name for c in self.columns()}
        check_names(source, STATUS_NAMES | own.difference(keys))
        lineage = tuple(c for c in source if c.name not in own)
        times = tuple(name for name in self._time_columns([c.name for c in source]) if name is not None)
        return UnitLayout(
            unit_key=keys,
            row_key=(*keys, "frame_idx"),
            identity=(*keys, *times),
            source_columns=tuple(source),
            columns=(*self.columns(), *lineage),
            values={
                "frame_idx": "CAST(-1 AS BIGINT)",
                # The output has these under the same names, whatever the input calls them.
                "clip_id": quote_name(keys[0]),
                "clip_dir": quote_name(keys[1]),
            },
            number="frame_idx",
        )

    def content(self, site: Site) -> Mapping[str, object]:
        """Return the options; the root counts because rows hold full URIs."""
        content = {name: value for name, value in asdict(self.keyframes).items() if name in _CONTENT}
        return {**content, "oss_root": str(self._root(site))}

    def hashes(self, site: Site) -> dict[str, str]:
        """Return the hash of the keyframes and, where they are measured, that of the rules."""
        limits = {name: getattr(self.keyframes, name) for name in _LIMITS}
        rules = {RULES: quality_hash(self.quality, limits)} if self.quality else {}
        return {**super().hashes(site), **rules}

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy keyframe rows of lazy clips."""
        from airflow_provider_drivepipe.worker.keyframes import expand_clips, keyframe_dtypes

        options = self.keyframes
        mount = MountOptions(str(self._root(build.site)), self.oss.mount_path, build.site.role_arn())
        job = self.job(mount, build)

        def keyframe_expansion(chunk: Any) -> Any:
            return expand_clips(chunk, job)

        requirements = (PILLOW_REQUIREMENT,) if self.quality is not None else ()
        call = WorkerCall(options.cpu, options.memory_gb, options.batch_rows, requirements, mount)
        lineage_dtypes = {name: units.dtypes[name] for name in job.lineage}
        dtypes = keyframe_dtypes(lineage_dtypes, measured=self.quality is not None)
        # A fresh index, unique over all chunks, so that answers of models can be joined to the rows.
        return call.rows(units, keyframe_expansion, dtypes).reset_index(drop=True)

    def job(self, mount: MountOptions, build: Build) -> KeyframeJob:
        """Return what the worker needs to know."""
        from airflow_provider_drivepipe.worker.keyframes import KeyframeJob

        options = self.keyframes
        start_column, end_column = self._time_columns(build.source_columns)
        own = {c.name for c in self.columns()}
        return KeyframeJob(
            oss_root=mount.root,
            mount_path=mount.path,
            clip_id_column=options.clip_id_column,
            clip_dir_column=options.clip_dir_column,
            start_column=start_column,
            end_column=end_column,
            count=options.count,
            stride=options.stride,
            image_extensions=options.image_extensions,
            timestamp_unit=str(options.timestamp_unit),
            max_files=options.max_files,
            timeout_sec=options.timeout_sec,
            lineage=tuple(name for name in build.source_columns if name not in own),
            quality=None if self.quality is None else self._quality(self.quality),
        )

    def _quality(self, quality: QualityOptions) -> KeyframeQuality:
        from airflow_provider_drivepipe.worker.frame_quality import QualityRules
        from airflow_provider_drivepipe.worker.keyframe_quality import KeyframeQuality

        options = self.keyframes
        return KeyframeQuality(
            QualityRules(**asdict(quality)), options.max_pixels, options.max_bytes, options.image_timeout_sec
        )

    def _root(self, site: Site) -> Any:
        return site.oss_root(self.oss.bucket, self.oss.root)

    def _time_columns(self, names: Sequence[str]) -> tuple[str | None, str | None]:
        """Return the columns of the time range that the input has."""
        start, end = self.keyframes.start_column, self.keyframes.end_column
        return (start if start in names else None, end if end in names else None)

    def _check_columns(self, table: str, source: Sequence[Column]) -> None:
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
                    f"table {table} has no column {name} (its columns: {', '.join(types)})"
                )
            if types[name].lower() not in allowed:
                raise ConfigurationError(
                    f"column {name} of table {table} is {types[name]}, "
                    f"not {' or '.join(allowed)}; cast it in a view"
                )

    def rows_made(self) -> RowsMade:
        """Return how many keyframes come of a clip."""
        count = self.keyframes.count
        return RowsMade(count, note=f"at most {count} keyframes per clip") if count else RowsMade()

    def facts(self) -> dict[str, str]:
        """Return how keyframes are chosen, and which are left out."""
        count, stride = self.keyframes.count, self.keyframes.stride
        chosen = f"{count} per clip" if count else f"every {stride}th image" if stride else "all images"
        facts = {"clips": f"{chosen}; columns {', '.join(column.name for column in self._reads())}"}
        return {**facts, "leaves out": filters_text(self.quality)} if self.quality else facts

    def _reads(self) -> tuple[InputColumn, ...]:
        options = self.keyframes
        place = "directory of its images: a full OSS URI, or a path below the OSS root"
        times = (
            (options.start_column, "start of the time range in milliseconds, included"),
            (options.end_column, "end of the time range in milliseconds, not included"),
        )
        return (
            InputColumn(options.clip_id_column, True, "identity of the clip"),
            InputColumn(options.clip_dir_column, True, place),
            *(InputColumn(name, False, meaning) for name, meaning in times if name is not None),
        )

    def _leaves_out(self) -> str:
        if self.quality is None:
            return ""
        alone = (
            "Each keyframe is opened and measured. One that cannot be is a `failed` row of its own "
            f"({', '.join(f'`{reason}`' for reason in UNREADABLE_KEYFRAME)}); the others of its clip go on."
        )
        return f"{left_out('Keyframes', self.quality)} {alone}".lstrip()

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="lists the images of each clip's directory and gives one row per keyframe",
            unit="clip",
            gives="keyframes",
            reads=self._reads(),
            fails=(
                "A clip that fails has one row with `frame_idx` -1 and all columns of its input row; no "
                "model is called for it."
            ),
            reasons=(
                *PATH_REASONS,
                Reason.NO_CLIP_ID,
                Reason.NO_FRAMES,
                Reason.INVALID_TIMESTAMPS,
                Reason.NO_TIMESTAMPS,
                Reason.INVALID_TIME_RANGE,
                Reason.TOO_MANY_FILES,
                Reason.TIMEOUT,
            ),
            again=(
                "Clips that are new, that changed or that failed are listed again; the others are left alone."
            ),
            leaves_out=self._leaves_out(),
            absent=(THE_IMAGE,),
            settings={
                **oss_settings(self.oss),
                "clip_id_column": self.keyframes.clip_id_column,
                "clip_dir_column": self.keyframes.clip_dir_column,
                "keyframe_count": self.keyframes.count,
                "keyframe_stride": self.keyframes.stride,
                **thresholds(self.quality),
            },
        )
