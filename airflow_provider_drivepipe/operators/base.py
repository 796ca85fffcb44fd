"""The life of a stage that runs on MaxFrame: select, run, audit, publish; durable across retries.

One base class for every operator that writes a partition through a MaxFrame job. Subclasses say which tables
and stages are concerned and build the lazy graph; everything else happens here, once.
"""

from __future__ import annotations

import hashlib
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider_drivepipe import exceptions
from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, Stage, StageReport
from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    DataGateError,
    RemoteJobError,
    TransientError,
    UnbalancedBooksError,
)
from airflow_provider_drivepipe.hooks.maxframe import Job, JobState, MaxFrameHook
from airflow_provider_drivepipe.links.logview import LogViewLink
from airflow_provider_drivepipe.operators.partition import partition_spec_from_context
from airflow_provider_drivepipe.pipelines import books as bookkeeping
from airflow_provider_drivepipe.pipelines import stage_sql
from airflow_provider_drivepipe.pipelines.stage_sql import StageTables
from airflow_provider_drivepipe.scenario.options import GateOptions, PartitionOptions, TableOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.triggers.maxframe import MaxFrameJobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

RECORD_KEY = "maxframe_job"
FIRST_POLL_DELAY = 10.0
"""Seconds; a task that resumes within a few seconds of deferring can be taken for a failed one."""

_TOKEN_COLUMNS = ("label_input_token", "label_output_token", "image_embedding_total_token")


@dataclass(frozen=True)
class JobRecord:
    """What survives a lost worker: the job, the try that submitted it, and whether it is finished with.

    ``dag_id`` is empty between the start of the session and the submission.
    """

    session_id: str
    dag_id: str
    try_number: int
    started: float
    done: bool = False

    @property
    def job(self) -> Job:
        """Identity of the job."""
        return Job(self.session_id, self.dag_id)


@dataclass(frozen=True)
class StageRun:
    """One partition of one stage, resolved: everything that the four steps need to know."""

    partition: PartitionSpec
    tables: StageTables
    columns: tuple[Column, ...]
    stages: tuple[Stage, ...]
    fingerprint_prefix: str

    @property
    def token_columns(self) -> tuple[str, ...]:
        """The token columns that this stage writes."""
        names = {c.name for c in self.columns} - set(self.tables.source_columns)
        return tuple(c for c in _TOKEN_COLUMNS if c in names)


