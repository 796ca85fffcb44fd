"""Waits for a MaxFrame job without holding a worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_drivepipe.exceptions import DrivepipeError, TransientError
from airflow_provider_drivepipe.hooks.maxframe import Job, JobState, JobStatus, MaxFrameHook, PlannedWork
from airflow_provider_drivepipe.hooks.partition_lock import leave_partition
from airflow_provider_drivepipe.hooks.sessions import SessionTags
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables

TIMED_OUT = "timed_out"
"""State of the event when the job was still running at the deadline."""


class MaxFrameJobTrigger(BaseTrigger):
    """Fires once when the job has ended, or when the service could not be reached for too long.

    The event is ``{"state", "error", "session_id", "dag_id"}``. ``state`` is one of :class:`JobState`,
    :data:`TIMED_OUT`, or the name of the exception class with which watching ended (``TransientError`` when
    the service could not be reached for too long).

    :param first_poll_delay: seconds before the first look. Airflow 3.3 can take a task that resumes within
        seconds of deferring for a failed one, so the first look comes late.
    :param poll_interval: seconds between looks.
    :param max_unreachable: seconds of unbroken network failure after which the trigger gives up watching;
        the job itself is left alone.
    :param deadline: when to stop waiting, in seconds since the epoch.
    :param working: the working tables of the try, as values of :class:`WorkingTables`.
    :param owner: the task instance that waits, as values of :class:`SessionTags`.
    :param work: what the job is a part of, as values of :class:`PlannedWork`. What earlier jobs of the try
        have made stays for the next run.
    """

    def __init__(
        self,
        conn_id: str,
        session_id: str,
        dag_id: str,
        run_identity: str,
        first_poll_delay: float,
        poll_interval: float,
        max_unreachable: float,
        deadline: float | None,
        working: dict[str, str],
        owner: dict[str, Any],
        work: dict[str, Any],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base class has no types
        self.conn_id = conn_id
        self.job = Job(session_id, dag_id)
        self.run_identity = run_identity
        self.first_poll_delay = first_poll_delay
        self.poll_interval = poll_interval
        self.max_unreachable = max_unreachable
        self.deadline = deadline
        self.working = WorkingTables(**working)
        self.owner = SessionTags(**owner)
        self.work = PlannedWork(**work)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments; ids only, never credentials."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "conn_id": self.conn_id,
                "session_id": self.job.session_id,
                "dag_id": self.job.dag_id,
                "run_identity": self.run_identity,
                "first_poll_delay": self.first_poll_delay,
                "poll_interval": self.poll_interval,
                "max_unreachable": self.max_unreachable,
                "deadline": self.deadline,
                "working": asdict(self.working),
                "owner": asdict(self.owner),
                "work": asdict(self.work),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the job has ended."""
        await asyncio.sleep(self.first_poll_delay)
        hook = self._hook()
        last_answer = time.monotonic()
        progress = -1.0
        while True:
            try:
                status = await asyncio.to_thread(hook.status, self.job)
            except TransientError as error:
                self.log.warning("MaxFrame job %s: %s; watching on", self.job.dag_id, error)
                if time.monotonic() - last_answer > self.max_unreachable:
                    yield self._event(TransientError.__name__, str(error))
                    return
            except DrivepipeError as error:
                yield self._event(type(error).__name__, str(error))
                return
            else:
                last_answer = time.monotonic()
                if status.state is not JobState.RUNNING:
                    yield self._event(status.state, status.error)
                    return
                progress = self._log_progress(status, progress)
            if self.deadline is not None and time.time() > self.deadline:
                yield self._event(TIMED_OUT, "still running at the task's execution_timeout")
                return
            await asyncio.sleep(self.poll_interval)

    async def on_kill(self) -> None:
        """Cancel the job, stop its session, leave the partition: the task was cleared, or failed by hand."""
        self.log.info("cancelling MaxFrame job %s of session %s", self.job.dag_id, self.job.session_id)
        await asyncio.to_thread(self.abandon)

    def abandon(self) -> None:
        """Cancel the job, stop its session, leave the partition. Raises DrivepipeError."""
        hook = self._hook()
        hook.cancel(self.job)
        leave_partition(hook, self.working, self.owner, drop=not self.work.wave)

    def _hook(self) -> MaxFrameHook:
        return MaxFrameHook(self.conn_id, run_identity=self.run_identity)

    def _event(self, state: str, error: str) -> TriggerEvent:
        return TriggerEvent(
            {
                "state": str(state),
                "error": error,
                "session_id": self.job.session_id,
                "dag_id": self.job.dag_id,
            }
        )

    def _log_progress(self, status: JobStatus, before: float) -> float:
        if status.progress > before:
            self.log.info("MaxFrame job %s: %s", self.job.dag_id, self.work.done(status.progress))
        return status.progress
