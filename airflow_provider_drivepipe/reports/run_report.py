"""The report of a partition: what happened to its rows, what is odd about its labels, pictures to look at.

:func:`read_report` reads what is published, in a few statements whose results are small however many rows
there are; :func:`render` makes one HTML file of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.util import find_spec
from typing import Any, Protocol

from airflow_provider_drivepipe import __version__
from airflow_provider_drivepipe.contracts import Column, OssUri, Status, Tokens
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.reasoning.export import QaExport
from airflow_provider_drivepipe.pipelines.retrieval.retrieve import Retrieve
from airflow_provider_drivepipe.reports.contact_sheet import IMAGE_COLUMNS, Tile, rare_values, read_groups
from airflow_provider_drivepipe.reports.drift import FEWEST_BEFORE, Change, Sums, changes, mark_moved
from airflow_provider_drivepipe.reports.evidence import EvidencePage, Outcome, read_evidence
from airflow_provider_drivepipe.reports.fields import ChoiceField, choice_fields, count_choices, read_choices
from airflow_provider_drivepipe.reports.items import ItemPage, read_items
from airflow_provider_drivepipe.reports.page import render_page
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.scenario.prices import amount_text, cost_of
from airflow_provider_drivepipe.sql import (
    Figures,
    figures_apart,
    figures_together,
    joined_text,
    quote_name,
    quote_text,
)
from airflow_provider_drivepipe.stages.generate import Generate

BEFORE = 14
"""Partitions that a report compares with."""
_ITEMS = 6
_INPUTS = 5
"""Inputs that are named for each reason."""
_KEYS = (
    *("video_path", "clip_id", "question_id", "image_url", "chunk_index", "qa_type", "item_number", "arm"),
    "frame_idx",
)
"""Columns that name a row; an address only where nothing before it does."""


class Project(Protocol):
    """What a report is read from; errors are of our tree."""

    def execute_sql(self, sql: str) -> list[list[Any]]:
        """Run a query and return its rows."""

    def read_object(self, uri: OssUri) -> bytes:
        """Return an object."""

    def table_columns(self, table: str) -> tuple[list[Column], list[str]]:
        """Return a table's columns and the names of its partition columns."""

    def table_comment(self, table: str) -> str | None:
        """Return a table's comment, None when there is no such table."""

    def partitions(self, table: str) -> list[PartitionSpec]:
        """Return the partitions of a table, none where there is no such table."""


@dataclass(frozen=True)
class Failure:
    """Why rows are not ok; ``inputs`` are the first of them, each with its message."""

    status: str
    stage: str
    reason: str
    rows: int
    inputs: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class TaskRows:
    """What a task's partition holds.

    :param counts: rows by status.
    :param cost: of the tokens that the rows took, None where it is not known.
    :param run: the task's report of this run, empty where it is not at hand.
    """

    task_id: str
    table: str
    counts: Mapping[str, int]
    failures: Sequence[Failure]
    tokens: Tokens
    cost: float | None
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All of its rows."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class RunReport:
    """What a report shows.

    :param days: rows by status of the main table, by partition, the newest last.
    :param fields: by field of a label, how its values' shares compare; the first is the rows' status.
    :param groups: pictures.
    :param links: addresses by what they show.
    """

    plan: Plan
    partition: str
    table: str
    tasks: Sequence[TaskRows]
    days: Mapping[str, Mapping[str, int]]
    fields: Mapping[str, Sequence[Change]]
    groups: Sequence[tuple[str, Sequence[Tile]]]
    items: ItemPage | None
    evidence: EvidencePage | None
    prompts: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, str]
    links: Mapping[str, str]

    @property
    def moved(self) -> list[Change]:
        """The shares that moved by more than chance."""
        return [change for each in self.fields.values() for change in each if change.moved]


def read_report(
    plan: Plan,
    partition: PartitionSpec,
    project: Project,
    models: Mapping[str, str],
    runs: Mapping[str, Mapping[str, Any]] | None = None,
    links: Mapping[str, str] | None = None,
) -> RunReport | None:
    """Read the report of a partition; None when none of the plan's tables has it.

    :param models: what the answers of each stage come from, as far as known: see :func:`who_answers`.
    :param runs: stage reports of this run, by task.
    """
    tables = {
        task: [column.name for column in project.table_columns(task.output_table.name)[0]]
        for task in plan.tasks
        if project.table_comment(task.output_table.name) is not None
    }
    with_status = [task for task, columns in tables.items() if "status" in columns] or [*tables]
    for main in reversed(with_status):
        published = project.partitions(main.output_table.name)
        if partition in published:
            reading = _Reading(plan, partition, project, tables, _days(published, partition))
            return reading.report(main, models, runs or {}, links or {})
    return None


def _days(published: Sequence[PartitionSpec], partition: PartitionSpec) -> list[PartitionSpec]:
    """Return the partition and those before it that the same scenario writes, the newest last."""
    ours = (partition.columns, partition.values[1:])
    before = [s for s in published if (s.columns, s.values[1:]) == ours and s.values[0] < partition.values[0]]
    return [*sorted(before, key=lambda spec: spec.values[0])[-BEFORE:], partition]


