"""Identities, URIs and reports."""

import pytest

from airflow_provider_drivepipe.contracts import (
    OssUri,
    StageCounts,
    StageReport,
    Verdict,
    image_id,
    video_id,
)


def test_same_file_name_in_two_folders_is_two_videos():
    assert video_id("tripA/front.mp4") != video_id("tripB/front.mp4")


def test_image_id_is_basename_and_index():
    assert image_id("trips/a.b/front.cam.mp4", 7) == "front.cam_0007"
    assert image_id("front", 12345) == "front_12345"


def test_oss_uri_round_trip_and_join():
    uri = OssUri.parse("oss://127.0.0.1:9000/bucket/a/b.mp4")
    assert (uri.endpoint, uri.bucket, uri.key) == ("127.0.0.1:9000", "bucket", "a/b.mp4")
    assert str(uri) == "oss://127.0.0.1:9000/bucket/a/b.mp4"
    assert str(OssUri("e", "b").join("frames", "ds=1")) == "oss://e/b/frames/ds=1"


@pytest.mark.parametrize("bad", ["", "s3://b/k", "oss://bucket-only", "oss:///b/k", "oss://e/"])
def test_oss_uri_without_endpoint_or_bucket_is_refused(bad):
    with pytest.raises(ValueError, match="OSS URI"):
        OssUri.parse(bad)


def test_books_balance():
    assert StageCounts(10, 7, 1, 1, 1).balanced()
    assert not StageCounts(10, 7, 1, 1, 0).balanced()


def test_failure_counts_have_an_entry_for_every_stage_that_ran():
    report = StageReport(
        scenario="s",
        stage="single_job",
        table="t",
        partition="ds=1",
        verdict=Verdict.COMPLETED_WITH_FAILURES,
        rows_in=3,
        ok=1,
        failed=2,
        filtered=0,
        skipped=0,
        carried_over=0,
        failures={"frame_extraction": {"truncated": 1, "not_a_video": 1}},
        stages={"frame_extraction": {}, "label": {}},
    )
    assert report.failure_counts() == {"frame_extraction": 2, "label": 0}
    assert report.to_json()["verdict"] == "completed_with_failures"


def test_video_id_is_16_hex_digits_of_sha256_over_the_key():
    import hashlib

    key = "trips/前视/front cam.mp4"
    assert video_id(key) == hashlib.sha256(key.encode()).hexdigest()[:16]
