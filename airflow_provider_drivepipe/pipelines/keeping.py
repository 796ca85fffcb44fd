"""What was paid for and is in no partition: rows whose input left it, and rows that were not published.

They go into a table beside the output, ``<output>__kept``, partitioned like it, and expire after a while.
When their input comes back, selection takes them for published rows: what is current is not paid again.
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_drivepipe.contracts import Column, Stage, Status
from airflow_provider_drivepipe.pipelines.fingerprint import PART_NAMES, Fingerprint, part_sql
from airflow_provider_drivepipe.pipelines.publishing import rows_to_be
from airflow_provider_drivepipe.pipelines.stage_sql import (
    add_columns,
    column_list,
    create_table,
    null_of,
    quote_name,
    quote_text,
)
from airflow_provider_drivepipe.pipelines.stage_tables import WORKING_TABLE_LIFECYCLE_DAYS, StageTables
from airflow_provider_drivepipe.scenario.options import Reprocess

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
    rows = (
        f"SELECT {tables.output_names('o.')}, o.drivepipe_key FROM ("
        f"SELECT {tables.output_names()}, {tables.unit_key_sql()} AS drivepipe_key "
        f"FROM {quote_name(tables.output)} WHERE {tables.partition_filter}) o "
        f"LEFT ANTI JOIN (SELECT {tables.unit_key_sql()} AS k FROM {quote_name(tables.working.units)}) u "
        "ON o.drivepipe_key = u.k"
    )
    return _keep(tables, have, rows)


def keep_unpublished(tables: StageTables, have: Sequence[Column]) -> str:
    """Return the statement that keeps what would have been published."""
    rows = (
        f"SELECT {tables.output_names()}, {tables.unit_key_sql()} AS drivepipe_key "
        f"FROM ({rows_to_be(tables)}) o"
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


def create_earlier(tables: StageTables) -> str:
    """Return the statement that makes the table of what is there already, published or kept."""
    return create_table(
        tables.working.earlier,
        tables.output_columns,
        lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS,
        if_not_exists=False,
    )


def fill_earlier(
    tables: StageTables, wanted: Fingerprint, reprocess: Reprocess, have: Sequence[Column]
) -> str:
    """Return the statement that puts published and kept rows together.

    All rows of a unit come from one place: the published ones, unless there are none, or more of the kept
    ones are ok and as this run makes them.

    :param have: the columns of the table of kept rows.
    """
    names = {c.name for c in have}
    kept = ", ".join(quote_name(c.name) if c.name in names else null_of(c) for c in tables.output_columns)
    key = f"{tables.unit_key_sql()} AS drivepipe_key"
    published = f"FROM {quote_name(tables.output)} WHERE {tables.partition_filter}"
    of_kept = f"FROM {quote_name(tables.kept)} WHERE {tables.partition_filter}"
    current = f"SUM(CASE WHEN {_is_current(tables, wanted)} THEN 1 ELSE 0 END) AS current"
    better = "p.drivepipe_key IS NULL"
    if reprocess is Reprocess.CHANGED:
        better += " OR k.current > p.current"
    chosen = (
        f"SELECT k.drivepipe_key AS k FROM (SELECT drivepipe_key, {current} "
        f"FROM (SELECT `status`, `fingerprint`, {key} {of_kept}) a GROUP BY drivepipe_key) k "
        f"LEFT JOIN (SELECT drivepipe_key, {current} "
        f"FROM (SELECT `status`, `fingerprint`, {key} {published}) b GROUP BY drivepipe_key) p "
        f"ON k.drivepipe_key = p.drivepipe_key WHERE {better}"
    )
    return (
        f"INSERT INTO TABLE {quote_name(tables.working.earlier)} "
        f"SELECT {tables.output_names('o.')} FROM (SELECT {tables.output_names()}, {key} {published}) o "
        f"LEFT ANTI JOIN ({chosen}) c ON o.drivepipe_key = c.k "
        f"UNION ALL SELECT {tables.output_names('r.')} FROM (SELECT {kept}, {key} {of_kept}) r "
        f"LEFT SEMI JOIN ({chosen}) d ON r.drivepipe_key = d.k"
    )


def _is_current(tables: StageTables, wanted: Fingerprint) -> str:
    """Whether a row is ok and as this run makes it; the text that is embedded is not looked at."""
    from_text = {PART_NAMES[Stage.LABEL_EMBEDDING]} if tables.embeds_given_labels else set()
    return " AND ".join(
        [
            f"`status` = {quote_text(Status.OK)}",
            *(
                f"{part_sql('`fingerprint`', name)} = {quote_text(hash_)}"
                for name, hash_ in wanted.hashes.items()
                if name not in from_text
            ),
        ]
    )
