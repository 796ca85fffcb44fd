"""Large objects, blocks, rows and results go through the server without being held by it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import alibabacloud_oss_v2 as oss
import pyarrow as pa
import pytest
from odps.tunnel import TableTunnel

from tests.crash.server import Clients, KilledServer

MIB = 1 << 20
SIZE = 256 * MIB
ALLOWED_MIB = 180
"""Less than what is transferred, more than buffers and libraries loaded on the way need."""


class Measured:
    def __init__(self, server: KilledServer) -> None:
        settings = server.start()
        self.clients = Clients(settings)
        self._status = Path(f"/proc/{settings.pid}/status")
        self._reset = Path(f"/proc/{settings.pid}/clear_refs")

    def growth_mib(self, work) -> float:
        """Return by how much the server's peak memory in ``work`` exceeds what it held before."""
        self._reset.write_text("5")
        before = self._peak()
        work()
        return self._peak() - before

    def _peak(self) -> float:
        (line,) = (one for one in self._status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    running = KilledServer(tmp_path_factory.mktemp("streams"))
    yield Measured(running)
    running.stop()


def test_objects(server: Measured, tmp_path: Path) -> None:
    client = server.clients.oss
    client.put_bucket(oss.PutBucketRequest(bucket="streams"))
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(SIZE)
    named = {"bucket": "streams", "key": "k"}

    def put() -> None:
        client.put_object_from_file(oss.PutObjectRequest(**named), str(source))

    def get() -> None:
        body = client.get_object(oss.GetObjectRequest(**named)).body
        assert sum(len(piece) for piece in body.iter_bytes()) == SIZE
        body.close()

    assert server.growth_mib(put) < ALLOWED_MIB
    assert server.growth_mib(get) < ALLOWED_MIB


def test_blocks_of_large_rows(server: Measured) -> None:
    odps = server.clients.odps
    odps.execute_sql("SET odps.sql.type.system.odps2=true; CREATE TABLE pictures (n BIGINT, data BINARY)")
    tunnel = TableTunnel(odps)
    session = tunnel.create_upload_session("pictures")
    rows, data = SIZE // MIB // 2, [os.urandom(MIB) for _ in range(4)]

    def write_records() -> None:
        with session.open_record_writer(0) as writer:
            for n in range(rows):
                writer.write(session.new_record([n, data[n % 4]]))

    def write_arrow() -> None:
        with session.open_arrow_writer(1) as writer:
            for n in range(rows):
                writer.write(pa.record_batch({"n": [n], "data": pa.array([data[n % 4]], pa.binary())}))

    def read_records() -> None:
        with tunnel.create_download_session("pictures").open_record_reader(0, 2 * rows) as reader:
            assert sum(len(record["data"]) for record in reader) == SIZE

    def read_arrow() -> None:
        with tunnel.create_download_session("pictures").open_arrow_reader(0, 2 * rows) as reader:
            assert sum(batch.num_rows for batch in reader) == 2 * rows

    assert server.growth_mib(write_records) < ALLOWED_MIB
    assert server.growth_mib(write_arrow) < ALLOWED_MIB
    session.commit([0, 1])
    assert server.growth_mib(read_records) < ALLOWED_MIB
    assert server.growth_mib(read_arrow) < ALLOWED_MIB
