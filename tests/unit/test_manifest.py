"""Which listed objects become manifest rows."""

import pytest

from airflow_provider_drivepipe.worker.listing import LeftOut, ListedObject, manifest_row

ROOT = "oss://oss-cn-x.aliyuncs.com/bucket"


def listed(key, size=10):
    return ListedObject(key, size, "2026-11-20T00:00:00.000Z", '"ABC"', "Standard")


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


@pytest.mark.parametrize(
    ("key", "size", "reason", "failed"),
    [
        ("trips/", 0, "folder_marker", False),
        ("trips/x.mp4/", 0, "folder_marker", False),
        ("trips/x.txt", 5, "other_extension", False),
        ("trips/mp4", 5, "other_extension", False),
        ("trips/.mp4", 5, "other_extension", False),
        ("trips.mp4/x", 5, "other_extension", False),
        ("trips/x.mp4.", 5, "other_extension", False),
        ("trips/x.mp4", 0, "empty_file", True),
    ],
)
def test_left_out_by_reason(key, size, reason, failed):
    left = manifest_row(listed(key, size), ROOT, (".mp4",))
    assert left == LeftOut(reason, failed)
