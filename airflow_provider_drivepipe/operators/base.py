"""The life of a stage that runs on MaxFrame: select, run, audit, publish; durable across retries.

One base class for every operator that writes a partition through a MaxFrame job. Subclasses say which tables
and stages are concerned and build the lazy graph; everything else happens here, once.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.configuration import conf

from airflow_provider_drivepipe import exceptions
from airflow_provider_drivepipe.assets import publish_asset_events
from airflow_provider_drivepipe.contracts import Column, Reason, Spending, StageReport, Tokens
from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    DataGateError,
    DrivepipeError,
    PartitionShrinksError,
    RemoteJobCancelled,
    RemoteJobError,
    RemoteJobTimeout,
    TransientError,
    UnbalancedBooksError,
)
from airflow_provider_drivepipe.hooks.maxframe import JobState, MaxFrameHook
from airflow_provider_drivepipe.hooks.partition_lock import (
    is_alive,
    leave_partition,
    same_task,
    tags_of,
    take_partition,
)
from airflow_provider_drivepipe.hooks.sessions import SessionTags
from airflow_provider_drivepipe.links.logview import LogViewLink
from airflow_provider_drivepipe.operators.job_record import (
    JobRecord,
    is_reprocessed,
    load_record,
    mark_reprocessed,
    store_record,
)
from airflow_provider_drivepipe.operators.old_pictures import delete_folders, obsolete_folders
from airflow_provider_drivepipe.operators.partition import (
    PARTITION_SPEC_TEMPLATE,
    partition_spec_from_context,
    run_params,
)
from airflow_provider_drivepipe.operators.report import push_report, skip_downstream
from airflow_provider_drivepipe.operators.retry import with_retry_policy
from airflow_provider_drivepipe.pipelines import books as bookkeeping
from airflow_provider_drivepipe.pipelines import keeping, publishing, selection, stage_sql
from airflow_provider_drivepipe.pipelines import spending as spent
from airflow_provider_drivepipe.pipelines.budget import Budget
from airflow_provider_drivepipe.pipelines.failures import FailureSample, first_failed_rows
from airflow_provider_drivepipe.pipelines.fingerprint import Fingerprint
from airflow_provider_drivepipe.pipelines.pictures import Pictures
from airflow_provider_drivepipe.pipelines.publishing import Shrinking, WorkCounts
from airflow_provider_drivepipe.pipelines.stage_tables import StageTables, WorkingTables
from airflow_provider_drivepipe.scenario.options import (
    GateOptions,
    PartitionOptions,
    PriceOptions,
    Reprocess,
    SelectionOptions,
    StageOptions,
    TableOptions,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.prices import spending_of
from airflow_provider_drivepipe.scenario.prompts import prompt_report
from airflow_provider_drivepipe.scenario.run_params import RunParams
from airflow_provider_drivepipe.triggers import FIRST_POLL_DELAY
from airflow_provider_drivepipe.triggers.maxframe import TIMED_OUT, MaxFrameJobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True)
class StageRun:
    """One partition of one stage, resolved: everything that the four steps need to know."""

    owner: SessionTags
    params: RunParams
    options: StageOptions
    selection: SelectionOptions
    wanted: Fingerprint
    tables: StageTables

    @property
    def budget(self) -> Budget | None:
        """What this run may have from the models at most."""
        return Budget.of(self.selection, self.options, self.tables)

    @property
    def partition(self) -> PartitionSpec:
        """The partition that this run writes."""
        return self.tables.partition

    @property
    def where(self) -> str:
        """Output table and partition, for messages."""
        return f"{self.tables.output} {self.partition.path()}"


class MaxFrameStageOperator(BaseOperator):
    """Writes one partition of ``output_table`` from the same partition of ``source_table``.

    Params of the run (``reprocess``, ``limit``, ``frame_fps``, ``label_prompt``) take precedence over what
    the operator was built with.

    :param scenario: name of the scenario, for reports.
    :param partition: which partition a run owns, see :class:`PartitionOptions`.
    :param source_table: partitioned input table.
    :param output_table: table to write; created when it is missing.
    :param selection: which input units are worked on.
    :param gate: when a published partition still fails the task.
    :param prices: what models cost, for the report.
    :param conn_id: connection of type ``drivepipe``.
    :param oss_conn_id: take OSS from another connection.
    :param deferrable: wait in the triggerer, or in the worker; unless given, as ``[operators]
        default_deferrable`` says.
    :param poll_interval: seconds between looks at the job.
    :param max_unreachable: seconds without an answer after which the task fails with a TransientError; the
        job goes on, and the next try attaches to it.
    :param later_models: models that tasks behind this one call, looked up before anything is done: a wrong
        name is not to be found out after this task's work is paid.
    """

    template_fields: Sequence[str] = ("source_table", "partition_spec")
    operator_extra_links = (LogViewLink(),)
    ui_color = "#d9ead3"
    stage_name: str

    def __init__(
        self,
        *,
        scenario: str,
        partition: PartitionOptions,
        source_table: str,
        output_table: TableOptions,
        selection: SelectionOptions | None = None,
        gate: GateOptions | None = None,
        prices: PriceOptions | None = None,
        conn_id: str = MaxFrameHook.default_conn_name,
        oss_conn_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5.0,
        max_unreachable: float = 60.0,
        later_models: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        self.scenario = scenario
        self.partition = partition
        self.partition_spec = PARTITION_SPEC_TEMPLATE
        self.source_table = source_table
        self.output_table = output_table
        self.selection = selection or SelectionOptions()
        self.gate = gate or GateOptions()
        self.prices = prices
        self.conn_id = conn_id
        self.oss_conn_id = oss_conn_id
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_unreachable = max_unreachable
        self.later_models = later_models
        self._hook: MaxFrameHook | None = None
        self._run: StageRun | None = None
        self._record: JobRecord | None = None
        self.logview: str | None = None
        """Address of the job's LogView page, once this process knows it."""

    @property
    def has_job(self) -> bool:
        """Whether this process has submitted a job or goes on with one."""
        return self._record is not None and bool(self._record.dag_id)

    # What subclasses say.

    @abstractmethod
    def stage_options(self) -> StageOptions:
        """Return what the operator was built to do."""

    @abstractmethod
    def layout(
        self,
        partition: PartitionSpec,
        source: Sequence[Column],
        working: WorkingTables,
        options: StageOptions,
    ) -> StageTables:
        """Return the tables of a run; ``source`` are the input table's columns."""

    def image_roots(self, hook: MaxFrameHook) -> tuple[str, ...]:  # noqa: ARG002
        """Return the starts that image URIs may have where the input's go to models as they stand."""
        return ()

    def pictures(self, hook: MaxFrameHook, run: StageRun) -> Pictures | None:  # noqa: ARG002
        """Return where a run writes pictures, None where it writes none."""
        return None

    @abstractmethod
    def fingerprint(self, hook: MaxFrameHook, options: StageOptions) -> Fingerprint:
        """Return what the rows of a run are made with."""

    @abstractmethod
    def build(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> Any:
        """Return the lazy rows, with the output columns, of everything in the snapshot that needs work."""

    # Airflow's entry points.

    def execute(self, context: Context) -> dict[str, Any]:
        """Attach to this task's job if there is one, else select and submit; then wait and finish."""
        hook = self._make_hook(context)
        record = load_record(context)
        if record is None or record.done:
            return self._start(context, hook, self._resolve(context, hook))
        if not record.dag_id:
            hook.stop_session(record.session_id)
            return self._start(context, hook, self._resolve(context, hook))
        run = self._resolve(context, hook, record.working)
        status = hook.status(record.job)
        self.log.info("job %s of try %d: %s", record.dag_id, record.try_number, status.state)
        if status.state is JobState.RUNNING:
            self._take_partition(context, hook, run)
            return self._wait(context, hook, run, record)
        if status.state is JobState.SUCCEEDED:
            self._take_partition(context, hook, run)
            return self._finish(context, hook, run, record)
        hook.stop_session(record.session_id)
        return self._start(context, hook, self._resolve(context, hook))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after the trigger fired."""
        hook = self._make_hook(context)
        record = load_record(context)
        if record is None:
            raise RemoteJobError(
                f"the record of MaxFrame job {event['dag_id']} is gone from the task state store; "
                "retry the task to run it again"
            )
        self._record = record
        cleared = record.try_number != context["ti"].try_number
        if event["state"] in (JobState.CANCELLED, JobState.LOST) and cleared:
            self.log.info("job %s was cancelled with its cleared try; submitting again", record.dag_id)
            return self._start(context, hook, self._resolve(context, hook))
        run = self._resolve(context, hook, record.working)
        if event["state"] == JobState.SUCCEEDED:
            self._take_partition(context, hook, run)
            return self._finish(context, hook, run, record)
        if event["state"] == TIMED_OUT:
            hook.cancel(record.job)
            return self._fail(context, hook, run, record, event["state"], event["error"])
        watching_failed = getattr(exceptions, event["state"], None)
        if watching_failed is not None:
            raise watching_failed(f"{event['error']}. The job is left alone; the next try attaches to it")
        return self._fail(context, hook, run, record, event["state"], event["error"])

    def on_kill(self) -> None:
        """Cancel the job that this process submitted or waits for, and remove what it works with."""
        hook, run = self._hook, self._run
        if hook is None or run is None:
            return
        if self._record is not None and self._record.dag_id:
            self.log.info("cancelling MaxFrame job %s", self._record.dag_id)
            hook.cancel(self._record.job)
        elif self._record is not None:
            hook.stop_session(self._record.session_id)
        leave_partition(hook, run.tables.working, run.owner)

    # Before the job.

    def _make_hook(self, context: Context) -> MaxFrameHook:
        ti = context["ti"]
        self._hook = MaxFrameHook(self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}")
        return self._hook

    def _resolve(self, context: Context, hook: MaxFrameHook, working: str | None = None) -> StageRun:
        """Return the run; ``working`` takes over the working tables of an earlier try."""
        partition = partition_spec_from_context(context, self.partition)
        params = run_params(context)
        owner = tags_of(context)
        tables = WorkingTables.of(
            self.output_table.name, partition, "/".join(map(str, asdict(owner).values()))
        )
        if working is not None:
            tables = replace(tables, owner=working)
        options = params.options(self.stage_options())
        chosen = params.selection(self.selection)
        if chosen.reprocess is Reprocess.ALL and is_reprocessed(context):
            self.log.info("this run has recomputed everything already; only what is not ok is done again")
            chosen = replace(chosen, reprocess=Reprocess.CHANGED)
        layout = self.layout(partition, self._source_columns(hook), tables, options)
        layout = replace(
            layout,
            image_roots=self.image_roots(hook),
            recalls=self._recalls(hook, layout, chosen.reprocess, attached=working is not None),
        )
        self._run = run = StageRun(owner, params, options, chosen, self.fingerprint(hook, options), layout)
        if chosen.reprocess is Reprocess.ALL and run.budget is not None:
            raise ConfigurationError(
                "reprocess: all makes all rows anew, and max_rows or max_calls would stop every such run at "
                "the same row; take the caps out of the scenario for this, or run with reprocess: changed"
            )
        return run

    @staticmethod
    def _recalls(hook: MaxFrameHook, tables: StageTables, reprocess: Reprocess, attached: bool) -> bool:
        """Whether rows that are kept beside the output count as published: the run that began decides."""
        if not tables.parts or reprocess is Reprocess.ALL:
            return False
        if attached:
            return hook.table_comment(tables.working.earlier) is not None
        return hook.has_partition(tables.kept, tables.partition)

    def _source_columns(self, hook: MaxFrameHook) -> list[Column]:
        columns, partition_columns = hook.table_columns(self.source_table)
        missing = [c for c in self.partition.columns if c not in partition_columns]
        if missing:
            raise ConfigurationError(
                f"table {self.source_table} is not partitioned by {', '.join(missing)} "
                f"(its partition columns: {', '.join(partition_columns) or 'none'})"
            )
        return columns

    def _take_partition(self, context: Context, hook: MaxFrameHook, run: StageRun) -> None:
        """Own the partition, or wait for it; stop the sessions of a dead task that held it."""
        dead = take_partition(context, hook, run.tables.working, run.owner)
        if dead is not None:
            hook.stop_sessions(lambda tags: same_task(tags, dead))

    def _start(self, context: Context, hook: MaxFrameHook, run: StageRun) -> dict[str, Any]:
        if self.later_models:
            hook.require_models(self.later_models)
        self._take_partition(context, hook, run)
        hook.stop_sessions(lambda tags: self._is_left_over(context, run.owner, tags))
        try:
            counts = self._select(hook, run)
            record = self._submit(context, hook, run, counts) if counts.anything else None
        except BaseException:
            leave_partition(hook, run.tables.working, run.owner)
            raise
        if record is None:
            return self._finish(context, hook, run, None)
        return self._wait(context, hook, run, record)

    @staticmethod
    def _is_left_over(context: Context, owner: SessionTags, other: SessionTags) -> bool:
        """Whether a session is this task's, from an earlier try, or from a run that has ended or is gone."""
        if (other.dag_id, other.task_id) != (owner.dag_id, owner.task_id):
            return False
        return same_task(other, owner) or not is_alive(context, other)

    def _select(self, hook: MaxFrameHook, run: StageRun) -> WorkCounts:
        tables = run.tables
        self._ensure_output(hook, tables)
        for statement in selection.create_working_tables(tables):
            hook.execute_sql(statement)
        if tables.recalls:
            have = hook.table_columns(tables.kept)[0]
            hook.execute_sql(keeping.create_earlier(tables))
            hook.execute_sql(keeping.fill_earlier(tables, run.wanted, run.selection.reprocess, have))
        hook.execute_sql(selection.fill_units(tables, run.wanted, run.selection, run.budget))
        if tables.expands and tables.parts:
            hook.execute_sql(selection.fill_rows(tables, run.wanted, run.selection, run.budget))
        counts = self._counts(hook, tables)
        self.log.info("partition %s: %s", run.partition.path(), counts.describe())
        self._check_shrink(run, counts, None)
        return counts

    def _counts(self, hook: MaxFrameHook, tables: StageTables) -> WorkCounts:
        units = hook.execute_sql(selection.count_units(tables))
        has_rows = tables.expands and bool(tables.parts)
        rows = hook.execute_sql(selection.count_work(tables.working.rows)) if has_rows else []
        return WorkCounts.read(units, rows)

    def _ensure_output(self, hook: MaxFrameHook, tables: StageTables) -> None:
        hook.execute_sql(
            stage_sql.create_table(
                tables.output,
                tables.output_columns,
                self.partition.columns,
                self.output_table.lifecycle_days,
            )
        )
        existing, partition_columns = hook.table_columns(tables.output)
        have = {c.name: c.type for c in existing}
        want = {c.name: c.type for c in tables.output_columns}
        if have != want:
            missing = [f"{n} {kind}" for n, kind in want.items() if have.get(n) != kind]
            extra = [f"{n} {kind}" for n, kind in have.items() if want.get(n) != kind]
            said = [f"it lacks {', '.join(missing)}"] if missing else []
            said += [f"it has {', '.join(extra)}, which the scenario does not write"] if extra else []
            raise ConfigurationError(
                f"table {tables.output} does not fit this scenario: {'; '.join(said)}. "
                "Name another output table, or change the table"
            )
        if partition_columns != list(self.partition.columns):
            raise ConfigurationError(
                f"table {tables.output} is partitioned by ({', '.join(partition_columns)}), this scenario "
                f"writes partitions of ({', '.join(self.partition.columns)}). Name another output table"
            )

    def _submit(self, context: Context, hook: MaxFrameHook, run: StageRun, counts: WorkCounts) -> JobRecord:
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.pipelines.context import graph_building

        started = time.time()
        with hook.errors(), hook.session_options(), graph_building(hook.odps):
            rows = self.build(hook, run, counts)[[c.name for c in run.tables.output_columns]]
            sink = md.to_odps_table(rows, run.tables.working.staging, overwrite=True, index=False)
        session_id = hook.open_session(run.owner)
        record = JobRecord(session_id, "", run.owner.try_number, started, run.tables.working.owner)
        self._record = record
        try:
            store_record(context, record)
            job = hook.submit(session_id, [sink])
        except BaseException:
            hook.stop_session(session_id)
            raise
        record = replace(record, dag_id=job.dag_id)
        self._record = record
        store_record(context, record)
        self.log.info("submitted MaxFrame job %s in session %s", job.dag_id, job.session_id)
        return record

    # While the job runs.

    def _wait(self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord) -> dict[str, Any]:
        self._record = record
        self.logview = hook.logview(record.job)
        context["ti"].xcom_push(key=LogViewLink().xcom_key, value=self.logview)
        self.log.info("LogView: %s", self.logview)
        if self.deferrable:
            timeout = self.execution_timeout
            self.defer(
                trigger=MaxFrameJobTrigger(
                    conn_id=self.conn_id,
                    session_id=record.session_id,
                    dag_id=record.dag_id,
                    run_identity=hook.run_identity,
                    first_poll_delay=FIRST_POLL_DELAY,
                    poll_interval=self.poll_interval,
                    max_unreachable=self.max_unreachable,
                    deadline=time.time() + timeout.total_seconds() if timeout else None,
                    working=asdict(run.tables.working),
                    owner=asdict(run.owner),
                ),
                method_name="execute_complete",
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

    # After the job.

    def _fail(
        self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord, state: str, error: str
    ) -> dict[str, Any]:
        """Clean up after a job that did not succeed and raise its error."""
        self.logview = hook.logview(record.job)
        counts = self._counts_so_far(hook, run)
        self._give_up(context, hook, run, record)
        error_class = {JobState.CANCELLED: RemoteJobCancelled, TIMED_OUT: RemoteJobTimeout}.get(
            state, RemoteJobError
        )
        raise error_class(
            f"MaxFrame job {record.dag_id} of session {record.session_id} {state}: {error or 'no message'}\n"
            f"{counts}\nLogView: {self.logview}"
        )

    @staticmethod
    def _give_up(context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord | None) -> None:
        if record is not None:
            store_record(context, record, done=True)
            hook.stop_session(record.session_id)
        leave_partition(hook, run.tables.working, run.owner)

    def _counts_so_far(self, hook: MaxFrameHook, run: StageRun) -> str:
        """Return what the job was given and what is published; never in the way of the error itself."""
        try:
            counts = self._counts(hook, run.tables).describe()
            published = hook.execute_sql(publishing.count_statuses(run.tables))
        except DrivepipeError as error:
            return f"Row counts cannot be read: {error}"
        rows = ", ".join(f"{n} {status}" for status, n in published) or "no rows"
        return f"This run: {counts}. Published in {run.where}, unchanged by it: {rows}"

    def _finish(
        self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord | None
    ) -> dict[str, Any]:
        """Audit, publish, clean up, report; then let the gate speak."""
        counts = self._counts(hook, run.tables)
        try:
            books = self._audit(hook, run, counts, ran=record is not None)
            self._check_shrink(run, counts, books.table.ok + books.skipped_reasons.get(Reason.BUDGET, 0))
        except PartitionShrinksError:
            if record is not None and run.tables.parts:
                self._keep(hook, run, keeping.keep_unpublished)
                if run.selection.reprocess is Reprocess.ALL:
                    mark_reprocessed(context)
            self._give_up(context, hook, run, record)
            raise
        except UnbalancedBooksError:
            self._give_up(context, hook, run, record)
            raise
        if counts.removed and run.tables.parts:
            self._keep(hook, run, keeping.keep_removed)
        pictures = self.pictures(hook, run)
        obsolete = obsolete_folders(hook, run.tables, pictures) if pictures else []
        order = [c.name for c in hook.table_columns(run.tables.output)[0]]
        hook.execute_sql(publishing.publish(run.tables, order))
        self.log.info("published %s", run.where)
        if pictures:
            delete_folders(hook, pictures, obsolete)
        if run.selection.reprocess is Reprocess.ALL:
            mark_reprocessed(context)
        if record is not None:
            self.logview = hook.logview(record.job)
            hook.stop_session(record.session_id)
            store_record(context, record, done=True)
        self._record = None
        models = self._who_answers(hook, run)
        spending = self._spending(hook, run, books.tokens, models, ran=record is not None)
        failed = self._failed(hook, run, books)
        leave_partition(hook, run.tables.working, run.owner)
        report = StageReport(
            scenario=self.scenario,
            stage=self.stage_name,
            table=run.tables.output,
            partition=run.partition.path(),
            verdict=books.verdict,
            **asdict(books.table),
            carried_over=books.carried_over,
            removed=counts.removed,
            failures=books.failures,
            stages=books.stages_json(),
            filtered_reasons=books.filtered_reasons,
            skipped_reasons=books.skipped_reasons,
            params=run.params.to_json(),
            tokens=books.tokens,
            label_normalised=books.label_normalised,
            prompt=prompt_report(run.options.labels) if run.options.labels else None,
            models=models,
            spending=spending,
            seconds=round(time.time() - record.started, 3) if record else 0.0,
            session_id=record.session_id if record else None,
            logview=self.logview,
        )
        push_report(context, report, failed)
        publish_asset_events(context, self.outlets, report.to_json(), run.partition)
        self._check_gate(books)
        skip_downstream(self, report, run.params)
        return report.to_json()

    def _check_shrink(self, run: StageRun, counts: WorkCounts, left: int | None) -> None:
        """Raise PartitionShrinksError when the partition would lose too much; ``left`` are its rows then."""
        if not run.params.allow_shrink:
            Shrinking(
                run.where,
                f"{self.source_table} {run.partition.path()}",
                counts.published_ok,
                counts.removed_ok,
                left,
                empties=bool(counts.published) and not counts.total,
            ).check(self.gate.max_shrink)

    def _keep(
        self,
        hook: MaxFrameHook,
        run: StageRun,
        statement: Callable[[StageTables, Sequence[Column]], str],
    ) -> None:
        """Keep rows that are not going to be in the partition, with what was paid for them."""
        hook.execute_sql(keeping.create_kept(run.tables))
        have = hook.table_columns(run.tables.kept)[0]
        widen = keeping.widen_kept(run.tables, have)
        if widen is not None:
            hook.execute_sql(widen)
            have = hook.table_columns(run.tables.kept)[0]
        hook.execute_sql(statement(run.tables, have))
        self.log.info("results kept for %d days in %s", keeping.KEPT_DAYS, run.tables.kept)

    def _audit(self, hook: MaxFrameHook, run: StageRun, counts: WorkCounts, ran: bool) -> bookkeeping.Books:
        tables = run.tables
        if ran:
            staged = hook.execute_sql(publishing.check_staging(tables))[0]
            publishing.require_complete(tables, counts, staged)
        tokens = hook.execute_sql(publishing.count_tokens(tables))[0] if tables.token_columns else []
        return bookkeeping.balance(
            tables,
            counts,
            hook.execute_sql(publishing.count_published(tables))[0],
            [bookkeeping.AuditRow.read(row) for row in hook.execute_sql(publishing.audit(tables))],
            tokens,
        )

    def _who_answers(self, hook: MaxFrameHook, run: StageRun) -> dict[str, str]:
        from airflow_provider_drivepipe.pipelines.context import who_answers

        models = run.options.models
        if not models:
            return {}
        with hook.errors():
            return who_answers(hook.odps, hook.settings.require_model_project(), models)

    def _spending(
        self, hook: MaxFrameHook, run: StageRun, tokens: Tokens, models: dict[str, str], ran: bool
    ) -> Spending | None:
        """Return what the run had from the models, None when it has none to ask."""
        if not run.tables.parts:
            return None
        # The prices are those of the models that were asked for, not of what stands in for them.
        asked = {str(stage): model for stage, model in run.options.models.items()}
        prices = self.prices if models == asked else None
        counted = hook.execute_sql(spent.count_spending(run.tables))[0] if ran else (0, 0, 0, 0)
        return spending_of(*spent.read_spending(counted), tokens, prices)

    def _failed(self, hook: MaxFrameHook, run: StageRun, books: bookkeeping.Books) -> FailureSample | None:
        """Return the first inputs that failed, None when none has."""
        if not books.failures:
            return None
        rows = hook.execute_sql(first_failed_rows(run.tables))
        return FailureSample.of_rows(run.tables, books.failures, rows)

    def _check_gate(self, books: bookkeeping.Books) -> None:
        if books.failure_rate > self.gate.max_failure_rate:
            raise DataGateError(
                f"{books.failure_rate:.1%} of the input failed, the limit is "
                f"{self.gate.max_failure_rate:.1%}: {books.failures}. The partition is published; "
                "a Clear works on the failed rows only"
            )
        waiting = books.skipped_reasons.get(Reason.BUDGET, 0)
        if books.table.ok + waiting < self.gate.min_rows:
            raise DataGateError(
                f"{books.table.ok} rows are ok, at least {self.gate.min_rows} are wanted. "
                "The partition is published"
            )
