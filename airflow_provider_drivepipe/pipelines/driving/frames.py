"""Frame extraction: cuts videos into frames, JPEGs in OSS and one row per frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import (
    DECODE_NOTE,
    FRAME_COLUMNS,
    FRAME_QUALITY_COLUMNS,
    Column,
    Reason,
)
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.driving.frame_rate import check_frame_rate
from airflow_provider_drivepipe.pipelines.driving.options import (
    FrameFormat,
    FrameOptions,
    OssOptions,
    QualityOptions,
)
from airflow_provider_drivepipe.stages.stage import (
    RULES,
    STATUS_NAMES,
    Build,
    Grain,
    InputColumn,
    PictureFolder,
    PicturePlace,
    RowsMade,
    RunParam,
    Site,
    StageGuide,
    UnitLayout,
    UnitStage,
    check_names,
    digest,
)
from airflow_provider_drivepipe.stages.worker_call import (
    PILLOW_REQUIREMENT,
    PYAV_REQUIREMENT,
    MountOptions,
    WorkerCall,
)

if TYPE_CHECKING:
    from airflow_provider_drivepipe.worker.frames import FrameJob

PATH_REASONS = (
    Reason.PATH_OUTSIDE_ROOT,
    Reason.PATH_TRAVERSAL,
    Reason.NOT_FOUND,
    Reason.ACCESS_DENIED,
    Reason.EMPTY_FILE,
)
"""Why a path of the input cannot be read."""
THE_IMAGE = ("the image itself", "`image_url` says where in OSS it is", "")
"""What no table holds, and why."""
QUALITY_RESULT_VERSION = 1

_PARTIAL = " A video that was cut off gives the frames before that, `ok`; `decode_note` says what is missing."

_NOT_CONTENT = {"timeout_sec", "cpu", "memory_gb", "batch_rows"}
"""Options that change how the work is done, not what comes out."""


def quality_hash(options: QualityOptions, limits: Mapping[str, int] | None = None) -> str:
    """Return the hash of the rules that leave frames out.

    :param limits: what else decides whether a frame comes through, by name.
    """
    return digest("quality", QUALITY_RESULT_VERSION, {**asdict(options), **(limits or {})})


def filters_text(options: QualityOptions) -> str:
    """Return which rules are on, with their thresholds, for people."""
    rules = [f"{rule} ({key} {getattr(options, key):g})" for key, rule in options.rules().items()]
    return ", ".join(rules) or "nothing, but frames are measured"


def left_out(images: str, options: QualityOptions | None) -> str:
    """Return what becomes of images that a rule refuses, for people; empty where there is none.

    :param images: what they are called at the start of a sentence.
    """
    rules = ", ".join(f"`{rule}`" for rule in options.rules().values()) if options else ""
    return f"{images} that are {rules} are `filtered` rows: no model sees them." if rules else ""


def thresholds(options: QualityOptions | None) -> dict[str, object]:
    """Return the thresholds of the rules that are on, by key of a scenario."""
    return {key: getattr(options, key) for key in options.rules()} if options else {}


def oss_settings(options: OssOptions) -> dict[str, object]:
    """Return the keys of a scenario that say where videos and images are."""
    return {"oss_bucket": options.bucket, "oss_root": options.root, "oss_mount_path": options.mount_path}


@dataclass(frozen=True)
class FrameExtraction(UnitStage):
    """Cuts videos into frames.

    :param oss: bucket (or full root URI) that holds the videos and receives the frames.
    :param frames: sampling, JPEG quality, deadline and resources; ``frames_prefix`` is set.
    :param quality: measure the frames, and leave out those that a rule refuses.
    """

    oss: OssOptions
    frames: FrameOptions
    quality: QualityOptions | None = None

    name = "frame_extraction"
    hash_name = "frames"
    hash_names = ("frames", RULES)
    result_version = 3
    grain = Grain.MANY
    with_parts = "video_labels"
    units_per_job = 500
    weighed_by = ("duration_ms", "size_bytes")
    mounts = True

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        measures = () if self.quality is None else FRAME_QUALITY_COLUMNS
        return (*FRAME_COLUMNS, *measures, *((DECODE_NOTE,) if self.frames.allow_partial else ()))

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are videos, told apart by ``video_path``."""
        names = [c.name for c in source]
        if "video_path" not in names:
            raise ConfigurationError(
                f"table {table} has no column video_path (its columns: {', '.join(names)})"
            )
        has_status = set(names) >= STATUS_NAMES
        replaced = {c.name for c in self.columns()} | (STATUS_NAMES if has_status else set())
        lineage = tuple(c for c in source if c.name not in replaced)
        check_names(lineage, STATUS_NAMES)
        return UnitLayout(
            unit_key=("video_path",),
            row_key=("video_path", "frame_idx"),
            identity=("video_path", "etag") if "etag" in names else ("video_path",),
            source_columns=(*(c for c in source if c.name == "video_path"), *lineage),
            columns=(*self.columns(), *lineage),
            has_status=has_status,
            values={"frame_idx": "CAST(-1 AS BIGINT)"},
            number="frame_idx",
        )

    def content(self, site: Site) -> Mapping[str, object]:
        """Return the options; the root counts because rows hold full URIs."""
        content = {k: v for k, v in asdict(self.frames).items() if k not in _NOT_CONTENT}
        return {**content, "oss_root": str(self._root(site))}

    def hashes(self, site: Site) -> dict[str, str]:
        """Return the hash of the pictures and, where there are any, that of the rules."""
        rules = {RULES: quality_hash(self.quality)} if self.quality else {}
        return {**super().hashes(site), **rules}

    def param(self) -> RunParam:
        """Return the param that sets the frames per second."""
        pattern = r"^\s*\d+(\.\d+)?(\s*/\s*\d+(\.\d+)?)?\s*$"
        return RunParam("frame_fps", "Frames per second: 2, 0.5 or 1/2", pattern=pattern)

    def with_param(self, value: object) -> FrameExtraction:
        """Return the stage with other frames per second; raise ValueError for what is none."""
        return replace(self, frames=replace(self.frames, fps=check_frame_rate(value), sample_count=None))

    def pictures_below(self) -> PicturePlace:
        """Return where it writes pictures."""
        return PicturePlace("frames_prefix", self.oss.root or self.oss.bucket, self.frames.frames_prefix)

    def pictures(self, site: Site, partition_path: str, hashes: Mapping[str, str]) -> PictureFolder:
        """Return where a run writes frames."""
        place = self._root(site).join(self.frames.frames_prefix, partition_path)
        return PictureFolder("image_url", place, hashes[self.hash_name])

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy frame rows of lazy videos."""
        from airflow_provider_drivepipe.worker.frames import extract_frames

        root = str(self._root(build.site))
        mount = MountOptions(root, self.oss.mount_path, build.site.role_arn())
        job = self.job(mount, build)

        def frame_extraction(chunk: Any) -> Any:
            return extract_frames(chunk, job)

        call = WorkerCall(
            self.frames.cpu,
            self.frames.memory_gb,
            self.frames.batch_rows,
            (PYAV_REQUIREMENT, PILLOW_REQUIREMENT),
            mount,
        )
        dtypes = job.dtypes({name: units.dtypes[name] for name in job.lineage})
        # A fresh index, unique over all chunks, so that answers of models can be joined to the rows.
        return call.rows(units, frame_extraction, dtypes).reset_index(drop=True)

    def _root(self, site: Site) -> Any:
        return site.oss_root(self.oss.bucket, self.oss.root)

    def job(self, mount: MountOptions, build: Build) -> FrameJob:
        """Return what the worker needs to know; pictures go to ``<root>/<folder>/<video_id>/``."""
        from airflow_provider_drivepipe.worker.frame_quality import QualityRules
        from airflow_provider_drivepipe.worker.frames import FrameJob

        options = self.frames
        prefix = options.frames_prefix.strip("/")
        job = FrameJob(
            oss_root=mount.root,
            mount_path=mount.path,
            output_prefix=f"{prefix}/{build.partition_path}/{build.hashes[self.hash_name]}",
            fps=options.fps,
            sample_count=options.sample_count,
            sampling_rule=str(options.sampling_rule),
            jpeg_quality=options.jpeg_quality,
            longest_side=options.longest_side,
            allow_partial=options.allow_partial,
            snap_to_keyframe_ms=options.snap_to_keyframe_ms,
            image_format=str(options.image_format),
            cpu=options.cpu,
            timeout_sec=options.timeout_sec,
            lineage=tuple(name for name in build.source_columns if name != "video_path"),
            quality=None if self.quality is None else QualityRules(**asdict(self.quality)),
        )
        try:
            job.check()
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return job

    def rows_made(self) -> RowsMade:
        """Return how many frames come of a video, or of an hour of video."""
        fps, count = self.frames.fps, self.frames.sample_count
        if fps is not None:
            return RowsMade(per_hour=3600 * Fraction(fps), note=f"hours at {fps} frames per second")
        return RowsMade(count, note=f"{count} frames per video")

    def facts(self) -> dict[str, str]:
        """Return how frames are sampled, where they go, and which are left out."""
        options = self.frames
        rate = (
            f"{options.fps} frames per second" if options.fps else f"{options.sample_count} frames per video"
        )
        facts = {"frames": f"{rate}, {options.sampling_rule}, below {options.frames_prefix}/"}
        return {**facts, "leaves out": filters_text(self.quality)} if self.quality else facts

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        pictures = "JPEGs" if self.frames.image_format == FrameFormat.JPEG else "WebP images"
        return StageGuide(
            does=f"cuts each video into {pictures} in OSS and gives one row per frame",
            unit="video",
            gives="frames",
            reads=(
                InputColumn(
                    "video_path", True, "full OSS URI of the video, `oss://<endpoint>/<bucket>/<key>`"
                ),
                InputColumn(
                    "etag",
                    False,
                    "tells a video that changed under its name; without it only the path counts",
                ),
            ),
            fails=(
                "A video that fails has one row with `frame_idx` -1 and all columns of its input row. No "
                "frame of it is kept, and no model is called for it."
                + (_PARTIAL if self.frames.allow_partial else "")
            ),
            reasons=(
                *PATH_REASONS,
                Reason.NOT_A_VIDEO,
                Reason.NO_VIDEO_STREAM,
                Reason.TRUNCATED,
                Reason.DECODE_ERROR,
                Reason.INVALID_DURATION,
                Reason.CLOCK_RESTARTS,
                Reason.NO_FRAMES,
                Reason.TIMEOUT,
                Reason.WRITE_ERROR,
            ),
            again=(
                "Videos that are new, that changed or that failed are cut again, and what comes out of them "
                "goes through the models. Videos that are `ok` are neither read nor paid again."
            ),
            leaves_out=left_out("Frames", self.quality),
            absent=(THE_IMAGE,),
            settings={
                **oss_settings(self.oss),
                "frame_fps": self.frames.fps,
                "frame_sample_count": self.frames.sample_count,
                "frames_prefix": self.frames.frames_prefix,
                "ffmpeg_timeout_sec": self.frames.timeout_sec,
                **thresholds(self.quality),
            },
        )
