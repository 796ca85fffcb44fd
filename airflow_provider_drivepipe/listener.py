"""Cancels the job of a deferred task that somebody marks before a triggerer watches it.

A trigger is told to cancel (``on_kill``) only when a triggerer runs it, and that takes a second or two after
the task has deferred. A task that is marked in between would leave its job behind. Airflow calls a listener
where the mark is set, in the API server.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow_provider_drivepipe.triggers.maxframe import MaxFrameJobTrigger

log = logging.getLogger(__name__)

_JOB_TRIGGER = "airflow_provider_drivepipe.triggers.maxframe.MaxFrameJobTrigger"


@hookimpl
def on_task_instance_failed(task_instance: Any) -> None:
    """Called for a task, and for every task of a run, that is marked as failed."""
    _cancel_unwatched(task_instance)


@hookimpl
def on_task_instance_success(task_instance: Any) -> None:
    """Called for a task that is marked as success."""
    _cancel_unwatched(task_instance)


@hookimpl
def on_task_instance_skipped(task_instance: Any) -> None:
    """Called for a task that is marked as skipped."""
    _cancel_unwatched(task_instance)


def _cancel_unwatched(task_instance: Any) -> None:
    trigger = _unwatched(task_instance)
    if trigger is not None:
        # The request that marks the task does not wait for MaxCompute.
        threading.Thread(target=_abandon, args=(trigger,), name="drivepipe-cancel").start()


def _unwatched(task_instance: Any) -> MaxFrameJobTrigger | None:
    """Return the trigger of a task that waits for a job and that no triggerer has taken up."""
    # In a worker, where ends of tasks are told as well, a task instance is no row of the database.
    trigger_id = getattr(task_instance, "trigger_id", None)
    if trigger_id is None:
        return None
    from airflow.models.trigger import Trigger
    from sqlalchemy.orm import object_session

    session = object_session(task_instance)
    row = session.get(Trigger, trigger_id) if session is not None else None
    if row is None or row.triggerer_id is not None or row.classpath != _JOB_TRIGGER:
        return None
    from airflow_provider_drivepipe.triggers.maxframe import MaxFrameJobTrigger

    return MaxFrameJobTrigger(**row.kwargs)


def _abandon(trigger: MaxFrameJobTrigger) -> None:
    from airflow_provider_drivepipe.exceptions import DrivepipeError

    job = trigger.job
    log.info("no triggerer watches MaxFrame job %s of session %s: cancelling it", job.dag_id, job.session_id)
    try:
        trigger.abandon()
    except DrivepipeError as error:
        log.error(
            "MaxFrame session %s was not stopped: %s. 'drivepipe sessions' stops it", job.session_id, error
        )
