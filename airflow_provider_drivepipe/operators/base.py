"""What all operators that write a partition have in common: arguments, identity, report."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink

from airflow_provider_drivepipe import sql
from airflow_provider_drivepipe.assets import publish_asset_events
from airflow_provider_drivepipe.contracts import Column, StageReport
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.partition_lock import (
    drop_tables,
    leave_partition,
    tags_of,
    take_partition,
)
from airflow_provider_drivepipe.lifecycle.failures import FailureSample
from airflow_provider_drivepipe.lifecycle.tables import WORKING_TABLE_LIFECYCLE_DAYS, WorkingTables
from airflow_provider_drivepipe.lineage import Data, LineageOperator
from airflow_provider_drivepipe.links.report import ReportLink
from airflow_provider_drivepipe.operators.partition import (
    PARTITION_SPEC_TEMPLATE,
    partition_spec_from_context,
    read_partition_spec,
)
from airflow_provider_drivepipe.operators.report import push_report
from airflow_provider_drivepipe.operators.retry import with_retry_policy
from airflow_provider_drivepipe.scenario.options import GateOptions, PartitionOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.run_params import RunParams, read_params

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_drivepipe.scenario.plan import Plan


class PartitionOperator(LineageOperator, BaseOperator):
    """Writes one partition of ``output_table``.

    :param output_table: table to write (``table`` or ``project.table``); created when it is missing.
    :param partition: which partition a run owns: text such as ``ds={{ ds_nodash }}``, or options by which the
        run's key, date or param decides; unless given, as in scenarios.
    :param scenario: name in reports; the DAG's id unless given.
    :param lifecycle_days: days until partitions of a table that the operator makes expire.
    :param gate: when a run fails its task: before it publishes, or although the partition is published.
    :param conn_id: connection of type ``drivepipe``.
    :param oss_conn_id: take OSS from another connection.
    :param report_of: the scenario's plan; the task that ends it writes the partition's report.
    :param later_models: models that tasks behind this one call, looked up before anything is done: a wrong
        name is not to be found out after this task's work is paid.
    """

    template_fields: Sequence[str] = ("output_table", "partition_spec", "conn_id", "oss_conn_id")
    operator_extra_links: Collection[BaseOperatorLink] = (ReportLink(),)

    def __init__(
        self,
        *,
        output_table: str,
        partition: PartitionOptions | str | None = None,
        scenario: str | None = None,
        lifecycle_days: int | None = None,
        gate: GateOptions | None = None,
        conn_id: str = DrivepipeHook.default_conn_name,
        oss_conn_id: str | None = None,
        report_of: Plan | None = None,
        later_models: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.output_table = output_table
        self.partition = None if isinstance(partition, str) else partition or PartitionOptions()
        self.partition_spec = partition if isinstance(partition, str) else PARTITION_SPEC_TEMPLATE
        self.scenario = scenario
        self.lifecycle_days = lifecycle_days
        self.gate = gate or GateOptions()
        self.conn_id = conn_id
        self.oss_conn_id = oss_conn_id
        self.report_of = report_of
        self.later_models = later_models
        self.wrote_report = False
        """Whether this process has made sure that there is a report."""
        self._hook: DrivepipeHook | None = None
        self._published: StageReport | None = None

    @abstractmethod
    def execute(self, context: Context) -> dict[str, Any]:
        """Write the partition and return the report."""

    def owned_partition(self, context: Context) -> PartitionSpec:
        """Return the partition that the run owns; raise ConfigurationError when it names none."""
        if self.partition is None:
            return read_partition_spec(self.partition_spec)
        return partition_spec_from_context(context, self.partition)

    @contextmanager
    def taken_partition(
        self, context: Context, hook: DrivepipeHook, partition: PartitionSpec
    ) -> Iterator[str]:
        """Hold the partition inside, and give the name of a staging table for it.

        Raises PartitionBusyError when another run writes it.
        """
        owner = tags_of(context)
        working = WorkingTables.of(self.output_table, partition, owner.text())
        _, left = take_partition(context, hook, working, owner)
        drop_tables(hook, left)
        try:
            yield working.staging
        finally:
            leave_partition(hook, working, owner)

    def require_table(self, hook: DrivepipeHook, columns: Sequence[Column], partition: PartitionSpec) -> None:
        """Create the table when it is missing; raise ConfigurationError when it has other columns."""
        hook.execute_sql(sql.create_table(self.output_table, columns, partition.columns, self.lifecycle_days))
        wanted = [column.name for column in columns]
        if [column.name for column in hook.table_columns(self.output_table)[0]] != wanted:
            raise ConfigurationError(f"table {self.output_table} has other columns than {', '.join(wanted)}")

    def replace_rows(
        self,
        hook: DrivepipeHook,
        partition: PartitionSpec,
        staging: str,
        columns: Sequence[Column],
        rows: Iterable[Sequence[object]],
    ) -> None:
        """Replace the partition by a few rows, in one statement.

        :param staging: a table of that name is made; what leaves the partition drops it.
        """
        self.require_table(hook, columns, partition)
        hook.execute_sql(
            sql.create_table(
                staging, columns, lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS, if_not_exists=False
            )
        )
        with hook.errors(), hook.odps.get_table(staging).open_writer() as writer:
            for row in rows:
                writer.write(list(row))
        hook.execute_sql(
            f"INSERT OVERWRITE TABLE {sql.quote_name(self.output_table)} PARTITION ({partition.sql()}) "
            f"SELECT {sql.column_list([c.name for c in columns])} FROM {sql.quote_name(staging)}"
        )

    def publish_report(
        self,
        context: Context,
        report: StageReport,
        failed: FailureSample | None,
        partition: PartitionSpec,
        changed: bool = True,
    ) -> None:
        """Say what was published: in XCom, in the log, to DAGs that listen, and in the partition's report.

        :param changed: whether the partition is another one than before.
        """
        self._published = report
        push_report(context, report, failed)
        publish_asset_events(context, self.outlets, report.to_json(), partition)
        plan = self.report_of
        if plan is not None and plan.tasks[-1].output_table.name == self.output_table:
            self.write_report(context, report, partition, changed)

    def write_report(
        self, context: Context, report: StageReport, partition: PartitionSpec, changed: bool = True
    ) -> None:
        """Write the partition's report; where that does not work, only say so: the task has done its work."""
        if self.report_of is None:
            return
        from airflow_provider_drivepipe.operators.run_report import write_run_report

        ti = context["ti"]
        hook = DrivepipeHook(self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}")
        try:
            self.wrote_report = write_run_report(
                context, hook, self.report_of, partition, report.to_json(), changed
            )
        except Exception:
            self.log.exception("the report of %s was not written; 'drivepipe report' does", partition.path())

    def source_tables(self) -> Sequence[str]:
        """Return the tables that the task reads."""
        return ()

    def published_rows(self, report: StageReport) -> int:
        """Return how many rows the partition holds by a report."""
        return report.rows_in

    def lineage_inputs(self) -> Sequence[Data]:
        """Return the tables that the task reads."""
        return [Data.of_table(table, self._columns(table)) for table in self.source_tables()]

    def lineage_outputs(self) -> Sequence[Data]:
        """Return the table that the task writes, also when its gate has failed it."""
        rows = None if self._published is None else self.published_rows(self._published)
        return [Data.of_table(self.output_table, self._columns(self.output_table), rows)]

    def _columns(self, table: str) -> Sequence[Column]:
        return self._hook.known_columns.get(table, ()) if self._hook is not None else ()


def run_params(context: Context) -> RunParams:
    """Return the params of the run; raise ConfigurationError when they do not fit."""
    try:
        return read_params(context["params"])[0]
    except ValueError as error:
        raise ConfigurationError(f"this run's params do not fit: {error}") from error


def names(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return names as a tuple; one may be given as it is."""
    return (given,) if isinstance(given, str) else tuple(given)


def take(kind: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Take those of an operator's arguments that are fields of a data class; the others stay."""
    taken = {field.name for field in fields(kind)} & arguments.keys()
    return {name: arguments.pop(name) for name in taken}


def take_arguments(function: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """Take those of an operator's arguments that are keyword-only ones of a function; the others stay."""
    parameters = inspect.signature(function).parameters.values()
    taken = {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    return {name: arguments.pop(name) for name in taken & arguments.keys()}
