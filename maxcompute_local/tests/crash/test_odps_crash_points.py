"""A MaxCompute service that dies between two steps: what the next one finds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from odps import ODPS, errors
from odps.tunnel import TableTunnel

from maxcompute_local.odps import service as service_module
from maxcompute_local.odps import uploads as uploads_module
from maxcompute_local.odps.errors import OdpsError
from maxcompute_local.odps.storage import collect_garbage
from tests.integration.odps_cloud import PROJECT, RunningOdps

Start = Callable[[], RunningOdps]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[RunningOdps] = []

    def begin() -> RunningOdps:
        port = 0
        for one in running:
            one.stop()
            port = one.port
        running[:] = [RunningOdps(tmp_path, port)]
        return running[0]

    yield begin
    running[0].stop()


def rows(odps: ODPS, query: str) -> list[tuple[object, ...]]:
    with odps.execute_sql(query).open_reader(tunnel=True) as reader:
        return [tuple(record.values) for record in reader]


def run_and_die(cloud: RunningOdps, monkeypatch: pytest.MonkeyPatch, statement: str) -> str:
    """Run a statement on a server that dies before it can note the instance's end; return its id."""
    reached = threading.Event()

    def die(*_args: object) -> None:
        reached.set()
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(cloud.service._instances, "_store_end", die)
        instance = cloud.client().run_sql(statement)
        assert reached.wait(20)
    return str(instance.id)


