"""MaxFrameHook: submit, watch, cancel and re-attach to MaxFrame jobs, each as a call of its own.

The SDK's public API keeps a job tied to the process that submitted it. This module is the only one that uses
the SDK's lower layer, which is why ``maxframe`` is pinned to one minor version.
"""

from __future__ import annotations

import contextvars
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.exceptions import RemoteJobError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook, check_python
from airflow_provider_drivepipe.hooks.sessions import (
    Session,
    SessionTags,
    installation,
    read_tags,
    tag_settings,
)

if TYPE_CHECKING:
    from maxframe.protocol import DagInfo, ErrorInfo
    from maxframe_client.session.task import MaxFrameInstanceCaller
    from odps.models import Instance

__all__ = ["Job", "JobState", "JobStatus", "MaxFrameHook", "PlannedWork", "Session", "SessionTags"]

_TASK_NAME = "AnonymousMaxFrameTask"
_MAX_MESSAGE = 2000
_LOOK_BACK = timedelta(days=7)
"""How old a live session can be: more than twice the SDK's ``session.max_alive_seconds``, 3 days."""
_MAX_INSTANCES = 1000
"""Most running instances that are looked at, one request each, in search of sessions."""
_PARALLEL_READS = 8
_POLL_SECONDS = 0.5


class JobState(StrEnum):
    """Where a MaxFrame job stands. ``LOST`` means that the service no longer knows it."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True)
class Job:
    """Identity of a submitted MaxFrame DAG; enough to watch or cancel it from any process."""

    session_id: str
    dag_id: str


@dataclass(frozen=True)
class JobStatus:
    """One look at a job. ``progress`` is 0 to 1; ``error`` is the remote error's text, if any."""

    state: JobState
    progress: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class PlannedWork:
    """What the jobs of a run have to do, and which of them is under way.

    :param units: how many input units or rows all jobs work on.
    :param unit: what one of them is called.
    :param wave: which job it is, from 0.
    :param waves: how many there are.
    :param started: when the first of them began, in seconds since the epoch.
    """

    units: int
    unit: str
    wave: int
    waves: int
    started: float

    def done(self, share: float) -> str:
        """Return how far the work is, for people: MaxFrame tells no more than a share of the job."""
        waves = self.wave + share
        text = f"about {round(self.units * waves / self.waves):,} of {self.units:,} {self.unit}s"
        if self.waves > 1:
            text += f", wave {self.wave + 1} of {self.waves}"
        if self.wave:
            left = (time.time() - self.started) / waves * (self.waves - waves)
            text += f", about {max(1, round(left / 60))} min left"
        return text


