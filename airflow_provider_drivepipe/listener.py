"""What is done where Airflow's database is at hand: in the scheduler and in the API server.

A run that has ended gets a note that says what failed, and so do its tasks: Airflow's grid marks both. A task
has no way to write notes.

The job of a deferred task that somebody marks before a triggerer watches it is cancelled. A trigger is told
to cancel (``on_kill``) only when a triggerer runs it, and that takes a second or two after the task has
deferred. A task that is marked in between would leave its job behind. Airflow calls a listener where the mark
is set, in the API server.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl

from airflow_provider_drivepipe.lifecycle.failures import XCOM_KEY, is_our_note, run_note, task_note

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


@hookimpl
def on_dag_run_success(dag_run: Any) -> None:
    """Called for a run whose tasks have ended well."""
    _note_failures(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any) -> None:
    """Called for a run with a failed task, and for one that is marked as failed."""
    _note_failures(dag_run)


def _note_failures(dag_run: Any) -> None:
    """Write what failed into the notes of a run and its tasks; what a person wrote there stays."""
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    if session is not None:
        _write_notes(dag_run, session)
        return
    # 'airflow dags test' hands over a run that belongs to no session.
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        _write_notes(session.get_one(DagRun, dag_run.id), session)


def _write_notes(dag_run: Any, session: Any) -> None:
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    of_run = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id}
    found = session.scalars(select(XComModel).filter_by(key=XCOM_KEY, **of_run))
    samples = {(each.task_id, each.map_index): XComModel.deserialize_value(each) for each in found}
    if not samples and not is_our_note(dag_run.note):
        return
    for task in session.scalars(select(TaskInstance).filter_by(**of_run)):
        sample = samples.get((task.task_id, task.map_index))
        _set_note(task, "task_instance_note", task_note(sample) if sample else None)
    named = {task_id if index < 0 else f"{task_id}[{index}]": s for (task_id, index), s in samples.items()}
    _set_note(dag_run, "dag_run_note", run_note(named) if named else None)


def _set_note(row: Any, relation: str, text: str | None) -> None:
    """Set, replace or remove the note of a run or a task, unless a person wrote it."""
    note = getattr(row, relation)
    if note is not None and not is_our_note(note.content):
        return
    if text is None:
        setattr(row, relation, None)
    else:
        row.note = text


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
