"""Writes the report of a partition beside its outputs in OSS."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.links.report import XCOM_KEY

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
    from airflow_provider_drivepipe.scenario.partition import PartitionSpec
    from airflow_provider_drivepipe.scenario.plan import Plan


def report_place(hook: DrivepipeHook, plan: Plan, partition: PartitionSpec) -> OssUri | None:
    """Return where a report goes, None for a scenario that works on tables alone."""
    if plan.bucket is None:
        return None
    root = hook.oss_root(plan.bucket, plan.oss_root)
    return root.join(f"{plan.scenario}_report", f"{partition.path()}.html")


def write_run_report(
    context: Context,
    hook: DrivepipeHook,
    plan: Plan,
    partition: PartitionSpec,
    own: Mapping[str, Any],
    anew: bool,
) -> bool:
    """Write the report of a partition; return whether there is one.

    :param own: the task's stage report.
    :param anew: also where there is a report already.
    """
    from airflow_provider_drivepipe.reports.run_report import read_report, render

    place = report_place(hook, plan, partition)
    if place is None:
        return False
    ti = context["ti"]
    if anew or not hook.oss.is_object_exist(place.bucket, place.key):
        here = next(task.task_id for task in plan.tasks if task.output_table.name == own["table"])
        group = ti.task_id.removesuffix(here)
        pulled = {t.task_id: ti.xcom_pull(task_ids=group + t.task_id) for t in plan.tasks}
        runs = {task_id: run for task_id, run in {**pulled, here: own}.items() if run}
        models = {stage: model for run in runs.values() for stage, model in run["models"].items()}
        report = read_report(plan, partition, hook, models, runs, {"Run in Airflow": ti.log_url})
        if report is None:
            return False
        hook.write_object(place, render(report, datetime.now(UTC)).encode(), "text/html; charset=utf-8")
    read_by = {"conn_id": hook.conn_id, "oss_conn_id": hook.oss_conn_id}
    ti.xcom_push(key=XCOM_KEY, value={"uri": str(place), **read_by})
    return True
