"""What becomes of MaxFrame sessions and DAGs when the server dies, stops, or loses its engine."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cloudpickle
import maxframe.dataframe as md
import msgpack
import pandas as pd
import pytest
from maxframe.protocol import DagInfo, ExecutionStatus
from maxframe.utils import serialize_serializable
from maxframe_client.session.graph import gen_submit_tileable_graph

from maxcompute_local.maxframe import dags
from maxcompute_local.maxframe.service import Addresses, MaxFrameService
from maxcompute_local.maxframe.workers import Worker
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.tasks import Instance, Task
from maxcompute_local.stats import Stats

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SESSION = Instance("20261121000000000gsession", "local", (), start_time=0.0)


class FakeOdps:
    """The DAGs of this file touch no tables."""

    def __init__(self, root: Path) -> None:
        self.database = Database(root / "catalog.sqlite")
        self.valid: set[str] = set()
        self.tables: set[str] = set()
        self.session_ended = threading.Event()

    @property
    def tokens(self) -> FakeOdps:
        return self

    def issue(self, purpose: str, lifetime_seconds: float | None = None) -> str:
        self.valid.add(purpose)
        return f"token for {purpose}"

    def revoke(self, purpose: str) -> None:
        self.valid.discard(purpose)

    def list_tables(self, project: str, prefix: str) -> list[str]:
        return [name for name in self.tables if name.startswith(prefix)]

    def drop_table(self, project: str, name: str) -> None:
        self.tables.discard(name)

    def finish_instance(self, instance: Instance) -> None:
        self.session_ended.set()


class Server:
    """A MaxFrame service without its HTTP front."""

    def __init__(self, root: Path, odps_endpoint: str, python: str = sys.executable) -> None:
        self.stats = Stats()
        self.odps = FakeOdps(root)
        (root / "oss").mkdir(exist_ok=True)
        self.service = MaxFrameService(
            root / "maxframe",
            self.odps,
            root / "oss",
            self.stats,
            addresses=lambda: Addresses(odps_endpoint, odps_endpoint, "cn-local"),
            worker=Worker(Path(python)),
        )

    def open_session(self, settings: dict[str, float] | None = None) -> None:
        uploaded = {"odps.maxframe.settings": json.dumps(settings or {})}
        self.service.start(SESSION, Task("MaxFrame", "task", uploaded, "CREATE_SESSION"), lambda: None)

    def call(self, method: str, **request: str) -> DagInfo:
        answer = json.loads(self.service.put_info(SESSION, "task", method, json.dumps(request)))
        return DagInfo.from_json(msgpack.loads(base64.b64decode(answer["result"])))

    def submit(self, tileable) -> str:
        graph, _ = gen_submit_tileable_graph(None, [tileable.data], {})
        return self.call("SUBMIT_DAG", dag=base64.b64encode(serialize_serializable(graph)).decode()).dag_id

    def wait(self, dag_id: str) -> DagInfo:
        while True:
            info = self.call("GET_DAG_INFO", dag_id=dag_id)
            if info.status.is_terminated():
                return info
            time.sleep(0.02)


def gated_sum(folder: Path):
    """Return the sum of a column that a function gives out once ``folder/go`` is there."""
    folder.mkdir(exist_ok=True)
    location = str(folder)

    def wait_for_go(chunk):
        Path(location, "begun.part").write_text(str(os.getppid()))
        Path(location, "begun.part").rename(Path(location, "begun"))
        while not Path(location, "go").exists():
            time.sleep(0.01)
        return chunk

    source = md.DataFrame(pd.DataFrame({"n": [1, 2, 3]}))
    return source.mf.apply_chunk(
        wait_for_go, batch_rows=3, dtypes=source.dtypes, output_type="dataframe", skip_infer=True
    )["n"].sum()


def simple_sum():
    return md.DataFrame(pd.DataFrame({"n": [4, 5]}))["n"].sum()


def process_of(folder: Path) -> int:
    """Wait until the function in ``gated_sum(folder)`` runs; return the id of its DAG's process."""
    while not (folder / "begun").exists():
        time.sleep(0.02)
    return int((folder / "begun").read_text())


def values(info: DagInfo) -> list:
    return [result.data for result in info.tileable_to_result_infos.values()]


