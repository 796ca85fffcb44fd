"""Counters of jobs, and workers that are killed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import alibabacloud_oss_v2 as oss
import maxframe.dataframe as md
import pandas as pd
import pytest
from maxframe import new_session
from maxframe.udf import with_fs_mount
from odps import ODPS

from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.server import LocalCloud
from maxcompute_local.settings import ROLE_ARN

VIDEO_BYTES = 3 << 20
COLUMNS = pd.Series(["int64"], index=["size"])


@pytest.fixture
def control(local_cloud: LocalCloud) -> Iterator[LocalCloudControl]:
    yield local_cloud.control
    local_cloud.control.faults.clear()


def run(odps: ODPS, function, rows: int = 4, batch_rows: int = 2) -> list[int]:
    session = new_session(odps)
    try:
        frame = md.DataFrame(pd.DataFrame({"name": [f"{number}.mp4" for number in range(rows)]}))
        result = frame.mf.apply_chunk(
            function, batch_rows=batch_rows, output_type="dataframe", dtypes=COLUMNS, skip_infer=True
        )
        return [int(size) for size in result.execute(session=session).fetch()["size"]]
    finally:
        session.destroy()


def lengths_function() -> Callable[[pd.DataFrame], pd.DataFrame]:
    # A function of a function is shipped by value; this module is not there in a worker.
    def lengths(chunk: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"size": [len(name) for name in chunk["name"]]}, index=chunk.index)

    return lengths


LENGTHS = lengths_function()


def test_parts_of_a_job_are_counted(control, odps_client) -> None:
    with control.counting() as counted:
        assert run(odps_client, LENGTHS) == [5] * 4
    expected = {
        "maxframe.create_session": 1,
        "maxframe.submit_dag": 1,
        "maxframe.dag_succeeded": 1,
        "maxframe.stop_session": 1,
        "maxframe.operator.DataFrameApplyChunk": 1,
        "maxframe.udf.chunk": 2,
        "maxframe.udf.rows_in": 4,
        "maxframe.udf.rows_out": 4,
    }
    assert {kind: counted.get(kind) for kind in expected} == expected
    assert not any(kind.startswith("maxframe.mounted_udf") for kind in counted)
    # Nothing but what the process itself needs.
    assert counted.get("maxframe.udf.read_bytes", 0) < VIDEO_BYTES / 10


def test_what_a_mounted_function_and_its_children_read_is_counted(
    control, odps_client, oss_client, local_cloud, bucket
) -> None:
    for number in range(2):
        request = oss.PutObjectRequest(bucket=bucket, key=f"{number}.mp4", body=bytes(VIDEO_BYTES))
        oss_client.put_object(request)
    mount_path = f"/mnt/faults-{uuid.uuid4().hex[:8]}"
    endpoint = local_cloud.oss_endpoint.removeprefix("http://")

    @with_fs_mount(f"oss://{endpoint}/{bucket}", mount_path, storage_options={"role_arn": ROLE_ARN})
    def read_in_a_child(chunk: pd.DataFrame) -> pd.DataFrame:
        import os
        from pathlib import Path

        for name in chunk["name"]:
            child = os.fork()
            if child == 0:
                Path(mount_path, name).read_bytes()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        return pd.DataFrame({"size": 0}, index=chunk.index)

    with control.counting() as counted:
        run(odps_client, read_in_a_child, rows=2)
    assert counted["maxframe.mounted_udf.rows_in"] == counted["maxframe.mounted_udf.rows_out"] == 2
    assert 2 * VIDEO_BYTES <= counted["maxframe.mounted_udf.read_bytes"] < 2.2 * VIDEO_BYTES
    assert counted["maxframe.udf.read_bytes"] == counted["maxframe.mounted_udf.read_bytes"]


def test_a_worker_killed_at_an_operator_fails_the_job_once(control, odps_client) -> None:
    control.faults.add("maxframe.operator.DataFrameApplyChunk", "kill_worker", count=1)
    with control.counting() as counted:
        with pytest.raises(Exception, match="SIGKILL"):
            run(odps_client, LENGTHS)
        assert run(odps_client, LENGTHS) == [5] * 4
    assert (counted["maxframe.dag_failed"], counted["maxframe.dag_succeeded"]) == (1, 1)
    assert (counted["fault.kill_worker"], counted["maxframe.udf.chunk"]) == (1, 2)


def test_a_killed_chunk_is_named_in_the_error(control, odps_client) -> None:
    control.faults.add("maxframe.udf.chunk", "kill_worker", after=1, count=1)
    with pytest.raises(Exception, match=r"batch 2 of 2.*SIGKILL"):
        run(odps_client, LENGTHS)


def test_a_full_disk_at_an_operator_is_the_jobs_error(control, odps_client) -> None:
    control.faults.add("maxframe.operator.DataFrameApplyChunk", "disk_full", count=1)
    with pytest.raises(Exception, match="No space left on device"):
        run(odps_client, LENGTHS)


def test_a_refused_submission_starts_nothing(control, odps_client) -> None:
    control.faults.add("maxframe.submit_dag", "http", status=500, count=1)
    with control.counting() as counted, pytest.raises(Exception, match="as asked for"):
        run(odps_client, LENGTHS)
    assert "maxframe.submit_dag" not in counted
    assert "maxframe.operator.DataFrameApplyChunk" not in counted
