"""A slip in the input costs a message: published rows stay, and what was paid for is not paid again."""

import alibabacloud_oss_v2 as oss
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import DownstreamTasksSkipped

from airflow_provider_drivepipe.exceptions import (
    DrivepipeError,
    EmptyInputError,
    PartitionShrinksError,
)
from airflow_provider_drivepipe.lifecycle import publishing
from airflow_provider_drivepipe.operators import OssManifestOperator
from airflow_provider_drivepipe.scenario.options import GateOptions, SelectionOptions
from tests.integration.operator_context import Run
from tests.integration.test_repair import LABELS, Pipeline, fail, hook, videos, work

__all__ = ["fail", "hook", "videos", "work"]

ALLOWED = {"allow_shrink": True}
ONCE = SelectionOptions(max_row_attempts=1)


@pytest.fixture
def pipeline(hook, videos, table):
    return Pipeline(videos, table)


@pytest.fixture
def listing(pipeline):
    """The manifest task with a prefix of one's choice."""

    def of(prefix, **gate):
        return OssManifestOperator(
            task_id="manifest",
            scenario="s",
            bucket=pipeline.bucket,
            prefix=prefix,
            output_table=f"{pipeline.table}_m",
            gate=GateOptions(**gate),
        )

    return of


@pytest.fixture
def published(hook, pipeline):
    def rows(output="o", columns="status, image_url, label_text, image_embedding, fingerprint"):
        sql = f"SELECT {columns} FROM {pipeline.table}_{output} WHERE ds='20261120'"
        return sorted(hook.execute_sql(sql), key=str)

    return rows


def run(*operators, **params):
    """Run tasks of one run, one after the other; return their reports."""
    this = Run(params=params)
    return [this.execute(operator) for operator in operators]


def test_a_mistyped_prefix_and_its_correction_cost_nothing(
    pipeline, listing, published, work, fail, monkeypatch
):
    job = pipeline.single_job
    fail("b_0001")
    run(listing("v/"), job())
    before = published()
    assert [row[0] for row in before] == ["failed", "failed", "ok", "ok", "ok", "ok"]

    # The slip: the task fails before it publishes, and says what and where.
    with pytest.raises(PartitionShrinksError, match=r"_m ds=20261120 holds 3 ok rows, and would hold 0.*vv/"):
        run(listing("vv/"))
    assert len(published("m", "video_path")) == 3

    # The same at every stage.
    run(listing("vv/"), **ALLOWED)
    with pytest.raises(
        PartitionShrinksError, match=r"_o ds=20261120 holds 4 ok rows.* of 4 .*_m ds=20261120"
    ):
        run(job())
    assert published() == before

    # A run that dies between keeping rows and publishing changes nothing.
    with monkeypatch.context() as dying:
        dying.setattr(publishing, "publish", lambda *_: "SELECT * FROM drivepipe_no_such_table")
        with pytest.raises(DrivepipeError, match="drivepipe_no_such_table"):
            run(job(), **ALLOWED)
    assert published() == published("o__kept") == before
    # Where it is meant, the rows go, and come back free; what failed so often as it may stays failed.
    with work() as done:
        report = Run(run_id="again", params=ALLOWED).execute(job())
    assert published("o__kept") == before
    assert (report["verdict"], report["removed"], published(), done.calls) == (
        "empty_input",
        6,
        [],
        (0, 0, 0),
    )
    with work() as done:
        _, report = run(listing("v/"), job(selection=ONCE))
    assert (published(), done.calls) == (before, (0, 0, 0))
    assert report["tokens"] == {"input": 0, "output": 0, "embedding": 0}
    with work() as done:
        run(job())
    assert done.calls == (1, 0, 1)  # the label that failed, and the broken video


