"""Parts of the walkthrough: connection, settings, input and output tables."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_drivepipe.contracts import (
    STATUS_COLUMNS,
)
from airflow_provider_drivepipe.documents.markdown import (
    NOTHING,
    code,
    codes,
    paragraph,
    plain,
    section,
    table,
)
from airflow_provider_drivepipe.pipelines.registry import FAMILIES
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.stages.stage import InputColumn

_ALWAYS_SHOWN = (
    "partition_col",
    "partition_granularity",
    "timezone",
    "schedule",
    "reprocess",
    "max_row_attempts",
    "max_failure_rate",
    "min_rows",
    "max_active_runs",
    "meta_lifecycle",
)


def connection_and_settings(scenario: Scenario, plan: Plan) -> str:
    """Return which fields of the Airflow connection are needed, and the settings that the scenario makes."""
    return section(
        "## Connection and settings",
        paragraph(
            f"Airflow connection {code(plan.conn_id)} of type `drivepipe`. Credentials stand there and",
            "nowhere else.",
        ),
        table(["field", "needed", "meaning"], _connection_fields(plan)),
        _python_version(plan),
        "The scenario's settings, with its defaults:",
        table(["key", "value", "meaning"], _settings(scenario, plan)),
    )


def _runs_maxframe(plan: Plan) -> bool:
    return any(not task.is_listing for task in plan.tasks)


def _connection_fields(plan: Plan) -> Iterator[list[str]]:
    yield ["`host`", "yes", "endpoint of MaxCompute"]
    yield ["`login`, `password`", "yes", "access key pair of a RAM user who may use project and bucket"]
    yield ["`project`", "yes", "MaxCompute project that jobs run in and tables live in"]
    yield ["`region`", "yes", "region of MaxCompute, and of OSS unless `oss_region` names another"]
    yield ["`oss_endpoint`", "yes", "endpoint of OSS, as in `oss://<endpoint>/<bucket>/<key>`"]
    if any(stage.mounts for task in plan.tasks for stage in task.stages):
        yield ["`oss_role_arn`", "yes", "RAM role that workers mount the bucket with"]
    if any(task.models for task in plan.tasks):
        yield ["`model_project`", "yes", "MaxCompute project that holds the models"]
    if _runs_maxframe(plan):
        yield ["`dpe_python_version`", "no", "Python of the workers' image, 3.11 unless you use your own"]
    yield ["`quota_name`", "no", "MaxCompute quota of SQL and jobs"]


def _python_version(plan: Plan) -> str:
    if not _runs_maxframe(plan):
        return ""
    return paragraph(
        "Airflow's workers run the same minor version of Python as the workers' image",
        "(`dpe_python_version`): functions travel as byte code.",
    )


def _settings(scenario: Scenario, plan: Plan) -> Iterator[list[str]]:
    of_stages: dict[str, object] = {}
    for task in plan.tasks:
        for stage in task.stages:
            of_stages.update(stage.guide().settings)
    for key, value in {**of_stages, **{key: getattr(scenario, key) for key in _ALWAYS_SHOWN}}.items():
        if value not in (None, "") and key in type(scenario).model_fields:
            yield [code(key), code(value), plain(type(scenario).model_fields[key].description or "")]


def input_expected(plan: Plan) -> str:
    """Return what the first task reads: a listing, or a table with its columns."""
    first = plan.tasks[0]
    if first.is_listing:
        place = code("{" + plan.partition.columns[0] + "}")
        lists = " ".join(stage.guide().lists for stage in first.stages)
        return section("## Input", paragraph(lists, f"{place} in the prefix becomes the partition's value."))
    rows = [[code(c.name), "yes" if c.needed else "no", c.meaning] for c in _columns_read(first)]
    return section(
        "## Input",
        paragraph(
            f"The table {code(first.source)} has to exist, partitioned by {codes(plan.partition.columns)}",
            "(string). A run reads the same partition that it writes.",
        ),
        table(["column", "needed", "meaning"], rows),
        _travelling(first),
    )


def _columns_read(first: TaskPlan) -> list[InputColumn]:
    """Return what the first stage reads, and what the others need that none before them makes."""
    read = list(first.stages[0].guide().reads)
    made = {column.name for column in (first.unit.columns() if first.unit else ())}
    for stage in first.row_stages:
        there = made | {column.name for column in read}
        read += [column for column in stage.guide().reads if column.needed and column.name not in there]
        made |= set(stage.part().column_names)
    return read


def _travelling(first: TaskPlan) -> str:
    if first.lineage_known:
        return ""
    return paragraph(
        "Its further columns travel through to the output, unchanged. They must not have the names of",
        f"columns that the output has for itself ({codes(c.name for c in STATUS_COLUMNS)} and those below),",
        "and not start with `drivepipe_`.",
    )


def output_tables(plan: Plan) -> str:
    """Return the tables that the tasks write, column by column."""
    lifecycle = plan.tasks[0].output_table.lifecycle_days
    parts = [
        paragraph(
            "Created by the first run unless they exist, partitioned by",
            f"{codes(plan.partition.columns)} (string). A reader sees the old partition or the new one,",
            "never a half of it.",
            f"Partitions expire after {lifecycle} days." if lifecycle else "",
        )
    ]
    for task in plan.tasks:
        rows = [[code(c.name), c.type, plain(c.comment)] for c in task.output_table.columns]
        parts.append(
            section(
                f"### {task.output_table.name}",
                f"Written by task {code(task.task_id)}.",
                table(["column", "type", "meaning"], rows),
                "" if task.lineage_known else f"And the further columns of {code(lineage_of(plan, task))}.",
            )
        )
    return section("## Output tables", *parts)


def lineage_of(plan: Plan, task: TaskPlan) -> str:
    """Return the table, or tables, whose further columns travel through to a task's table."""
    return task.source if plan.tasks[0].is_listing else plan.tasks[0].source


def left_out(scenario: Scenario, plan: Plan) -> str:
    """Return which columns are deliberately absent, and why."""
    rows = [
        [code(task.output_table.name), *row]
        for task in plan.tasks
        for row in _absent_columns(task, scenario, plan)
    ]
    return section("### Left out on purpose", table(["table", "columns", "why", "to get them"], rows))


def _absent_columns(task: TaskPlan, scenario: Scenario, plan: Plan) -> Iterator[list[str]]:
    """Yield columns, why they are not there, and what would bring them."""
    for row in dict.fromkeys(row for stage in task.stages for row in stage.guide().absent):
        yield [cell or NOTHING for cell in row]
    if task.is_listing:
        return
    there = {c.name for c in task.output_table.columns}
    later = [other for other in plan.tasks[plan.tasks.index(task) + 1 :] if other.models]
    if later and not task.models:
        added = codes(c.name for c in later[0].output_table.columns if c.name not in there)
        yield [added, f"task {code(later[0].task_id)} adds them", f"read {code(later[0].output_table.name)}"]
        return
    for target, (setting, stage) in FAMILIES[scenario.pipeline].added.items():
        columns = stage.part().column_names
        if not there.intersection(columns):
            why = f"the target {code(target)} is not asked for"
            yield [codes(columns), why, f"add it to `targets`, and {code(setting)}"]