class MaxFrameHook(DrivepipeHook):
    """A DrivepipeHook that runs MaxFrame jobs."""

    def open_session(self, tags: SessionTags | None = None, splits: Mapping[str, int] | None = None) -> str:
        """Start a MaxFrame session and return its id.

        :param tags: the task instance that the session is opened for. Without them, the session is not found
            by :meth:`list_sessions`.
        :param splits: into how many splits a table is read, by its name; else there is one for each 256 MB.

        Raises ConfigurationError when this Python cannot ship functions to DPE.
        """
        from maxframe.config import options
        from maxframe_client.session.task import MaxFrameInstanceCaller

        check_python(self.settings)
        options.dag.settings = {"engine_order": ["DPE", "MCSQL"]}
        options.sql.enable_mcqa = False
        settings = tag_settings(tags, installation()) if tags else {}
        with self.errors(), self.session_options(), _split(splits or {}), _task_settings(settings):
            caller = MaxFrameInstanceCaller(self.odps)
            try:
                return str(caller.create_session().session_id)
            except BaseException:
                # It may have been created, but not have become ready in time.
                if caller.instance is not None:
                    self.stop_session(str(caller.instance.id))
                raise

    @contextmanager
    def session_options(self) -> Iterator[None]:
        """Set what the connection says of sessions, for the calls inside: the quota of AI functions.

        Needed where graphs are built too: the SDK notes the quota in each call of a model. Not by the SDK's
        ``option_context``, inside of which a new session is told of no option at all.
        """
        from maxframe.config import options

        before = options.session.inference_quota_name
        options.session.inference_quota_name = self.settings.require_maxcompute().inference_quota
        try:
            yield
        finally:
            options.session.inference_quota_name = before

    def submit(self, session_id: str, outputs: Sequence[Any]) -> Job:
        """Submit lazy MaxFrame objects (``md.to_odps_table(...)``) as one DAG; do not wait for it."""
        from maxframe_client.session.graph import gen_submit_tileable_graph

        tileables = [getattr(output, "data", output) for output in outputs]
        graph, _ = gen_submit_tileable_graph(None, tileables, {})
        with self.errors():
            session = self._attach(session_id)
            # Of a submission whose answer is lost, pyodps would make a second job, which pays again.
            session.instance._client = session.instance._client.with_retry_enabled(False)
            info = session.submit_dag(graph, {}, {})
        return Job(session_id, str(info.dag_id))

    def run_job(self, session_id: str, outputs: Sequence[Any]) -> None:
        """Submit a job and wait here for its end. Raises RemoteJobError unless it succeeds."""
        job = self.submit(session_id, outputs)
        while (status := self.status(job)).state is JobState.RUNNING:
            time.sleep(_POLL_SECONDS)
        if status.state is not JobState.SUCCEEDED:
            raise RemoteJobError(f"MaxFrame job {job.dag_id} {status.state}: {status.error or 'no message'}")

    def status(self, job: Job) -> JobStatus:
        """Look at a job once. Network errors raise TransientError; a vanished job is ``LOST``."""
        from maxframe.errors import SessionAlreadyClosedError
        from odps.errors import NoSuchObject

        with self.errors():
            try:
                info = self._attach(job.session_id).get_dag_info(job.dag_id)
            except (NoSuchObject, SessionAlreadyClosedError) as error:
                return JobStatus(JobState.LOST, error=f"session {job.session_id} is closed: {error}")
        if info is None:
            return JobStatus(JobState.LOST, error=f"session {job.session_id} has no job {job.dag_id}")
        return _job_status(info)

    def cancel(self, job: Job) -> None:
        """Cancel a job and stop its session. Doing it twice, or to a session that is gone, is no error."""
        from maxframe.errors import SessionAlreadyClosedError
        from odps.errors import NoSuchObject

        with self.errors():
            try:
                self._attach(job.session_id).cancel_dag(job.dag_id)
            except (NoSuchObject, SessionAlreadyClosedError):
                self.log.info("MaxFrame session %s is closed already", job.session_id)
                return
        self.stop_session(job.session_id)

    def stop_session(self, session_id: str) -> None:
        """Stop a session with everything in it; one that has ended already is no error."""
        from odps.errors import InvalidStateSetting, NoSuchObject

        with self.errors():
            try:
                self.odps.stop_instance(session_id)
            except (InvalidStateSetting, NoSuchObject):
                self.log.info("MaxFrame session %s has ended already", session_id)

    def list_sessions(self) -> list[Session]:
        """Return the live sessions that this package opened under the connection's access key, oldest first.

        Costs a request for each page of the access key's running instances and one for each of those.
        """
        since = datetime.now(UTC) - _LOOK_BACK
        with self.errors():
            running = self.odps.list_instances(
                status="Running", only_owner=True, start_time=int(since.timestamp())
            )
            instances = list(islice(running, _MAX_INSTANCES))
            if len(instances) == _MAX_INSTANCES:
                self.log.warning("more than %d instances run; older sessions are not seen", _MAX_INSTANCES)
            with ThreadPoolExecutor(_PARALLEL_READS, thread_name_prefix="sessions") as pool:
                # pyodps keeps its options in context variables.
                reads = [pool.submit(contextvars.copy_context().run, _read_session, i) for i in instances]
                sessions = [session for read in reads if (session := read.result()) is not None]
        # Ids begin with the time of their creation.
        return sorted(sessions, key=lambda session: session.session_id)

    def stop_sessions(self, unneeded: Callable[[SessionTags], bool]) -> list[str]:
        """Stop the live sessions of this Airflow that nobody needs; return their ids.

        :param unneeded: says so of the task instance that a session was opened for.
        """
        here = installation()
        stopped = []
        for session in self.list_sessions():
            if session.installation == here and unneeded(session.tags):
                self.log.info(
                    "stopping session %s, left behind by %s", session.session_id, session.tags.text()
                )
                self.stop_session(session.session_id)
                stopped.append(session.session_id)
        return stopped

    def session_jobs(self, session_id: str) -> dict[str, JobStatus]:
        """Return the jobs of a session by their ids; none when the session has ended."""
        from maxframe.errors import SessionAlreadyClosedError
        from odps.errors import NoSuchObject

        with self.errors():
            try:
                jobs = self._attach(session_id).get_session().dag_infos
            except (NoSuchObject, SessionAlreadyClosedError):
                return {}
        return {str(dag_id): _job_status(info) for dag_id, info in (jobs or {}).items()}

    def logview(self, job: Job, hours: int = 72) -> str:
        """Return the LogView address of a job, valid for so many hours."""
        with self.errors():
            return str(self._attach(job.session_id).get_logview_address(job.dag_id, hours))

    def _attach(self, session_id: str) -> MaxFrameInstanceCaller:
        from maxframe_client.session.task import MaxFrameInstanceCaller

        return MaxFrameInstanceCaller(self.odps, task_name=_TASK_NAME, nested_instance_id=session_id)


