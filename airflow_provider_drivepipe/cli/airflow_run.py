"""Run one DAG once in this process, with triggers in line, and write what came of it as JSON.

Started by ``drivepipe demo`` as a process of its own, in a prepared Airflow environment. Logs go to standard
output as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a DAG; return 0 when it succeeded, 1 when it failed, 3 when there is no such DAG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dag-id", required=True)
    parser.add_argument("--conf", type=json.loads, required=True, help="the run's conf, JSON")
    parser.add_argument("--result", type=Path, required=True, help="file to write the outcome to")
    options = parser.parse_args(arguments)

    from airflow.sdk.exceptions import AirflowException
    from airflow.utils.cli import get_bagged_dag

    try:
        dag = get_bagged_dag(None, options.dag_id)
    except AirflowException as error:
        print(f"{error}", file=sys.stderr)
        return 3
    for task in dag.tasks:
        # Someone is waiting: say at once what is wrong, they decide when to try again.
        task.retries = 0
        # A triggerer of the same Airflow would take up the trigger, and cancel the job when it is gone.
        if hasattr(task, "deferrable"):
            task.deferrable = False
    _fail_dead_runs(options.dag_id)
    _cancel_jobs_on_interrupt()
    threading.Thread(target=_interrupt_without_parent, daemon=True).start()
    with _unseen_by_scheduler(options.dag_id):
        run = dag.test(run_conf=options.conf)
    options.result.write_text(json.dumps(_outcome(run)))
    return 0 if str(run.state) == "success" else 1


@contextmanager
def _unseen_by_scheduler(dag_id: str) -> Iterator[None]:
    """Pause a DAG meanwhile: a scheduler of the same Airflow would take up the run's tasks."""
    before = _set_paused(dag_id, True)
    try:
        yield
    finally:
        if before is False:
            _set_paused(dag_id, False)


def _set_paused(dag_id: str, paused: bool) -> bool | None:
    """Pause a DAG or switch it on; return whether it was paused, None for one that Airflow does not know."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        known = session.get(DagModel, dag_id)
        if known is None:
            return None
        before = bool(known.is_paused)
        known.is_paused = paused
    return before


def _fail_dead_runs(dag_id: str) -> None:
    """Mark failed what earlier demos left unfinished when they were killed.

    Only one demo at a time works in this Airflow. No scheduler would do it, and one that is started later
    would go on with such a run.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState, State, TaskInstanceState
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select

    with create_session() as session:
        dead = select(DagRun).where(
            DagRun.dag_id == dag_id,
            DagRun.triggered_by == DagRunTriggeredByType.TEST,
            DagRun.state.in_(State.unfinished_dr_states),
        )
        for run in session.scalars(dead):
            for task in run.get_task_instances(session=session):
                if task.state in State.unfinished:
                    task.set_state(TaskInstanceState.FAILED, session=session)
            run.state = DagRunState.FAILED


def _cancel_jobs_on_interrupt() -> None:
    """Let SIGINT cancel the remote job of the running task and end this process.

    Airflow's task runner takes SIGTERM for that: it calls ``on_kill`` of the task that it runs, which is a
    copy that nobody else has, and goes on. So SIGINT does the same and then ends the process.
    """

    def cancel(signum: int, frame: FrameType | None) -> None:
        kill_task = signal.getsignal(signal.SIGTERM)
        if callable(kill_task):
            kill_task(signal.SIGTERM, frame)
        os._exit(128 + signum)

    signal.signal(signal.SIGINT, cancel)


def _interrupt_without_parent() -> None:
    """Interrupt this process when the one that waits for it was killed, which ends standard input."""
    os.read(0, 1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (1, 2):
        os.dup2(nowhere, output)
    os.kill(os.getpid(), signal.SIGINT)


def _outcome(run: Any) -> dict[str, Any]:
    """Return the states and XComs of a finished run, as JSON-serialisable values."""
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    with create_session() as session:
        query: Any = XComModel.get_many(run_id=run.run_id, dag_ids=run.dag_id)
        found = session.scalars(query).all()
        xcoms: dict[str, dict[str, Any]] = {}
        for entry in found:
            xcoms.setdefault(entry.task_id, {})[entry.key] = XComModel.deserialize_value(entry)
        states = {ti.task_id: str(ti.state) for ti in run.get_task_instances(session=session)}
    return {"run_id": run.run_id, "state": str(run.state), "tasks": states, "xcoms": xcoms}


if __name__ == "__main__":
    raise SystemExit(main())
