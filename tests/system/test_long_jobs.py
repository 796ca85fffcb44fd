"""A job that runs while something dies or a button is pressed: never lost, doubled or left over."""

from __future__ import annotations

import os
import signal

import pytest

from tests.system.conftest import eventually

DS = "20260401"
ROWS = 3


@pytest.fixture
def start(system):
    """Return a function that starts a DAG and waits until its job asks the model, which holds its answers."""

    def run(dag_id: str, state: str = "deferred", watched: bool = False) -> str:
        system.ready(dag_id, {DS: ROWS})
        run_id = system.api.trigger(dag_id, partition_key=DS)
        system.model.wait_until_held(dag_id, ROWS)
        system.api.wait_task(dag_id, run_id, "label", (state,))
        if watched:
            eventually(lambda: f"trigger {dag_id}/{run_id}" in system.api.log(dag_id, run_id, "label", 1))
        return run_id

    return run


def assert_done_once(system, dag_id: str, run_id: str, known) -> None:
    """Every row is there, from one job, and every picture was asked for once."""
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {"ok": ROWS}
    assert system.own_jobs(known) == {"SUCCEEDED": 1}
    assert len(system.images_asked(dag_id)) == ROWS
    assert system.cloud.live_sessions() == []


def test_mark_failed_while_deferred_cancels_job_and_session(system, start):
    known, before = system.cloud.jobs(), system.cloud.counters()
    with system.model.held("mark_failed"):
        run = start("mark_failed", watched=True)
        system.api.set_task_state("mark_failed", run, "label", "failed")
        eventually(lambda: system.own_jobs(known) == {"CANCELLED": 1})
        eventually(lambda: system.cloud.live_sessions() == [])
    system.api.wait_run("mark_failed", run, state="failed")
    seen = system.cloud.counters() - before
    assert (seen["maxframe.submit_dag"], seen["maxframe.cancel_dag"]) == (1, 1)
    assert system.cloud.statuses("mark_failed_labels", DS) == {}


def test_clear_while_deferred_cancels_the_job_and_the_next_try_runs_another(system, start):
    dag_id = "cleared_while_deferred"
    known = system.cloud.jobs()
    system.api.set_pool(dag_id, 1)
    with system.model.held(dag_id):
        run = start(dag_id, watched=True)
        # The next try begins when the cancelling is over.
        system.api.set_pool(dag_id, 0)
        system.api.clear_task(dag_id, run, "label")
        eventually(lambda: system.own_jobs(known) == {"CANCELLED": 1})
        eventually(lambda: system.cloud.live_sessions() == [])
        system.api.set_pool(dag_id, 1)
        system.api.wait_task(dag_id, run, "label", ("deferred",), try_number=2)
    assert_done_by_the_second_job(system, dag_id, run, known)


def test_job_cancelled_by_a_late_clear_is_run_again_without_a_failure(system, start):
    dag_id = "cleared_late"
    known = system.cloud.jobs()
    with system.model.held(dag_id):
        run = start(dag_id, watched=True)
        with system.cluster.paused("triggerer"):
            # The next try attaches to the job before the triggerer comes to cancel it.
            system.api.clear_task(dag_id, run, "label")
            system.api.wait_task(dag_id, run, "label", ("deferred",), try_number=2)
            assert system.own_jobs(known) == {"RUNNING": 1}
        eventually(lambda: system.own_jobs(known)["CANCELLED"] == 1)
    assert_done_by_the_second_job(system, dag_id, run, known)


def assert_done_by_the_second_job(system, dag_id: str, run_id: str, known) -> None:
    """The first job was cancelled, the second one did everything, and no try has failed."""
    system.api.wait_run(dag_id, run_id)
    assert system.own_jobs(known) == {"CANCELLED": 1, "SUCCEEDED": 1}
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {"ok": ROWS}
    assert system.cloud.live_sessions() == []
    assert system.api.task(dag_id, run_id, "label")["try_number"] == 2


