"""Runs the stages of a task over one partition on MaxFrame; durable across retries, paid once."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf

from airflow_provider_drivepipe import exceptions
from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    DataGateError,
    PartitionShrinksError,
    RemoteJobCancelled,
    RemoteJobError,
    RemoteJobTimeout,
    TransientError,
    UnbalancedCountsError,
)
from airflow_provider_drivepipe.hooks.maxframe import JobState, JobStatus, MaxFrameHook
from airflow_provider_drivepipe.hooks.old_pictures import delete_folders, obsolete_folders
from airflow_provider_drivepipe.hooks.partition_lock import (
    drop_tables,
    is_alive,
    leave_partition,
    same_task,
    tags_of,
    take_partition,
)
from airflow_provider_drivepipe.hooks.sessions import SessionTags
from airflow_provider_drivepipe.lifecycle.publishing import WorkCounts
from airflow_provider_drivepipe.lifecycle.stage_run import Audit, StageRun, Task, check_gate
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables
from airflow_provider_drivepipe.lineage import Data
from airflow_provider_drivepipe.links.logview import LogViewLink
from airflow_provider_drivepipe.links.report import ReportLink
from airflow_provider_drivepipe.operators.base import PartitionOperator, names
from airflow_provider_drivepipe.operators.job_record import (
    JobRecord,
    RunMark,
    has_mark,
    load_record,
    set_mark,
    store_record,
)
from airflow_provider_drivepipe.operators.report import skip_downstream
from airflow_provider_drivepipe.scenario.options import (
    PriceOptions,
    Reprocess,
    SelectionOptions,
    TableOptions,
)
from airflow_provider_drivepipe.scenario.run_params import read_params
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.source import Source
from airflow_provider_drivepipe.stages.stage import RowStage, Stage, UnitStage
from airflow_provider_drivepipe.triggers import FIRST_POLL_DELAY
from airflow_provider_drivepipe.triggers.maxframe import TIMED_OUT, MaxFrameJobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


_FIRST_PAUSE = 0.5
"""Seconds between the first two looks at a job from the worker; the pauses grow to ``poll_interval``."""
_LONGER_PAUSE = 1.5
BEFORE_DEFERRING = 4.0
"""Seconds for which a task that defers looks itself: Airflow lets none resume right after deferring."""
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_]*")


class MaxFrameStageOperator(PartitionOperator):
    """Runs ``stages`` over one partition of ``source_table`` and publishes it in ``output_table``.

    Work goes in waves, each a MaxFrame job of its own. What ends a job early loses that wave alone: the next
    try keeps what is there. Params of the run take precedence over what the operator was built with.

    :param stages: what is done, in order: at most one stage that makes rows of units comes first.
    :param source_table: partitioned input table.
    :param source: instead of a table, a query that gathers units, see :class:`Source`.
    :param unit_key: columns that tell the rows of the input apart, where they are not those of images.
    :param prompt: prompt of the only stage that has one, as a template.
    :param image_root: full OSS URI; images may be at its endpoint too.
    :param selection: which input units are worked on.
    :param prices: what models cost, for the report.
    :param deferrable: wait in the triggerer, or in the worker; unless given, as ``[operators]
        default_deferrable`` says.
    :param poll_interval: seconds between looks at the job; the worker looks sooner at first, and a task
        defers only when its job takes more than a few seconds.
    :param max_unreachable: seconds without an answer after which the task fails with a TransientError; the
        job goes on, and the next try attaches to it.
    """

    template_fields: Sequence[str] = (*PartitionOperator.template_fields, "source_table", "prompt")
    operator_extra_links = (LogViewLink(), ReportLink())
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        stages: Sequence[Stage],
        source_table: str = "",
        source: Source | None = None,
        unit_key: str | Sequence[str] = (),
        prompt: str | None = None,
        image_root: str | None = None,
        selection: SelectionOptions | None = None,
        prices: PriceOptions | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5.0,
        max_unreachable: float = 60.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if bool(source_table) == (source is not None):
            raise ValueError(f"{type(self).__name__} reads either source_table or source")
        _check_order(stages)
        if prompt is not None and sum(isinstance(stage, Generate) for stage in stages) != 1:
            raise ValueError("prompt= is for tasks with one prompt; give stages their prompts instead")
        self.stages = tuple(stages)
        self.source_table = source_table
        self.source = source
        self.unit_key = names(unit_key)
        self.prompt = prompt
        self.image_root = image_root
        self.selection = selection or SelectionOptions()
        self.prices = prices
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_unreachable = max_unreachable
        self._hook: MaxFrameHook | None = None
        self._run: StageRun | None = None
        self._owner: SessionTags | None = None
        self._record: JobRecord | None = None
        self.logview: str | None = None
        """Address of the job's LogView page, once this process knows it."""

    @property
    def has_job(self) -> bool:
        """Whether this process has submitted a job or goes on with one."""
        return self._record is not None and bool(self._record.dag_id)

    @property
    def stage_name(self) -> str:
        """What the task is called in reports."""
        first = self.stages[0]
        return first.with_parts if isinstance(first, UnitStage) and len(self.stages) > 1 else first.name

    def source_tables(self) -> Sequence[str]:
        """Return the input table, or those that are gathered."""
        return (self.source or Source.of_table(self.source_table)).tables

    def lineage_outputs(self) -> Sequence[Data]:
        """Return the table, and the folder of pictures where there is one."""
        first = self.wanted_stages()[0]
        place = first.pictures_below() if isinstance(first, UnitStage) else None
        return [*super().lineage_outputs(), *([Data.of_folder(place.root, place.prefix)] if place else [])]

    def add_models(self, stages: Sequence[RowStage], prompt: str | None) -> None:
        """Add stages behind those that there are; for constructors."""
        self.stages = (*self.stages, *stages)
        self.prompt = prompt

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
            record = replace(record, deadline=self._deadline())
            store_record(context, record)
            self._take_partition(context, hook, run)
            return self._wait(context, hook, run, record)
        if status.state is JobState.SUCCEEDED:
            self._take_partition(context, hook, run)
            return self._next(context, hook, run, record)
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
            return self._next(context, hook, run, record)
        if event["state"] == TIMED_OUT:
            hook.cancel(record.job)
            return self._fail(context, hook, run, record, event["state"], event["error"])
        watching_failed = getattr(exceptions, event["state"], None)
        if watching_failed is not None:
            raise watching_failed(f"{event['error']}. The job is left alone; the next try attaches to it")
        return self._fail(context, hook, run, record, event["state"], event["error"])

    def on_kill(self) -> None:
        """Cancel the job that this process submitted or waits for; what earlier jobs made stays."""
        hook, run, record = self._hook, self._run, self._record
        if hook is None or run is None or self._owner is None:
            return
        if record is not None and record.dag_id:
            self.log.info("cancelling MaxFrame job %s", record.dag_id)
            hook.cancel(record.job)
        elif record is not None:
            hook.stop_session(record.session_id)
        # The next run of the partition keeps what waves have made that ended before this one.
        ended = record.wave if record is not None else run.attached
        leave_partition(hook, run.tables.working, self._owner, drop=not ended)

    # Before the job.

    def _make_hook(self, context: Context) -> MaxFrameHook:
        ti = context["ti"]
        self._hook = MaxFrameHook(self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}")
        return self._hook

    def _resolve(self, context: Context, hook: MaxFrameHook, working: str | None = None) -> StageRun:
        """Return the run; ``working`` takes over the working tables of an earlier try."""
        partition = self.owned_partition(context)
        self._owner = owner = tags_of(context)
        tables = WorkingTables.of(self.output_table, partition, "/".join(map(str, asdict(owner).values())))
        if working is not None:
            tables = replace(tables, owner=working)
        try:
            params, stages = read_params(context["params"], self.wanted_stages())
        except ValueError as error:
            raise ConfigurationError(f"this run's params do not fit: {error}") from error
        chosen = params.selection(self.selection)
        if chosen.reprocess is Reprocess.ALL and has_mark(context, RunMark.REPROCESSED):
            self.log.info("this run has recomputed everything already; only what is not ok is done again")
            chosen = replace(chosen, reprocess=Reprocess.CHANGED)
        # Beyond a limit, published rows stay; whoever goes on with kept rows does not see them.
        goes_on = chosen.limit is None and has_mark(context, RunMark.KEPT_WAVES)
        self._run = run = StageRun(
            hook,
            Task(
                self.scenario or context["ti"].dag_id,
                self.stage_name,
                self.stages,
                self.source or Source.of_table(self.source_table),
                TableOptions(self.output_table, lifecycle_days=self.lifecycle_days),
                partition.columns,
                self.gate,
                self.prices,
                self.unit_key,
                self.image_root,
            ),
            partition,
            params,
            stages,
            chosen,
            tables,
            attached=working is not None,
            resumes_all=chosen.reprocess is Reprocess.ALL and goes_on,
        )
        return run

    def wanted_stages(self) -> tuple[Stage, ...]:
        """Return the stages, with the prompt as its template has become."""
        if self.prompt is None:
            return self.stages
        prompted = next(stage for stage in self.stages if isinstance(stage, Generate))
        return tuple(replace(s, prompt=self.prompt) if s is prompted else s for s in self.stages)

    def _take_partition(self, context: Context, hook: MaxFrameHook, run: StageRun) -> bool:
        """Own the partition, or wait for it; take over what dead tasks left: sessions, work that ended.

        Returns whether there was such work.
        """
        assert self._owner is not None
        before, any_kept = load_record(context), False
        dead, left = take_partition(context, hook, run.tables.working, self._owner)
        if dead is not None:
            hook.stop_sessions(lambda tags: same_task(tags, dead))
        for working in run.tables.working.others(left):
            kept = run.keep_ended_waves(working, recalls=working.earlier in left)
            if kept:
                self.log.info("kept the results of %d jobs of a try that ended early", kept)
                any_kept = True
                if before is not None and before.working == working.owner:
                    set_mark(context, RunMark.KEPT_WAVES)
        drop_tables(hook, left)
        return any_kept

    def _start(self, context: Context, hook: MaxFrameHook, run: StageRun) -> dict[str, Any]:
        assert self._owner is not None
        owner = self._owner
        if self.later_models:
            hook.require_models(self.later_models)
        if self._take_partition(context, hook, run):
            run = self._resolve(context, hook)
        hook.stop_sessions(lambda tags: self._is_left_over(context, owner, tags))
        record = None
        try:
            run.ensure_output()
            unchanged = run.look()
            if unchanged is None:
                counts = run.select()
                record = self._submit(context, hook, run, counts, None) if counts.anything else None
        except BaseException:
            leave_partition(hook, run.tables.working, owner)
            raise
        if unchanged is not None:
            return self._report(context, hook, run, unchanged, None, changed=False)
        if record is None:
            return self._finish(context, hook, run, None)
        return self._wait(context, hook, run, record)

    @staticmethod
    def _is_left_over(context: Context, owner: SessionTags, other: SessionTags) -> bool:
        """Whether a session is this task's, from an earlier try, or from a run that has ended or is gone."""
        if (other.dag_id, other.task_id) != (owner.dag_id, owner.task_id):
            return False
        return same_task(other, owner) or not is_alive(context, other)

    def _submit(
        self,
        context: Context,
        hook: MaxFrameHook,
        run: StageRun,
        counts: WorkCounts,
        before: JobRecord | None,
    ) -> JobRecord:
        """Submit the next wave, in the session of the wave before where there is one."""
        assert self._owner is not None
        wave = before.wave + 1 if before else 0
        sink = run.sink(counts, wave)
        if before is None:
            record = JobRecord(
                hook.open_session(self._owner, run.splits),
                "",
                self._owner.try_number,
                time.time(),
                run.tables.working.owner,
                waves=counts.waves,
                rows=counts.run + counts.todo,
                unit=run.unit_of_work(counts),
                made_with=run.wanted.text(),
                deadline=self._deadline(),
            )
        else:
            record = replace(before, dag_id="", try_number=self._owner.try_number, wave=wave)
        session_id = record.session_id
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
        done = record.work.done(0.0)
        self.log.info("submitted MaxFrame job %s in session %s: %s", job.dag_id, session_id, done)
        return record

    # While the job runs.

    def _deadline(self) -> float | None:
        """When a try that begins to wait now has waited too long."""
        return time.time() + self.execution_timeout.total_seconds() if self.execution_timeout else None

    def _wait(self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord) -> dict[str, Any]:
        """Wait for a job and go on behind it."""
        status = self._poll(context, hook, run, record)
        if status.state is not JobState.SUCCEEDED:
            return self._fail(context, hook, run, record, status.state, status.error)
        return self._next(context, hook, run, record)

    def _poll(self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord) -> JobStatus:
        """Return how a job has ended; a task that defers goes on in ``execute_complete`` instead."""
        self._record = record
        self.logview = hook.logview(record.job)
        context["ti"].xcom_push(key=LogViewLink().xcom_key, value=self.logview)
        self.log.info("LogView: %s", self.logview)
        assert self._owner is not None
        status = self._until_ended(hook, record, BEFORE_DEFERRING if self.deferrable else math.inf)
        if status is None:
            self.defer(
                trigger=MaxFrameJobTrigger(
                    conn_id=self.conn_id,
                    session_id=record.session_id,
                    dag_id=record.dag_id,
                    run_identity=hook.run_identity,
                    first_poll_delay=FIRST_POLL_DELAY,
                    poll_interval=self.poll_interval,
                    max_unreachable=self.max_unreachable,
                    deadline=record.deadline,
                    working=asdict(run.tables.working),
                    owner=asdict(self._owner),
                    work=asdict(record.work),
                ),
                method_name="execute_complete",
            )
        return status

    def _until_ended(self, hook: MaxFrameHook, record: JobRecord, limit: float) -> JobStatus | None:
        """Return how a job has ended; None when it has not after ``limit`` seconds."""
        began = last_answer = time.monotonic()
        pause = min(_FIRST_PAUSE, self.poll_interval)
        while time.monotonic() - began < limit:
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
                if status.state is not JobState.RUNNING:
                    return status
                self.log.info("MaxFrame job %s: %s", record.dag_id, record.work.done(status.progress))
            time.sleep(pause)
            pause = min(pause * _LONGER_PAUSE, self.poll_interval)
        return None

    def _next(self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord) -> dict[str, Any]:
        """Go on after a job that succeeded: with the next waves, then with the end."""
        while record.wave + 1 < record.waves:
            if record.made_with != run.wanted.text():
                self.log.info("the task has been edited since its first job; starting again with what is new")
                self._give_up(context, hook, run, record)
                return self._start(context, hook, self._resolve(context, hook))
            try:
                record = self._submit(context, hook, run, run.counts(), record)
            except BaseException:
                self._give_up(context, hook, run, record)
                raise
            status = self._poll(context, hook, run, record)
            if status.state is not JobState.SUCCEEDED:
                return self._fail(context, hook, run, record, status.state, status.error)
        return self._finish(context, hook, run, record)

    # After the jobs.

    def _fail(
        self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord, state: str, error: str
    ) -> dict[str, Any]:
        """Clean up after a job that did not succeed and raise its error."""
        self.logview = hook.logview(record.job)
        counts = run.counts_so_far()
        self._give_up(context, hook, run, record)
        error_class = {JobState.CANCELLED: RemoteJobCancelled, TIMED_OUT: RemoteJobTimeout}.get(
            state, RemoteJobError
        )
        raise error_class(
            f"MaxFrame job {record.dag_id} of session {record.session_id} {state}: {error or 'no message'}\n"
            f"{counts}\nLogView: {self.logview}"
        )

    def _give_up(
        self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord | None, keep: bool = True
    ) -> None:
        """Leave the partition; keep what waves have made that ended."""
        assert self._owner is not None
        if record is not None:
            store_record(context, record, done=True)
            hook.stop_session(record.session_id)
            if keep and record.waves > 1 and run.keep_ended_waves():
                set_mark(context, RunMark.KEPT_WAVES)
        leave_partition(hook, run.tables.working, self._owner)

    def _finish(
        self, context: Context, hook: MaxFrameHook, run: StageRun, record: JobRecord | None
    ) -> dict[str, Any]:
        """Audit, publish, clean up; then report."""
        assert self._owner is not None
        ran = record is not None
        try:
            audit = run.audit(ran)
        except PartitionShrinksError:
            if ran and run.tables.parts and run.chosen.reprocess is Reprocess.ALL:
                set_mark(context, RunMark.REPROCESSED)
            self._give_up(context, hook, run, record, keep=False)
            raise
        except UnbalancedCountsError:
            self._give_up(context, hook, run, record, keep=False)
            raise
        pictures = run.pictures
        obsolete = obsolete_folders(hook, run.tables, pictures) if pictures else []
        run.publish(audit.counts)
        if pictures:
            delete_folders(hook, pictures, obsolete)
        if run.chosen.reprocess is Reprocess.ALL or run.resumes_all:
            set_mark(context, RunMark.REPROCESSED)
        if record is not None:
            self.logview = hook.logview(record.job)
            hook.stop_session(record.session_id)
            store_record(context, record, done=True)
        self._record = None
        return self._report(context, hook, run, audit, record)

    def _report(
        self,
        context: Context,
        hook: MaxFrameHook,
        run: StageRun,
        audit: Audit,
        record: JobRecord | None,
        changed: bool = True,
    ) -> dict[str, Any]:
        """Report, leave the partition; then let the gate speak."""
        assert self._owner is not None
        report, failed = run.report(
            audit,
            seconds=round(time.time() - record.started, 3) if record else 0.0,
            session_id=record.session_id if record else None,
            logview=self.logview,
        )
        leave_partition(hook, run.tables.working, self._owner)
        self.publish_report(context, report, failed, run.partition, changed)
        try:
            check_gate(audit.found, self.gate)
        except DataGateError:
            # The tasks behind will not run, so none of them writes it.
            if not self.wrote_report:
                self.write_report(context, report, run.partition)
            raise
        if not run.task.source.selects:
            skip_downstream(self, report, run.params)
        return report.to_json()


def _check_order(stages: Sequence[Stage]) -> None:
    """Raise ValueError unless the stages can be run one after the other."""
    order = [stage.name for stage in stages]
    if not stages:
        raise ValueError("a task needs a stage")
    for name in order:
        if not _STAGE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot start names of columns: use lower-case letters, digits, _")
    twice = sorted({name for name in order if order.count(name) > 1})
    if twice:
        raise ValueError(f"stages {', '.join(twice)} stand twice in one task")
    for place, stage in enumerate(stages):
        if isinstance(stage, UnitStage) and place:
            raise ValueError(f"stage {stage.name} makes rows of units, so it comes first")
        if isinstance(stage, RowStage):
            for needed in stage.part().needs:
                if needed in order[place:]:
                    raise ValueError(f"stage {stage.name} needs {needed}, so it comes after it")
