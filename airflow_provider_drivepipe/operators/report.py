"""How a task says what it did: the stage report in XCom."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import DownstreamTasksSkipped

from airflow_provider_drivepipe.contracts import Reason, StageReport, Verdict
from airflow_provider_drivepipe.lifecycle.failures import XCOM_KEY, FailureSample
from airflow_provider_drivepipe.scenario.prices import spending_text

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_provider_drivepipe.scenario.run_params import RunParams

logger = logging.getLogger(__name__)


def summary(report: StageReport) -> str:
    """Return a report as one line for the log."""
    said = [f"{report.ok} ok"]
    for name in ("failed", "filtered", "skipped", "carried_over", "removed"):
        count = getattr(report, name)
        said += [f"{count} {name.replace('_', ' ')}"] if count else []
    reasons = [
        f"{stage} {reason} {count}"
        for stage, counts in report.failures.items()
        for reason, count in counts.items()
    ]
    tokens = report.tokens.input + report.tokens.output + report.tokens.embedding
    text = f"{report.table} {report.partition}: {report.rows_in} rows, {', '.join(said)}"
    changes = [f"{count} {change}" for change, count in report.changes.items()]
    text += f"; {', '.join(changes)}" if changes else ""
    text += f"; failures: {', '.join(reasons)}" if reasons else ""
    text += (
        f"; waiting for budget: {waiting}" if (waiting := report.skipped_reasons.get(Reason.BUDGET)) else ""
    )
    text += "".join(f"; {stage} by {model}" for stage, model in report.models.items())
    text += f"; {tokens} tokens paid" if tokens else ""
    spent = spending_text(report.spending) if report.spending and tokens else ""
    return text + (f": {spent}" if spent else "")


def push_report(context: Context, report: StageReport, failed: FailureSample | None = None) -> None:
    """Push the report before a gate can fail the task: a failed task's return value is not kept.

    :param failed: the inputs that failed, None when none has.
    """
    ti = context["ti"]
    logger.info("%s", summary(report))
    if failed is not None:
        logger.warning("%s", failed.log_text())
        ti.xcom_push(key=XCOM_KEY, value=failed.to_json())
    ti.xcom_push(key="return_value", value=report.to_json())
    ti.xcom_push(key="failure_counts", value=report.failure_counts())
    ti.xcom_push(key="verdict", value=str(report.verdict))


def skip_downstream(operator: BaseOperator, report: StageReport, params: RunParams) -> None:
    """Warn of an input that was empty, and skip the tasks behind: they have nothing to do.

    With ``allow_shrink`` they run, and empty their partitions too.
    """
    if report.verdict is not Verdict.EMPTY_INPUT:
        return
    logger.warning("%s %s: the input is empty", report.table, report.partition)
    if operator.downstream_task_ids and not params.allow_shrink:
        raise DownstreamTasksSkipped(tasks=sorted(operator.downstream_task_ids))