def test_clear_before_any_triggerer_has_the_task_goes_on_with_the_same_job(system, start):
    dag_id = "cleared_before_watched"
    known = system.cloud.jobs()
    system.cluster.kill("triggerer")
    with system.model.held(dag_id):
        run = start(dag_id)
        system.api.clear_task(dag_id, run, "label")
        system.api.wait_task(dag_id, run, "label", ("deferred",), try_number=2)
    system.cluster.start("triggerer")
    system.api.wait_run(dag_id, run)
    assert_done_once(system, dag_id, run, known)


def test_killed_triggerer_neither_cancels_nor_doubles_the_job(system, start):
    known, before = system.cloud.jobs(), system.cloud.counters()
    with system.model.held("triggerer_killed"):
        run = start("triggerer_killed", watched=True)
        system.cluster.kill("triggerer")
        system.cluster.start("triggerer")
        assert system.own_jobs(known) == {"RUNNING": 1}
    system.api.wait_run("triggerer_killed", run)
    assert_done_once(system, "triggerer_killed", run, known)
    assert (system.cloud.counters() - before)["maxframe.cancel_dag"] == 0
    assert system.api.task("triggerer_killed", run, "label")["try_number"] == 1


def test_killed_scheduler_neither_cancels_nor_doubles_the_job(system, start):
    known, before = system.cloud.jobs(), system.cloud.counters()
    with system.model.held("scheduler_killed"):
        run = start("scheduler_killed")
        system.cluster.kill("scheduler")
        system.cluster.start("scheduler")
    system.api.wait_run("scheduler_killed", run)
    assert_done_once(system, "scheduler_killed", run, known)
    assert (system.cloud.counters() - before)["maxframe.cancel_dag"] == 0
    assert system.api.task("scheduler_killed", run, "label")["try_number"] == 1


def test_killed_task_process_attaches_to_its_job_on_the_retry(system, start):
    known, before = system.cloud.jobs(), system.cloud.counters()
    with system.model.held("task_killed"):
        run = start("task_killed", "running")
        os.kill(system.api.task("task_killed", run, "label")["pid"], signal.SIGKILL)
        system.api.wait_task("task_killed", run, "label", ("running",), try_number=2)
    system.api.wait_run("task_killed", run)
    assert_done_once(system, "task_killed", run, known)
    seen = system.cloud.counters() - before
    assert (seen["maxframe.submit_dag"], seen["maxframe.cancel_dag"]) == (1, 0)
    assert [t["state"] for t in system.api.tries("task_killed", run, "label")] == ["failed", "success"]


def test_killed_local_cloud_comes_back_and_the_run_succeeds(system, start):
    known = system.cloud.jobs()
    with system.model.held("cloud_killed"):
        run = start("cloud_killed")
        system.cloud.kill()
        system.cloud.start()
    system.api.wait_run("cloud_killed", run)
    assert system.own_jobs(known) == {"SUCCEEDED": 1}
    assert system.api.task("cloud_killed", run, "label")["try_number"] == 1
    assert system.cloud.statuses("cloud_killed_labels", DS) == {"ok": ROWS}
    assert system.cloud.live_sessions() == []


@pytest.mark.slow
def test_thirty_tasks_that_defer_at_once_all_succeed_at_the_first_try(system):
    days = [f"202604{day:02d}" for day in range(1, 31)]
    pictures = system.ready("burst", dict.fromkeys(days, 1))
    known = system.cloud.jobs()
    runs = {ds: system.api.trigger("burst", partition_key=ds) for ds in days}
    ended = {ds: system.api.wait_run("burst", run, state=None, timeout=600) for ds, run in runs.items()}
    assert {run["state"] for run in ended.values()} == {"success"}
    assert {system.api.task("burst", run, "label")["try_number"] for run in runs.values()} == {1}
    assert system.own_jobs(known) == {"SUCCEEDED": 30}
    assert sorted(system.images_asked("burst")) == sorted(p.digest for ds in days for p in pictures[ds])
    assert system.cloud.live_sessions() == []
