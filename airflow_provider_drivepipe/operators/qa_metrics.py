"""Compares the arms of a video QA partition: accuracies with intervals, evidence, cost per correct answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe import sql
from airflow_provider_drivepipe.contracts import StageCounts, StageReport, Verdict
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.partition_lock import (
    drop_tables,
    leave_partition,
    tags_of,
    take_partition,
)
from airflow_provider_drivepipe.lifecycle.tables import WORKING_TABLE_LIFECYCLE_DAYS, WorkingTables
from airflow_provider_drivepipe.operators.base import PartitionOperator, take
from airflow_provider_drivepipe.pipelines.retrieval import qa_metrics
from airflow_provider_drivepipe.pipelines.retrieval.qa_metrics import (
    METRIC_COLUMNS,
    Counts,
    MetricsOptions,
    QaMetrics,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.run_params import read_params
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
        try:
            params, _ = read_params(context["params"])
        except ValueError as error:
            raise ConfigurationError(f"this run's params do not fit: {error}") from error
        owner = tags_of(context)
        working = WorkingTables.of(self.output_table, partition, owner.text())
        _, left = take_partition(context, hook, working, owner)
        drop_tables(hook, left)
        try:
            rows = qa_metrics.metrics_of(self._count(hook, partition), self.options.arms, self.options.prices)
            self._write_table(hook, partition, working.staging, rows)
        finally:
            leave_partition(hook, working, owner)
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

    def _write_table(
        self, hook: DrivepipeHook, partition: PartitionSpec, staging: str, rows: Sequence[dict[str, Any]]
    ) -> None:
        """Replace the partition in one statement."""
        names = [column.name for column in METRIC_COLUMNS]
        hook.execute_sql(
            sql.create_table(self.output_table, METRIC_COLUMNS, partition.columns, self.lifecycle_days)
        )
        if [column.name for column in hook.table_columns(self.output_table)[0]] != names:
            raise ConfigurationError(f"table {self.output_table} has other columns than {', '.join(names)}")
        hook.execute_sql(
            sql.create_table(
                staging, METRIC_COLUMNS, lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS, if_not_exists=False
            )
        )
        with hook.errors(), hook.odps.get_table(staging).open_writer() as writer:
            writer.write([[row.get(name) for name in names] for row in rows])
        hook.execute_sql(
            f"INSERT OVERWRITE TABLE {sql.quote_name(self.output_table)} PARTITION ({partition.sql()}) "
            f"SELECT {sql.column_list(names)} FROM {sql.quote_name(staging)}"
        )
