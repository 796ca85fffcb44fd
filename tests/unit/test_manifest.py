"""Which listed objects become manifest rows."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.pipelines.driving.manifest import LeftOut, manifest_row

ROOT = OssUri("oss-cn-x.aliyuncs.com", "bucket")


def listed(key, size=10):
    return SimpleNamespace(
        key=key,
        size=size,
        last_modified=datetime(2026, 11, 20, 8, 0, tzinfo=timezone(timedelta(hours=8))),
        etag='"ABC"',
        storage_class="Standard",
    )


def test_video_row_has_the_full_uri_utc_time_and_bare_etag():
    row = manifest_row(listed("trips/a b/前视.MP4"), ROOT, (".mp4",))
    assert row == (
        "oss://oss-cn-x.aliyuncs.com/bucket/trips/a b/前视.MP4",
        10,
        "2026-11-20 00:00:00",
        "ABC",
        "",
        "Standard",
    )
    assert datetime(2026, 11, 20, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S") == row[2]


@pytest.mark.parametrize(
    ("key", "size", "reason", "failed"),
    [
        ("trips/", 0, "folder_marker", False),
        ("trips/x.mp4/", 0, "folder_marker", False),
        ("trips/x.txt", 5, "other_extension", False),
        ("trips/mp4", 5, "other_extension", False),
        ("trips/x.mp4", 0, "empty_file", True),
    ],
)
def test_left_out_by_reason(key, size, reason, failed):
    left = manifest_row(listed(key, size), ROOT, (".mp4",))
    assert left == LeftOut(reason, failed)
