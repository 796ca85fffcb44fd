"""A local cloud that dies by SIGKILL between two steps of a session or a DAG: what the next one finds."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from maxframe.protocol import DagInfo, ExecutionStatus
from maxframe.session import new_session
from maxframe_client.session.graph import gen_submit_tileable_graph
from maxframe_client.session.task import MaxFrameInstanceCaller
from odps import ODPS
from odps.config import option_context
from odps.errors import InternalServerError

from maxcompute_local.errors import LocalCloudError
from maxcompute_local.maxframe import service
from maxcompute_local.processes import end_processes, engine_processes
from maxcompute_local.server import LocalCloud
from tests.integration.test_maxframe_restart import gated_sum, process_of, simple_sum, values

PACKAGE = "maxcompute_local"
INSTANCES = "SELECT id, status FROM instances"
SESSIONS = "SELECT id, closed FROM maxframe_sessions"
DAGS = "SELECT id, status FROM maxframe_dags"
TOKENS = "SELECT count(*) FROM tokens WHERE purpose LIKE 'maxframe:%'"


def client_of(cloud: LocalCloud) -> ODPS:
    return ODPS(
        cloud.access_key_id,
        cloud.access_key_secret,
        project=cloud.project,
        endpoint=cloud.odps_endpoint,
        overwrite_global=False,
    )


def caller_of(odps: ODPS, session_id: str) -> MaxFrameInstanceCaller:
    return MaxFrameInstanceCaller(odps, task_name="AnonymousMaxFrameTask", nested_instance_id=session_id)


def wait(caller: MaxFrameInstanceCaller, dag_id: str) -> DagInfo:
    while not (info := caller.get_dag_info(dag_id)).status.is_terminated():
        time.sleep(0.02)
    return info


def open_session(odps: ODPS) -> str:
    with option_context():
        return str(new_session(odps, default=False).session_id)


def submit(odps: ODPS, tileable: Any) -> tuple[MaxFrameInstanceCaller, str]:
    caller = caller_of(odps, open_session(odps))
    graph, _ = gen_submit_tileable_graph(None, [tileable.data], {})
    return caller, caller.submit_dag(graph, {}, {}).dag_id


# What is done to a server until it dies. Each runs in a process of its own.


def run_a_dag(odps: ODPS, root: Path) -> None:
    wait(*submit(odps, simple_sum()))


def cancel_a_dag(odps: ODPS, root: Path) -> None:
    caller, dag_id = submit(odps, gated_sum(root / "gate"))
    process_of(root / "gate")
    caller.cancel_dag(dag_id)


def stop_a_session(odps: ODPS, root: Path) -> None:
    caller, _ = submit(odps, gated_sum(root / "gate"))
    process_of(root / "gate")
    odps.execute_sql(f"CREATE TABLE tmp_mf_{caller.instance.id}_key (n BIGINT)")
    caller.instance.stop()


def die_in(root: Path, place: str, act: Callable[[ODPS, Path], None]) -> None:
    """Run a server and its client in this process until it comes to a function, then be killed."""
    module, _, path = place.partition(":")
    owner_name, name = path.split(".")
    owner = getattr(importlib.import_module(f"{PACKAGE}.{module}"), owner_name)
    assert callable(getattr(owner, name))
    cloud = LocalCloud(root, odps_port=0, oss_port=0).start()
    setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    act(client_of(cloud), root)


class Root:
    """A root folder whose servers die."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cloud = LocalCloud(folder, odps_port=0, oss_port=0)

    def die_in(self, place: str, act: Callable[[ODPS, Path], None]) -> None:
        # Forked from a process that has loaded everything and runs no thread.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, f"{PACKAGE}.server"])
        process = context.Process(target=die_in, args=(self.folder, place, act))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / "odps" / "catalog.sqlite")) as catalog:
            return catalog.execute(query).fetchall()

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.folder / "odps" / "catalog.sqlite")) as catalog, catalog:
            catalog.execute(statement)

    def restart(self) -> ODPS:
        self.cloud.start()
        return client_of(self.cloud)

    def graphs(self) -> list[Path]:
        """Return what is left of graphs, which hold credentials."""
        return list((self.folder / "maxframe").glob("*/*/dag.bin"))

    def stop(self) -> None:
        self.cloud.stop()
        end_processes(engine_processes(self.folder / "maxframe"), seconds=2)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    made = Root(tmp_path)
    yield made
    made.stop()


