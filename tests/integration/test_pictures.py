"""Pictures of two configurations never meet, and those that no row names any more are collected."""

import logging

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.scenario.options import SelectionOptions
from tests.integration.operator_context import Run
from tests.integration.test_repair import NONE, Pipeline, hook, videos, work

__all__ = ["hook", "videos", "work"]

ONCE = SelectionOptions(max_row_attempts=1)


@pytest.fixture
def pipeline(hook, videos, table):
    found = Pipeline(videos, table)
    Run().execute(found.manifest())
    return found


@pytest.fixture
def keys(oss_client, videos):
    """The keys of the JPEGs in the bucket."""

    def found():
        pages = oss_client.list_objects_v2_paginator().iter_page(oss.ListObjectsV2Request(bucket=videos))
        return {o.key for page in pages for o in page.contents or [] if o.key.endswith(".jpg")}

    return found


@pytest.fixture
def named(hook, pipeline):
    """The keys that the rows of a table name."""

    def found(output="f"):
        sql = f"SELECT image_url FROM {pipeline.table}_{output} WHERE ds='20261120' AND image_url IS NOT NULL"
        return {OssUri.parse(url).key for [url] in hook.execute_sql(sql)}

    return found


def frames(pipeline, output="f", **options):
    named = {"output_table": f"{pipeline.table}_{output}", "frames_prefix": "shared"}
    return pipeline.frames(selection=ONCE, **named, **options)


@pytest.mark.slow
def test_two_tables_of_one_prefix_never_write_one_file_and_old_folders_go(
    pipeline, keys, named, oss_client, local_cloud, caplog
):
    Run().execute(frames(pipeline))
    Run().execute(frames(pipeline, "g", fps="2"))
    assert not named("f") & named("g")
    assert keys() == named("f") | named("g")

    # Another configuration makes a folder obsolete: its own, and nobody else's.
    others = {"shared/ds=20261120/notes/a.jpg", "shared/ds=20261121/0123456789abcdef/a.jpg"}
    for key in others:
        oss_client.put_object(oss.PutObjectRequest(bucket=pipeline.bucket, key=key, body=b"x"))
    before = named("f")
    Run().execute(frames(pipeline, fps="3"))
    assert not before & named("f")
    assert keys() == named("f") | named("g") | others

    # A limited run leaves rows of the configuration before, and their folder until they are gone too.
    Run(params={"limit": 1}).execute(frames(pipeline, jpeg_quality=50, fps="3"))
    assert len({key.split("/")[2] for key in named("f")}) == 2
    assert named("f") < keys()
    Run().execute(frames(pipeline, jpeg_quality=50, fps="3"))
    assert keys() == named("f") | named("g") | others

    # What cannot be deleted is a warning.
    local_cloud.control.faults.add("oss.DeleteMultipleObjects", "http", status=500)
    try:
        with caplog.at_level(logging.WARNING):
            report = Run().execute(frames(pipeline, fps="4"))
    finally:
        local_cloud.control.faults.clear()
    assert report["failed"] == 1  # the broken video
    assert "could not be deleted" in caplog.text
    assert named("f") < keys() - named("g") - others


@pytest.mark.slow
def test_pictures_of_rows_that_may_come_back_stay(pipeline, keys, named, oss_client, work):
    def job(fps):
        return pipeline.single_job(fps=fps, embedding=NONE, selection=ONCE)

    listing, key = pipeline.manifest(), "v/a.mp4"
    video = oss_client.get_object(oss.GetObjectRequest(bucket=pipeline.bucket, key=key)).body.read()
    Run().execute(job("1"))
    first = named("o")
    oss_client.delete_object(oss.DeleteObjectRequest(bucket=pipeline.bucket, key=key))
    Run().execute(listing)
    Run().execute(job("1"))
    Run().execute(job("2"))
    assert first <= keys()
    oss_client.put_object(oss.PutObjectRequest(bucket=pipeline.bucket, key=key, body=video))
    Run().execute(listing)
    allowed = Run(params={"allow_shrink": True})
    with work() as done:
        report = allowed.execute(job("1"))
    # The frames of the other video are made again, those of this one are not.
    assert (report["ok"], done.calls) == (5, (3, 0, 2))
    assert named("o") == first <= keys()
