"""The SQL of a stage's life: select what needs work, audit what came out, publish in one statement.

Pure text: values only ever enter quoted or as checked identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, Status
from airflow_provider_drivepipe.exceptions import ConfigurationError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
_TYPE = re.compile(r"[a-z][a-z0-9_<>(),: ]*")
WORKING_TABLE_LIFECYCLE_DAYS = 1


def quote_name(name: str) -> str:
    """Return a table or column name (``name`` or ``project.name``) in backquotes.

    Raises ConfigurationError for anything that is not a plain identifier.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"not a MaxCompute identifier: {name!r}")
    return ".".join(f"`{part}`" for part in name.split("."))


def quote_text(text: str) -> str:
    """Return a MaxCompute string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def column_list(columns: Sequence[str], prefix: str = "") -> str:
    """Return quoted column names, comma-separated, each with an optional table alias."""
    return ", ".join(f"{prefix}{quote_name(column)}" for column in columns)


def create_table(
    name: str,
    columns: Sequence[Column],
    partition_columns: Sequence[str] = (),
    lifecycle_days: int | None = None,
) -> str:
    """Return ``CREATE TABLE IF NOT EXISTS`` for a table; partition columns are strings."""
    sql = f"CREATE TABLE IF NOT EXISTS {quote_name(name)} ({', '.join(_definition(c) for c in columns)})"
    if partition_columns:
        sql += f" PARTITIONED BY ({', '.join(f'{quote_name(c)} STRING' for c in partition_columns)})"
    if lifecycle_days is not None:
        sql += f" LIFECYCLE {int(lifecycle_days)}"
    return sql


def drop_table(name: str) -> str:
    """Return ``DROP TABLE IF EXISTS``."""
    return f"DROP TABLE IF EXISTS {quote_name(name)}"


def _definition(column: Column) -> str:
    if not _TYPE.fullmatch(column.type):
        raise ConfigurationError(f"not a MaxCompute type: {column.type!r}")
    comment = f" COMMENT {quote_text(column.comment)}" if column.comment else ""
    return f"{quote_name(column.name)} {column.type.upper()}{comment}"


@dataclass(frozen=True)
class StageTables:
    """Where a stage reads, works and writes.

    ``partition`` is a ready condition such as ``ds='20261120'`` (also the static partition of the insert).
    ``key`` are the columns that tell one input unit from another, ``identity`` those that decide whether
    its content is still the same. ``source_columns`` travel through to the output.
    """

    source: str
    output: str
    selection: str
    staging: str
    partition_filter: str
    partition_clause: str
    key: tuple[str, ...]
    identity: tuple[str, ...]
    source_columns: tuple[str, ...]
    output_columns: tuple[str, ...]
    source_has_status: bool = False

    def key_expression(self) -> str:
        """One string that identifies an input unit; never NULL, so that no row is lost in a join."""
        return _joined(self.key)

    def fingerprint_expression(self, prefix: str) -> str:
        """The expected fingerprint of an input unit: ``prefix`` and a hash of its identity columns."""
        return f"CONCAT({quote_text(prefix + '.')}, SUBSTR(MD5({_joined(self.identity)}), 1, 16))"


def _joined(columns: Sequence[str]) -> str:
    parts = [f"COALESCE(CAST({quote_name(c)} AS STRING), '')" for c in columns]
    separated = ", '|', ".join(parts)
    return parts[0] if len(parts) == 1 else f"CONCAT({separated})"


def _source_rows(tables: StageTables, fingerprint_prefix: str) -> str:
    """The input units: one row per key; rows that an earlier stage failed are left out."""
    columns = column_list(tables.source_columns)
    return (
        f"SELECT {columns}, unit_key, wanted, "
        "ROW_NUMBER() OVER (PARTITION BY unit_key ORDER BY unit_key) AS nth FROM ("
        f"SELECT {columns}, {tables.key_expression()} AS unit_key, "
        f"{tables.fingerprint_expression(fingerprint_prefix)} AS wanted "
        f"FROM {quote_name(tables.source)} WHERE {_source_filter(tables)}) r"
    )


def _source_filter(tables: StageTables) -> str:
    only_ok = f" AND `status` = {quote_text(Status.OK)}" if tables.source_has_status else ""
    return tables.partition_filter + only_ok


def create_selection(tables: StageTables, fingerprint_prefix: str) -> str:
    """Return the statement that stores which input rows need work, with ``attempt`` and ``fingerprint``.

    A unit is left out when all its rows in the output partition are ``ok`` under the expected fingerprint.
    ``attempt`` counts tries under one fingerprint.
    """
    return (
        f"CREATE TABLE {quote_name(tables.selection)} LIFECYCLE {WORKING_TABLE_LIFECYCLE_DAYS} AS "
        f"SELECT {column_list(tables.source_columns, 'w.')}, 'ok' AS `status`, '' AS `error_stage`, "
        "'' AS `error_type`, '' AS `error_msg`, "
        "CAST(CASE WHEN d.`fingerprint` = w.wanted THEN d.`attempt` + 1 ELSE 1 END AS BIGINT) "
        "AS `attempt`, "
        "w.wanted AS `fingerprint` "
        f"FROM (SELECT * FROM ({_source_rows(tables, fingerprint_prefix)}) i WHERE nth = 1) w "
        f"LEFT JOIN (SELECT {tables.key_expression()} AS unit_key, MAX(`attempt`) AS `attempt`, "
        "MAX(`fingerprint`) AS `fingerprint`, COUNT(DISTINCT `fingerprint`) AS fingerprints, "
        f"SUM(CASE WHEN `status` = {quote_text(Status.OK)} THEN 0 ELSE 1 END) AS not_ok "
        f"FROM {quote_name(tables.output)} WHERE {tables.partition_filter} "
        f"GROUP BY {tables.key_expression()}) d ON w.unit_key = d.unit_key "
        "WHERE d.unit_key IS NULL OR d.not_ok > 0 OR d.fingerprints > 1 OR d.`fingerprint` <> w.wanted"
    )


def count_source(tables: StageTables) -> str:
    """Return the query for (input units, input rows, units that an earlier stage failed)."""
    failed = (
        f"SUM(CASE WHEN `status` = {quote_text(Status.OK)} THEN 0 ELSE 1 END)"
        if tables.source_has_status
        else "0"
    )
    return (
        f"SELECT COUNT(DISTINCT {tables.key_expression()}), COUNT(*), {failed} "
        f"FROM {quote_name(tables.source)} WHERE {tables.partition_filter}"
    )


def count_selection(tables: StageTables) -> str:
    """Return the query for the number of units that need work."""
    return f"SELECT COUNT(*) FROM {quote_name(tables.selection)}"


def _carried_rows(tables: StageTables, columns: Sequence[str]) -> str:
    """Rows of the published partition that stay: still in the input and not selected for work."""
    key = tables.key_expression()
    return (
        f"SELECT {column_list(columns, 'o.')} FROM (SELECT {column_list(columns)}, {key} AS unit_key "
        f"FROM {quote_name(tables.output)} WHERE {tables.partition_filter}) o "
        f"LEFT SEMI JOIN (SELECT {key} AS unit_key FROM {quote_name(tables.source)} "
        f"WHERE {_source_filter(tables)}) i ON o.unit_key = i.unit_key "
        f"LEFT ANTI JOIN (SELECT {key} AS unit_key FROM {quote_name(tables.selection)}) s "
        "ON o.unit_key = s.unit_key"
    )


def _passed_through(tables: StageTables, columns: Sequence[str]) -> str:
    """Rows that an earlier stage failed: they keep their identifiers and their status, the rest is NULL."""
    kept = {*tables.source_columns, *(c.name for c in STATUS_COLUMNS)}
    wanted = ", ".join(quote_name(c) if c in kept else f"NULL AS {quote_name(c)}" for c in columns)
    return (
        f"SELECT {wanted} FROM {quote_name(tables.source)} "
        f"WHERE {tables.partition_filter} AND `status` <> {quote_text(Status.OK)}"
    )


def audit(tables: StageTables, embedding: bool, tokens: Sequence[str]) -> str:
    """Return the query for the books of the partition to be.

    Columns: origin (``carried``, ``new``, ``earlier``), status, error_stage, error_type, has_embedding,
    rows, units, then the sum of each token column. Tokens are counted for every row; what this run paid are
    the ``new`` ones.
    """
    has_embedding = "CASE WHEN `image_embedding` IS NULL THEN 0 ELSE 1 END" if embedding else "0"
    token_list = "".join(f", {quote_name(t)}" for t in tokens)
    picked = (
        f"{tables.key_expression()} AS unit_key, `status`, `error_stage`, `error_type`, "
        f"{has_embedding} AS has_embedding{token_list}"
    )
    needed = [*tables.key, *(c.name for c in STATUS_COLUMNS[:3]), *tokens]
    if embedding:
        needed.append("image_embedding")
    carried = _carried_rows(tables, needed)
    union = (
        f"SELECT 'carried' AS origin, {picked} FROM ({carried}) c UNION ALL "
        f"SELECT 'new' AS origin, {picked} FROM {quote_name(tables.staging)}"
    )
    if tables.source_has_status:
        union += f" UNION ALL SELECT 'earlier' AS origin, {picked} FROM ({_passed_through(tables, needed)}) e"
    sums = "".join(f", SUM({quote_name(t)})" for t in tokens)
    return (
        "SELECT origin, `status`, `error_stage`, `error_type`, has_embedding, COUNT(*), "
        f"COUNT(DISTINCT unit_key){sums} FROM ({union}) u "
        "GROUP BY origin, `status`, `error_stage`, `error_type`, has_embedding"
    )


def count_units(tables: StageTables) -> str:
    """Return the query for (units in staging, units in staging that were selected)."""
    return (
        f"SELECT COUNT(*), SUM(CASE WHEN s.unit_key IS NULL THEN 0 ELSE 1 END) FROM "
        f"(SELECT DISTINCT {tables.key_expression()} AS unit_key FROM {quote_name(tables.staging)}) t "
        f"LEFT JOIN (SELECT {tables.key_expression()} AS unit_key FROM {quote_name(tables.selection)}) s "
        "ON t.unit_key = s.unit_key"
    )


def publish(tables: StageTables) -> str:
    """Return the one statement that replaces the partition: rows carried over plus what was staged."""
    columns = tables.output_columns
    sql = (
        f"INSERT OVERWRITE TABLE {quote_name(tables.output)} PARTITION ({tables.partition_clause}) "
        f"{_carried_rows(tables, columns)} "
        f"UNION ALL SELECT {column_list(columns)} FROM {quote_name(tables.staging)}"
    )
    if tables.source_has_status:
        sql += f" UNION ALL {_passed_through(tables, columns)}"
    return sql