def test_session_and_instance_are_made_together_or_not_at_all(root: Root) -> None:
    root.die_in("maxframe.state:StateStore.add_session", run_a_dag)
    assert root.rows(INSTANCES) == root.rows(SESSIONS) == []
    root.die_in("maxframe.dags:Dags.warm_up", run_a_dag)
    ((session_id, closed),) = root.rows(SESSIONS)
    assert closed is None
    assert root.rows(INSTANCES) == [(session_id, "Running")]
    odps = root.restart()
    assert odps.get_instance(session_id).status is odps.get_instance(session_id).Status.RUNNING
    assert caller_of(odps, session_id).get_session().session_id == session_id


def test_dag_that_was_not_stored_leaves_no_graph(root: Root) -> None:
    root.die_in("maxframe.state:StateStore.add_dag", run_a_dag)
    assert len(root.graphs()) == 1
    root.restart()
    assert root.rows(DAGS) == []
    assert root.rows(TOKENS) == [(0,)]
    assert list((root.folder / "maxframe").glob("*/*/")) == []


def test_dag_that_was_stored_and_not_handed_over_is_failed(root: Root) -> None:
    root.die_in("maxframe.launcher:EngineLauncher.run", run_a_dag)
    assert [status for _, status in root.rows(DAGS)] == ["RUNNING"]
    assert root.rows(TOKENS) == [(1,)]
    odps = root.restart()
    ((session_id, _),), ((dag_id, _),) = root.rows(SESSIONS), root.rows(DAGS)
    info = wait(caller_of(odps, session_id), dag_id)
    assert info.status is ExecutionStatus.FAILED
    assert "submit it again" in info.error_info.error_messages[0]
    assert root.graphs() == []
    assert root.rows(TOKENS) == [(0,)]


@pytest.mark.parametrize(
    ("place", "status"),
    [("maxframe.state:StateStore.end_dag", "RUNNING"), ("maxframe.state:Dag.discard_input", "SUCCEEDED")],
)
def test_dag_that_succeeded_has_its_result(root: Root, place: str, status: str) -> None:
    root.die_in(place, run_a_dag)
    ((dag_id, found),) = root.rows(DAGS)
    assert found == status
    assert len(root.graphs()) == 1
    odps = root.restart()
    ((session_id, _),) = root.rows(SESSIONS)
    info = wait(caller_of(odps, session_id), dag_id)
    assert info.status is ExecutionStatus.SUCCEEDED
    assert values(info) == [9]
    assert root.graphs() == []
    assert root.rows(TOKENS) == [(0,)]


def test_cancelled_dag_is_killed_by_the_next_server(root: Root) -> None:
    root.die_in("maxframe.dags:Dags._kill", cancel_a_dag)
    assert [status for _, status in root.rows(DAGS)] == ["CANCELLING"]
    odps = root.restart()
    ((session_id, _),), ((dag_id, _),) = root.rows(SESSIONS), root.rows(DAGS)
    assert wait(caller_of(odps, session_id), dag_id).status is ExecutionStatus.CANCELLED


@pytest.mark.parametrize(
    "place", ["maxframe.dags:Dags.end_all", "maxframe.service:MaxFrameService._drop_tables"]
)
def test_session_that_was_being_closed_is_closed(root: Root, place: str) -> None:
    root.die_in(place, stop_a_session)
    ((session_id, closed),) = root.rows(SESSIONS)
    assert closed is not None
    odps = root.restart()
    assert odps.get_instance(session_id).status is odps.get_instance(session_id).Status.TERMINATED
    assert [status for _, status in root.rows(DAGS)] == ["CANCELLED"]
    assert root.rows("SELECT name FROM tables") == []
    assert root.rows(TOKENS) == [(0,)]


