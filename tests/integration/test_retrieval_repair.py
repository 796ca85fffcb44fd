"""Video QA that is killed, cleared, cut short and edited: who pays for what, counted at the models."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred

from airflow_provider_drivepipe.exceptions import DrivepipeError, TransientError
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from maxcompute_local.models.scripted import Step
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run, RunningTask
from tests.integration.retrieval_run import DAY, Call, Library, Models, library, models
from tests.integration.test_retrieval import DRAWS, pictures

pytestmark = pytest.mark.slow

__all__ = ["library", "models", "pictures"]

QUESTIONS = {"q1": ("red", "Stop?"), "q2": ("red", "Rain?"), "q3": ("blue", "Turn?")}
OPTIONS = {"arms": ["text", "planned_text", "planned_image"], **DRAWS}
ROWS_PER_JOB = 2
STOPS = {"plan": 3, "queries": 2, "query_embeddings": 3, "answers": 3}
"""Calls at which the tasks that ask models are struck: behind the first job, or within drawing."""
TABLES = ("questions", "plan", "queries", "query_embeddings", "evidence", "answers", "metrics")
_WAIT_SECONDS = 60


@dataclass
class Gate:
    """Answers no call from a given one on, counted from now, before it opens again."""

    reached: threading.Event = field(default_factory=threading.Event)
    unanswered: Counter[str] = field(default_factory=Counter)
    _open: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _left: int = 0

    def __post_init__(self) -> None:
        self._open.set()

    @contextmanager
    def closed_at(self, call: int) -> Iterator[None]:
        self._left = call - 1
        self.reached.clear()
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def go_through(self, call: str) -> None:
        with self._lock:
            self._left -= 1
            passes = self._open.is_set() or self._left >= 0
            if not passes:
                self.unanswered[call] += 1
        if not passes:
            self.reached.set()
            self._open.wait(_WAIT_SECONDS)


@pytest.fixture
def gate(models: Models) -> Gate:
    """Return what all calls go through."""
    made = Gate()

    def answer(call: Call) -> None:
        made.go_through(f"{call.kind} {call.question}")

    def vector(text: str) -> tuple[float, ...]:
        made.go_through(f"embed {text}")
        return (0.0, 1.0, 0.0, 0.0) if "planned" in text else (1.0, 0.5, 0.0, 0.0)

    def draw(prompt: str) -> None:
        made.go_through(f"draw {prompt}")

    models.answer, models.vector, models.draw = answer, vector, draw
    return made


@pytest.fixture
def asked(library: Library) -> Library:
    """Return a library of two videos and three questions."""
    library.frames(
        {
            "red": [(1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0)],
            "blue": [(0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)],
        }
    )
    library.questions(
        *((name, video, text, ["yes", "no"], "A", "c", 0, 900) for name, (video, text) in QUESTIONS.items())
    )
    return library


def tasks(library: Library, scenario: str, **keys: Any) -> list[Any]:
    """Return the operators of a scenario over the library's tables."""
    names = {"scenario_name": scenario, "rows_per_job": ROWS_PER_JOB, **keys}
    found = build_dag(library.scenario(names, **OPTIONS)).topological_sort()
    for task in found:
        task.deferrable, task.poll_interval, task.outlets = False, 0.2, []
    return found


def contents(library: Library, scenario: str) -> dict[str, list[list[Any]]]:
    """Return all tables, without what names the scenario: fingerprints, and where its pictures are."""
    found = {}
    for table in TABLES:
        name = f"{scenario}_{table}"
        columns = [c.name for c in library.hook.table_columns(name)[0] if c.name != "fingerprint"]
        rows = library.hook.execute_sql(f"SELECT {', '.join(columns)} FROM {name} WHERE ds = '{DAY}'")
        found[table] = sorted(
            ([_place(cell) for cell in row] for row in rows), key=lambda row: json.dumps(row, default=str)
        )
    return found


def _place(cell: Any) -> Any:
    """Return a cell without the folder of a picture that was drawn."""
    if isinstance(cell, str) and f"/ds={DAY}/" in cell:
        return cell.rsplit("/", 1)[1][:0] + "drawn"
    return cell


