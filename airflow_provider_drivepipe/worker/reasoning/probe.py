"""The probe UDF: one row per video in, the same row with what it measures out. Runs in DPE workers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason, Status
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.reasoning.footage import Footage
from airflow_provider_drivepipe.worker.reasoning.pieces import (
    VideoJob,
    VideoProcess,
    Writer,
    place_of,
    remove_others,
    tried,
)
from airflow_provider_drivepipe.worker.rows import OK_CELLS, failed_cells, unit_dtypes, with_lineage

STAGE = "video_probe"
PROBE_COLUMNS: tuple[Column, ...] = (
    Column("video_path", "string", "full OSS URI of the video"),
    Column("video_id", "string", "first 16 hex digits of SHA-256 over the object key"),
    Column("duration_ms", "bigint", "from the first frame to the end of the last one, as measured"),
    Column("width", "bigint", "width of the upright picture in pixels"),
    Column("height", "bigint", "height of the upright picture in pixels"),
    Column("fps", "double", "frames per second, on average"),
    Column("sheet_url", "string", "full OSS URI of a sheet of the video's frames (JPEG), NULL without one"),
    Column("sheet_times", "string", "times of the frames on the sheet: JSON list of milliseconds"),
)


@dataclass(frozen=True, kw_only=True)
class ProbeJob(VideoJob):
    """What one call of :func:`probe_videos` makes.

    ``max_duration_ms`` is the length above which a video is left out. With ``sheet``, a sheet of the whole
    video is drawn. ``lineage`` are the input columns that travel through.
    """

    max_duration_ms: int
    lineage: tuple[str, ...]


def probe_videos(videos: Any, job: ProbeJob) -> Any:
    """Return ``videos`` (a pandas DataFrame with ``video_path``), row by row, with what they measure.

    A video that fails keeps its row, with its reason; one that is too long is ``filtered``. Raises ValueError
    for a job that no video can fulfil, KeyError for an input without one of the lineage columns.
    """
    job.check()
    started = time.monotonic()
    rows = [_row(video, job) for video in videos.to_dict("records")]
    failed = sum(row["status"] == Status.FAILED for row in rows)
    print(f"{len(rows)} videos, {failed} failed, {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201
    return with_lineage(videos, rows, range(len(rows)), job.lineage, PROBE_COLUMNS)


def probe_dtypes(lineage_dtypes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every output column; integers are nullable, so NULL stays NULL."""
    return unit_dtypes(PROBE_COLUMNS, lineage_dtypes)


def _row(video: Mapping[str, Any], job: ProbeJob) -> dict[str, Any]:
    row = tried(video)
    try:
        place = place_of(video.get("video_path"), job)
    except VideoError as error:
        return {**row, **failed_cells(STAGE, error.reason, str(error))}
    row["video_id"] = place.video_id
    kept: tuple[str, ...] = ()
    try:
        with VideoProcess(place, job, lambda footage, writer, _: _measure(footage, writer, job)) as process:
            made = process.ask(0)
        row |= made["measures"]
        kept = made["names"]
        row |= OK_CELLS
        if row["duration_ms"] > job.max_duration_ms:
            said = f"{row['duration_ms']} ms; the limit is {job.max_duration_ms} ms"
            row |= {**failed_cells(STAGE, Reason.TOO_LONG, said), "status": str(Status.FILTERED)}
    except VideoError as error:
        row |= failed_cells(STAGE, error.reason, str(error))
    remove_others(place, job, "sheet", kept)
    return row


def _measure(footage: Footage, writer: Writer, job: ProbeJob) -> dict[str, Any]:
    """Return the row's own columns and the names of written files; runs in the child."""
    whole = footage.span(0, footage.frame_count)
    measures: dict[str, Any] = {
        "duration_ms": whole.end_ms,
        "width": footage.width,
        "height": footage.height,
        "fps": round(float(footage.frame_count / footage.duration), 3),
    }
    if job.sheet is None or whole.end_ms > job.max_duration_ms:
        return {"measures": measures, "names": []}
    sheet = writer.sheet(footage, whole, "sheet", job.sheet)
    measures |= {"sheet_url": sheet["url"], "sheet_times": sheet["times"]}
    return {"measures": measures, "names": [sheet["name"]]}
