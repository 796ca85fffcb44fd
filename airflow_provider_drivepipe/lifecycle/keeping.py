"""What was made and is in no partition: rows whose input left it, and rows that were not published.

They go into a table beside the output, ``<output>__kept``, partitioned like it, and expire after a while.
When their input comes back, selection takes them for published rows: what is current is not paid again.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_drivepipe.contracts import Column, Status
from airflow_provider_drivepipe.lifecycle.fingerprint import INPUT, Fingerprint, part_sql
from airflow_provider_drivepipe.lifecycle.publishing import rows_to_be
from airflow_provider_drivepipe.lifecycle.selection import identities
from airflow_provider_drivepipe.lifecycle.tables import (
    WAVE_COLUMN,
    WORK_COLUMN,
    WORKING_TABLE_LIFECYCLE_DAYS,
    StageTables,
    Work,
)
from airflow_provider_drivepipe.scenario.options import Reprocess
from airflow_provider_drivepipe.sql import (
    add_columns,
    column_list,
    create_table,
    null_of,
    quote_name,
    quote_text,
)

KEPT_DAYS = 30
"""Days after which MaxCompute drops a partition of kept rows."""


def create_kept(tables: StageTables) -> str:
    """Return the statement that makes the table of kept rows where it is missing."""
    return create_table(tables.kept, tables.output_columns, tables.partition.columns, KEPT_DAYS)


def widen_kept(tables: StageTables, have: Sequence[Column]) -> str | None:
    """Return the statement that adds the columns which the output got later, None where there are none."""
    names = {c.name for c in have}
    missing = [c for c in tables.output_columns if c.name not in names]
    return add_columns(tables.kept, missing) if missing else None


def keep_removed(tables: StageTables, have: Sequence[Column]) -> str:
    """Return the statement that keeps the published rows whose input left the partition."""
    units = quote_name(tables.working.units)
    rows = (
        f"SELECT {tables.output_names('o.')}, o.drivepipe_key FROM ("
        f"SELECT {tables.output_names()}, {tables.unit_key_sql()} AS drivepipe_key "
        f"FROM {quote_name(tables.output)} WHERE {tables.partition_filter}) o "
        f"LEFT ANTI JOIN (SELECT {tables.unit_key_sql()} AS k FROM {units}) u "
        "ON o.drivepipe_key = u.k"
    )
    if tables.follows:
        rows += f" LEFT ANTI JOIN ({identities(units)}) v ON {part_sql('o.`fingerprint`', INPUT)} = v.k"
    return _keep(tables, have, rows)


def keep_unpublished(tables: StageTables, have: Sequence[Column]) -> str:
    """Return the statement that keeps what would have been published."""
    rows = (
        f"SELECT {tables.output_names()}, {tables.unit_key_sql()} AS drivepipe_key "
        f"FROM ({rows_to_be(tables)}) o"
    )
    return _keep(tables, have, rows)


def count_ended(tables: StageTables) -> str:
    """Return the query for each wave of a try: its number, how much was to do, and how much is staged."""
    work, wave = quote_name(WORK_COLUMN.name), quote_name(WAVE_COLUMN.name)

    def of(table: str, doing: Work, key: str) -> str:
        wanted = (
            f"SELECT DISTINCT {wave} AS wave, {key} AS k FROM {quote_name(table)} "
            f"WHERE {work} = {quote_text(doing)}"
        )
        staged = f"SELECT DISTINCT {wave} AS wave, {key} AS k FROM {quote_name(tables.working.staging)}"
        return (
            "SELECT w.wave AS wave, CASE WHEN s.k IS NULL THEN 0 ELSE 1 END AS staged "
            f"FROM ({wanted}) w LEFT JOIN ({staged}) s ON w.wave = s.wave AND w.k = s.k"
        )

    both = []
    if tables.expands:
        both.append(of(tables.working.units, Work.RUN, tables.unit_key_sql()))
    if tables.parts:
        both.append(of(tables.rows_to_do, Work.TODO, tables.row_key_sql()))
    return f"SELECT wave, COUNT(*), SUM(staged) FROM ({' UNION ALL '.join(both)}) a GROUP BY wave"


def keep_staged(tables: StageTables, have: Sequence[Column], waves: Sequence[str]) -> str:
    """Return the statement that keeps what the waves that have ended have staged.

    Units are kept as a whole: other rows of a unit come along as they are published.
    """
    ended = ", ".join(quote_text(wave) for wave in waves)
    staged = (
        f"SELECT {tables.output_names()}, {tables.unit_key_sql()} AS drivepipe_key, "
        f"{tables.row_key_sql()} AS drivepipe_row_key FROM {quote_name(tables.working.staging)} "
        f"WHERE {quote_name(WAVE_COLUMN.name)} IN ({ended})"
    )
    rows = f"SELECT {tables.output_names('n.')}, n.drivepipe_key FROM ({staged}) n"
    if tables.expands and tables.parts:
        rows += (
            f" UNION ALL SELECT {tables.output_names('o.')}, o.drivepipe_key FROM ("
            f"SELECT {tables.output_names()}, {tables.unit_key_sql()} AS drivepipe_key, "
            f"{tables.row_key_sql()} AS drivepipe_row_key FROM {tables.earlier_sql}) o "
            f"LEFT SEMI JOIN (SELECT drivepipe_key AS k FROM ({staged}) a) s ON o.drivepipe_key = s.k "
            f"LEFT ANTI JOIN (SELECT drivepipe_row_key AS k FROM ({staged}) b) t "
            "ON o.drivepipe_row_key = t.k "
            f"LEFT ANTI JOIN (SELECT {tables.unit_key_sql()} AS k FROM {quote_name(tables.working.units)} "
            f"WHERE {quote_name(WORK_COLUMN.name)} = {quote_text(Work.RUN)}) u ON o.drivepipe_key = u.k"
        )
    return _keep(tables, have, rows)


def _keep(tables: StageTables, have: Sequence[Column], rows: str) -> str:
    """Replace the partition of kept rows by ``rows`` and those of other units: running it twice is once.

    :param have: the table's columns; the statement goes by place.
    """
    made = {c.name for c in tables.output_columns}
    names = [c.name for c in have]
    new = ", ".join(quote_name(c.name) if c.name in made else null_of(c) for c in have)
    return (
        f"INSERT OVERWRITE TABLE {quote_name(tables.kept)} PARTITION ({tables.partition.sql(', ')}) "
        f"SELECT {new} FROM ({rows}) n UNION ALL SELECT {column_list(names, 'k.')} FROM ("
        f"SELECT {column_list(names)}, {tables.unit_key_sql()} AS drivepipe_key "
        f"FROM {quote_name(tables.kept)} WHERE {tables.partition_filter}) k "
        f"LEFT ANTI JOIN (SELECT drivepipe_key AS k FROM ({rows}) r) n ON k.drivepipe_key = n.k"
    )


def forget(tables: StageTables, have: Sequence[Column]) -> str:
    """Return the statement that drops the kept rows of the units in the input: they are made anew.

    :param have: the table's columns; the statement goes by place.
    """
    names = [c.name for c in have]
    return (
        f"INSERT OVERWRITE TABLE {quote_name(tables.kept)} PARTITION ({tables.partition.sql(', ')}) "
        f"SELECT {column_list(names, 'k.')} FROM (SELECT {column_list(names)}, "
        f"{tables.unit_key_sql()} AS drivepipe_key FROM {quote_name(tables.kept)} "
        f"WHERE {tables.partition_filter}) k LEFT ANTI JOIN (SELECT {tables.unit_key_sql()} AS k "
        f"FROM {quote_name(tables.working.units)}) u ON k.drivepipe_key = u.k"
    )


def create_earlier(tables: StageTables) -> str:
    """Return the statement that makes the table of what is there already, published or kept."""
    return create_table(
        tables.working.earlier,
        tables.output_columns,
        lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS,
        if_not_exists=False,
    )


def count_moved(tables: StageTables) -> str:
    """Return the query for how many units have moved whose rows are published under their earlier key."""
    return f"SELECT COUNT(*) FROM ({_moved(tables)}) m"


def _published(tables: StageTables) -> str:
    return (
        f"SELECT {tables.output_names()}, {tables.unit_key_sql()} AS drivepipe_key, "
        f"{part_sql('`fingerprint`', INPUT)} AS drivepipe_input "
        f"FROM {quote_name(tables.output)} WHERE {tables.partition_filter}"
    )


def _moved(tables: StageTables) -> str:
    """Units of videos that moved, which have published rows under another key, and none of their own.

    A row that says that a unit was held back is none of its own.
    """
    columns = column_list([c.name for c in tables.source_columns])
    units = (
        f"SELECT {columns}, {tables.unit_key_sql()} AS drivepipe_key, "
        f"SUBSTR(MD5({tables.identity_sql()}), 1, 16) AS drivepipe_identity "
        f"FROM {tables.source.sql(tables.partition_filter)} AND `same_as` <> '' "
        f"AND `status` = {quote_text(Status.OK)}"
    )
    return (
        f"SELECT s.* FROM ({units}) s "
        f"LEFT SEMI JOIN ({_published(tables)}) o ON s.drivepipe_identity = o.drivepipe_input "
        f"LEFT ANTI JOIN (SELECT drivepipe_key AS k FROM ({_published(tables)}) q "
        "WHERE drivepipe_input <> '') p ON s.drivepipe_key = p.k"
    )


def _followed(tables: StageTables) -> str:
    """Published rows, those of units that moved as if the video had been there always.

    Pictures stay where they are, and so do their names.
    """
    key = "REGEXP_REPLACE(m.`video_path`, '^oss://[^/]+/[^/]+/', '')"
    of_unit = {"video_id": f"SUBSTR(SHA2({key}, 256), 1, 16)"}
    of_unit |= {c.name: f"m.{quote_name(c.name)}" for c in tables.source_columns}
    names = ", ".join(
        f"CASE WHEN m.drivepipe_key IS NULL THEN o.{name} ELSE {of_unit[column.name]} END AS {name}"
        if column.name in of_unit
        else f"o.{name}"
        for column in tables.output_columns
        for name in [quote_name(column.name)]
    )
    return (
        f"SELECT {names} FROM ({_published(tables)}) o "
        f"LEFT ANTI JOIN (SELECT drivepipe_key AS k FROM ({_moved(tables)}) n) h ON o.drivepipe_key = h.k "
        f"LEFT JOIN ({_moved(tables)}) m ON o.drivepipe_input = m.drivepipe_identity"
    )


def fill_earlier(
    tables: StageTables,
    wanted: Fingerprint,
    reprocess: Reprocess,
    have: Sequence[Column] | None,
    only_kept: bool = False,
) -> str:
    """Return the statement that puts published and kept rows together.

    All rows of a unit come from one place: the published ones, unless there are none, or the kept ones hold
    more results as this run makes them. Where only what failed is made again, the kept ones lack less.

    Rows of a video that moved count as published under its present path.

    :param have: the columns of the table of kept rows, None where it has none of the partition.
    :param only_kept: whether published rows count for nothing, since all rows are to be made anew.
    """
    published = f"FROM {quote_name(tables.output)} WHERE {tables.partition_filter}"
    if tables.follows:
        published = f"FROM ({_followed(tables)}) f"
    insert = f"INSERT INTO TABLE {quote_name(tables.working.earlier)} "
    if have is None:
        return f"{insert}SELECT {tables.output_names()} {published}"
    names = {c.name for c in have}
    kept = ", ".join(quote_name(c.name) if c.name in names else null_of(c) for c in tables.output_columns)
    key = f"{tables.unit_key_sql()} AS drivepipe_key"
    of_kept = f"FROM {quote_name(tables.kept)} WHERE {tables.partition_filter}"
    if only_kept:
        return f"{insert}SELECT {kept} {of_kept}"
    worth = _completeness(tables) if reprocess is Reprocess.FAILED else _worth(tables, wanted)
    current = f"SUM({worth}) AS current"
    judged = ["status", "error_stage", "fingerprint", *(part.result for part in tables.parts)]
    chosen = (
        f"SELECT k.drivepipe_key AS k FROM (SELECT drivepipe_key, {current} "
        f"FROM (SELECT {column_list(judged)}, {key} {of_kept}) a GROUP BY drivepipe_key) k "
        f"LEFT JOIN (SELECT drivepipe_key, {current} "
        f"FROM (SELECT {column_list(judged)}, {key} {published}) b GROUP BY drivepipe_key) p "
        "ON k.drivepipe_key = p.drivepipe_key WHERE p.drivepipe_key IS NULL OR k.current > p.current"
    )
    return (
        f"{insert}SELECT {tables.output_names('o.')} "
        f"FROM (SELECT {tables.output_names()}, {key} {published}) o "
        f"LEFT ANTI JOIN ({chosen}) c ON o.drivepipe_key = c.k "
        f"UNION ALL SELECT {tables.output_names('r.')} FROM (SELECT {kept}, {key} {of_kept}) r "
        f"LEFT SEMI JOIN ({chosen}) d ON r.drivepipe_key = d.k"
    )


def _completeness(tables: StageTables) -> str:
    """How little a row lacks, whatever made it: 0 for nothing, else less."""
    lacks = [f"`status` IN ({quote_text(Status.FAILED)}, {quote_text(Status.SKIPPED)})"]
    lacks += [
        f"{quote_name(part.result)} IS NULL OR `error_stage` = {quote_text(part.stage)}"
        for part in tables.parts
    ]
    points = "".join(f" - CASE WHEN {each} THEN 1 ELSE 0 END" for each in lacks)
    return f"CASE WHEN `status` = {quote_text(Status.FILTERED)} THEN 0 ELSE 0{points} END"


def _worth(tables: StageTables, wanted: Fingerprint) -> str:
    """How much of a row need not be made again: a point for the row itself and for each part.

    Values of the input that parts read are not looked at.
    """

    def same(name: str) -> str:
        return f"{part_sql('`fingerprint`', name)} = {quote_text(wanted[name])}"

    as_wanted = [same(name) for name in tables.unit_hashes if name in wanted.hashes]
    status = ", ".join(quote_text(status) for status in (Status.OK, Status.FAILED))
    row = " AND ".join(
        [f"`status` IN ({status})", f"`error_stage` <> {quote_text(tables.unit)}", *as_wanted]
        if tables.expands
        else [f"`status` = {quote_text(Status.OK)}"]
    )
    held = [
        " AND ".join(
            [
                f"{quote_name(part.result)} IS NOT NULL",
                f"`error_stage` <> {quote_text(part.stage)}",
                *([] if tables.reads(part) else [same(part.stage)]),
            ]
        )
        for part in tables.parts
    ]
    if not tables.expands:
        return " + ".join(f"CASE WHEN {each} THEN 1 ELSE 0 END" for each in [row, *held])
    parts = "".join(f" + CASE WHEN {each} THEN 1 ELSE 0 END" for each in held)
    return f"CASE WHEN {row} THEN 1{parts} ELSE 0 END"
