"""Where the input units of a task come from: a table, or a query that gathers them from several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, Status
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.sql import column_list, joined_text, quote_name, quote_text

LACKING = Column("lacking", "string", "how many rows of each gathered table are not ok, empty when all are")


@dataclass(frozen=True)
class Gathered:
    """One table of a gather.

    :param table: partitioned like the task's output; written by a stage, so that it has status columns.
    :param columns: columns of the unit, each with the aggregate over the table's ``ok`` rows that gives it.
    """

    table: str
    columns: Mapping[Column, str]


@dataclass(frozen=True)
class Source:
    """Where input units come from; see :meth:`of_table` and :meth:`gather`.

    :param name: the table, or those that are gathered, for messages.
    :param key: columns by which rows are gathered.
    """

    name: str
    key: tuple[str, ...] = ()
    gathered: tuple[Gathered, ...] = ()
    key_columns: tuple[Column, ...] = ()

    @classmethod
    def of_table(cls, name: str) -> Source:
        """Return the rows of a table, one unit each."""
        return cls(name)

    @classmethod
    def gather(cls, key: Sequence[Column], *gathered: Gathered) -> Source:
        """Return one unit for each key that the first table holds, with what all tables say of it.

        A unit gets a column ``lacking`` that says how many of its rows are not ok. Where a table has no ok row
        for it, the unit is skipped, with the stage and the reason that failed those rows.
        """
        names = ", ".join(each.table for each in gathered)
        return cls(names, tuple(c.name for c in key), gathered, tuple(key))

    @property
    def is_table(self) -> bool:
        """Whether it is a table as it stands."""
        return not self.gathered

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it reads."""
        return tuple(each.table for each in self.gathered) or (self.name,)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of a gather's units."""
        made = [column for each in self.gathered for column in each.columns]
        names = [column.name for column in (*self.key_columns, *made)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"gathered columns {', '.join(twice)} have the same name")
        return (*self.key_columns, *made, LACKING, *STATUS_COLUMNS)

    def sql(self, partition_filter: str) -> str:
        """Return what follows ``FROM`` to read the units of a partition."""
        if self.is_table:
            return f"{quote_name(self.name)} WHERE {partition_filter}"
        return f"({self._gathering(partition_filter)}) g WHERE 1 = 1"

    def _gathering(self, partition_filter: str) -> str:
        """One row for each key of the first table, joined to those of the others.

        The fingerprint is no column of the inputs: it stays empty, and what is gathered identifies the unit.
        """
        key = column_list(self.key)
        chosen = [column_list(self.key, "t0.")]
        joins, lacking, none = [], [], []
        for number, each in enumerate(self.gathered):
            alias, table = f"t{number}", quote_name(each.table)
            aggregates = [f"{sql} AS {quote_name(column.name)}" for column, sql in each.columns.items()]
            ok = f"`status` = {quote_text(Status.OK)}"
            counted = (
                f"SELECT {key}, {joined_text(self.key)} AS drivepipe_key, COUNT(*) AS drivepipe_all, "
                f"SUM(CASE WHEN {ok} THEN 0 ELSE 1 END) AS drivepipe_bad, "
                "MAX(`error_stage`) AS drivepipe_stage, MAX(`error_type`) AS drivepipe_type "
                f"FROM {table} WHERE {partition_filter} GROUP BY {key}"
            )
            good = (
                f"SELECT {joined_text(self.key)} AS drivepipe_key, {', '.join(aggregates)} "
                f"FROM {table} WHERE {partition_filter} AND {ok} GROUP BY {key}"
            )
            on = "" if number == 0 else f" ON t0.drivepipe_key = {alias}.drivepipe_key"
            joins.append(f"{'' if number == 0 else 'LEFT JOIN '}({counted}) {alias}{on}")
            joins.append(f"LEFT JOIN ({good}) g{number} ON t0.drivepipe_key = g{number}.drivepipe_key")
            chosen += [f"g{number}.{quote_name(column.name)}" for column in each.columns]
            said = quote_text(f"{each.table}: ")
            lacking.append(
                f"CASE WHEN {alias}.drivepipe_key IS NULL THEN CONCAT({said}, 'no row; ') "
                f"WHEN {alias}.drivepipe_bad = 0 THEN '' "
                f"ELSE CONCAT({said}, CAST({alias}.drivepipe_bad AS STRING), ' of ', "
                f"CAST({alias}.drivepipe_all AS STRING), ' rows are not ok; ') END"
            )
            none.append(f"g{number}.drivepipe_key IS NULL")
        lacks = f"CONCAT({', '.join(lacking)}, '')"
        skipped = " OR ".join(none)

        def first(column: str) -> str:
            found = ", ".join(f"t{number}.{column}" for number in range(len(self.gathered)))
            return f"CASE WHEN {skipped} THEN COALESCE({found}, '') ELSE '' END"

        status = (
            f"CASE WHEN {skipped} THEN {quote_text(Status.SKIPPED)} ELSE {quote_text(Status.OK)} END AS `status`, "
            f"{first('drivepipe_stage')} AS `error_stage`, {first('drivepipe_type')} AS `error_type`, "
            f"CASE WHEN {skipped} THEN {lacks} ELSE '' END AS `error_msg`, "
            "CAST(0 AS BIGINT) AS `attempt`, '' AS `fingerprint`"
        )
        return f"SELECT {', '.join(chosen)}, {lacks} AS {quote_name(LACKING.name)}, {status} FROM {' '.join(joins)}"
