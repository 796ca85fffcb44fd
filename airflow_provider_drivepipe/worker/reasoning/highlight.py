"""The highlight UDF: rows with a moment in, the same rows with the clip or sheet around it out.

Runs in DPE workers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.worker.answers import Failure
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.reasoning.footage import Footage
from airflow_provider_drivepipe.worker.reasoning.pieces import (
    CutJob,
    VideoProcess,
    Writer,
    place_of,
    remove_others,
)
from airflow_provider_drivepipe.worker.reasoning.spans import highlight_span
from airflow_provider_drivepipe.worker.rows import Result, RowPart, with_results

HIGHLIGHT_COLUMNS: tuple[Column, ...] = (
    Column("highlight_start_ms", "bigint", "when its first frame appears, on the video's own clock"),
    Column("highlight_end_ms", "bigint", "when its last frame ends, on the video's own clock"),
    Column("highlight_url", "string", "full OSS URI of its clip (MP4), or of a sheet of its frames (JPEG)"),
    Column("highlight_times", "string", "times of the frames on the sheet: JSON list of milliseconds"),
)


@dataclass(frozen=True, kw_only=True)
class HighlightJob(CutJob):
    """What one call of :func:`cut_highlights` makes.

    ``before_ms`` and ``after_ms`` are how much of the video around the moment is shown. ``moment_column``
    names the input column with the moment in milliseconds. ``part`` is what the rows get, with the columns of
    ``HIGHLIGHT_COLUMNS``.
    """

    part: RowPart
    before_ms: int = 3000
    after_ms: int = 3000
    moment_column: str = "moment_ms"

    def check(self) -> None:
        """Raise ValueError for a job that no video can fulfil."""
        super().check()
        if self.before_ms < 0 or self.after_ms < 0:
            raise ValueError("the times before and after a moment are not negative")


def cut_highlights(rows: Any, job: HighlightJob, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows`` (a pandas DataFrame with ``video_path`` and a moment) with highlights.

    A moment that is no whole number of milliseconds, or outside the video, fails its row, as a video that
    cannot be read does. Raises ValueError for a job that no video can fulfil.
    """
    job.check()
    started = time.monotonic()
    results = [_result(row, job) for row in rows.to_dict("records")]
    failed = sum(failure is not None for _, failure in results)
    print(f"{len(results)} highlights, {failed} failed, {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201
    return with_results(rows, results, job.part, columns)


def _result(row: Mapping[str, Any], job: HighlightJob) -> Result:
    made: dict[str, Any] = {}
    try:
        place = place_of(row.get("video_path"), job)
    except VideoError as error:
        return {}, Failure(error.reason, str(error))
    failure = None
    try:
        moment = _milliseconds(row.get(job.moment_column))
        with VideoProcess(
            place, job, lambda footage, writer, _: _cut(footage, writer, moment, job)
        ) as process:
            made = process.ask(0)
    except VideoError as error:
        failure = Failure(error.reason, str(error))
    remove_others(place, job, "highlight", [made["name"]] if made else [])
    return made.get("cells", {}), failure


def _milliseconds(value: Any) -> int:
    try:
        moment = int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise VideoError(Reason.INVALID_TIME_RANGE, "the moment is no number of milliseconds") from error
    return moment


def _cut(footage: Footage, writer: Writer, moment: int, job: HighlightJob) -> dict[str, Any]:
    """Return the row's own columns and the name of the written file; runs in the child."""
    end_ms = footage.time_ms(footage.frame_count)
    if not 0 <= moment <= end_ms:
        raise VideoError(
            Reason.TIME_OUTSIDE_VIDEO, f"the moment, {moment} ms, is outside the video of {end_ms} ms"
        )
    before, after = Fraction(job.before_ms, 1000), Fraction(job.after_ms, 1000)
    span = highlight_span(footage, Fraction(moment, 1000), before, after)
    made = writer.piece(footage, span, "highlight", job)
    cells = {
        "highlight_start_ms": span.start_ms,
        "highlight_end_ms": span.end_ms,
        "highlight_url": made["url"],
        "highlight_times": made["times"],
    }
    return {"cells": cells, "name": made["name"]}
