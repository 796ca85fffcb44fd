"""Jobs that nobody waits for any more are cancelled, with their sessions and their tables."""

from __future__ import annotations

import pytest

from tests.system.conftest import eventually

DS = "20260601"
ROWS = 3


@pytest.fixture
def running(system):
    """Starts a run whose job cannot end, and returns its id once the task waits for it."""

    def start(dag_id, state="deferred", watched=False):
        system.ready(dag_id, {DS: ROWS})
        run = system.api.trigger(dag_id, partition_key=DS)
        system.model.wait_until_held(dag_id, ROWS)
        system.api.wait_task(dag_id, run, "label", (state,))
        if watched:
            eventually(lambda: f"trigger {dag_id}/{run}" in system.api.log(dag_id, run, "label", 1))
        return run

    return start


@pytest.fixture
def no_triggerer(system):
    system.cluster.kill("triggerer")
    yield
    system.cluster.start("triggerer")


def assert_nothing_left(system, dag_id, known):
    eventually(lambda: system.own_jobs(known) == {"CANCELLED": 1}, 90)
    eventually(lambda: system.cloud.live_sessions() == [])
    eventually(lambda: [name for name in system.cloud.working_tables() if name.startswith(dag_id)] == [])
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {}


@pytest.mark.parametrize(("dag_id", "state"), [("timed_out", "deferred"), ("timed_out_in_worker", "running")])
def test_execution_timeout_cancels_the_job(system, running, dag_id, state):
    known = system.cloud.jobs()
    with system.model.held(dag_id):
        run = running(dag_id, state)
        system.api.wait_run(dag_id, run, state="failed")
        assert_nothing_left(system, dag_id, known)
    log = system.api.log(dag_id, run, "label", 1)
    assert "execution_timeout" in log or "AirflowTaskTimeout" in log


def test_deleted_dag_cancels_the_job(system, running):
    known = system.cloud.jobs()
    with system.model.held("dag_deleted"):
        running("dag_deleted", watched=True)
        system.api.call("DELETE", "/dags/dag_deleted")
        assert_nothing_left(system, "dag_deleted", known)


def test_run_marked_as_failed_and_deleted_cancels_the_job(system, running):
    known = system.cloud.jobs()
    with system.model.held("run_deleted"):
        run = running("run_deleted", watched=True)
        # Airflow refuses to delete a run that is running.
        system.api.call("PATCH", f"/dags/run_deleted/dagRuns/{run}", {"state": "failed"})
        system.api.delete_run("run_deleted", run)
        assert_nothing_left(system, "run_deleted", known)


def test_run_marked_as_failed_in_a_worker_cancels_the_job(system, running):
    known = system.cloud.jobs()
    with system.model.held("run_failed_in_worker"):
        run = running("run_failed_in_worker", "running")
        system.api.call("PATCH", f"/dags/run_failed_in_worker/dagRuns/{run}", {"state": "failed"})
        assert_nothing_left(system, "run_failed_in_worker", known)


def test_run_marked_before_a_triggerer_watches_cancels_the_job(system, running, no_triggerer):
    known = system.cloud.jobs()
    with system.model.held("run_failed"):
        run = running("run_failed")
        system.api.call("PATCH", f"/dags/run_failed/dagRuns/{run}", {"state": "failed"})
        assert_nothing_left(system, "run_failed", known)


def test_next_run_stops_the_session_of_a_run_that_is_gone(system, running):
    dag_id, next_ds = "run_gone", "20260602"
    known = system.cloud.jobs()
    with system.model.held(dag_id):
        system.cluster.kill("triggerer")
        running(dag_id)
        system.api.call("DELETE", f"/dags/{dag_id}")
        system.cluster.start("triggerer")
        assert system.own_jobs(known) == {"RUNNING": 1}
        system.ready(dag_id, {next_ds: 1})
        run = system.api.trigger(dag_id, partition_key=next_ds)
        eventually(lambda: system.own_jobs(known)["CANCELLED"] == 1)
    system.api.wait_run(dag_id, run)
    assert system.cloud.live_sessions() == []
    # What else the run left goes when its partition is written again.
    run = system.api.trigger(dag_id, partition_key=DS)
    system.api.wait_run(dag_id, run)
    assert system.cloud.statuses(f"{dag_id}_labels", DS) == {"ok": ROWS}
    assert [name for name in system.cloud.working_tables() if name.startswith(dag_id)] == []
