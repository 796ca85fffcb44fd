"""Eight writers and eight readers at once: every read is one writer's rows, all of them and no others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import alibabacloud_oss_v2 as oss
import pytest
from odps.tunnel import TableTunnel

from tests.integration.odps_cloud import RunningOdps
from tests.integration.oss_cloud import BUCKET, OssCloud, oss_cloud

WRITERS = READERS = 8
WRITES = 5
ROWS = 200


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[RunningOdps]:
    running = RunningOdps(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[OssCloud]:
    with oss_cloud(tmp_path / "oss") as running:
        running.client().put_bucket(oss.PutBucketRequest(bucket=BUCKET))
        yield running


def race(write: Callable[[int], None], read: Callable[[int], list[object]]) -> None:
    """Let writers write their number; every read must find one number, ``ROWS`` times, or nothing yet."""
    done = threading.Event()
    write(0)

    def write_often(number: int) -> None:
        for _ in range(WRITES):
            write(number)

    def read_often(number: int) -> int:
        reads = 0
        while not (done.is_set() and reads):
            found = read(number)
            assert len(found) == ROWS
            assert len(set(found)) == 1
            reads += 1
        return reads

    with ThreadPoolExecutor(WRITERS + READERS) as pool:
        readers = [pool.submit(read_often, number) for number in range(READERS)]
        writers = [pool.submit(write_often, number) for number in range(WRITERS)]
        try:
            for writer in writers:
                writer.result()
        finally:
            done.set()
        assert all(reader.result() for reader in readers)


def test_partition(cloud: RunningOdps) -> None:
    cloud.client().execute_sql("CREATE TABLE t (writer BIGINT) PARTITIONED BY (pt STRING)")
    cloud.client().execute_sql("ALTER TABLE t ADD PARTITION (pt='1')")

    def write(number: int) -> None:
        odps = cloud.client()
        if number % 2:
            rows = f"SELECT {number}, '1' FROM VALUES {', '.join(['(0)'] * ROWS)} AS v(n)"
            odps.execute_sql(f"INSERT OVERWRITE TABLE t PARTITION (pt) {rows}")
            return
        session = TableTunnel(odps).create_upload_session("t", partition_spec="pt=1", overwrite=True)
        for block in (0, 1):
            with session.open_record_writer(block) as writer:
                for _ in range(ROWS // 2):
                    writer.write(session.new_record([number]))
        session.commit([0, 1])

    def read(number: int) -> list[object]:
        odps = cloud.client()
        if number % 2:
            with odps.execute_sql("SELECT writer FROM t WHERE pt='1'").open_reader(tunnel=True) as reader:
                return [record.values[0] for record in reader]
        download = TableTunnel(odps).create_download_session("t", partition_spec="pt=1")
        half = ROWS // 2
        found: list[object] = []
        for start, count in ((0, half), (half, download.count - half)):
            with download.open_record_reader(start, count) as reader:
                found += [record.values[0] for record in reader]
        return found

    race(write, read)


def test_object(objects: OssCloud) -> None:
    part = 4096

    def write(number: int) -> None:
        client = objects.client()
        content = bytes([number]) * part
        if number % 2:
            client.put_object(oss.PutObjectRequest(bucket=BUCKET, key="k", body=content * ROWS))
            return
        named = {"bucket": BUCKET, "key": "k"}
        upload = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(**named)).upload_id
        parts = []
        for n, size in enumerate((ROWS // 2, ROWS // 2), 1):
            request = oss.UploadPartRequest(**named, upload_id=upload, part_number=n, body=content * size)
            parts.append(oss.UploadPart(part_number=n, etag=client.upload_part(request).etag))
        client.complete_multipart_upload(
            oss.CompleteMultipartUploadRequest(
                **named,
                upload_id=upload,
                complete_multipart_upload=oss.CompleteMultipartUpload(parts=parts),
            )
        )

    def read(_number: int) -> list[object]:
        content = objects.client().get_object(oss.GetObjectRequest(bucket=BUCKET, key="k")).body.content
        assert len(content) == part * ROWS
        return list(content[::part])

    race(write, read)
