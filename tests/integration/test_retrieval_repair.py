"""Video QA that is killed, cleared, cut short and edited: who pays for what, counted at the models."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, TaskDeferred

from airflow_provider_drivepipe.exceptions import DrivepipeError, TransientError
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import stage
from maxcompute_local.models.scripted import Step
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run, RunningTask
from tests.integration.retrieval_run import DAY, Library, Models, library, models
from tests.integration.test_retrieval import DRAWS, pictures
from tests.integration.test_waves import event_of

pytestmark = pytest.mark.slow

__all__ = ["library", "models", "pictures"]

STOP, RAIN, TURN = QUESTIONS = ("Stop?", "Rain?", "Turn?")
PAYING = ("plan", "queries", "query_embeddings", "answers")
ROWS_PER_JOB = {"query_embeddings": 5, "answers": 5}
"""Of the others it is 2: each task has two jobs."""
TABLES = ("questions", "plan", "queries", "query_embeddings", "evidence", "answers", "metrics")
_WAIT_SECONDS = 120


class Gate:
    """Lets so many calls through to the models, and the others wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._room = math.inf
        self._waiting = 0
        self._given_up = 0

    def go_through(self) -> bool:
        """Wait for room; return whether it came before the call was given up."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            before = self._given_up
            assert self._changed.wait_for(lambda: self._room > 0 or self._given_up > before, _WAIT_SECONDS), (
                "nobody opened the gate"
            )
            self._waiting -= 1
            if self._given_up > before:
                return False
            self._room -= 1
            return True

    def let(self, calls: float) -> None:
        """Let so many more calls through, counted from now."""
        with self._changed:
            self._room = calls
            self._changed.notify_all()

    def await_call(self) -> None:
        """Return once a call waits for which there is no room."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._waiting > 0 and self._room <= 0, _WAIT_SECONDS), (
                "no call came"
            )

    def give_up(self) -> None:
        """Leave the calls that wait without an answer."""
        with self._changed:
            self._given_up += 1
            self._changed.notify_all()


