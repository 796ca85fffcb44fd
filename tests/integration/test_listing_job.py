"""Manifests that a MaxFrame job lists: what the client lists, and nothing of half a listing."""

from __future__ import annotations

import threading
import time

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.exceptions import DrivepipeError, RemoteJobError
from airflow_provider_drivepipe.hooks import listing_job
from airflow_provider_drivepipe.hooks.listing import key_ranges
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook, SessionTags
from airflow_provider_drivepipe.operators import OssManifestOperator
from airflow_provider_drivepipe.worker import listing
from tests.integration.operator_context import Run

KEYS = (
    *(f"v/2026/{day:02d}/{car}/front é+&<{n}.mp4" for day in range(4) for car in "ab" for n in range(4)),
    *(
        f"v/2026/{odd}"
        for odd in ("01.mp4", "01/b.MOV", "010/x.mp4", "02/", "02/notes.txt", "03/a/empty.mp4")
    ),
    *(f"v/{odd}" for odd in ("", "0.mp4", "前/视 频.mp4", "\U0001f697.mp4", "z/empty too.mp4", "z/%41+.mp4")),
)
RANGES = 17
OUTSIDE = ("u/x.mp4", "v.mp4", "v0/x.mp4")


@pytest.fixture
def filled(oss_client, bucket, airflow_connection, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 4)
    for key in (*KEYS, *OUTSIDE):
        body = b"" if key.endswith("/") or "empty" in key else key.encode()
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))
    return bucket


@pytest.fixture
def faults(local_cloud):
    yield local_cloud.control.faults
    local_cloud.control.faults.clear()


def manifest(bucket, table, listing="maxframe", **more):
    return OssManifestOperator(
        task_id="manifest",
        output_table=table,
        bucket=bucket,
        prefix="v/",
        listing=listing,
        workers=3,
        scenario="s",
        **more,
    )


def rows(table):
    found = MaxFrameHook().execute_sql(f"SELECT * FROM {table} WHERE ds='20261120'")
    return sorted(map(tuple, found))


def looks(bucket, local_cloud):
    """Return how many requests it takes to find the ranges."""
    with local_cloud.control.counting() as counted:
        found = key_ranges(MaxFrameHook().oss, bucket, "v/", 3 * listing_job.RANGES_PER_WORKER)
    assert len(found) == RANGES
    return counted["oss.ListObjectsV2"]


def live():
    return [s for s in MaxFrameHook().list_sessions() if s.tags.task_id == "manifest"]


def test_rows_and_counts_are_those_of_the_client(filled, table, local_cloud):
    said = {}
    for who in ("client", "maxframe"):
        run, operator = Run(), manifest(filled, f"{table}_{who}", who, incremental=True)
        with local_cloud.control.counting() as counted:
            run.execute(operator)
        said[who] = {**run.tasks["manifest"].pushed}
        report = said[who]["return_value"] = dict(said[who]["return_value"])
        del report["table"], report["seconds"]
        said[who]["failures_sample"]["inputs"].sort(key=str)
    assert (report["ok"], report["failed"], report["changes"]["new"]) == (39, 2, 39)
    assert report["filtered_reasons"] == {"folder_marker": 2, "other_extension": 1}
    assert said["maxframe"] == said["client"]
    assert rows(f"{table}_maxframe") == rows(f"{table}_client")
    assert counted["maxframe.udf.rows_in"] == RANGES
    assert not live()
    assert MaxFrameHook().list_tables(f"{table}_maxframe__") == []


def test_a_range_that_cannot_be_listed_leaves_the_partition_as_it_was(
    filled, table, local_cloud, faults, oss_client, caplog
):
    run, operator = Run(), manifest(filled, table)
    run.execute(manifest(filled, table, "client"))
    before = rows(table)
    oss_client.put_object(oss.PutObjectRequest(bucket=filled, key="v/2026/00/new.mp4", body=b"new"))
    faults.add("oss.ListObjectsV2", "forbidden", after=looks(filled, local_cloud) + 3, count=1)
    with pytest.raises(RemoteJobError, match=f"bucket {filled} behind 'v/.*AccessDenied") as failed:
        run.execute(operator)
    assert local_cloud.settings.access_key_secret not in caplog.text + str(failed.value)
    assert rows(table) == before
    assert not live()
    MaxFrameHook().open_session(SessionTags("dag", "run1", "manifest", -1, 1))
    assert run.execute(operator, try_number=2)["ok"] == len(before) + 1
    assert len(rows(table)) == len(before) + 1
    assert not live()


def test_a_task_that_is_killed_leaves_no_session(filled, table, local_cloud, faults):
    faults.add("oss.ListObjectsV2", "latency", seconds=60, after=looks(filled, local_cloud))
    operator, ended = manifest(filled, table), []

    def execute():
        try:
            Run().execute(operator)
        except DrivepipeError as error:
            ended.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    while not any(MaxFrameHook().session_jobs(session.session_id) for session in live()):
        assert thread.is_alive()
        time.sleep(0.2)
    with local_cloud.control.counting() as counted:
        operator.on_kill()
    thread.join()
    assert counted.get("odps.stop_instance")
    assert ended
    assert not live()