def test_what_comes_back_is_made_anew_as_far_as_it_is_not_current(pipeline, listing, work, oss_client):
    def job(labels=LABELS):
        return pipeline.single_job(labels, selection=ONCE)

    video = oss_client.get_object(oss.GetObjectRequest(bucket=pipeline.bucket, key="v/a.mp4")).body.read()
    other = {**LABELS, "prompt": "Label that"}
    run(listing("v/"), job())
    oss_client.delete_object(oss.DeleteObjectRequest(bucket=pipeline.bucket, key="v/a.mp4"))
    listed, report = run(listing("v/"), job())
    # Two of five ok rows are less than half, so the run goes on.
    assert (listed["removed"], report["removed"], report["ok"]) == (1, 2, 3)
    oss_client.put_object(oss.PutObjectRequest(bucket=pipeline.bucket, key="v/a.mp4", body=video))
    with work() as done:
        _, report = run(listing("v/"), job(other))
    assert (report["ok"], report["removed"], done.calls) == (5, 0, (5, 0, 0))
    # The old prompt again: the labels of the video that had left are still there.
    with work() as done:
        [report] = run(job())
    assert (report["ok"], done.calls) == (5, (3, 0, 0))


def test_what_a_refused_run_has_paid_for_is_there_for_the_next_one(
    pipeline, listing, published, work, fail, local_cloud
):
    other = pipeline.single_job({**LABELS, "prompt": "Label that"}, selection=ONCE)
    run(listing("v/"), pipeline.single_job(selection=ONCE))
    before = published()
    fail("b_0", "a_0001")
    with work() as done, pytest.raises(PartitionShrinksError, match="holds 5 ok rows, and would hold 1"):
        run(other)
    assert (published(), done.calls) == (before, (5, 0, 0))
    local_cloud.control.models.clear()
    with work() as done:
        [report] = run(pipeline.single_job({**LABELS, "prompt": "Label that"}))
    assert (report["ok"], done.calls) == (5, (4, 0, 1))  # and the broken video


def test_split_video_counts_what_its_input_lost_and_not_what_was_made_anew(
    pipeline, listing, work, oss_client
):
    def split(**frames):
        return pipeline.frames(selection=ONCE, **frames), pipeline.labels(selection=ONCE)

    video = oss_client.get_object(oss.GetObjectRequest(bucket=pipeline.bucket, key="v/a.mp4")).body.read()
    run(listing("v/"), *split())
    # Frames of another configuration have other addresses, and are the same rows.
    with work() as done:
        frames, labels = run(*split(jpeg_quality=50))
    assert (frames["removed"], labels["removed"], labels["ok"], done.calls[0]) == (0, 0, 5, 5)
    # A video that leaves takes its rows along at every stage, and brings what was paid for them back.
    oss_client.delete_object(oss.DeleteObjectRequest(bucket=pipeline.bucket, key="v/a.mp4"))
    reports = run(listing("v/"), *split(jpeg_quality=50))
    assert [report["removed"] for report in reports] == [1, 2, 2]
    oss_client.put_object(oss.PutObjectRequest(bucket=pipeline.bucket, key="v/a.mp4", body=video))
    with work() as done:
        reports = run(listing("v/"), *split(jpeg_quality=50))
    assert ([report["ok"] for report in reports], done.calls) == ([3, 5, 5], (0, 0, 1))


def test_a_listing_that_finds_nothing(pipeline, listing, hook):
    with pytest.raises(EmptyInputError, match=r"no video found below oss://.*/vv/;.*_m ds=20261120"):
        run(listing("vv/"))
    hook.oss.put_object(oss.PutObjectRequest(bucket=pipeline.bucket, key="vv/x.txt", body=b"x"))
    with pytest.raises(EmptyInputError, match="left out: 1 other_extension"):
        run(listing("vv/"))
    [report] = run(listing("vv/"), allow_empty=True)
    assert (report["verdict"], report["ok"]) == ("empty_input", 0)
    manifest, job = listing("vv/", allow_empty=True), pipeline.single_job()
    with DAG("d") as dag:
        dag.add_task(manifest)
        dag.add_task(job)
        manifest >> job
    this = Run()
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        this.execute(manifest)
    assert skipped.value.tasks == ["single"]
    assert this.xcom(manifest, "return_value")["verdict"] == "empty_input"
    [report] = run(job)
    assert report["verdict"] == "empty_input"