def test_full_disk_leaves_everything_as_it_was(root: Root) -> None:
    odps = root.restart()

    def state() -> list[object]:
        return [root.graphs(), *map(root.rows, (INSTANCES, SESSIONS, DAGS, TOKENS))]

    def refused_once(call: str, act: Callable[[], Any]) -> Any:
        before = state()
        root.cloud.control.faults.add(f"maxframe.{call}", "disk_full", count=1)
        with pytest.raises(InternalServerError):
            act()
        assert state() == before
        return act()

    session_id = refused_once("create_session", lambda: open_session(odps))
    caller = caller_of(odps, session_id)
    graph, _ = gen_submit_tileable_graph(None, [gated_sum(root.folder / "gate").data], {})
    dag_id = refused_once("submit_dag", lambda: caller.submit_dag(graph, {}, {})).dag_id
    process_of(root.folder / "gate")
    refused_once("cancel_dag", lambda: caller.cancel_dag(dag_id))
    assert wait(caller, dag_id).status is ExecutionStatus.CANCELLED
    refused_once("stop_session", caller.instance.stop)
    assert root.rows(INSTANCES) == [(session_id, "Terminated")]


def test_end_of_a_dag_that_cannot_be_stored_is_stored_later(root: Root) -> None:
    odps = root.restart()
    caller, dag_id = submit(odps, gated_sum(root.folder / "gate"))
    process_of(root.folder / "gate")
    root.execute("CREATE TRIGGER full BEFORE UPDATE ON maxframe_dags BEGIN SELECT RAISE(FAIL, 'full'); END")
    (root.folder / "gate" / "go").touch()
    while not list((root.folder / "maxframe").glob("*/*/exit.json")):
        time.sleep(0.02)
    assert caller.get_dag_info(dag_id).status is ExecutionStatus.RUNNING
    root.execute("DROP TRIGGER full")
    info = wait(caller, dag_id)
    assert info.status is ExecutionStatus.SUCCEEDED
    assert values(info) == [6]
    assert root.graphs() == []


def test_old_sessions_go_while_the_server_runs(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_PURGE_SECONDS", 0.0)
    odps = root.restart()
    caller, dag_id = submit(odps, simple_sum())
    wait(caller, dag_id)
    caller.instance.stop()
    root.execute("UPDATE maxframe_sessions SET closed = 0")
    while root.rows(SESSIONS) or list((root.folder / "maxframe").glob("2*")):
        time.sleep(0.02)
    assert root.rows(DAGS) == []
    assert "Nothing is known" in requests.get(caller.instance.get_logview_address(), timeout=10).text


def test_copied_root_goes_on_elsewhere(root: Root, tmp_path_factory: pytest.TempPathFactory) -> None:
    odps = root.restart()
    odps.execute_sql("CREATE TABLE t (n BIGINT)")
    odps.execute_sql("INSERT INTO t VALUES (7)")
    caller, dag_id = submit(odps, simple_sum())
    wait(caller, dag_id)
    root.stop()
    copy = tmp_path_factory.mktemp("elsewhere") / "root"
    shutil.copytree(root.folder, copy)
    shutil.rmtree(root.folder)
    other = Root(copy)
    try:
        odps = other.restart()
        with odps.execute_sql("SELECT n FROM t").open_reader(tunnel=True) as reader:
            assert [record.values[0] for record in reader] == [7]
        caller = caller_of(odps, caller.instance.id)
        assert values(wait(caller, dag_id)) == [9]
    finally:
        other.stop()


@pytest.mark.parametrize(
    "damage", [lambda content: b"no database" * 500, lambda content: content[:4096] + b"\xff" * 40960]
)
def test_damaged_catalog_is_named(root: Root, damage: Callable[[bytes], bytes]) -> None:
    root.restart()
    root.stop()
    catalog = root.folder / "odps" / "catalog.sqlite"
    catalog.write_bytes(damage(catalog.read_bytes()))
    with pytest.raises(LocalCloudError, match=r"catalog.sqlite is damaged: .*--root"):
        root.restart()


def test_lost_folders_of_the_engine_are_no_reason_not_to_start(root: Root) -> None:
    root.die_in("maxframe.launcher:EngineLauncher.run", run_a_dag)
    shutil.rmtree(root.folder / "maxframe")
    root.restart()
    assert [status for _, status in root.rows(DAGS)] == ["FAILED"]
