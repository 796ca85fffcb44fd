"""The last steps of a task's life as SQL: check what the job staged, count, publish in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_drivepipe.contracts import Status
from airflow_provider_drivepipe.exceptions import PartitionShrinksError, UnbalancedCountsError
from airflow_provider_drivepipe.lifecycle.tables import (
    NOT_TRIED,
    REMOVED,
    STAYS,
    WORK_COLUMN,
    StageTables,
    Work,
)
from airflow_provider_drivepipe.sql import Figures, column_list, null_of, quote_name, quote_text


@dataclass(frozen=True)
class WorkCounts:
    """How many units and rows the snapshot holds, by what is done with them."""

    units: Mapping[str, int]
    todo: int = 0
    """Rows that lack parts."""
    needs: Mapping[str, int] = field(default_factory=dict)
    """By stage, how many of them lack its part."""
    published: Mapping[str, int] = field(default_factory=dict)
    """Rows that are published now, by whether their unit is still in the input, and by status."""
    last_wave: Mapping[str, int] = field(default_factory=dict)
    """By what is done, the last job that does it, from 0."""
    weight: int = 0
    """What the column that tells the work of a unit adds up to, over units that are done from the start."""

    @classmethod
    def read(cls, tables: StageTables, found: Mapping[str, Iterable[Sequence[object]]]) -> WorkCounts:
        """Read the results of :func:`selection.count_snapshot`."""
        units, rows, published = (
            {str(what): [int(str(n or 0)) for n in numbers] for what, *numbers in found.get(name, ())}
            for name in ("units", "rows", "published")
        )
        work = {**units, **rows}
        todo, _, *flags = work.get(Work.TODO, (0, 0))
        return cls(
            {each: numbers[0] for each, numbers in units.items() if each not in rows},
            todo,
            {part.stage: n for part, n in zip(tables.parts, flags, strict=False)},
            {fate: numbers[0] for fate, numbers in published.items()},
            {each: numbers[1] for each, numbers in work.items()},
            sum(units.get(Work.RUN, ())[2:3]) if tables.weight else 0,
        )

    @property
    def waves(self) -> int:
        """How many jobs the work is spread over."""
        return 1 + max(self.last_wave.values(), default=0)

    def has(self, work: Work, wave: int) -> bool:
        """Whether a job has something of a kind to do."""
        return wave <= self.last_wave.get(work, -1)

    @property
    def published_ok(self) -> int:
        """Published rows that are ok."""
        return self.published.get(STAYS + Status.OK, 0) + self.removed_ok

    @property
    def removed_ok(self) -> int:
        """Those of them whose unit is not in the input any more."""
        return self.published.get(REMOVED + Status.OK, 0)

    @property
    def removed(self) -> int:
        """Published rows, ok or not, whose unit is not in the input any more."""
        return sum(n for fate, n in self.published.items() if fate.startswith(REMOVED))

    @property
    def total(self) -> int:
        """Input units, duplicates not counted."""
        return sum(n for work, n in self.units.items() if work != Work.DUPLICATE)

    @property
    def run(self) -> int:
        """Units that are done from the start."""
        return self.units.get(Work.RUN, 0)

    @property
    def anything(self) -> bool:
        """Whether a job is needed."""
        return bool(self.run or self.todo)

    @property
    def stays_as_it_is(self) -> bool:
        """Whether the published rows are those that would be published, and there are any."""
        kept = set(self.units) <= {Work.KEEP, Work.OVER, Work.DUPLICATE} and self.total > 0
        return kept and not self.todo and not self.removed

    def describe(self) -> str:
        """Return the counts as one line for people."""
        names = {
            Work.RUN: "to do from the start",
            Work.KEEP: "kept",
            Work.OVER: "kept beyond limit or budget",
            Work.SKIP: "skipped beyond the limit",
            Work.BUDGET: "skipped beyond the budget",
            Work.EARLIER: "held back by an earlier stage",
            Work.FOREIGN: "with an image at a foreign place",
            Work.DUPLICATE: "duplicates",
        }
        said = [f"{self.units[work]} {name}" for work, name in names.items() if self.units.get(work)]
        if self.todo:
            lacks = ", ".join(f"{n} {stage}" for stage, n in self.needs.items() if n)
            said.append(f"{self.todo} rows that lack results ({lacks})")
        if self.removed:
            said.append(f"{self.removed} published rows whose input is gone")
        return f"{self.total} input units" + (f": {', '.join(said)}" if said else "")


@dataclass(frozen=True)
class Shrinking:
    """What a run would take from a partition.

    :param where: table and partition.
    :param source: where the input is.
    :param published: ok rows that are published now.
    :param removed: those of them whose input is gone.
    :param left: ok rows that would be published; None while it is not known.
    :param empties: whether rows are published now, ok or not, and none would be.
    """

    where: str
    source: str
    published: int
    removed: int
    left: int | None
    empties: bool

    def check(self, max_shrink: float) -> None:
        """Raise PartitionShrinksError when it is more than ``max_shrink``, a share of 0 to 1, or all."""
        left = self.published - self.removed if self.left is None else self.left
        lost = max(self.removed, self.published - left)
        all_lost = self.empties or (self.published > 0 and self.left == 0)
        if not all_lost and lost <= max_shrink * self.published:
            return
        gone = f"; the input of {self.removed} is not in {self.source} any more" if self.removed else ""
        raise PartitionShrinksError(
            f"{self.where} holds {self.published} ok rows, and would hold {left}{gone}. Nothing was "
            f"published: a run may take at most {max_shrink:.0%} of the ok rows (max_shrink), and not all. "
            "Mend the input; or, if this is meant, trigger the run with allow_shrink: true"
        )


def count_statuses(tables: StageTables) -> str:
    """Return the query for pairs of status and number of published rows."""
    return (
        f"SELECT `status`, COUNT(*) FROM {quote_name(tables.output)} WHERE {tables.partition_filter} "
        "GROUP BY `status`"
    )


def check_staging(tables: StageTables) -> Figures:
    """Return the query for five counts of the staging table.

    Its rows; rows and units of them that were to be done from the start; rows and distinct rows of them that
    lacked parts.
    """
    work = quote_name(WORK_COLUMN.name)
    none = "SELECT '' AS k FROM (SELECT 1 AS one) n WHERE one = 0"
    run = none
    if tables.expands:
        run = (
            f"SELECT DISTINCT {tables.unit_key_sql()} AS k FROM {quote_name(tables.working.units)} "
            f"WHERE {work} = {quote_text(Work.RUN)}"
        )
    todo = (
        f"SELECT DISTINCT {tables.row_key_sql()} AS k FROM {quote_name(tables.rows_to_do)} "
        f"WHERE {work} = {quote_text(Work.TODO)}"
        if tables.parts
        else none
    )
    return Figures(
        (
            "COUNT(*)",
            "SUM(CASE WHEN u.k IS NULL THEN 0 ELSE 1 END)",
            "COUNT(DISTINCT u.k)",
            "SUM(CASE WHEN r.k IS NULL THEN 0 ELSE 1 END)",
            "COUNT(DISTINCT r.k)",
        ),
        f"FROM (SELECT {tables.unit_key_sql()} AS unit_key, {tables.row_key_sql()} AS row_key "
        f"FROM {quote_name(tables.working.staging)}) t "
        f"LEFT JOIN ({run}) u ON t.unit_key = u.k LEFT JOIN ({todo}) r ON t.row_key = r.k",
    )


def require_complete(tables: StageTables, counts: WorkCounts, staged: Sequence[object]) -> None:
    """Raise UnbalancedCountsError unless the staging table holds what was asked for, and nothing else.

    :param staged: the row that :func:`check_staging` gave.
    """
    rows, run_rows, run_units, todo_rows, todo_distinct = (int(str(n or 0)) for n in staged)
    wanted = counts.todo
    if run_units == counts.run and todo_rows == todo_distinct == wanted and rows == run_rows + todo_rows:
        return
    raise UnbalancedCountsError(
        f"{counts.run} input units and {wanted} rows went into the job; {run_units} units with {run_rows} "
        f"rows and {todo_distinct} rows ({todo_rows - todo_distinct} of them twice) came out, and "
        f"{rows - run_rows - todo_rows} rows that nobody asked for. Nothing was published to "
        f"{tables.output} {tables.partition.path()}"
    )


def count_partition(tables: StageTables, origins: Mapping[str, str] | None = None) -> dict[str, Figures]:
    """Return the queries for what there is to know of the partition to be: ``audit`` and ``whole``.

    :param origins: queries for its rows, where they do not come of the snapshot and the jobs.
    """
    origins = origins or _origins(tables)
    return {"audit": _audit(tables, origins), "whole": _whole(tables, origins)}


def _audit(tables: StageTables, origins: Mapping[str, str]) -> Figures:
    """The rows by origin, status, stage, reason and parts.

    ``has`` holds a digit for each part, 1 where the row has its result. ``failed_alone`` is 1 for rows that
    failed in a stage that counts in units, while their unit did not.
    """
    group = ("origin", "`status`", "`error_stage`", "`error_type`", "has", "failed_alone")
    digits = [f"CASE WHEN {quote_name(part.result)} IS NULL THEN '0' ELSE '1' END" for part in tables.parts]
    has = f"CONCAT({', '.join(digits)}, '')" if digits else "''"
    picked = (
        "`status`, `error_stage`, `error_type`, "
        f"{has} AS has, "
        f"CASE WHEN {tables.row_failed_sql()} THEN 1 ELSE 0 END AS failed_alone"
    )
    rows = " UNION ALL ".join(
        f"SELECT {quote_text(origin)} AS origin, {picked} FROM ({query}) {origin[0]}"
        for origin, query in origins.items()
    )
    return Figures((*group, "COUNT(*)"), f"FROM ({rows}) u GROUP BY {', '.join(group)}")


def _whole(tables: StageTables, origins: Mapping[str, str]) -> Figures:
    """Units, rows, distinct rows."""
    keys = f"{tables.unit_key_sql()} AS unit_key, {tables.row_key_sql()} AS row_key"
    union = " UNION ALL ".join(
        f"SELECT {keys} FROM ({query}) {origin[0]}" for origin, query in origins.items()
    )
    return Figures(("COUNT(DISTINCT unit_key)", "COUNT(*)", "COUNT(DISTINCT row_key)"), f"FROM ({union}) u")


def count_tokens(tables: StageTables) -> Figures:
    """Return the query for the sum of each token column in staging, less what the rows held before.

    Last come the sums of columns with values put right, in staging.
    """
    summed = {column for part in tables.parts for column in part.sums}
    names = [*tables.token_columns, *(c.name for c in tables.output_columns if c.name in summed)]
    before = [f"-{quote_name(n)} AS {quote_name(n)}" for n in tables.token_columns]
    before += [null_of(column) for column in tables.output_columns if column.name in summed]
    return Figures(
        tuple(f"SUM({quote_name(n)})" for n in names),
        f"FROM (SELECT {column_list(names)} FROM {quote_name(tables.working.staging)} "
        f"UNION ALL SELECT {', '.join(before)} FROM {quote_name(tables.rows_to_do)} "
        f"WHERE {quote_name(WORK_COLUMN.name)} = {quote_text(Work.TODO)}) t",
    )


def publish(tables: StageTables, order: Sequence[str]) -> str:
    """Return the one statement that replaces the partition: a reader sees the old rows or the new ones.

    :param order: the columns as the table has them, for the statement goes by place: one that was added to
        the table later stands last.
    """
    target = f"{quote_name(tables.output)} PARTITION ({tables.partition.sql(', ')})"
    return f"INSERT OVERWRITE TABLE {target} {rows_to_be(tables, order)}"


def rows_to_be(tables: StageTables, order: Sequence[str] | None = None) -> str:
    """Return the query for the rows of the partition to be.

    :param order: the columns, in an order other than the stage's own.
    """
    names = column_list(order) if order else tables.output_names()
    return " UNION ALL ".join(
        f"SELECT {names} FROM ({query}) {origin[0]}" for origin, query in _origins(tables).items()
    )


def published_rows(tables: StageTables) -> str:
    """Return the query for the rows of the partition as it is."""
    return f"SELECT {tables.output_names()} FROM {quote_name(tables.output)} WHERE {tables.partition_filter}"


def _origins(tables: StageTables) -> dict[str, str]:
    """Where the rows of the partition to be come from."""
    return {
        "carried": _carried(tables),
        "new": f"SELECT {tables.output_names()} FROM {quote_name(tables.working.staging)}",
        "other": _not_tried(tables),
    }


def _carried(tables: StageTables) -> str:
    """Published rows that stay: of units that are kept, and not among those that get new results."""
    work = quote_name(WORK_COLUMN.name)
    kept = f"{work} IN ({quote_text(Work.KEEP)}, {quote_text(Work.OVER)})"
    renewed = tables.renewed_columns
    names = ", ".join(
        f"CASE WHEN i.{work} = {quote_text(Work.KEEP)} THEN i.{name} ELSE o.{name} END AS {name}"
        if column.name in renewed
        else f"o.{name}"
        for column in tables.output_columns
        for name in [quote_name(column.name)]
    )
    units = "".join(f", {name}" for name in (work, column_list(renewed))) if renewed else ""
    sql = (
        f"SELECT {names} FROM (SELECT {tables.output_names()}, "
        f"{tables.unit_key_sql()} AS drivepipe_key, {tables.row_key_sql()} AS drivepipe_row_key "
        f"FROM {tables.earlier_sql}) o "
        f"{'JOIN' if renewed else 'LEFT SEMI JOIN'} (SELECT {tables.unit_key_sql()} AS k{units} "
        f"FROM {quote_name(tables.working.units)} WHERE {kept}) i ON o.drivepipe_key = i.k"
    )
    if tables.expands and tables.parts:
        sql += (
            f" LEFT ANTI JOIN (SELECT {tables.row_key_sql()} AS k "
            f"FROM {quote_name(tables.working.rows)}) r ON o.drivepipe_row_key = r.k"
        )
    return sql


def _not_tried(tables: StageTables) -> str:
    """Units that become rows as they are: skipped ones, refused ones, those that an earlier stage failed."""
    held = {c.name for c in tables.unit_columns}
    values = tables.layout.values
    columns = []
    for column in tables.output_columns:
        if column.name in held:
            columns.append(quote_name(column.name))
        elif column.name in values:
            columns.append(f"{values[column.name]} AS {quote_name(column.name)}")
        else:
            columns.append(null_of(column))
    works = ", ".join(quote_text(work) for work in NOT_TRIED)
    return (
        f"SELECT {', '.join(columns)} FROM {quote_name(tables.working.units)} "
        f"WHERE {quote_name(WORK_COLUMN.name)} IN ({works})"
    )
