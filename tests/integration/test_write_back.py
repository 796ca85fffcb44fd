"""Hostile rows of a video and an image table on the local cloud: they fail, alone, and write nothing."""

import re

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, video_id
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.lifecycle.fingerprint import part_sql
from airflow_provider_drivepipe.operators import (
    MaxFrameFrameExtractOperator,
    MaxFrameImagePrepareOperator,
)
from airflow_provider_drivepipe.sql import quote_text
from tests.integration.operator_context import Run
from tests.unit.image_samples import encoded, scene
from tests.unit.video_samples import write_video


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


@pytest.fixture
def objects(oss_client, bucket, tmp_path):
    """Two videos and an image below the root, one of each beside it; the bucket's keys at any time."""
    video, image = write_video(tmp_path / "v.mp4", frames=3).read_bytes(), encoded(scene())
    for key in ("mine/caf\u00e9.mp4", "mine/cafe\u0301.mp4", "mine-evil/v.mp4", "other/v.mp4"):
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=video))
    for key in ("mine/i.jpg", "mine-evil/i.jpg"):
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=image))

    def keys():
        listed = oss_client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, max_keys=1000))
        return {found.key for found in listed.contents or ()}

    return keys


def fill(hook, name, column, values):
    hook.execute_sql(
        f"CREATE TABLE {name} ({column} STRING, image_id STRING, trip STRING) PARTITIONED BY (ds STRING)"
    )
    rows = ", ".join(f"({quote_text(value)}, '{n}', '../../{n}')" for n, value in enumerate(values))
    hook.execute_sql(f"INSERT INTO TABLE {name} PARTITION (ds='20261120') VALUES {rows}")


def common(table, root, **more):
    return {
        "task_id": "t",
        "scenario": "s",
        "source_table": f"{table}_in",
        "output_table": f"{table}_out",
        "bucket": "ignored",
        "root": f"{root}/mine",
        "deferrable": False,
        "poll_interval": 0.2,
        **more,
    }


def hostile(root, name):
    return {
        f"{root}/mine/../mine-evil/{name}": "path_traversal",
        f"{root}/mine/%2e%2e/mine-evil/{name}": "path_traversal",
        f"{root}/mine/%252e%252e/other/{name}": "path_traversal",
        f"{root}/mine/..\\other\\{name}": "path_traversal",
        f"{root}/mine/\uff0e\uff0e/other/{name}": "path_traversal",
        f"{root}/mine//{name}": "path_traversal",
        f"{root}/mine/./{name}": "path_traversal",
        f"{root}/mine/a\n{name}": "path_traversal",
        f"{root}/mine-evil/{name}": "path_outside_root",
        f"{root}/other/{name}": "path_outside_root",
        f"oss://evil.example.com/bucket/mine/{name}": "path_outside_root",
        f"/mnt/drivepipe/{name}": "path_outside_root",
        f"{root}/mine/{'x/' * 600}{name}": "not_found",
        "": "path_outside_root",
    }


def reasons(hook, table, column):
    rows = hook.execute_sql(f"SELECT {column}, error_type, trip FROM {table}_out WHERE ds='20261120'")
    assert all(trip.startswith("../../") for *_, trip in rows)
    return {path: reason for path, reason, _ in rows}


def test_videos(hook, objects, bucket, table):
    root = str(hook.oss_root(bucket))
    good = [f"{root}/mine/caf\u00e9.mp4", f"{root}/mine/cafe\u0301.mp4"]
    bad = hostile(root, "v.mp4")
    fill(hook, f"{table}_in", "video_path", [*good, *bad])
    before = objects()
    report = Run().execute(MaxFrameFrameExtractOperator(**common(table, root)))
    assert (report["rows_in"], report["ok"], report["failed"]) == (2 + len(bad), 2, len(bad))
    assert reasons(hook, table, "video_path") == {**dict.fromkeys(good, ""), **bad}
    ids = [video_id(path.removeprefix(f"{root}/")) for path in good]
    part = part_sql("fingerprint", "frames")
    [[hash_]] = hook.execute_sql(f"SELECT DISTINCT {part} FROM {table}_out WHERE ds='20261120'")
    folder = f"{table}_out/ds=20261120/{hash_}"
    assert objects() - before == {
        f"mine/{folder}/{ids[0]}/caf\u00e9_0000.jpg",
        f"mine/{folder}/{ids[1]}/cafe\u0301_0000.jpg",
    }
    # Input columns that have names of our own do not decide where anything goes.
    written = hook.execute_sql(f"SELECT image_id FROM {table}_out WHERE ds='20261120' AND status='ok'")
    assert sorted(name for [name] in written) == ["cafe\u0301_0000", "caf\u00e9_0000"]
    columns = [c.name for c in hook.table_columns(f"{table}_out")[0]]
    assert columns[8:] == ["trip", *(c.name for c in STATUS_COLUMNS)]


def test_images(hook, objects, bucket, table):
    root = str(hook.oss_root(bucket))
    bad = hostile(root, "i.jpg")
    fill(hook, f"{table}_in", "image_url", [f"{root}/mine/i.jpg", *bad])
    before = objects()
    report = Run().execute(MaxFrameImagePrepareOperator(**common(table, root)))
    assert (report["ok"], report["failed"]) == (1, len(bad))
    assert reasons(hook, table, "image_url") == {f"{root}/mine/i.jpg": "", **bad}
    [new] = objects() - before
    assert re.fullmatch(rf"mine/{table}_out/ds=20261120/[0-9a-f]{{16}}/i_.*", new)


@pytest.mark.parametrize("prefix", ["a/../../mine-evil", "%2e%2e/other"])
def test_prefixes(hook, objects, bucket, table, prefix):
    root = str(hook.oss_root(bucket))
    fill(hook, f"{table}_in", "video_path", [f"{root}/mine/caf\u00e9.mp4"])
    before = objects()
    operator = MaxFrameFrameExtractOperator(**common(table, root), frames_prefix=prefix)
    with pytest.raises(ConfigurationError, match="output prefix"):
        Run().execute(operator)
    assert objects() == before