class NothingHere(BaseHTTPRequestHandler):
    """Stands in for MaxCompute, which the SDK asks for this and that; it takes 404 for an answer."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *args: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), NothingHere) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def die_with_running_dags(
    root: Path, endpoint: str, names: list[str], *, wait_until_begun: bool
) -> list[str]:
    """Let a server process submit DAGs and be killed; return the DAGs' ids."""
    script = f"""
import os, signal
from pathlib import Path
from tests.integration.test_maxframe_restart import Server, gated_sum, process_of
root = Path({str(root)!r})
server = Server(root, {endpoint!r})
server.open_session()
for name in {names!r}:
    print(server.submit(gated_sum(root / name)), flush=True)
for name in {names if wait_until_begun else []!r}:
    process_of(root / name)
os.kill(os.getpid(), signal.SIGKILL)
"""
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=checkout, stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    return done.stdout.split()


@pytest.fixture
def start_server(tmp_path: Path, endpoint: str) -> Iterator[Callable[[], Server]]:
    started: list[Server] = []

    def start() -> Server:
        started.append(Server(tmp_path, endpoint))
        return started[-1]

    yield start
    for server in started:
        server.service.close()


def test_running_dags_outlive_a_killed_server(start_server, tmp_path: Path, endpoint: str) -> None:
    followed, cancelled, lost = die_with_running_dags(
        tmp_path, endpoint, ["followed", "cancelled", "lost"], wait_until_begun=True
    )
    os.kill(process_of(tmp_path / "lost"), signal.SIGKILL)
    server = start_server()
    server.service.recover(SESSION)
    assert server.call("GET_DAG_INFO", dag_id=followed).status is ExecutionStatus.RUNNING
    later = server.submit(simple_sum())

    (tmp_path / "followed" / "go").touch()
    server.call("CANCEL_DAG", dag_id=cancelled)
    info = server.wait(followed)
    assert info.status is ExecutionStatus.SUCCEEDED
    assert values(info) == [6]
    assert server.wait(cancelled).status is ExecutionStatus.CANCELLED
    info = server.wait(lost)
    assert info.status is ExecutionStatus.FAILED
    assert "SIGKILL" in info.error_info.error_messages[0]
    assert values(server.wait(later)) == [9]


def test_dag_that_had_not_begun_is_failed_and_never_begins(
    start_server, tmp_path: Path, endpoint: str
) -> None:
    (dag_id,) = die_with_running_dags(tmp_path, endpoint, ["dag"], wait_until_begun=False)
    server = start_server()
    server.service.recover(SESSION)
    info = server.wait(dag_id)
    assert info.status is ExecutionStatus.FAILED
    assert "submit it again" in info.error_info.error_messages[0]
    while not (tmp_path / "maxframe" / SESSION.id / dag_id / "exit.json").exists():
        time.sleep(0.02)
    assert not (tmp_path / "dag" / "begun").exists()


def test_orderly_stop_keeps_results_and_leaves_no_process(
    start_server, tmp_path: Path, endpoint: str
) -> None:
    first = start_server()
    first.open_session()
    cancelled = first.submit(gated_sum(tmp_path / "cancelled"))
    first.call("CANCEL_DAG", dag_id=cancelled)
    assert first.wait(cancelled).status is ExecutionStatus.CANCELLED
    done = first.submit(simple_sum())
    assert values(first.wait(done)) == [9]
    interrupted = first.submit(gated_sum(tmp_path / "interrupted"))
    process = process_of(tmp_path / "interrupted")
    first.service.close()
    assert first.odps.valid == set()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    counted = first.stats.snapshot()
    assert counted.pop("maxframe.get_dag_info") > 0
    assert counted == {
        "maxframe.cancel_dag": 1,
        "maxframe.create_session": 1,
        "maxframe.dag_cancelled": 1,
        "maxframe.dag_failed": 1,
        "maxframe.dag_succeeded": 1,
        "maxframe.submit_dag": 3,
    }
    assert not (tmp_path / "cancelled" / "begun").exists()

    second = start_server()
    second.service.recover(SESSION)
    assert values(second.wait(done)) == [9]
    info = second.wait(interrupted)
    assert info.status is ExecutionStatus.FAILED
    assert "was stopped while the DAG ran" in info.error_info.error_messages[0]
    session = tmp_path / "maxframe" / SESSION.id
    for dag_id in (done, interrupted):
        left = {path.name for path in (session / dag_id).iterdir()}
        # Neither the graph, which holds credentials, nor scratch files.
        assert left <= {
            "cancel",
            "exit.json",
            "inputs.bin",
            "log.txt",
            "process.json",
            "progress.json",
            "result.json",
        }


