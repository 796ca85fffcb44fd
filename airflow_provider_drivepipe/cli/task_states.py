"""Asks Airflow whether the tasks that opened sessions still need them.

Reads Airflow's metadata database, as the ``airflow`` command does, so it works where that command does:
beside the scheduler or the API server, not on a worker.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.hooks.sessions import Session, SessionTags, installation

TaskKey = tuple[str, str, str, int]
"""DAG id, run id, task id and map index."""


@dataclass(frozen=True)
class Verdict:
    """Whether a session has no task that needs it (None: cannot be told), and how that is known."""

    orphan: bool | None
    why: str


def judge(sessions: Iterable[Session]) -> dict[str, Verdict]:
    """Return a verdict for each session, by its id. Raises CommandError when there is no database to ask.

    A try number proves nothing: a later try takes over the session of an earlier one.
    """
    here = installation()
    verdicts = {}
    own = []
    for session in sessions:
        if session.installation == here:
            own.append(session)
        else:
            verdicts[session.session_id] = Verdict(None, _other_airflow(session.installation, here))
    dags, tasks = _ask({_key(session.tags) for session in own}) if own else (set(), {})
    for session in own:
        known = session.tags.dag_id in dags
        verdicts[session.session_id] = (
            _verdict(tasks.get(_key(session.tags)))
            if known
            else Verdict(None, f"this Airflow has no DAG {session.tags.dag_id!r}")
        )
    return verdicts


def _verdict(task: tuple[str | None, int] | None) -> Verdict:
    from airflow.utils.state import State

    if task is None:
        return Verdict(True, "no such task instance")
    state, try_number = task
    return Verdict(state not in State.unfinished, f"{state or 'to be scheduled'}, try {try_number}")


def _other_airflow(opened_by: str, here: str) -> str:
    return (
        f"opened by the Airflow at {opened_by or 'an address that it was not told'}, "
        f"this one's [api] base_url is {here or 'not set'}"
    )


def _ask(keys: set[TaskKey]) -> tuple[set[str], dict[TaskKey, tuple[str | None, int]]]:
    """Return which of the DAGs exist, and state and try number of the task instances that exist."""
    from airflow.models.dag import DagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select, tuple_
    from sqlalchemy.exc import SQLAlchemyError

    runs = {(dag_id, run_id) for dag_id, run_id, _, _ in keys}
    try:
        with create_session() as db:
            dags = set(db.scalars(select(DagModel.dag_id).where(DagModel.dag_id.in_({d for d, _ in runs}))))
            rows = db.execute(
                select(
                    TaskInstance.dag_id,
                    TaskInstance.run_id,
                    TaskInstance.task_id,
                    TaskInstance.map_index,
                    TaskInstance.state,
                    TaskInstance.try_number,
                ).where(
                    tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(runs),
                    TaskInstance.task_id.in_({task_id for _, _, task_id, _ in keys}),
                )
            )
            tasks = {(row[0], row[1], row[2], row[3]): (row[4], row[5]) for row in rows}
    except SQLAlchemyError as error:
        raise CommandError(
            f"Airflow's database cannot be read ({type(error).__name__}). --orphans works where the "
            "'airflow' command does; elsewhere choose sessions by --dag, --run, --task or --older-than"
        ) from error
    return dags, {key: found for key, found in tasks.items() if key in keys}


def _key(tags: SessionTags) -> TaskKey:
    return tags.dag_id, tags.run_id, tags.task_id, tags.map_index
