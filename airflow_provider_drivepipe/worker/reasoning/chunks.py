"""The chunk UDF: one row per video in, one row per chunk out, with its clip or its sheet.

Runs in DPE workers. A chunk's times are those of the frames that it holds, not those that were asked for.
Chunks follow each other without a gap up to the end of the video.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Status
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.reasoning.footage import Footage, Span
from airflow_provider_drivepipe.worker.reasoning.pieces import (
    CutJob,
    VideoPlace,
    VideoProcess,
    Writer,
    place_of,
    remove_others,
    tried,
)
from airflow_provider_drivepipe.worker.reasoning.spans import chunk_length, chunk_spans
from airflow_provider_drivepipe.worker.rows import OK_CELLS, failed_cells, unit_dtypes, with_lineage

STAGE = "chunk_cut"
CHUNK_COLUMNS: tuple[Column, ...] = (
    Column("video_path", "string", "full OSS URI of the video"),
    Column("video_id", "string", "first 16 hex digits of SHA-256 over the object key"),
    Column("chunk_index", "bigint", "0-based index of the chunk within the video, -1 for a failed video"),
    Column("start_ms", "bigint", "when its first frame appears, on the video's own clock"),
    Column("end_ms", "bigint", "when its last frame ends, on the video's own clock"),
    Column("clip_url", "string", "full OSS URI of its clip (MP4), NULL where there are sheets"),
    Column("sheet_url", "string", "full OSS URI of a sheet of its frames (JPEG), NULL where there are clips"),
    Column("sheet_times", "string", "times of the frames on the sheet: JSON list of milliseconds"),
)


@dataclass(frozen=True, kw_only=True)
class ChunkJob(CutJob):
    """What one call of :func:`cut_chunks` makes.

    ``length_options_sec`` are ascending; chunks have the shortest that makes at most ``max_chunks`` of a
    video, else the longest. ``lineage`` are the input columns that travel through.
    """

    length_options_sec: tuple[int, ...] = (5, 10, 15, 20, 30)
    max_chunks: int = 10
    lineage: tuple[str, ...]

    def check(self) -> None:
        """Raise ValueError for a job that no video can fulfil."""
        super().check()
        lengths = self.length_options_sec
        if not lengths or lengths[0] < 1 or sorted(set(lengths)) != list(lengths) or self.max_chunks < 1:
            raise ValueError(
                "lengths of chunks ascend from at least 1 second, and there is at least one chunk"
            )


def cut_chunks(videos: Any, job: ChunkJob) -> Any:
    """Return the chunk rows of ``videos`` (a pandas DataFrame); every video gives at least one row.

    A video that fails gives one row with ``chunk_index`` -1 and its reason. A chunk that fails does so alone,
    and keeps its index and its times. Raises ValueError for a job that no video can fulfil, KeyError for an
    input without one of the lineage columns.
    """
    job.check()
    rows: list[dict[str, Any]] = []
    sources: list[int] = []
    for number, video in enumerate(videos.to_dict("records")):
        started = time.monotonic()
        made = _rows_of_video(video, job)
        rows += made
        sources += [number] * len(made)
        failed = sum(row["status"] == Status.FAILED for row in made)
        # Only a path that was accepted is fit to print.
        name = made[0]["video_path"] if made[0]["video_id"] else f"row {number}"
        seconds = time.monotonic() - started
        print(f"{name}: {len(made)} chunks, {failed} failed, {seconds:.1f} s", flush=True)  # noqa: T201
    return with_lineage(videos, rows, sources, job.lineage, CHUNK_COLUMNS)


def chunk_dtypes(lineage_dtypes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every output column; integers are nullable, so NULL stays NULL."""
    return unit_dtypes(CHUNK_COLUMNS, lineage_dtypes)


def _rows_of_video(video: Mapping[str, Any], job: ChunkJob) -> list[dict[str, Any]]:
    base: dict[str, Any] = {**tried(video), "video_id": None, "chunk_index": -1}
    try:
        place = place_of(video.get("video_path"), job)
    except VideoError as error:
        return [{**base, **failed_cells(STAGE, error.reason, str(error))}]
    base["video_id"] = place.video_id
    kept: list[str] = []
    rows = _cut(place, base, kept, job)
    remove_others(place, job, r"chunk_\d+", kept)
    return rows


def _cut(place: VideoPlace, base: dict[str, Any], kept: list[str], job: ChunkJob) -> list[dict[str, Any]]:
    """Return the rows of a video, and add to ``kept`` the names of what was written."""
    rows = []
    with VideoProcess(
        place, job, lambda footage, writer, number: _work(footage, writer, number, job)
    ) as process:
        try:
            spans = process.ask(0)["spans"]
        except VideoError as error:
            return [{**base, **failed_cells(STAGE, error.reason, str(error))}]
        for index, span in enumerate(spans):
            row = {**base, "chunk_index": index, **span}
            try:
                made = process.ask(index + 1)
                kept.append(made["name"])
                column = "clip_url" if job.sheet is None else "sheet_url"
                row |= {**OK_CELLS, column: made["url"], "sheet_times": made["times"]}
            except VideoError as error:
                row |= failed_cells(STAGE, error.reason, str(error))
            rows.append(row)
    return rows


def _work(footage: Footage, writer: Writer, number: int, job: ChunkJob) -> dict[str, Any]:
    """Answer a request in the child: 0 asks for the chunks' spans, n for the n-th chunk's piece."""
    spans = _spans(footage, job)
    if number == 0:
        return {"spans": [{"start_ms": span.start_ms, "end_ms": span.end_ms} for span in spans]}
    return writer.piece(footage, spans[number - 1], f"chunk_{number - 1:03d}", job)


def _spans(footage: Footage, job: ChunkJob) -> list[Span]:
    options = [Fraction(seconds) for seconds in job.length_options_sec]
    length = chunk_length(footage.duration, options, job.max_chunks)
    return chunk_spans(footage, length, snaps=job.sheet is None)