def test_function_that_ignores_sigterm_is_killed(start_server, tmp_path: Path) -> None:
    begun = str(tmp_path / "begun")

    def ignore(_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(begun).with_suffix(".part").write_text(str(os.getpid()))
        Path(begun).with_suffix(".part").rename(begun)
        time.sleep(1000)

    server = start_server()
    server.open_session()
    column = md.DataFrame(pd.DataFrame({"n": [1]}))["n"].map(ignore, dtype="int64", skip_infer=True)
    dag_id = server.submit(column)
    while not Path(begun).exists():
        time.sleep(0.02)
    server.call("CANCEL_DAG", dag_id=dag_id)
    assert server.wait(dag_id).status is ExecutionStatus.CANCELLED
    assert not Path(f"/proc/{Path(begun).read_text()}").exists()


class HoldsUpItsReader:
    """Unpickled, it makes the process that reads it deaf to SIGTERM, and keeps it busy."""

    def __init__(self, pid_file: str) -> None:
        self.code = f"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open({pid_file!r} + ".part", "w").write(str(os.getpid()))
os.rename({pid_file!r} + ".part", {pid_file!r})
time.sleep(1000)
"""

    def __reduce__(self):
        return exec, (self.code,)


def test_dags_process_that_ignores_sigterm_is_killed(
    start_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dags, "_KILL_AFTER_SECONDS", 0.5)
    pid_file = tmp_path / "pid"

    def function(chunk, held=HoldsUpItsReader(str(pid_file))):  # noqa: B008  (it is to be pickled)
        return chunk

    server = start_server()
    server.open_session()
    source = md.DataFrame(pd.DataFrame({"n": [1]}))
    dag_id = server.submit(source.mf.apply_chunk(function, dtypes=source.dtypes, skip_infer=True))
    while not pid_file.exists():
        time.sleep(0.02)
    server.call("CANCEL_DAG", dag_id=dag_id)
    assert server.wait(dag_id).status is ExecutionStatus.CANCELLED
    assert not Path(f"/proc/{pid_file.read_text()}").exists()


def test_released_tables_stay_while_a_dag_may_read_them(start_server) -> None:
    server = start_server()
    server.open_session({"session.recycle_delay_seconds": 2})
    prefix = f"tmp_mf_{SESSION.id.lower()}"
    server.odps.tables = {f"{prefix}_read", f"{prefix}_idle", "other"}
    graph, _ = gen_submit_tileable_graph(None, [simple_sum().data], {})
    dag = base64.b64encode(serialize_serializable(graph)).decode()

    def release(key: str) -> None:
        server.service.put_info(SESSION, "task", "DECREF", json.dumps({"tileable_keys": key}))

    release("READ")
    server.call("SUBMIT_DAG", dag=dag)
    release("idle,none")
    while f"{prefix}_idle" in server.odps.tables:
        time.sleep(0.02)
    assert server.odps.tables == {f"{prefix}_read", "other"}
    server.service.stop(SESSION)
    assert server.odps.tables == {"other"}


def test_nothing_waits_for_a_closed_service(start_server) -> None:
    before = set(threading.enumerate())
    server = start_server()
    server.open_session({"session.recycle_delay_seconds": 600})
    server.service.put_info(SESSION, "task", "DECREF", json.dumps({"tileable_keys": "a"}))
    own = set(threading.enumerate()) - before
    server.service.close()
    assert own
    assert not any(thread.is_alive() for thread in own)


def test_session_left_alone_is_closed_but_not_while_a_dag_runs(start_server, tmp_path: Path) -> None:
    server = start_server()
    server.open_session({"session.max_idle_seconds": 1})
    server.submit(gated_sum(tmp_path / "dag"))
    process_of(tmp_path / "dag")
    assert not server.odps.session_ended.wait(2.5)
    (tmp_path / "dag" / "go").touch()
    assert server.odps.session_ended.wait(60)
    assert server.service.put_info(SESSION, "task", "GET_SESSION", "{}") == '{"result": null}'
    assert server.stats.snapshot()["maxframe.dag_succeeded"] == 1


def test_session_ends_after_its_time_with_its_dags(start_server, tmp_path: Path) -> None:
    server = start_server()
    server.open_session({"session.max_alive_seconds": 1, "session.max_idle_seconds": 0})
    server.submit(gated_sum(tmp_path / "dag"))
    assert server.odps.session_ended.wait(60)
    assert server.service.put_info(SESSION, "task", "GET_SESSION", "{}") == '{"result": null}'
    assert server.stats.snapshot()["maxframe.dag_cancelled"] == 1


def test_engine_that_cannot_start_fails_the_dag_with_a_hint(tmp_path: Path, endpoint: str) -> None:
    server = Server(tmp_path, endpoint, python="/bin/false")
    server.open_session()
    info = server.wait(server.submit(simple_sum()))
    assert info.status is ExecutionStatus.FAILED
    assert "engine.log" in info.error_info.error_messages[0]
    server.service.close()
