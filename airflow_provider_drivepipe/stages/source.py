"""Where the input units of a task come from: a table, or a query that gathers them from several."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, Reason, Status
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.sql import column_list, joined_text, quote_name, quote_text

LACKING = Column("lacking", "string", "how many rows of the gathered tables are not ok, empty when all are")
GATHER = "gather"
"""What a unit names as its ``error_stage`` when a table has no row for it: no stage has failed there."""


@dataclass(frozen=True)
class Gathered:
    """One table of a gather.

    :param table: partitioned like the task's output; written by a stage, so that it has status columns.
    :param columns: columns of the unit, each with the aggregate over the table's ``ok`` rows that makes it. A
        unit is paid again when its value changes, so an aggregate gives the same for the same rows, whatever
        their order: ``WM_CONCAT('\\n', label_text) WITHIN GROUP (ORDER BY frame_idx)``, and for a
        ``COLLECT_LIST`` a ``SORT_ARRAY`` around it.
    :param optional: whether a unit does without the table's rows where none is ok; its columns are NULL then.
    :param where: condition on rows that count at all, SQL over the table's columns; empty for all.
    """

    table: str
    columns: Mapping[Column, str] = field(hash=False)
    optional: bool = False
    where: str = ""

    def filter(self, partition_filter: str) -> str:
        """Return the condition on rows that count."""
        return f"{partition_filter} AND ({self.where})" if self.where else partition_filter


@dataclass(frozen=True)
class Lookup:
    """What another table says of each row of a table.

    :param table: written by a stage, so that it has status columns.
    :param on: columns, of both tables, by which rows belong together.
    :param columns: columns that it adds, each with the aggregate over the other table's ``ok`` rows that
        makes it, as those of :class:`Gathered`; NULL where there is no such row.
    :param partition: values of the other table's partition columns, by name, where it is not the task's own
        partition that is read.
    :param reads: columns of the other table that the aggregates speak of.
    """

    table: str
    on: tuple[str, ...]
    columns: Mapping[Column, str] = field(hash=False)
    reads: tuple[str, ...] = ()
    partition: Mapping[str, str] = field(default_factory=dict, hash=False)

    def filter(self, partition_filter: str) -> str:
        """Return the condition that picks the partition that is read."""
        own = [f"{quote_name(name)} = {quote_text(value)}" for name, value in self.partition.items()]
        return " AND ".join(own) or partition_filter


@dataclass(frozen=True)
class Source:
    """Where input units come from; see :meth:`of_table` and :meth:`gather`.

    :param name: the table, or those that are gathered, for messages.
    :param key_columns: those by which rows are gathered.
    :param lookups: what other tables say of each row of a table.
    """

    name: str
    key_columns: tuple[Column, ...] = ()
    gathered: tuple[Gathered, ...] = ()
    lookups: tuple[Lookup, ...] = ()

    @classmethod
    def of_table(cls, name: str, *lookups: Lookup) -> Source:
        """Return the rows of a table, one unit each, with what other tables say of them."""
        return cls(name, lookups=lookups)

    @classmethod
    def gather(cls, key: Sequence[Column], *gathered: Gathered) -> Source:
        """Return one unit for each key that the first table holds, with what all tables say of it.

        A unit gets a column ``lacking`` that says how many of its rows are not ok. Where a table has no ok
        row for it, the unit is skipped, with a stage and a reason that failed such rows; where it has none at
        all, with ``gather`` and ``empty_input``.
        """
        return cls(", ".join(each.table for each in gathered), tuple(key), gathered)

    @property
    def is_table(self) -> bool:
        """Whether it is a table as it stands."""
        return not self.gathered

    @property
    def selects(self) -> bool:
        """Whether it takes some units of its tables only: without any, tasks behind go on all the same."""
        return any(each.where for each in self.gathered[:1])

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it reads, the one whose rows or keys are units first."""
        looked_up = (each.table for each in self.lookups)
        return tuple(each.table for each in self.gathered) or (self.name, *looked_up)

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the columns by which rows are gathered."""
        return tuple(column.name for column in self.key_columns)

    def unit_columns(self, of_table: Sequence[Column]) -> tuple[Column, ...]:
        """Return the columns of units; raise ConfigurationError when two have the same name.

        :param of_table: columns of the table whose rows are units; a gather's do not matter.
        """
        if self.is_table:
            columns = (*of_table, *(column for each in self.lookups for column in each.columns))
        else:
            made = (column for each in self.gathered for column in each.columns)
            columns = (*self.key_columns, *made, LACKING, *STATUS_COLUMNS)
        names = [column.name for column in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"gathered columns {', '.join(twice)} have the same name")
        return columns

    def check(
        self,
        table: str,
        names: Collection[str],
        partition_columns: Sequence[str],
        of_task: Sequence[str],
    ) -> None:
        """Raise ConfigurationError when a table cannot be read as it is meant to.

        :param names: its columns.
        :param of_task: the task's partition columns.
        """
        lookup = next((each for each in self.lookups if each.table == table != self.name), None)
        status = (column.name for column in STATUS_COLUMNS)
        wanted: Sequence[str] = of_task
        if lookup is not None:
            needed, wanted = (*lookup.on, *lookup.reads, *status), tuple(lookup.partition) or of_task
        elif self.is_table:
            needed = tuple(name for each in self.lookups for name in each.on)
        else:
            needed = (*self.key, *status)
        missing = [column for column in wanted if column not in partition_columns]
        if missing:
            raise ConfigurationError(
                f"table {table} is not partitioned by {', '.join(missing)} "
                f"(its partition columns: {', '.join(partition_columns) or 'none'})"
            )
        lacks = [name for name in needed if name not in names]
        if lacks:
            raise ConfigurationError(
                f"table {table} lacks {', '.join(lacks)}, which gathering needs "
                f"(its columns: {', '.join(names)})"
            )

    def sql(self, partition_filter: str) -> str:
        """Return what follows ``FROM`` to read the units of a partition."""
        if self.gathered:
            return f"({self._units(partition_filter)}) g WHERE 1 = 1"
        if self.lookups:
            return f"({self._looked_up(partition_filter)}) g WHERE 1 = 1"
        return f"{quote_name(self.name)} WHERE {partition_filter}"

    def _looked_up(self, partition_filter: str) -> str:
        """The rows of the table, each with the aggregates of what belongs to it in the other tables."""
        made = (column_list([c.name for c in each.columns], f"l{n}.") for n, each in enumerate(self.lookups))
        rows = f"SELECT * FROM {quote_name(self.name)} WHERE {partition_filter}"
        joins = (
            f" LEFT JOIN ({_aggregated(each.table, each.on, each.columns, each.filter(partition_filter))}) "
            f"l{n} ON {joined_text(each.on, 't.')} = l{n}.drivepipe_key"
            for n, each in enumerate(self.lookups)
        )
        return f"SELECT t.*, {', '.join(made)} FROM ({rows}) t{''.join(joins)}"

    def _units(self, partition_filter: str) -> str:
        """One row for each key of the first table, ``t0``, joined to those of the others.

        Of table number n, ``t<n>`` counts all rows of a key, and ``g<n>`` has the aggregates of the ok ones.
        The fingerprint is no column of the inputs: it stays empty, and a part counts what it reads.
        """
        tables = range(len(self.gathered))
        joins: list[str] = []
        for n, each in enumerate(self.gathered):
            for alias, rows in (
                (f"t{n}", self._counted(each, partition_filter)),
                (f"g{n}", _aggregated(each.table, self.key, each.columns, each.filter(partition_filter))),
            ):
                on = f" LEFT JOIN ({rows}) {alias} ON t0.drivepipe_key = {alias}.drivepipe_key"
                joins.append(on if joins else f"({rows}) {alias}")
        said = (self._lacking(each, f"t{n}") for n, each in enumerate(self.gathered))
        lacking = f"SUBSTR(CONCAT({', '.join(said)}, ''), 3)"
        nothing = f"{GATHER}|{Reason.EMPTY_INPUT}"
        none = [f"g{n}.drivepipe_key IS NULL" for n in tables]
        needed = [n for n in tables if not self.gathered[n].optional]
        whys = (f"WHEN {none[n]} THEN COALESCE(t{n}.drivepipe_why, {quote_text(nothing)})" for n in needed)
        why = f"CASE {' '.join(whys)} ELSE '|' END"
        is_skipped = f"CASE WHEN {' OR '.join(none[n] for n in needed)} THEN"
        values = {
            LACKING.name: lacking,
            "status": f"{is_skipped} {quote_text(Status.SKIPPED)} ELSE {quote_text(Status.OK)} END",
            "error_stage": f"SPLIT_PART({why}, '|', 1)",
            "error_type": f"SPLIT_PART({why}, '|', 2)",
            "error_msg": f"{is_skipped} {lacking} ELSE '' END",
            "attempt": "CAST(0 AS BIGINT)",
            "fingerprint": "''",
        }
        made = (column_list([c.name for c in self.gathered[n].columns], f"g{n}.") for n in tables)
        chosen = [column_list(self.key, "t0."), *(columns for columns in made if columns)]
        chosen += [f"{sql} AS {quote_name(name)}" for name, sql in values.items()]
        return f"SELECT {', '.join(chosen)} FROM {''.join(joins)}"

    def _counted(self, each: Gathered, partition_filter: str) -> str:
        """All rows of a table, by key: how many, how many are not ok, and one of the reasons."""
        key = joined_text(self.key)
        first = ", ".join(f"MIN({quote_name(name)}) AS {quote_name(name)}" for name in self.key)
        return (
            f"SELECT {first}, {key} AS drivepipe_key, COUNT(*) AS drivepipe_all, "
            f"SUM(CASE WHEN `status` = {quote_text(Status.OK)} THEN 0 ELSE 1 END) AS drivepipe_bad, "
            "MAX(CONCAT(COALESCE(`error_stage`, ''), '|', COALESCE(`error_type`, ''))) AS drivepipe_why "
            f"FROM {quote_name(each.table)} WHERE {each.filter(partition_filter)} GROUP BY {key}"
        )

    @staticmethod
    def _lacking(each: Gathered, counted: str) -> str:
        """What a unit lacks of a table, for people, after a separator; empty when it lacks nothing."""
        missing = quote_text("" if each.optional else f"; {each.table} has no row")
        return (
            f"CASE WHEN {counted}.drivepipe_key IS NULL THEN {missing} "
            f"WHEN {counted}.drivepipe_bad = 0 THEN '' "
            f"ELSE CONCAT('; ', CAST({counted}.drivepipe_bad AS STRING), ' of ', "
            f"CAST({counted}.drivepipe_all AS STRING), {quote_text(f' rows of {each.table} are not ok')}) END"
        )


def _aggregated(table: str, key_columns: Sequence[str], columns: Mapping[Column, str], where: str) -> str:
    """The ok rows of a table, by key."""
    key = joined_text(key_columns)
    made = "".join(f", {sql} AS {quote_name(column.name)}" for column, sql in columns.items())
    return (
        f"SELECT {key} AS drivepipe_key{made} FROM {quote_name(table)} "
        f"WHERE {where} AND `status` = {quote_text(Status.OK)} GROUP BY {key}"
    )
