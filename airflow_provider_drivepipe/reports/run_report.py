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
from airflow_provider_drivepipe.reports.fields import choice_fields, count_choices, read_choices
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

    @property
    def tokens(self) -> Tokens:
        """Tokens that all rows took."""
        each = [task.tokens for task in self.tasks]
        return Tokens(sum(t.input for t in each), sum(t.output for t in each), sum(t.embedding for t in each))


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
    runs = runs or {}
    tables = {
        task.task_id: [column.name for column in project.table_columns(task.output_table.name)[0]]
        for task in plan.tasks
        if project.table_comment(task.output_table.name) is not None
    }
    there = [task for task in plan.tasks if task.task_id in tables]
    counted = [task for task in there if "status" in tables[task.task_id]] or there
    published = {task.task_id: project.partitions(task.output_table.name) for task in reversed(counted)}
    main = next((task for task in reversed(counted) if partition in published[task.task_id]), None)
    if main is None:
        return None
    days = _days(published[main.task_id], partition)
    found = _count(project, there, tables, days)
    today = partition.values[0]
    rows = [_task_rows(plan, task, found[task.task_id].get(today, []), models, runs) for task in there]
    rows = _with_inputs(project, there, tables, partition, rows)
    of_main = found[main.task_id]
    by_status = {day: _by_status(of_main.get(day, [])) for day in (spec.values[0] for spec in days)}
    fields = {"status": changes("status", *_as_sums(by_status, today))}
    rare = {}
    for task in there:
        if choices := choice_fields(task.stages):
            columns = tables[task.task_id]
            query = count_choices(
                task.output_table.name, columns, _where(days), partition.columns[0], choices
            )
            by_day = read_choices(choices, project.execute_sql(query))
            now = by_day.pop(today, None)
            for place, choice in enumerate(choices if now else ()):
                assert now is not None
                fields[choice.name] = changes(
                    choice.name, now[place], [values[place] for values in by_day.values()]
                )
            rare[task.task_id] = rare_values(list(zip(choices, now or (), strict=False)))
    marked = iter(mark_moved([change for of_field in fields.values() for change in of_field]))
    shown = next((t for t in reversed(there) if {*IMAGE_COLUMNS} & {*tables[t.task_id]} and t.models), None)
    shown = shown or next((t for t in reversed(there) if {*IMAGE_COLUMNS} & {*tables[t.task_id]}), None)
    evidence = _evidence(plan, partition, project, tables)
    groups: Sequence[tuple[str, Sequence[Tile]]] = ()
    if shown is not None and evidence is None and "status" in tables[shown.task_id]:
        groups = read_groups(
            shown,
            tables[shown.task_id],
            partition,
            project.execute_sql,
            project.read_object,
            rare.get(shown.task_id, ()),
        )
    return RunReport(
        plan,
        partition.path(),
        main.output_table.name,
        rows,
        by_status,
        {name: [next(marked) for _ in of_field] for name, of_field in fields.items()},
        groups,
        _items(plan, partition, project, tables),
        evidence,
        {
            stage.name: stage.report()
            for task in plan.tasks
            for stage in task.stages
            if isinstance(stage, Generate)
        }
        | {stage: prompt for run in runs.values() for stage, prompt in run.get("prompts", {}).items()},
        models,
        links or {},
    )


def _days(published: Sequence[PartitionSpec], partition: PartitionSpec) -> list[PartitionSpec]:
    """Return the partition and those before it that the same scenario writes, the newest last."""
    ours = (partition.columns, partition.values[1:])
    before = [s for s in published if (s.columns, s.values[1:]) == ours and s.values[0] < partition.values[0]]
    return [*sorted(before, key=lambda spec: spec.values[0])[-BEFORE:], partition]


def _where(days: Sequence[PartitionSpec]) -> str:
    (column, *fixed), (_, *values) = days[-1].columns, days[-1].values
    keys = ", ".join(quote_text(day.values[0]) for day in days)
    others = [f"{quote_name(c)} = {quote_text(v)}" for c, v in zip(fixed, values, strict=True)]
    return " AND ".join([f"{quote_name(column)} IN ({keys})", *others])


