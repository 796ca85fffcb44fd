"""Compares the arms of a video QA partition: accuracies with intervals, evidence, cost per correct answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import StageCounts, StageReport, Verdict
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators.base import PartitionOperator, run_params, take
from airflow_provider_drivepipe.pipelines.retrieval import qa_metrics
from airflow_provider_drivepipe.pipelines.retrieval.qa_metrics import (
    METRIC_COLUMNS,
    Counts,
    MetricsOptions,
    QaMetrics,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.stages.stage import Stage

if TYPE_CHECKING:
    from airflow.sdk import Context


class QaMetricsOperator(PartitionOperator):
    """Writes how well each arm answers the questions of a partition, a row for each arm and category.

    Arguments beside these are the fields of :class:`MetricsOptions` and those of :class:`PartitionOperator`.

    :param source_table: table of the answers.
    :param stages: the metrics, instead of the fields of :class:`MetricsOptions`.
    """

    template_fields: Sequence[str] = (*PartitionOperator.template_fields, "source_table")
    ui_color = "#d0e0e3"
    stage_name = QaMetrics.name

    def __init__(self, *, source_table: str, stages: Sequence[Stage] = (), **kwargs: Any) -> None:
        metrics = next((stage for stage in stages if isinstance(stage, QaMetrics)), None)
        metrics = metrics or QaMetrics(MetricsOptions(**take(MetricsOptions, kwargs)))
        super().__init__(**kwargs)
        self.options = metrics.options
        self.source_table = source_table

    def execute(self, context: Context) -> dict[str, Any]:
        """Count, compare, publish, report."""
        started = time.time()
        ti = context["ti"]
        self._hook = hook = DrivepipeHook(
            self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}"
        )
        partition = self.owned_partition(context)
        params = run_params(context)
        with self.taken_partition(context, hook, partition) as staging:
            rows = qa_metrics.metrics_of(self._count(hook, partition), self.options.arms, self.options.prices)
            values = [[row.get(column.name) for column in METRIC_COLUMNS] for row in rows]
            self.replace_rows(hook, partition, staging, METRIC_COLUMNS, values)
        for row in rows:
            if not row["category"] and not row["other_arm"] and row["accuracy"] is not None:
                self.log.info(
                    "%s: %d of %d correct (%.1f %%, %.1f to %.1f), %d abstained, %d failed",
                    *(row["arm"], row["correct"], row["questions"], 100 * row["accuracy"]),
                    *(100 * row["accuracy_low"], 100 * row["accuracy_high"], row["abstained"], row["failed"]),
                )
        report = StageReport(
            scenario=self.scenario or ti.dag_id,
            stage=self.stage_name,
            table=self.output_table,
            partition=partition.path(),
            verdict=Verdict.COMPLETED if rows else Verdict.EMPTY_INPUT,
            **asdict(StageCounts(len(rows), len(rows), 0, 0, 0)),
            carried_over=0,
            stages={self.stage_name: asdict(StageCounts(len(rows), len(rows), 0, 0, 0))},
            params=dict(params.given),
            seconds=round(time.time() - started, 3),
        )
        self.publish_report(context, report, None, partition)
        return report.to_json()

    def source_tables(self) -> Sequence[str]:
        """Return the tables of answers and of questions, plans and queries."""
        return (self.source_table, *self.options.tables)

    def _count(self, hook: DrivepipeHook, partition: PartitionSpec) -> Counts:
        options, where = self.options, partition.sql(" AND ")
        return Counts.read(
            hook.execute_sql(qa_metrics.questions_sql(options, where)),
            hook.execute_sql(qa_metrics.answers_sql(options, self.source_table, where)),
            hook.execute_sql(qa_metrics.pairs_sql(options, self.source_table, where)),
            hook.execute_sql(qa_metrics.plans_sql(options, where)) if options.plan else (),
            hook.execute_sql(qa_metrics.queries_sql(options, where)) if options.queries else (),
        )
