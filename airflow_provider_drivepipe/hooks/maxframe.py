"""MaxFrameHook: submit, watch, cancel and re-attach to MaxFrame jobs, each as a call of its own.

The SDK's public API keeps a job tied to the process that submitted it. This module is the only one that uses
the SDK's lower layer, which is why ``maxframe`` is pinned to one minor version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook, check_python
from airflow_provider_drivepipe.hooks.sessions import SessionTags

if TYPE_CHECKING:
    from maxframe.protocol import DagInfo, ErrorInfo
    from maxframe_client.session.task import MaxFrameInstanceCaller

__all__ = ["Job", "JobState", "JobStatus", "MaxFrameHook", "SessionTags"]

_TASK_NAME = "AnonymousMaxFrameTask"
_MAX_MESSAGE = 2000


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


class MaxFrameHook(DrivepipeHook):
    """A DrivepipeHook that runs MaxFrame jobs."""

    def open_session(self, tags: SessionTags | None = None) -> str:  # noqa: ARG002  (stored next)
        """Start a MaxFrame session and return its id.

        :param tags: the task instance that the session is opened for.

        Raises ConfigurationError when this Python cannot ship functions to DPE.
        """
        from maxframe.config import options
        from maxframe_client.session.task import MaxFrameInstanceCaller

        check_python(self.settings)
        options.dag.settings = {"engine_order": ["DPE", "MCSQL"]}
        options.sql.enable_mcqa = False
        with self.errors():
            caller = MaxFrameInstanceCaller(self.odps)
            return str(caller.create_session().session_id)

    def submit(self, session_id: str, outputs: Sequence[Any]) -> Job:
        """Submit lazy MaxFrame objects (``md.to_odps_table(...)``) as one DAG; do not wait for it."""
        from maxframe_client.session.graph import gen_submit_tileable_graph

        tileables = [getattr(output, "data", output) for output in outputs]
        graph, _ = gen_submit_tileable_graph(None, tileables, {})
        with self.errors():
            info = self._attach(session_id).submit_dag(graph, {}, {})
        return Job(session_id, str(info.dag_id))

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

    def logview(self, job: Job, hours: int = 72) -> str:
        """Return the LogView address of a job, valid for so many hours."""
        with self.errors():
            return str(self._attach(job.session_id).get_logview_address(job.dag_id, hours))

    def _attach(self, session_id: str) -> MaxFrameInstanceCaller:
        from maxframe_client.session.task import MaxFrameInstanceCaller

        return MaxFrameInstanceCaller(self.odps, task_name=_TASK_NAME, nested_instance_id=session_id)


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