def test_what_was_published_is_reported_as_done(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = start()
    cloud.client().execute_sql("CREATE TABLE t (n BIGINT)")
    script = "SET odps.sql.type.system.odps2=true; @more := SELECT 2 AS n; INSERT INTO t SELECT n FROM @more"
    done = run_and_die(cloud, monkeypatch, script)
    created = run_and_die(cloud, monkeypatch, "CREATE TABLE IF NOT EXISTS t (n BIGINT)")
    odps = start().client()
    assert odps.get_instance(done).is_successful()
    assert odps.get_instance(created).is_successful()
    assert rows(odps, "SELECT n FROM t") == [(2,)]


def test_what_was_not_finished_is_reported_with_what_it_did(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = start()
    cloud.client().execute_sql("CREATE TABLE t (n BIGINT)")
    query = run_and_die(cloud, monkeypatch, "SELECT 1 AS n")
    script = run_and_die(cloud, monkeypatch, "INSERT INTO t SELECT 1; SELECT n FROM t")
    odps = start().client()
    with pytest.raises(errors.ODPSError, match="no statement had taken effect"):
        odps.get_instance(query).wait_for_success()
    with pytest.raises(errors.ODPSError, match="1 of 2 statements had taken effect"):
        odps.get_instance(script).wait_for_success()
    assert list((cloud.service._instances._results).iterdir()) == [], "results of nobody are removed"


def test_downloads_survive_a_restart_and_keep_their_rows(start: Start) -> None:
    cloud = start()
    odps = cloud.client()
    odps.execute_sql("CREATE TABLE t (n BIGINT)")
    odps.execute_sql("INSERT INTO t VALUES (1), (2)")
    download = TableTunnel(odps).create_download_session("t")
    odps.execute_sql("INSERT OVERWRITE TABLE t VALUES (3)")
    result = odps.execute_sql("SELECT n FROM t")
    again = start()
    with download.open_record_reader(0, 2) as reader:
        assert [record.values[0] for record in reader] == [1, 2]
    with pytest.raises(errors.TableModified):
        download.reload()
    service = again.service
    assert collect_garbage(service._catalog, service._storage, 0) == 0
    with again.client().get_instance(result.id).open_reader(tunnel=True) as reader:
        assert [record.values[0] for record in reader] == [3]


def test_old_downloads_let_their_files_go(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = start()
    odps = cloud.client()
    odps.execute_sql("CREATE TABLE t (n BIGINT)")
    odps.execute_sql("INSERT INTO t VALUES (1)")
    download = TableTunnel(odps).create_download_session("t")
    upload = TableTunnel(odps).create_upload_session("t")
    with upload.open_record_writer(0) as writer:
        writer.write(upload.new_record([5]))
    odps.execute_sql("DROP TABLE t")
    service = cloud.service
    assert collect_garbage(service._catalog, service._storage, 0) == 0
    now = time.time()
    monkeypatch.setattr(
        uploads_module.time, "time", lambda: now + uploads_module.SESSION_LIFETIME_SECONDS + 1
    )
    service._forget_old()
    monkeypatch.undo()
    assert collect_garbage(service._catalog, service._storage, 0) == 1
    assert service._storage.files() == set()
    with pytest.raises(OdpsError, match="does not exist"):
        service._tunnel._recall(download.id)


def test_garbage_waits_for_running_statements(start: Start) -> None:
    cloud = start()
    service, odps = cloud.service, cloud.client()
    odps.execute_sql("CREATE TABLE t (n BIGINT)")
    odps.execute_sql("INSERT INTO t VALUES (1)")
    with service._storage.reading():
        odps.execute_sql("DROP TABLE t")
        assert collect_garbage(service._catalog, service._storage, 0) == 0
    assert collect_garbage(service._catalog, service._storage, 0) == 1


def test_block_that_comes_after_the_commit_replaces_nothing(start: Start, monkeypatch) -> None:
    cloud = start()
    odps = cloud.client()
    odps.execute_sql("CREATE TABLE t (n BIGINT)")
    upload = TableTunnel(odps).create_upload_session("t")

    def write(value: int) -> None:
        with upload.open_record_writer(0) as writer:
            writer.write(upload.new_record([value]))

    write(1)
    storage = cloud.service._storage
    real = storage.write

    def write_while_it_is_committed(*args):
        monkeypatch.setattr(storage, "write", real)
        file = real(*args)
        upload.commit([0])
        return file

    monkeypatch.setattr(storage, "write", write_while_it_is_committed)
    with pytest.raises(errors.ODPSError, match="closed"):
        write(2)
    assert rows(odps, "SELECT n FROM t") == [(1,)]
    assert len(storage.files()) == 1


def test_garbage_is_collected_while_the_server_runs_also_after_a_failure(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "_GARBAGE_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(service_module, "GARBAGE_DELAY_SECONDS", 0.0)
    cloud = start()
    odps, service, database = cloud.client(), cloud.service, cloud.service.database
    with database.write() as db:
        db.execute("CREATE TRIGGER full BEFORE DELETE ON tokens BEGIN SELECT RAISE(FAIL, 'full'); END")
    service.tokens.issue("old", lifetime_seconds=-1)
    odps.execute_sql("CREATE TABLE t (n BIGINT)")
    odps.execute_sql("INSERT INTO t VALUES (1)")
    upload = TableTunnel(odps).create_upload_session("t")
    with upload.open_record_writer(0) as writer:
        writer.write(upload.new_record([5]))
    result = odps.execute_sql("SELECT n FROM t")
    odps.execute_sql("DROP TABLE t")
    with database.write() as db:
        db.execute("UPDATE uploads SET created = 0")
        db.execute("UPDATE instances SET end_time = 0 WHERE id = ?", (result.id,))
    data, results = service._storage._root, service._instances._results
    assert list(data.iterdir())
    assert list(results.iterdir())
    with database.write() as db:
        db.execute("DROP TRIGGER full")
    deadline = time.monotonic() + 20
    while [*data.iterdir(), *results.iterdir()]:
        assert time.monotonic() < deadline, "garbage stays"
        time.sleep(0.02)
    with database.read() as db:
        assert db.execute("SELECT count(*) FROM tokens WHERE purpose = 'old'").fetchone()[0] == 0
        assert db.execute("SELECT count(*) FROM uploads").fetchone()[0] == 0
    assert not odps.exist_instance(result.id)


def test_end_that_cannot_be_stored_is_stored_later(start: Start) -> None:
    cloud = start()
    database = cloud.service.database
    with database.write() as db:
        db.execute("CREATE TRIGGER full BEFORE UPDATE ON instances BEGIN SELECT RAISE(FAIL, 'full'); END")
    instance = cloud.client().run_sql("SELECT 1 AS n")
    while not list(cloud.service._instances._results.iterdir()):
        time.sleep(0.01)
    assert not instance.is_terminated()
    with database.write() as db:
        db.execute("DROP TRIGGER full")
    with instance.open_reader(tunnel=True) as reader:
        assert [record.values[0] for record in reader] == [1]


def test_block_that_cannot_be_stored_leaves_no_file(start: Start) -> None:
    cloud = start()
    odps = cloud.client()
    odps.execute_sql("CREATE TABLE t (n BIGINT)")
    upload = TableTunnel(odps).create_upload_session("t")
    with cloud.service.database.write() as db:
        db.execute("CREATE TRIGGER full BEFORE INSERT ON upload_blocks BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(errors.ODPSError), upload.open_record_writer(0) as writer:
        writer.write(upload.new_record([5]))
    assert cloud.service._storage.files() == set()


@pytest.mark.parametrize("step", [-5000.0, 5000.0])
def test_readers_keep_their_files_when_the_clock_is_put(
    start: Start, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    cloud = start()
    service, odps, real = cloud.service, cloud.client(), time.time
    odps.execute_sql("CREATE TABLE t (n BIGINT)")
    odps.execute_sql("INSERT INTO t VALUES (1)")
    with service._storage.reading():
        if step > 0:
            odps.execute_sql("DROP TABLE t")
        monkeypatch.setattr("time.time", lambda: real() + step)
        if step < 0:
            service.drop_table(PROJECT, "t")
        assert collect_garbage(service._catalog, service._storage, 0) == 0
    assert collect_garbage(service._catalog, service._storage, 0) == 1