@pytest.fixture
def gate(models: Models, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Return what all calls go through; those that get no answer are not counted as asked."""
    made, step = Gate(), models.step

    def gated(request: Any) -> Step:
        return step(request) if made.go_through() else Step(status=400)

    monkeypatch.setattr(models, "step", gated)
    models.vector = lambda text: (0.0, 1.0, 0.0, 0.0) if "planned" in text else (1.0, 0.5, 0.0, 0.0)
    return made


@pytest.fixture
def asked(library: Library) -> Library:
    """Return a library of two videos and three questions."""
    x, y = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)
    library.frames({"red": [x, y, (1.0, 1.0, 0.0, 0.0)], "blue": [y, x]})
    videos = ("red", "red", "blue")
    library.questions(
        *(
            (f"q{number}", video, text, ["yes", "no"], "A", "c", 0, 900)
            for number, (video, text) in enumerate(zip(videos, QUESTIONS, strict=True))
        )
    )
    return library


def tasks_of(library: Library, scenario: str) -> dict[str, Any]:
    """Return the operators of a scenario over the library's tables, in order."""
    options = {"arms": ["text", "planned_text", "planned_image"], **DRAWS}
    found = build_dag(library.scenario({"scenario_name": scenario}, **options)).topological_sort()
    for task in found:
        task.deferrable, task.poll_interval, task.outlets, task.report_of = False, 0.2, [], None
    return {task.task_id: task for task in found}


def contents(library: Library, scenario: str) -> dict[str, list[str]]:
    """Return all rows as text, without what names the scenario: fingerprints, and its pictures' places."""
    found = {}
    for table in TABLES:
        name = f"{scenario}_{table}"
        left = ("fingerprint", "drawn_url", "query_url")
        columns = [c.name for c in library.hook.table_columns(name)[0] if c.name not in left]
        rows = library.hook.execute_sql(f"SELECT {', '.join(columns)} FROM {name} WHERE ds = '{DAY}'")
        found[table] = sorted(json.dumps(dict(zip(columns, row, strict=True))) for row in rows)
    return found


@contextmanager
def deferrable(task: Any) -> Iterator[Any]:
    """Run a task up to where it waits for its job outside of its process."""
    task.deferrable = True
    with patch.object(stage, "BEFORE_DEFERRING", 0), pytest.raises(TaskDeferred) as waits:
        yield waits
    task.deferrable = False


def lose_process(task: Any, run: Run, gate: Gate) -> None:
    """Lose whoever waits, while the first call of the first job is on its way: the job goes on."""
    gate.let(0)
    with deferrable(task):
        run.execute(task)
    if task.task_id in PAYING:
        gate.await_call()


def clear_second_job(task: Any, run: Run, gate: Gate) -> None:
    """Go on behind the first job, and clear the task while the second one waits for its answers."""
    gate.let(task.selection.rows_per_job)
    with deferrable(task) as waits:
        run.execute(task, try_number=2)
    event = event_of(waits.value.trigger)
    with deferrable(task) as waits:
        task.execute_complete(run.context(task, 2), event)
    if task.task_id in PAYING:
        gate.await_call()
    waits.value.trigger.abandon()
    gate.give_up()
    gate.let(math.inf)


def refuse_job(task: Any, run: Run, cloud: LocalCloud) -> None:
    """Have the cloud refuse the next job."""
    cloud.control.faults.add("maxframe.submit_dag", "http")
    try:
        with pytest.raises(DrivepipeError):
            run.execute(task, try_number=3)
    finally:
        cloud.control.faults.clear()


def lose_publication(task: Any, run: Run) -> None:
    """Lose the connection as the task publishes."""
    execute_sql: Callable[..., Any] = DrivepipeHook.execute_sql

    def lose(self: DrivepipeHook, sql: str, hints: Any = None) -> Any:
        if sql.startswith("INSERT OVERWRITE"):
            raise TransientError("connection lost")
        return execute_sql(self, sql, hints)

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(DrivepipeHook, "execute_sql", lose)
        with pytest.raises(TransientError):
            run.execute(task)


@pytest.mark.timeout(600)
def test_no_answer_is_paid_twice_whatever_ends_the_tries_of_every_task(
    asked: Library, models: Models, gate: Gate, local_cloud: LocalCloud
) -> None:
    """The original has no resume: whatever ends it, all that was paid for is paid for again."""
    whole, struck = f"{asked.table}_whole", f"{asked.table}_struck"
    run = Run()
    for task in tasks_of(asked, whole).values():
        run.execute(task)
    once = models.asked()
    assert once == Counter(
        {
            **{("plan", text): 1 for text in QUESTIONS},
            **{("draw", f"{text} planned"): 1 for text in QUESTIONS},
            **{("embed", text): 1 for text in QUESTIONS},
            **{("embed", f"{text} planned"): 1 for text in QUESTIONS},
            ("embed", "image"): len(QUESTIONS),
            **{("answer", text): 3 for text in QUESTIONS},
        }
    )
    run = Run()
    for name, task in tasks_of(asked, struck).items():
        if name == "metrics":
            lose_publication(task, run)
        else:
            task.selection = replace(task.selection, rows_per_job=ROWS_PER_JOB.get(name, 2))
            lose_process(task, run, gate)
            clear_second_job(task, run, gate)
            refuse_job(task, run, local_cloud)
        run.execute(task, try_number=4)
    assert models.asked() == once
    assert contents(asked, struck) == contents(asked, whole)
    assert asked.hook.list_sessions() == []
    left = {name.rpartition("__")[2] for name in asked.hook.list_tables(f"{struck}_") if "__" in name}
    assert left <= {"kept"}


def test_a_pilot_an_edit_and_a_repair_pay_for_what_they_change(asked: Library, models: Models) -> None:
    options = {"arms": ["text", "planned_text"]}
    asked.run(Run(params={"limit": 1}), **options)
    pilot = models.asked()
    assert {text.removesuffix(" planned") for _, text in pilot} == {STOP}

    models.answer = lambda call: "I see." if call.question == RAIN and call.kind == "answer" else None
    asked.run(Run(run_id="all"), **options)
    rest = models.asked()
    assert not set(pilot) & set(rest)
    assert pilot + rest == Counter(
        {
            **{(kind, text): 1 for kind in ("plan", "embed") for text in QUESTIONS},
            **{("embed", f"{text} planned"): 1 for text in QUESTIONS},
            **{("answer", text): 2 for text in QUESTIONS},
        }
    )

    # What is ok stays, although another language asks for it anew.
    models.answer = lambda call: None
    repair = Run(run_id="repair", params={"reprocess": "failed"})
    asked.run(repair, language="zh", **options)
    assert models.asked() == {("answer", RAIN): 2}

    # The repair was in this language already. Plans ask for the same as before: no query is embedded again.
    asked.run(Run(run_id="edited"), language="zh", **options)
    edited = models.asked()
    assert {call for call in edited if call[0] == "embed"} == set()
    assert {call for call, _ in edited.items() if call[0] == "plan"} == {("plan", text) for text in QUESTIONS}
    assert {text for kind, text in edited if kind == "answer"} == {STOP, TURN}
    assert max(edited.values()) == 2
    asked.run(Run(run_id="again"), language="zh", **options)
    assert not models.asked()


def test_a_second_run_of_a_partition_waits_and_pays_for_nothing(
    asked: Library, models: Models, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tasks_of(asked, asked.table)
    first, second = Run(run_id="first"), Run(run_id="second")
    for name in ("questions", "plan"):
        task = tasks[name]
        gate.let(0)
        with deferrable(task):
            first.execute(task)
        monkeypatch.setitem(RunningTask.task_states, "dag", {"first": {name: "deferred"}})
        with pytest.raises(AirflowRescheduleException):
            second.execute(task)
        gate.let(math.inf)
        first.execute(task, try_number=2)
        report = second.execute(task, try_number=2)
        assert report["ok"] == report["carried_over"] == len(QUESTIONS)
    assert models.asked() == {("plan", text): 1 for text in QUESTIONS}