@contextmanager
def _split(splits: Mapping[str, int]) -> Iterator[None]:
    """Have sessions that are opened inside read tables in so many splits."""
    from maxframe.config import options

    before = options.sql.settings
    if splits:
        options.sql.settings = {**before, "odps.sql.split.dop": json.dumps(splits)}
    try:
        yield
    finally:
        options.sql.settings = before


@contextmanager
def _task_settings(settings: dict[str, str]) -> Iterator[None]:
    """Add settings to each task that is submitted inside, in this thread only."""
    from odps.config import option_context

    with option_context() as options:
        options.default_task_settings = {**(options.default_task_settings or {}), **settings}
        yield


def _read_session(instance: Instance) -> Session | None:
    """Return what a running instance says of itself; None when it is no session of ours, or has gone."""
    from odps.errors import NoSuchObject
    from odps.models import MaxFrameTask

    try:
        tasks = instance.tasks
    except NoSuchObject:
        return None
    for task in tasks:
        found = read_tags((task.properties or {}).get("settings")) if isinstance(task, MaxFrameTask) else None
        if found:
            tags, opened_by = found
            # pyodps gives times of this machine's zone, without saying so.
            started = instance.start_time.astimezone(UTC) if instance.start_time else None
            return Session(str(instance.id), tags, opened_by, started, str(instance.owner or ""))
    return None


def _job_status(info: DagInfo) -> JobStatus:
    from maxframe.protocol import ExecutionStatus

    states = {
        ExecutionStatus.SUCCEEDED: JobState.SUCCEEDED,
        ExecutionStatus.FAILED: JobState.FAILED,
        ExecutionStatus.CANCELLED: JobState.CANCELLED,
    }
    state = states.get(info.status, JobState.RUNNING)
    return JobStatus(state, float(info.progress or 0.0), _error_text(info.error_info))


def _error_text(error: ErrorInfo | None) -> str:
    if error is None:
        return ""
    lines = [error.displayed_error_message] if error.displayed_error_message else error.error_messages
    return "\n".join(lines or ["no message"])[:_MAX_MESSAGE]
