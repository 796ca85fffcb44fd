"""How a task says what it did: the stage report in XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_drivepipe.contracts import StageReport

if TYPE_CHECKING:
    from airflow.sdk import Context


def push_report(context: Context, report: StageReport) -> None:
    """Push the report before a gate can fail the task: a failed task's return value is not kept."""
    ti = context["ti"]
    ti.xcom_push(key="return_value", value=report.to_json())
    ti.xcom_push(key="failure_counts", value=report.failure_counts())
    ti.xcom_push(key="verdict", value=str(report.verdict))
