"""MaxCompute SQL as text: identifiers that are checked, values that are quoted, tables that stages make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.exceptions import ConfigurationError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,2}")
_TYPE = re.compile(r"[a-z][a-z0-9_<>(),: ]*")
MAX_TABLE_NAME = 128
"""Longest name of a MaxCompute table, in bytes."""


@dataclass(frozen=True)
class Figures:
    """A query for a few figures, which can be asked together with others.

    :param values: expressions that it selects.
    :param rest: ``FROM`` and what follows.
    """

    values: tuple[str, ...]
    rest: str

    @property
    def sql(self) -> str:
        """The query on its own."""
        return f"SELECT {', '.join(self.values)} {self.rest}"


def figures_together(asked: Mapping[str, Figures]) -> str:
    """Return one query for all; :func:`figures_apart` reads its rows."""
    width = max(len(figures.values) for figures in asked.values())
    queries = []
    for name, figures in asked.items():
        values = [f"CAST({value} AS STRING)" for value in figures.values]
        values += ["''"] * (width - len(values))
        columns = ", ".join(f"{value} AS c{number}" for number, value in enumerate(values, 1))
        queries.append(f"SELECT {quote_text(name)} AS figures, {columns} {figures.rest}")
    return " UNION ALL ".join(queries)


def figures_apart(
    asked: Mapping[str, Figures], rows: Iterable[Sequence[object]]
) -> dict[str, list[list[object]]]:
    """Return the rows of each query by its name; values are texts, or None."""
    found: dict[str, list[list[object]]] = {name: [] for name in asked}
    for name, *values in rows:
        found[str(name)].append(values[: len(asked[str(name)].values)])
    return found


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


def joined_text(columns: Sequence[str], prefix: str = "") -> str:
    """Return an expression that joins columns to one text; never NULL, so that no row is lost in a join."""
    parts = [f"COALESCE(CAST({prefix}{quote_name(c)} AS STRING), '')" for c in columns]
    return parts[0] if len(parts) == 1 else "CONCAT({})".format(", '|', ".join(parts))


def null_of(column: Column) -> str:
    """Return a NULL of a column's type, under its name."""
    return f"CAST(NULL AS {_type(column)}) AS {quote_name(column.name)}"


def create_table(
    name: str,
    columns: Sequence[Column],
    partition_columns: Sequence[str] = (),
    lifecycle_days: int | None = None,
    comment: str | None = None,
    if_not_exists: bool = True,
    one_per_line: bool = False,
) -> str:
    """Return ``CREATE TABLE``; partition columns are strings.

    :param one_per_line: a line for each column, for people.
    """
    sql = f"CREATE TABLE {'IF NOT EXISTS ' if if_not_exists else ''}{quote_name(name)} "
    before, between, after = ("\n    ", ",\n    ", "\n") if one_per_line else ("", ", ", "")
    sql += f"({before}{between.join(_definition(c) for c in columns)}{after})"
    if comment is not None:
        sql += f" COMMENT {quote_text(comment)}"
    if partition_columns:
        sql += f" PARTITIONED BY ({', '.join(f'{quote_name(c)} STRING' for c in partition_columns)})"
    if lifecycle_days is not None:
        sql += f" LIFECYCLE {int(lifecycle_days)}"
    return sql


def add_columns(name: str, columns: Sequence[Column]) -> str:
    """Return ``ALTER TABLE … ADD COLUMNS``."""
    return f"ALTER TABLE {quote_name(name)} ADD COLUMNS ({', '.join(_definition(c) for c in columns)})"


def drop_table(name: str) -> str:
    """Return ``DROP TABLE IF EXISTS``."""
    return f"DROP TABLE IF EXISTS {quote_name(name)}"


def _definition(column: Column) -> str:
    comment = f" COMMENT {quote_text(column.comment)}" if column.comment else ""
    return f"{quote_name(column.name)} {_type(column)}{comment}"


def _type(column: Column) -> str:
    if not _TYPE.fullmatch(column.type):
        raise ConfigurationError(f"not a MaxCompute type: {column.type!r}")
    return column.type.upper()