def _count(
    project: Project,
    tasks: Sequence[TaskPlan],
    tables: Mapping[str, Sequence[str]],
    days: Sequence[PartitionSpec],
) -> dict[str, dict[str, list[list[Any]]]]:
    """Return by task and partition: status, stage, reason, rows, and tokens of three kinds. One statement."""
    key = quote_name(days[-1].columns[0])
    asked = {}
    for task in tasks:
        columns = tables[task.task_id]
        group = ["`status`", "`error_stage`", "`error_type`"] if "status" in columns else []
        tokens = defaultdict[str, list[str]](list)
        for stage in task.row_stages:
            for column, kind in stage.part().tokens.items():
                if column in columns:
                    tokens[str(kind)].append(f"COALESCE({quote_name(column)}, 0)")
        sums = [f"SUM({' + '.join(tokens[kind]) or '0'})" for kind in ("input", "output", "embedding")]
        asked[task.task_id] = Figures(
            (key, *(group or [quote_text(Status.OK), "''", "''"]), "COUNT(*)", *sums),
            f"FROM {quote_name(task.output_table.name)} WHERE {_where(days)} "
            f"GROUP BY {', '.join([key, *group])}",
        )
    found: dict[str, dict[str, list[list[Any]]]] = {}
    for task_id, rows in figures_apart(asked, project.execute_sql(figures_together(asked))).items():
        found[task_id] = {}
        for day, *texts, n, in_tokens, out_tokens, embedded in rows:
            numbers = [int(float(str(number or 0))) for number in (n, in_tokens, out_tokens, embedded)]
            found[task_id].setdefault(str(day), []).append([*(str(text or "") for text in texts), *numbers])
    return found


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


def _with_inputs(
    project: Project,
    tasks: Sequence[TaskPlan],
    tables: Mapping[str, Sequence[str]],
    partition: PartitionSpec,
    rows: Sequence[TaskRows],
) -> list[TaskRows]:
    """Return the tasks' rows with the first inputs that failed, by reason: one statement where any has."""
    asked = {}
    for task, of_task in zip(tasks, rows, strict=True):
        if not of_task.counts.get(Status.FAILED):
            continue
        keys = [name for name in _KEYS if name in tables[task.task_id]]
        named = [name for name in keys if name != "image_url" or keys[0] == "image_url"]
        asked[task.task_id] = Figures(
            ("`error_stage`", "`error_type`", "input", "`error_msg`"),
            "FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY `error_stage`, `error_type` ORDER BY input) "
            f"AS nth FROM (SELECT `error_stage`, `error_type`, `error_msg`, {joined_text(named)} AS input "
            f"FROM {quote_name(task.output_table.name)} WHERE {partition.sql(' AND ')} "
            f"AND `status` = {quote_text(Status.FAILED)}) r) f WHERE nth <= {_INPUTS}",
        )
    if not asked:
        return list(rows)
    inputs = defaultdict[tuple[str, ...], list[tuple[str, str]]](list)
    for task_id, found in figures_apart(asked, project.execute_sql(figures_together(asked))).items():
        for stage, reason, name, message in found:
            inputs[task_id, str(stage), str(reason)].append((str(name), str(message or "")))
    return [
        replace(
            each,
            failures=[
                replace(f, inputs=inputs[each.task_id, f.stage, f.reason]) if f.status == Status.FAILED else f
                for f in each.failures
            ],
        )
        for each in rows
    ]


def _items(
    plan: Plan, partition: PartitionSpec, project: Project, tables: Mapping[str, Sequence[str]]
) -> ItemPage | None:
    """Return items of a training set with their frames, None for a plan that makes none."""
    export = next((found for task in plan.tasks if (found := task.find(QaExport))), None)
    if export is None or "qa_items" not in tables:
        return None
    table = next(task.output_table.name for task in plan.tasks if task.task_id == "qa_items")

    def read(uri: OssUri) -> bytes:
        if find_spec("av") is None:
            raise ConfigurationError("PyAV is not installed")
        return project.read_object(uri)

    return read_items(
        plan.scenario,
        table,
        tables["qa_items"],
        export.options.checks,
        partition,
        project.execute_sql,
        read,
        _ITEMS,
    )


def _evidence(
    plan: Plan, partition: PartitionSpec, project: Project, tables: Mapping[str, Sequence[str]]
) -> EvidencePage | None:
    """Return how arms compare, None for a plan without arms, or before its tables are there."""
    if not any(task.find(Retrieve) for task in plan.tasks) or len(tables) < len(plan.tasks):
        return None
    return read_evidence(plan, partition, project.execute_sql, project.read_object, _ITEMS)


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