@dataclass(frozen=True)
class _Reading:
    """What all statements of a report have in common.

    :param tables: the tasks whose tables are there, with their columns.
    :param days: the partition, and those before it.
    """

    plan: Plan
    partition: PartitionSpec
    project: Project
    tables: Mapping[TaskPlan, Sequence[str]]
    days: Sequence[PartitionSpec]

    def report(
        self,
        main: TaskPlan,
        models: Mapping[str, str],
        runs: Mapping[str, Mapping[str, Any]],
        links: Mapping[str, str],
    ) -> RunReport:
        """Read all of it; ``main`` is the task whose rows stand for the partition."""
        today, counted = self.partition.values[0], self._count()
        rows = {
            task: _task_rows(self.plan, task, counted[task.task_id].get(today, []), models, runs)
            for task in self.tables
        }
        of_main = counted[main.task_id]
        by_status = {day: _by_status(of_main.get(day, [])) for day in (spec.values[0] for spec in self.days)}
        fields = {"status": changes("status", *_as_sums(by_status, today))}
        rare = {}
        choices = {task: found for task in self.tables if (found := choice_fields(task.stages))}
        for task, by_day in self._count_choices(choices).items():
            now, before = by_day.pop(today, []), by_day.values()
            for place, (choice, values) in enumerate(zip(choices[task], now, strict=False)):
                name = f"{task.task_id} {choice.name}" if len(choices) > 1 else choice.name
                fields[name] = changes(name, values, [earlier[place] for earlier in before])
            rare[task] = rare_values(list(zip(choices[task], now, strict=False)))
        marked = iter(mark_moved([change for of_field in fields.values() for change in of_field]))
        evidence = self._evidence()
        prompts = {s.name: s.report() for t in self.plan.tasks for s in t.stages if isinstance(s, Generate)}
        return RunReport(
            self.plan,
            self.partition.path(),
            main.output_table.name,
            self._with_inputs(rows),
            by_status,
            {name: [next(marked) for _ in of_field] for name, of_field in fields.items()},
            self._groups(rare) if evidence is None else (),
            self._items(),
            evidence,
            {**prompts, **{stage: p for run in runs.values() for stage, p in run["prompts"].items()}},
            models,
            links,
        )

    @property
    def _where(self) -> str:
        (column, *fixed), (_, *values) = self.partition.columns, self.partition.values
        keys = ", ".join(quote_text(day.values[0]) for day in self.days)
        others = [f"{quote_name(c)} = {quote_text(v)}" for c, v in zip(fixed, values, strict=True)]
        return " AND ".join([f"{quote_name(column)} IN ({keys})", *others])

    def _ask(self, asked: Mapping[str, Figures]) -> dict[str, list[list[object]]]:
        """Ask for figures of several tasks in one statement, or none."""
        return figures_apart(asked, self.project.execute_sql(figures_together(asked))) if asked else {}

    def _count(self) -> dict[str, dict[str, list[list[Any]]]]:
        """Return by task and partition: status, stage, reason, rows, and tokens of three kinds."""
        key, asked = quote_name(self.partition.columns[0]), {}
        for task, columns in self.tables.items():
            group = ["`status`", "`error_stage`", "`error_type`"] if "status" in columns else []
            tokens = defaultdict[str, list[str]](list)
            for row_stage in task.row_stages:
                for column, kind in row_stage.part().tokens.items():
                    if column in columns:
                        tokens[str(kind)].append(f"COALESCE({quote_name(column)}, 0)")
            sums = [f"SUM({' + '.join(tokens[kind]) or '0'})" for kind in ("input", "output", "embedding")]
            asked[task.task_id] = Figures(
                (key, *(group or [quote_text(Status.OK), "''", "''"]), "COUNT(*)", *sums),
                f"FROM {quote_name(task.output_table.name)} WHERE {self._where} "
                f"GROUP BY {', '.join([key, *group])}",
            )
        found: dict[str, dict[str, list[list[Any]]]] = {}
        for task_id, rows in self._ask(asked).items():
            found[task_id] = {}
            for day, status, stage, reason, *numbers in rows:
                texts = [str(text or "") for text in (status, stage, reason)]
                found[task_id].setdefault(str(day), []).append([*texts, *(int(str(n or 0)) for n in numbers)])
        return found

    def _count_choices(
        self, choices: Mapping[TaskPlan, Sequence[ChoiceField]]
    ) -> dict[TaskPlan, dict[str, list[dict[str, Sums]]]]:
        """Return by task and partition what was counted of each field's values."""
        key = self.partition.columns[0]
        asked = {
            task.task_id: count_choices(task.output_table.name, self.tables[task], self._where, key, fields)
            for task, fields in choices.items()
        }
        found = self._ask(asked)
        return {task: read_choices(fields, found[task.task_id]) for task, fields in choices.items()}

    def _with_inputs(self, rows: Mapping[TaskPlan, TaskRows]) -> list[TaskRows]:
        """Return the tasks' rows with the first inputs that failed, by reason."""
        asked = {}
        for task, columns in self.tables.items():
            if rows[task].counts.get(Status.FAILED):
                keys = [name for name in _KEYS if name in columns]
                named = [name for name in keys if name != "image_url" or keys[0] == "image_url"]
                reason = "`error_stage`, `error_type`"
                rows_failed = (
                    f"SELECT {reason}, `error_msg`, {joined_text(named)} AS input "
                    f"FROM {quote_name(task.output_table.name)} WHERE {self.partition.sql(' AND ')} "
                    f"AND `status` = {quote_text(Status.FAILED)}"
                )
                asked[task.task_id] = Figures(
                    ("`error_stage`", "`error_type`", "input", "`error_msg`"),
                    f"FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {reason} ORDER BY input) AS nth "
                    f"FROM ({rows_failed}) r) f WHERE nth <= {_INPUTS}",
                )
        inputs = defaultdict[tuple[object, ...], list[tuple[str, str]]](list)
        for task_id, found in self._ask(asked).items():
            for stage, error_type, name, message in found:
                named_as = str(name), str(message or "")
                inputs[task_id, Status.FAILED, stage, error_type].append(named_as)
        return [
            replace(
                each,
                failures=[
                    replace(why, inputs=inputs[each.task_id, why.status, why.stage, why.reason])
                    for why in each.failures
                ],
            )
            for each in rows.values()
        ]

    def _groups(
        self, rare: Mapping[TaskPlan, Sequence[tuple[ChoiceField, str]]]
    ) -> Sequence[tuple[str, Sequence[Tile]]]:
        """Return pictures of the last table that has some, one with answers of models if there is one."""
        pictured = [
            task
            for task, columns in self.tables.items()
            if "status" in columns and not {*IMAGE_COLUMNS}.isdisjoint(columns)
        ]
        if not pictured:
            return ()
        shown = ([task for task in pictured if task.models] or pictured)[-1]
        query, read = self.project.execute_sql, self.project.read_object
        return read_groups(shown, self.tables[shown], self.partition, query, read, rare.get(shown, ()))

    def _items(self) -> ItemPage | None:
        """Return items of a training set with their frames, None for a plan that makes none."""
        export = next((found for task in self.plan.tasks if (found := task.find(QaExport))), None)
        made = next((task for task in self.tables if task.task_id == "qa_items"), None)
        if export is None or made is None:
            return None

        def read(uri: OssUri) -> bytes:
            if find_spec("av") is None:
                raise ConfigurationError("PyAV is not installed")
            return self.project.read_object(uri)

        return read_items(
            self.plan.scenario,
            made.output_table.name,
            self.tables[made],
            export.options.checks,
            self.partition,
            self.project.execute_sql,
            read,
            _ITEMS,
        )

    def _evidence(self) -> EvidencePage | None:
        """Return how arms compare, None for a plan without arms, or before its tables are there."""
        if not any(task.find(Retrieve) for task in self.tables) or len(self.tables) < len(self.plan.tasks):
            return None
        query, read = self.project.execute_sql, self.project.read_object
        return read_evidence(self.plan, self.partition, query, read, _ITEMS)