class MaxFrameStageOperator(BaseOperator):
    """Writes one partition of ``output_table`` from the same partition of ``source_table``.

    :param scenario: name of the scenario, for reports.
    :param partition: which partition a run owns, see :class:`PartitionOptions`.
    :param source_table: partitioned input table.
    :param output_table: table to write; created when it is missing.
    :param gate: when a published partition still fails the task.
    :param conn_id: connection of type ``drivepipe``.
    :param oss_conn_id: take OSS from another connection.
    :param deferrable: wait in the triggerer (default) or in the worker.
    :param poll_interval: seconds between looks at the job.
    :param max_unreachable: seconds without an answer after which the task fails with a TransientError; the
        job goes on, and the next try attaches to it.
    """

    template_fields: Sequence[str] = ("source_table",)
    operator_extra_links = (LogViewLink(),)
    ui_color = "#d9ead3"
    stage_name: ClassVar[str]

    def __init__(
        self,
        *,
        scenario: str,
        partition: PartitionOptions,
        source_table: str,
        output_table: TableOptions,
        gate: GateOptions | None = None,
        conn_id: str = MaxFrameHook.default_conn_name,
        oss_conn_id: str | None = None,
        deferrable: bool = True,
        poll_interval: float = 5.0,
        max_unreachable: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        self.partition = partition
        self.source_table = source_table
        self.output_table = output_table
        self.gate = gate or GateOptions()
        self.conn_id = conn_id
        self.oss_conn_id = oss_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_unreachable = max_unreachable
        self._submitted: Job | None = None
        self._hook: MaxFrameHook | None = None

    # What subclasses say.

    @abstractmethod
    def resolve(
        self, hook: MaxFrameHook, partition: PartitionSpec, source: Sequence[Column], suffix: str
    ) -> StageRun:
        """Return the stage run; ``source`` are the input table's columns, ``suffix`` names working tables."""

    @abstractmethod
    def build(self, hook: MaxFrameHook, run: StageRun) -> Any:
        """Return the lazy rows, with the columns of ``run.columns``, for the rows of the selection table."""

    # Airflow's entry points.

    def execute(self, context: Context) -> dict[str, Any]:
        """Attach to this task's job if there is one, else select and submit; then wait and finish."""
        hook, run = self._prepare(context)
        record = _load_record(context)
        if record is not None and not record.done and not record.dag_id:
            hook.stop_session(record.session_id)
        elif record is not None and not record.done:
            status = hook.status(record.job)
            self.log.info("job %s of try %d: %s", record.dag_id, record.try_number, status.state)
            if status.state is JobState.RUNNING:
                return self._wait(context, hook, run, record)
            if status.state is JobState.SUCCEEDED:
                return self._finish(context, hook, run, record)
            hook.stop_session(record.session_id)
        return self._start(context, hook, run)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after the trigger fired."""
        hook, run = self._prepare(context)
        record = _load_record(context)
        if record is None:
            raise RemoteJobError(
                f"the record of MaxFrame job {event['dag_id']} is gone from the task state store; "
                "retry the task to run it again"
            )
        if event["state"] == JobState.SUCCEEDED:
            return self._finish(context, hook, run, record)
        watching_failed = getattr(exceptions, event["state"], None)
        if watching_failed is not None:
            raise watching_failed(f"{event['error']}. The job is left alone; the next try attaches to it")
        if event["state"] == JobState.CANCELLED and record.try_number != context["ti"].try_number:
            self.log.info("job %s was cancelled with its cleared try; submitting again", record.dag_id)
            return self._start(context, hook, run)
        return self._fail(context, hook, run, record, event["state"], event["error"])

    def on_kill(self) -> None:
        """Cancel the job that this process submitted or waits for."""
        if self._submitted is not None and self._hook is not None:
            self.log.info("cancelling MaxFrame job %s", self._submitted.dag_id)
            self._hook.cancel(self._submitted)

    # The four steps.

    def _prepare(self, context: Context) -> tuple[MaxFrameHook, StageRun]:
        ti = context["ti"]
        hook = MaxFrameHook(self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}")
        self._hook = hook
        partition = partition_spec_from_context(context, self.partition)
        identity = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}/{partition.path()}"
        suffix = hashlib.sha256(identity.encode()).hexdigest()[:12]
        return hook, self.resolve(hook, partition, self._source_columns(hook), suffix)

    def _source_columns(self, hook: MaxFrameHook) -> list[Column]:
        columns, partition_columns = hook.table_columns(self.source_table)
        missing = [c for c in self.partition.columns if c not in partition_columns]
        if missing:
            raise ConfigurationError(
                f"table {self.source_table} is not partitioned by {', '.join(missing)} "
                f"(its partition columns: {', '.join(partition_columns) or 'none'})"
            )
        return columns

    def _start(self, context: Context, hook: MaxFrameHook, run: StageRun) -> dict[str, Any]:
        self._ensure_output(hook, run)
        self._drop_working_tables(hook, run)
        hook.execute_sql(stage_sql.create_selection(run.tables, run.fingerprint_prefix))
        selected = int(hook.execute_sql(stage_sql.count_selection(run.tables))[0][0])
        self.log.info("partition %s: %d input rows need work", run.partition.path(), selected)
        staging = stage_sql.create_table(
            run.tables.staging, run.columns, lifecycle_days=stage_sql.WORKING_TABLE_LIFECYCLE_DAYS
        )
        hook.execute_sql(staging)
        if selected == 0:
            return self._finish(context, hook, run, None)
        record = self._submit(context, hook, run)
        return self._wait(context, hook, run, record)

    def _submit(self, context: Context, hook: MaxFrameHook, run: StageRun) -> JobRecord:
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.pipelines.context import graph_building

        started = time.time()
        with hook.errors(), graph_building(hook.odps):
            rows = self.build(hook, run)[[c.name for c in run.columns]]
            sink = md.to_odps_table(rows, run.tables.staging, overwrite=True, index=False)
        session_id = hook.open_session()
        try_number = context["ti"].try_number
        _store_record(context, JobRecord(session_id, "", try_number, started))
        try:
            job = hook.submit(session_id, [sink])
        except BaseException:
            hook.stop_session(session_id)
            raise
        record = JobRecord(job.session_id, job.dag_id, try_number, started)
        self._submitted = job
        _store_record(context, record)
        self.log.info("submitted MaxFrame job %s in session %s", job.dag_id, job.session_id)
        return record

    def _wait(self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord) -> dict[str, Any]:
        self._submitted = record.job
        logview = hook.logview(record.job)
        context["ti"].xcom_push(key=LogViewLink().xcom_key, value=logview)
        self.log.info("LogView: %s", logview)
        if self.deferrable:
            self.defer(
                trigger=MaxFrameJobTrigger(
                    conn_id=self.conn_id,
                    session_id=record.session_id,
                    dag_id=record.dag_id,
                    run_identity=hook.run_identity,
                    first_poll_delay=FIRST_POLL_DELAY,
                    poll_interval=self.poll_interval,
                    max_unreachable=self.max_unreachable,
                ),
                method_name="execute_complete",
                timeout=self.execution_timeout,
            )
        return self._poll(context, hook, run, record)

    def _poll(self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord) -> dict[str, Any]:
        last_answer = time.monotonic()
        while True:
            try:
                status = hook.status(record.job)
            except TransientError as error:
                if time.monotonic() - last_answer > self.max_unreachable:
                    raise TransientError(
                        f"{error}. The job is left alone; the next try attaches to it"
                    ) from error
                self.log.warning("MaxFrame job %s: %s; watching on", record.dag_id, error)
            else:
                last_answer = time.monotonic()
                if status.state is JobState.SUCCEEDED:
                    return self._finish(context, hook, run, record)
                if status.state is not JobState.RUNNING:
                    return self._fail(context, hook, run, record, status.state, status.error)
                self.log.info("MaxFrame job %s: %.0f %% done", record.dag_id, 100 * status.progress)
            time.sleep(self.poll_interval)

    def _fail(
        self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord, state: str, error: str
    ) -> dict[str, Any]:
        """Clean up after a job that did not succeed and raise its error."""
        logview = hook.logview(record.job)
        _store_record(context, record, done=True)
        hook.stop_session(record.session_id)
        self._drop_working_tables(hook, run)
        raise RemoteJobError(
            f"MaxFrame job {record.dag_id} of session {record.session_id} {state}: {error or 'no message'}\n"
            f"LogView: {logview}"
        )

    def _finish(
        self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord | None
    ) -> dict[str, Any]:
        """Audit, publish, clean up, report; then let the gate speak."""
        books = self._audit(hook, run, ran=record is not None)
        hook.execute_sql(stage_sql.publish(run.tables))
        self.log.info("published %s partition %s", run.tables.output, run.partition.path())
        logview = None
        if record is not None:
            logview = hook.logview(record.job)
            _store_record(context, record, done=True)
            hook.stop_session(record.session_id)
        self._submitted = None
        self._drop_working_tables(hook, run)
        report = StageReport(
            scenario=self.scenario,
            stage=self.stage_name,
            table=run.tables.output,
            partition=run.partition.path(),
            verdict=books.verdict,
            **asdict(books.table),
            carried_over=books.carried_over,
            failures=books.failures,
            stages=books.stages_json(),
            tokens=books.tokens,
            seconds=round(time.time() - record.started, 3) if record else 0.0,
            session_id=record.session_id if record else None,
            logview=logview,
        )
        push_report(context, report)
        self._check_gate(books)
        return report.to_json()

    def _audit(self, hook: MaxFrameHook, run: StageRun, ran: bool) -> bookkeeping.Books:
        units_in = int(hook.execute_sql(stage_sql.count_source(run.tables))[0][0])
        if ran:
            selected = int(hook.execute_sql(stage_sql.count_selection(run.tables))[0][0])
            [[units, known]] = hook.execute_sql(stage_sql.count_units(run.tables))
            if not int(units) == int(known or 0) == selected:
                raise UnbalancedBooksError(
                    f"{selected} input rows went into the job, {units} came out, {known or 0} of them known; "
                    f"nothing was published to {run.tables.output} {run.partition.path()}"
                )
        embedding = Stage.IMAGE_EMBEDDING in run.stages
        sql = stage_sql.audit(run.tables, embedding, run.token_columns)
        groups = [bookkeeping.AuditRow.read(row) for row in hook.execute_sql(sql)]
        return bookkeeping.balance(groups, run.stages, units_in, run.token_columns)

    def _check_gate(self, books: bookkeeping.Books) -> None:
        if books.failure_rate > self.gate.max_failure_rate:
            raise DataGateError(
                f"{books.failure_rate:.1%} of the input failed, the limit is "
                f"{self.gate.max_failure_rate:.1%}: {books.failures}. The partition is published; "
                "a retry or Clear works on the failed rows only"
            )
        if books.table.ok < self.gate.min_rows:
            raise DataGateError(
                f"{books.table.ok} rows are ok, at least {self.gate.min_rows} are wanted. "
                "The partition is published"
            )

    def _ensure_output(self, hook: MaxFrameHook, run: StageRun) -> None:
        partition_columns = tuple(self.partition.columns)
        hook.execute_sql(
            stage_sql.create_table(
                self.output_table.name, run.columns, partition_columns, self.output_table.lifecycle_days
            )
        )
        existing, _ = hook.table_columns(self.output_table.name)
        have = {c.name: c.type for c in existing}
        want = {c.name: c.type for c in run.columns}
        if have != want:
            missing = ", ".join(f"{n} {t}" for n, t in want.items() if have.get(n) != t)
            extra = ", ".join(f"{n} {t}" for n, t in have.items() if want.get(n) != t)
            raise ConfigurationError(
                f"table {self.output_table.name} does not fit this scenario: it lacks ({missing}), and has "
                f"({extra}) that the scenario does not write. Name another output table, or change the table"
            )

    def _drop_working_tables(self, hook: MaxFrameHook, run: StageRun) -> None:
        for table in (run.tables.selection, run.tables.staging):
            hook.execute_sql(stage_sql.drop_table(table))


def push_report(context: Context, report: StageReport) -> None:
    """Push the report before a gate can fail the task: a failed task's return value is not kept."""
    ti = context["ti"]
    ti.xcom_push(key="return_value", value=report.to_json())
    ti.xcom_push(key="failure_counts", value=report.failure_counts())
    ti.xcom_push(key="verdict", value=str(report.verdict))


def lineage_of(source: Sequence[Column], own: Sequence[Column]) -> tuple[Column, ...]:
    """Return the input columns that travel through: all but the stage's own.

    Raises ConfigurationError when an input column has the name of a status column.
    """
    status = {c.name for c in STATUS_COLUMNS}
    clashes = [c.name for c in source if c.name in status]
    if clashes:
        raise ConfigurationError(
            f"input columns {', '.join(clashes)} have the names of status columns; rename them in the input"
        )
    own_names = {c.name for c in own}
    return tuple(c for c in source if c.name not in own_names)


def _load_record(context: Context) -> JobRecord | None:
    stored: Any = context["task_state_store"].get(RECORD_KEY)
    return JobRecord(**stored) if stored else None


def _store_record(context: Context, record: JobRecord, done: bool = False) -> None:
    context["task_state_store"].set(RECORD_KEY, {**asdict(record), "done": done})
