"""The stages that work on videos: what they measure, and the pieces of them that models look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.driving.frames import PATH_REASONS
from airflow_provider_drivepipe.pipelines.driving.options import OssOptions
from airflow_provider_drivepipe.pipelines.reasoning.options import (
    ChunkOptions,
    HighlightOptions,
    SheetOptions,
)
from airflow_provider_drivepipe.stages.stage import (
    STATUS_NAMES,
    Build,
    Grain,
    InputColumn,
    Part,
    PictureFolder,
    PicturePlace,
    RowsMade,
    RowStage,
    Site,
    Stage,
    StageGuide,
    UnitLayout,
    UnitStage,
    check_names,
)
from airflow_provider_drivepipe.stages.worker_call import (
    PILLOW_REQUIREMENT,
    PYAV_REQUIREMENT,
    MountOptions,
    WorkerCall,
    row_part,
)
from airflow_provider_drivepipe.worker.reasoning.chunks import (
    CHUNK_COLUMNS,
    ChunkJob,
    chunk_dtypes,
    cut_chunks,
)
from airflow_provider_drivepipe.worker.reasoning.clock import with_clocks
from airflow_provider_drivepipe.worker.reasoning.decisions import moments
from airflow_provider_drivepipe.worker.reasoning.highlight import (
    HIGHLIGHT_COLUMNS,
    HighlightJob,
    cut_highlights,
)
from airflow_provider_drivepipe.worker.reasoning.probe import (
    PROBE_COLUMNS,
    ProbeJob,
    probe_dtypes,
    probe_videos,
)
from airflow_provider_drivepipe.worker.reasoning.sheets import SheetRules
from airflow_provider_drivepipe.worker.reasoning.spans import chunk_count

if TYPE_CHECKING:
    from airflow_provider_drivepipe.worker.reasoning.pieces import VideoJob

VIDEO_REASONS = (
    *PATH_REASONS,
    Reason.NOT_A_VIDEO,
    Reason.NO_VIDEO_STREAM,
    Reason.TRUNCATED,
    Reason.DECODE_ERROR,
    Reason.INVALID_DURATION,
    Reason.CLOCK_RESTARTS,
    Reason.TIMEOUT,
    Reason.WRITE_ERROR,
)
_VIDEO_INPUT = InputColumn("video_path", True, "full OSS URI of the video, `oss://<endpoint>/<bucket>/<key>`")
_MILLISECONDS = 1000
_CLOCKS = {
    "moment": "the critical moment",
    "start": "start of the highlight",
    "end": "end of the highlight",
}


@dataclass(frozen=True)
class Footage:
    """What the stages have in common that open videos.

    :param oss: bucket (or full root URI) that holds the videos and receives the pieces.
    :param prefix: key prefix of the pieces below it.
    :param sheet: what models see of a video, or of a piece of it; None: the video, or a clip.
    :param timeout_sec: deadline per video, and per piece of it, in seconds.
    """

    oss: OssOptions
    prefix: str
    sheet: SheetOptions | None = None
    timeout_sec: int = 120

    def root(self, site: Site) -> Any:
        """Return the root of inputs and outputs."""
        return site.oss_root(self.oss.bucket, self.oss.root)

    def content(self, site: Site) -> dict[str, object]:
        """Return what decides the pieces; the root counts because rows hold full URIs."""
        return {"oss_root": str(self.root(site)), "prefix": self.prefix, "sheet": repr(self.sheet)}

    def call(self, site: Site) -> WorkerCall:
        """Return how their functions run."""
        mount = MountOptions(str(self.root(site)), self.oss.mount_path, site.role_arn())
        return WorkerCall(
            cpu=1, memory_gb=4, batch_rows=4, requirements=(PYAV_REQUIREMENT, PILLOW_REQUIREMENT), mount=mount
        )

    def job(self, stage: Stage, build: Build) -> dict[str, Any]:
        """Return the fields that all jobs have."""
        rules = None
        if self.sheet is not None:
            fps = Fraction(str(self.sheet.sheet_fps))
            rules = SheetRules(fps, self.sheet.max_frames, self.sheet.max_pixels)
        return {
            "oss_root": str(self.root(build.site)),
            "mount_path": self.oss.mount_path,
            "output_prefix": f"{self.prefix}/{build.partition_path}/{build.hashes[stage.hash_name]}",
            "timeout_sec": self.timeout_sec,
            "sheet": rules,
        }


def checked(job: VideoJob) -> Any:
    """Return a job that videos can fulfil; raise ConfigurationError for one that none can."""
    try:
        job.check()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    return job


def _video_layout(
    table: str, source: Sequence[Column], own: Sequence[Column], number: str | None
) -> UnitLayout:
    """Return the layout of a stage that works on the rows of videos, told apart by ``video_path``."""
    names = [c.name for c in source]
    if "video_path" not in names:
        raise ConfigurationError(f"table {table} has no column video_path (its columns: {', '.join(names)})")
    has_status = set(names) >= STATUS_NAMES
    own_names = {c.name for c in own}
    lineage = tuple(c for c in source if c.name not in own_names | (STATUS_NAMES if has_status else set()))
    check_names(lineage, STATUS_NAMES)
    return UnitLayout(
        unit_key=("video_path",),
        row_key=("video_path", number) if number else ("video_path",),
        identity=("video_path", "etag") if "etag" in names else ("video_path",),
        source_columns=(*(c for c in source if c.name == "video_path"), *lineage),
        columns=(*own, *lineage),
        has_status=has_status,
        values={number: "CAST(-1 AS BIGINT)"} if number else {},
        number=number,
    )


@dataclass(frozen=True)
class VideoProbe(UnitStage):
    """Measures each video, and draws a sheet of its frames where models see sheets.

    :param max_length_sec: longer videos are left out.
    """

    footage: Footage
    max_length_sec: float = 300.0

    name = "video_probe"
    grain = Grain.ROW
    with_parts = "video_filter"
    units_per_job = 1000
    weighed_by = ("duration_ms", "size_bytes")

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        return (
            *PROBE_COLUMNS,
            Column("duration", "string", "length of the video as a clock shows it, MM:SS.s"),
        )

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are videos, one row each."""
        return _video_layout(table, source, self.columns(), None)

    def content(self, site: Site) -> Mapping[str, object]:
        """Return what decides the rows."""
        return {**self.footage.content(site), "max_length_sec": self.max_length_sec}

    def pictures_below(self) -> PicturePlace:
        """Return where it writes sheets."""
        return PicturePlace(
            "output_prefix", self.footage.oss.root or self.footage.oss.bucket, self.footage.prefix
        )

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy rows of lazy videos."""
        lineage = tuple(name for name in build.source_columns if name != "video_path")
        job = checked(
            ProbeJob(
                **self.footage.job(self, build),
                max_duration_ms=int(self.max_length_sec * _MILLISECONDS),
                lineage=lineage,
            )
        )

        def video_probe(chunk: Any) -> Any:
            return with_clocks(probe_videos(chunk, job), {"duration": "duration_ms"})

        dtypes = {**probe_dtypes({name: units.dtypes[name] for name in lineage}), "duration": "object"}
        # A fresh index, unique over all chunks, so that answers of models can be joined to the rows.
        return self.footage.call(build.site).rows(units, video_probe, dtypes).reset_index(drop=True)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="opens each video, measures it, and draws a sheet of its frames where models see sheets",
            unit="video",
            gives="videos that can be watched",
            reads=(_VIDEO_INPUT,),
            fails="A video that cannot be read keeps its row; one that is too long is `filtered`.",
            reasons=(*VIDEO_REASONS, Reason.TOO_LONG),
            again="Videos that are new, that changed or that failed are measured again.",
        )


@dataclass(frozen=True)
class ChunkCut(UnitStage):
    """Cuts each video into chunks, as clips or as sheets of their frames."""

    footage: Footage
    chunks: ChunkOptions = field(default_factory=ChunkOptions)

    name = "chunk_cut"
    grain = Grain.MANY
    with_parts = "chunk_captions"
    units_per_job = 300
    weighed_by = ("duration_ms", "size_bytes")

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        clocks = (
            Column("start", "string", "start of the chunk as a clock shows it, MM:SS.s"),
            Column("end", "string", "end of the chunk as a clock shows it, MM:SS.s"),
        )
        return (*CHUNK_COLUMNS, *clocks)

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are videos, many rows each."""
        return _video_layout(table, source, self.columns(), "chunk_index")

    def rows_made(self) -> RowsMade:
        """Return how many chunks come of a video."""
        lengths, most = [Fraction(each) for each in self.chunks.lengths_sec], self.chunks.max_chunks
        return RowsMade(
            most,
            of_length=lambda seconds: chunk_count(seconds, lengths, most),
            note=f"at most {most} of a video",
        )

    def content(self, site: Site) -> Mapping[str, object]:
        """Return what decides the rows."""
        return {**self.footage.content(site), "chunks": repr(self.chunks)}

    def pictures(self, site: Site, partition_path: str, hashes: Mapping[str, str]) -> PictureFolder:
        """Return where a run writes chunks."""
        place = self.footage.root(site).join(self.footage.prefix, partition_path)
        column = "clip_url" if self.footage.sheet is None else "sheet_url"
        return PictureFolder(column, place, hashes[self.hash_name])

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy chunk rows of lazy videos."""
        own = {c.name for c in self.columns()}
        lineage = tuple(name for name in build.source_columns if name not in own)
        job = checked(
            ChunkJob(
                **self.footage.job(self, build),
                length_options_sec=self.chunks.lengths_sec,
                max_chunks=self.chunks.max_chunks,
                lineage=lineage,
            )
        )

        def chunk_cut(chunk: Any) -> Any:
            return with_clocks(cut_chunks(chunk, job), {"start": "start_ms", "end": "end_ms"})

        dtypes = {
            **chunk_dtypes({name: units.dtypes[name] for name in lineage}),
            "start": "object",
            "end": "object",
        }
        return self.footage.call(build.site).rows(units, chunk_cut, dtypes).reset_index(drop=True)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="cuts each video into chunks of equal length, each with its measured start and end",
            unit="video",
            gives="chunks",
            reads=(_VIDEO_INPUT,),
            fails=(
                "A video that fails has one row with `chunk_index` -1. A chunk that fails does so alone, and "
                "keeps its index and its times."
            ),
            reasons=VIDEO_REASONS,
            again="Videos that are new, that changed or that failed are cut again.",
        )


@dataclass(frozen=True)
class HighlightCut(RowStage):
    """Cuts the clip, or draws the sheet, around the critical moment of each row."""

    footage: Footage
    highlight: HighlightOptions = field(default_factory=HighlightOptions)

    name = "highlight_cut"
    model = None

    def part(self) -> Part:
        """Return what it adds to a row."""
        own = (
            Column("moment_ms", "bigint", "the critical moment on the video's own clock"),
            *(
                Column(name, "string", f"{what} as a clock shows it, MM:SS.s")
                for name, what in _CLOCKS.items()
            ),
        )
        return Part(self.name, (*HIGHLIGHT_COLUMNS, *own), "highlight_url", needs=("moment",))

    def content(self, site: Site) -> Mapping[str, object]:
        """Return what decides the clips."""
        return {**self.footage.content(site), "highlight": repr(self.highlight)}

    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows`` with their highlights."""
        dtypes = dict(rows.dtypes)
        job = checked(
            HighlightJob(
                **self.footage.job(self, build),
                part=row_part(self.part(), build.flags_behind),
                before_ms=int(self.highlight.before_sec * _MILLISECONDS),
                after_ms=int(self.highlight.after_sec * _MILLISECONDS),
            )
        )

        def highlight_cut(chunk: Any) -> Any:
            timed = moments(chunk)
            cut = cut_highlights(timed, job, tuple(dtypes)).assign(moment_ms=timed["moment_ms"])
            clocks = {"moment": "moment_ms", "start": "highlight_start_ms", "end": "highlight_end_ms"}
            return with_clocks(cut, clocks)[list(dtypes)]

        return self.footage.call(build.site).rows(rows, highlight_cut, dtypes)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="cuts the clip around the critical moment",
            unit="video",
            gives="highlights",
            reads=(_VIDEO_INPUT,),
            fails="A moment outside the video fails its row; captions stay.",
            reasons=(*VIDEO_REASONS, Reason.TIME_OUTSIDE_VIDEO),
            again="Highlights whose moment changed, or that failed, are cut again.",
        )