def _by_status(rows: Sequence[Sequence[Any]]) -> dict[str, int]:
    counts = Counter[str]()
    for status, _, _, n, *_ in rows:
        counts[status] += n
    return {str(status): counts[status] for status in Status if counts[status]}


def _as_sums(
    by_status: Mapping[str, Mapping[str, int]], today: str
) -> tuple[dict[str, Sums], list[dict[str, Sums]]]:
    """Return the shares of statuses like those of values; that videos fail as a whole shows between days."""

    def sums(counts: Mapping[str, int]) -> dict[str, Sums]:
        rows = sum(counts.values())
        hits = {str(status): counts.get(status, 0) for status in Status}
        return {status: Sums(rows, rows, rows, n, n, n) for status, n in hits.items()}

    return sums(by_status[today]), [sums(counts) for day, counts in by_status.items() if day != today]


def _task_rows(
    plan: Plan,
    task: TaskPlan,
    rows: Sequence[Sequence[Any]],
    models: Mapping[str, str],
    runs: Mapping[str, Mapping[str, Any]],
) -> TaskRows:
    tokens = Tokens(*(sum(row[place] for row in rows) for place in (4, 5, 6)))
    # Prices are those of the models that were asked for, not of what stands in for them.
    priced = task.models and all(models.get(stage) == model for stage, model in task.models.items())
    return TaskRows(
        task.task_id,
        task.output_table.name,
        _by_status(rows),
        [
            Failure(status, stage, reason, n)
            for status, stage, reason, n, *_ in sorted(rows, key=lambda row: -row[3])
            if status != Status.OK
        ],
        tokens,
        cost_of(tokens, plan.prices) if priced and plan.prices else None,
        runs.get(task.task_id, {}),
    )


def render(report: RunReport, made: datetime) -> str:
    """Return the report as one HTML file that loads nothing and runs nothing."""
    return render_page(
        "report.html",
        title=f"{report.plan.scenario} {report.partition}",
        report=report,
        made=made.strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        outcomes=Outcome,
        statuses=[str(status) for status in Status],
        amount=amount_text,
        fewest=FEWEST_BEFORE,
    )
