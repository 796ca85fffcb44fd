"""Manifests that a MaxFrame job lists: what the client lists, and nothing of half a listing."""

from __future__ import annotations

import threading
import time

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.exceptions import DrivepipeError, RemoteJobError
from airflow_provider_drivepipe.hooks import listing_job
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook, SessionTags
from airflow_provider_drivepipe.operators import OssManifestOperator
from airflow_provider_drivepipe.worker import listing
from tests.integration.operator_context import Run

KEYS = (
    *(f"v/2026/{day:02d}/{car}/front é+&<{n}.mp4" for day in range(4) for car in "ab" for n in range(4)),
    *("v/0.mp4", "v/2026/01.mp4", "v/2026/01/b.MOV", "v/2026/010/x.mp4", "v/前/视 频.mp4", "v/\U0001f697.mp4"),
    *("v/", "v/2026/02/", "v/2026/02/notes.txt", "v/2026/03/a/empty.mp4", "v/z/empty too.mp4", "v/z/%41+.mp4"),
)
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


def live():
    return [s for s in MaxFrameHook().list_sessions() if s.tags.task_id == "manifest"]


@pytest.mark.parametrize("incremental", [False, True])
def test_rows_and_counts_are_those_of_the_client(filled, table, local_cloud, incremental):
    by, samples = {}, {}
    for who in ("client", "maxframe"):
        run, operator = Run(), manifest(filled, f"{table}_{who}", who, incremental=incremental)
        with local_cloud.control.counting() as counted:
            by[who] = run.execute(operator)
        samples[who] = run.tasks["manifest"].pushed
    report = by["maxframe"]
    assert (report["ok"], report["failed"]) == (39, 2)
    assert report["filtered_reasons"] == {"folder_marker": 2, "other_extension": 1}
    differ = ("table", "seconds")
    assert {k: v for k, v in report.items() if k not in differ} == {
        k: v for k, v in by["client"].items() if k not in differ
    }
    assert rows(f"{table}_maxframe") == rows(f"{table}_client")
    print(counted, samples['maxframe'])
    assert not live()
    assert MaxFrameHook().list_tables(f"{table}_maxframe__") == []