Strike = Callable[[Any, Run, Gate, LocalCloud], None]
"""Lets the first try of a task end in mid-job."""


def defer(task: Any, run: Run) -> Any:
    """Let a task submit its job and wait for it outside of its process; return the trigger."""
    task.deferrable = True
    try:
        with pytest.raises(TaskDeferred) as waits:
            run.execute(task)
    finally:
        task.deferrable = False
    return waits.value.trigger


def lose_process(task: Any, run: Run, gate: Gate, cloud: LocalCloud) -> None:
    """Lose whoever waits while the job's first call is on its way: the job goes on."""
    stop = 1 if task.task_id in STOPS else 0
    with gate.closed_at(1) if stop else _nothing():
        defer(task, run)
        assert not stop or gate.reached.wait(_WAIT_SECONDS)
    # The job was not cancelled: what was on its way is answered.
    gate.unanswered.clear()


def clear(task: Any, run: Run, gate: Gate, cloud: LocalCloud) -> None:
    """Clear the task in its first job, or in its second where the first was paid for."""
    if task.task_id not in STOPS:
        defer(task, run).abandon()
        return
    with gate.closed_at(STOPS[task.task_id]):
        trigger = defer(task, run)
        if not gate.reached.wait(0.0) and task.task_id != "queries":
            trigger = second_job(task, run, trigger)
        assert gate.reached.wait(_WAIT_SECONDS)
        trigger.abandon()


def second_job(task: Any, run: Run, trigger: Any) -> Any:
    """Go on behind a task's first job, as Airflow does when the trigger fires."""
    from tests.integration.test_waves import event_of

    task.deferrable = True
    try:
        with pytest.raises(TaskDeferred) as waits:
            task.execute_complete(run.context(task), event_of(trigger))
    finally:
        task.deferrable = False
    return waits.value.trigger


def fail_next_job(task: Any, run: Run, gate: Gate, cloud: LocalCloud) -> None:
    """Have the cloud refuse the second job, or the first where there is one alone."""
    cloud.control.faults.add("maxframe.submit_dag", "http", after=1 if has_two_jobs(task) else 0)
    try:
        with pytest.raises(DrivepipeError):
            run.execute(task)
    finally:
        cloud.control.faults.clear()


def has_two_jobs(task: Any) -> bool:
    return task.task_id != "metrics"


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@pytest.mark.parametrize("strike", [lose_process, clear, fail_next_job])
def test_no_answer_is_paid_twice_whatever_ends_a_try_of_any_task(
    asked: Library, models: Models, gate: Gate, local_cloud: LocalCloud, strike: Strike
) -> None:
    whole = Run()
    for task in tasks(asked, f"{asked.table}_whole"):
        whole.execute(task)
    once = models.asked()
    assert set(once.values()) == {1, 3}, "each call once, the vector of the three drawn pictures thrice"

    struck, run = f"{asked.table}_struck", Run()
    gate.unanswered.clear()
    for task in tasks(asked, struck):
        if task.task_id == "metrics":
            lose_publication(task, run)
        else:
            strike(task, run, gate, local_cloud)
        run.execute(task, try_number=2)
    answered = Counter({f"{kind} {text}": n for (kind, text), n in models.asked().items()})
    answered.subtract(gate.unanswered)
    # Answers to one question are three calls, one for each arm.
    assert answered == Counter({f"{kind} {text}": n for (kind, text), n in once.items()})
    assert gate.unanswered.total() <= ROWS_PER_JOB * len(STOPS)
    assert contents(asked, struck) == contents(asked, f"{asked.table}_whole")
    assert asked.hook.list_sessions() == []
    assert [
        name for name in asked.hook.list_tables(f"{struck}_") if name.endswith(("_units", "_staging"))
    ] == []


def lose_publication(task: Any, run: Run) -> None:
    """Lose the connection as the metrics are published."""
    execute_sql = DrivepipeHook.execute_sql

    def lose(self: DrivepipeHook, sql: str, hints: Any = None) -> Any:
        if sql.startswith("INSERT OVERWRITE"):
            raise TransientError("connection lost")
        return execute_sql(self, sql, hints)

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(DrivepipeHook, "execute_sql", lose)
        with pytest.raises(TransientError):
            run.execute(task)
