"""What a run had from the models, counted in its staging table."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from airflow_provider_drivepipe.contracts import Status
from airflow_provider_drivepipe.lifecycle.tables import WORK_COLUMN, StageTables, Work
from airflow_provider_drivepipe.sql import Figures, joined_text, quote_name, quote_text

_TIME_COLUMNS = {"frame_idx", "frame_time_ms"}
_LENGTH_COLUMN = "duration_ms"
"""Of the whole video, where a row is not a frame of it."""
_OWNERS = ("video_path", "clip_id", "clip_dir")
_MILLISECONDS_PER_HOUR = 3_600_000


def count_spending(tables: StageTables) -> Figures:
    """Return the query for what :func:`read_spending` reads.

    Four counts: rows that models were asked about; rows that have a time in a video; those of them whose
    video shows how far apart its frames are; and the milliseconds that these stand for. Where rows are not
    frames but have the length of their video, the last three are of videos instead of rows.
    """
    names = {c.name for c in tables.output_columns}
    stages = [part.stage for part in tables.parts if part.calls]
    return count_frames(quote_name(tables.working.staging), names, stages)


def count_new(tables: StageTables) -> Figures:
    """Return the query of :func:`count_spending` for rows of units that are done from the start."""
    rows = (
        f"(SELECT s.`status`, s.`error_stage` FROM (SELECT `status`, `error_stage`, "
        f"{tables.unit_key_sql()} AS k FROM {quote_name(tables.working.staging)}) s "
        f"LEFT SEMI JOIN (SELECT {tables.unit_key_sql()} AS k FROM {quote_name(tables.working.units)} "
        f"WHERE {quote_name(WORK_COLUMN.name)} = {quote_text(Work.RUN)}) u ON s.k = u.k)"
    )
    return count_frames(rows, (), [part.stage for part in tables.parts if part.calls])


def count_frames(rows: str, names: Collection[str], stages: Collection[str]) -> Figures:
    """Return the query of :func:`count_spending` for any rows.

    :param rows: a table, quoted, or a query in parentheses.
    :param names: the columns of the rows.
    :param stages: those that call models.
    """
    model_stages = ", ".join(quote_text(stage) for stage in stages)
    asked = (
        f"CASE WHEN `status` = {quote_text(Status.OK)} OR (`status` = {quote_text(Status.FAILED)} "
        f"AND `error_stage` IN ({model_stages})) THEN 1 ELSE 0 END"
    )
    owners = [name for name in _OWNERS if name in names]
    if owners and _LENGTH_COLUMN in names and not _TIME_COLUMNS.issubset(names):
        return Figures(
            ("SUM(asked)", "SUM(n)", "SUM(n)", "SUM(n * length)"),
            f"FROM (SELECT SUM({asked}) AS asked, MAX({asked}) AS n, "
            f"MAX({quote_name(_LENGTH_COLUMN)}) AS length FROM {rows} r GROUP BY {joined_text(owners)}) v",
        )
    if not owners or not _TIME_COLUMNS.issubset(names):
        return Figures((f"SUM({asked})", "0", "0", "0"), f"FROM {rows} r")
    known = "last_idx > first_idx"
    apart = "(last_time - first_time) / (last_idx - first_idx)"
    return Figures(
        (
            "SUM(asked)",
            "SUM(n)",
            f"SUM(CASE WHEN {known} THEN n ELSE 0 END)",
            f"SUM(CASE WHEN {known} THEN n * {apart} ELSE 0 END)",
        ),
        f"FROM (SELECT SUM({asked}) AS asked, "
        f"SUM(CASE WHEN `frame_time_ms` IS NULL OR `status` = {quote_text(Status.SKIPPED)} "
        "THEN 0 ELSE 1 END) AS n, "
        "MIN(`frame_time_ms`) AS first_time, MAX(`frame_time_ms`) AS last_time, "
        "MIN(CASE WHEN `frame_time_ms` IS NULL THEN NULL ELSE `frame_idx` END) AS first_idx, "
        "MAX(CASE WHEN `frame_time_ms` IS NULL THEN NULL ELSE `frame_idx` END) AS last_idx "
        f"FROM {rows} r GROUP BY {joined_text(owners)}) v",
    )


def read_spending(row: Sequence[object]) -> tuple[int, float | None]:
    """Return the rows that models were asked about, and the hours of video, None where they are not known.

    A video of which a single frame is there counts with the distance of the others' frames.
    """
    asked, timed, known, milliseconds = (float(str(value or 0)) for value in row)
    if not known:
        return int(asked), None
    return int(asked), milliseconds / known * timed / _MILLISECONDS_PER_HOUR
