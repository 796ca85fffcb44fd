"""The operators against the local cloud: rows, counts, XCom, and paying only for what is missing."""

import json

import alibabacloud_oss_v2 as oss
import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.contracts import FRAME_COLUMNS, MANIFEST_COLUMNS, STATUS_COLUMNS, video_id
from airflow_provider_drivepipe.exceptions import (
    AuthenticationError,
    ConfigurationError,
    DataGateError,
)
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.maxframe import Job, JobState, MaxFrameHook
from airflow_provider_drivepipe.operators import (
    AiFuncLabelOperator,
    MaxFrameFrameExtractOperator,
    MaxFrameSingleJobOperator,
    OssManifestOperator,
    stage,
)
from airflow_provider_drivepipe.operators.job_record import RECORD_KEY
from airflow_provider_drivepipe.scenario.options import GateOptions
from airflow_provider_drivepipe.worker import listing
from tests.integration.operator_context import Run
from tests.unit.video_samples import write_video

LABELS = {
    "model": "qwen3-vl-plus",
    "prompt": 'Label {this} as {"json": 1}',
    "label_schema": "driving-scene/v1",
}
EMBEDDING = {"embedding_model": "qwen3-vl-embedding", "embedding_dim": 32}
NONE: dict[str, object] = {}


@pytest.fixture
def videos(oss_client, bucket, tmp_path):
    """Two good videos of one name (2 and 3 s), three broken ones, and a text file."""
    short = write_video(tmp_path / "short.mp4", frames=50).read_bytes()
    objects = {
        "trips/a/front.mp4": short,
        "trips/b/front.mp4": write_video(tmp_path / "long.mp4", frames=75).read_bytes(),
        "trips/cut.mp4": short[: len(short) // 2],
        "trips/empty.mp4": b"",
        "trips/text.mp4": b"no video at all " * 9,
        "trips/readme.txt": b"x",
    }
    for key, body in objects.items():
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))
    return bucket


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


def common(task_id, output, **more):
    return {
        "task_id": task_id,
        "scenario": "s",
        "output_table": output,
        **more,
    }


def manifest(bucket, table, **more):
    return OssManifestOperator(**common("manifest", f"{table}_m", **more), bucket=bucket, prefix="trips/")


def single_job(bucket, table, labels=LABELS, embedding=EMBEDDING, fps="1", **more):
    return MaxFrameSingleJobOperator(
        **common("video_labels", f"{table}_o", deferrable=False, poll_interval=0.2, **more),
        source_table=f"{table}_m",
        bucket=bucket,
        fps=fps,
        **labels,
        **embedding,
    )


def rows_of(hook, table, *columns):
    return hook.execute_sql(f"SELECT {', '.join(columns)} FROM {table} WHERE ds='20261120'")


def model_calls(local_cloud):
    counted = local_cloud.stats.snapshot()
    return counted.get("model.chat", 0), counted.get("model.embed", 0)


def test_manifest_lists_videos_and_counts_the_rest_by_reason(hook, videos, table):
    run = Run()
    operator = manifest(videos, table)
    report = run.execute(operator)
    assert (report["rows_in"], report["ok"], report["failed"], report["filtered"]) == (6, 4, 1, 1)
    assert report["failures"] == {"manifest": {"empty_file": 1}}
    assert report["filtered_reasons"] == {"other_extension": 1}
    assert run.xcom(operator, "failure_counts") == {"manifest": 1}
    [failed] = run.xcom(operator, "failures_sample")["inputs"]
    assert failed["input"].endswith("/empty.mp4")
    assert failed["reason"] == "empty_file"
    assert run.xcom(operator, "verdict") == "completed_with_failures"
    columns, partitions = hook.table_columns(f"{table}_m")
    assert ([c.name for c in columns], partitions) == ([c.name for c in MANIFEST_COLUMNS], ["ds"])
    paths = {row[0] for row in rows_of(hook, f"{table}_m", "video_path")}
    root = hook.oss_root(videos)
    assert f"{root}/trips/a/front.mp4" in paths
    assert len(paths) == 4


def test_a_manifest_of_many_pages_has_each_video_once(hook, oss_client, bucket, table, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 5)
    keys = [f"trips/{day}/{car}/front é+&{n}.mp4" for day in (1, 2) for car in "abc" for n in range(7)]
    keys += ["trips/0.mp4", "trips/2.mp4", "trips/2/b.mp4", "trips/3/d/e/f.mp4"]
    for key in (*keys, "trap/x.mp4", "trips0.mp4"):
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=b"x"))
    assert Run().execute(manifest(bucket, table))["ok"] == len(keys)
    root = hook.oss_root(bucket)
    found = [row[0] for row in rows_of(hook, f"{table}_m", "video_path")]
    assert sorted(found) == sorted(f"{root}/{key}" for key in keys)


def test_too_many_unusable_videos_fail_the_manifest_once_it_is_published(hook, videos, table):
    operator = manifest(videos, table, gate=GateOptions(max_failure_rate=0.1))
    with pytest.raises(DataGateError, match=r"1 of 5 videos .*20.0%, the limit is 10.0%.*empty_file"):
        Run().execute(operator)
    assert len(rows_of(hook, f"{table}_m", "video_path")) == 4
    Run().execute(manifest(videos, table, gate=GateOptions(max_failure_rate=0.2)))


def test_single_job_rows_counts_and_a_second_run_that_pays_nothing(hook, videos, table, local_cloud, caplog):
    run = Run()
    run.execute(manifest(videos, table))
    operator = single_job(videos, table)
    report = run.execute(operator)
    assert report["failures"] == {"frame_extraction": {"truncated": 1, "not_a_video": 1}}
    assert report["stages"]["frame_extraction"]["rows_in"] == 4
    assert report["stages"]["label"] == {"rows_in": 5, "ok": 5, "failed": 0, "filtered": 0, "skipped": 0}
    assert (report["rows_in"], report["ok"], report["failed"]) == (7, 5, 2)
    assert run.xcom(operator, "failure_counts") == {"frame_extraction": 2, "label": 0, "image_embedding": 0}
    sample = run.xcom(operator, "failures_sample")
    assert [each["stage"] for each in sample["inputs"]] == 2 * ["frame_extraction"]
    assert sorted([row[0], row[3]] for row in hook.execute_sql(sample["query"])) == sorted(
        [each["input"], each["reason"]] for each in sample["inputs"]
    )
    assert all(each["input"] in caplog.text for each in sample["inputs"])
    assert "/logview/" in run.xcom(operator, "logview")
    columns = [c.name for c in hook.table_columns(f"{table}_o")[0]]
    assert columns[: len(FRAME_COLUMNS)] == [c.name for c in FRAME_COLUMNS]
    assert columns[-len(STATUS_COLUMNS) :] == [c.name for c in STATUS_COLUMNS]

    good = rows_of(
        hook,
        f"{table}_o",
        "video_id, frame_time_ms, image_url, label_text, label_json_valid, image_embedding, etag, status",
    )
    ok = [row for row in good if row[-1] == "ok"]
    assert sorted(row[1] for row in ok) == [0, 0, 1000, 1000, 2000]
    assert {row[0] for row in ok} == {video_id("trips/a/front.mp4"), video_id("trips/b/front.mp4")}
    assert len({row[2] for row in ok}) == 5
    assert all("weather" in json.loads(row[3]) and row[4] is True for row in ok)
    assert {len(json.loads(row[5])) for row in ok} == {32}
    failed = [row for row in good if row[-1] == "failed"]
    assert all(row[1:6] == [None] * 5 and row[6] for row in failed)

    before = model_calls(local_cloud)
    again = run.execute(operator, try_number=2)
    assert model_calls(local_cloud) == before
    assert (again["carried_over"], again["ok"], again["failed"]) == (5, 5, 2)
    assert again["tokens"] == {"input": 0, "output": 0, "embedding": 0}
    attempts = rows_of(hook, f"{table}_o", "status, attempt")
    assert sorted({tuple(row) for row in attempts}) == [("failed", 2), ("ok", 1)]
    assert [t.name for t in hook.odps.list_tables(prefix=f"{table}_o__")] == []


def test_changed_prompt_labels_again_and_no_secret_or_path_reaches_a_row(hook, videos, table, local_cloud):
    run = Run()
    run.execute(manifest(videos, table))
    run.execute(single_job(videos, table, embedding=NONE))
    chats, _ = model_calls(local_cloud)
    changed = {"model": "qwen3-vl-plus", "prompt": "another"}
    hook.execute_sql(f"DROP TABLE {table}_o")
    run.execute(single_job(videos, table, labels=changed, embedding=NONE))
    assert model_calls(local_cloud)[0] - chats == 5
    text = json.dumps(hook.execute_sql(f"SELECT * FROM {table}_o WHERE ds='20261120'"))
    assert local_cloud.access_key_secret not in text
    assert "/mnt/" not in text
    assert str(local_cloud.root) not in text


def test_frames_then_labels_as_two_tables(hook, videos, table, local_cloud):
    run = Run()
    run.execute(manifest(videos, table))
    frames = MaxFrameFrameExtractOperator(
        **common("frames", f"{table}_f", deferrable=False, poll_interval=0.2),
        source_table=f"{table}_m",
        bucket=videos,
        sample_count=3,
    )
    report = run.execute(frames)
    assert (report["rows_in"], report["ok"], report["failed"]) == (8, 6, 2)
    labels = AiFuncLabelOperator(
        **common("labels", f"{table}_l", deferrable=False, poll_interval=0.2),
        source_table=f"{table}_f",
        **LABELS,
    )
    chats, _ = model_calls(local_cloud)
    report = run.execute(labels)
    assert model_calls(local_cloud)[0] - chats == 6
    assert report["stages"]["label"]["rows_in"] == 6
    assert (report["ok"], report["failed"], report["verdict"]) == (6, 2, "completed")
    kept = rows_of(hook, f"{table}_l", "error_stage, error_type, label_text")
    assert sorted(row[:2] for row in kept if row[2] is None) == [
        ["frame_extraction", "not_a_video"],
        ["frame_extraction", "truncated"],
    ]
    assert run.execute(labels, try_number=2)["carried_over"] == 6
    assert model_calls(local_cloud)[0] - chats == 6


def test_videos_gone_from_the_input_leave_the_partition(hook, videos, table, oss_client):
    run = Run()
    run.execute(manifest(videos, table))
    run.execute(single_job(videos, table, labels=NONE))
    oss_client.delete_object(oss.DeleteObjectRequest(bucket=videos, key="trips/a/front.mp4"))
    run.execute(manifest(videos, table))
    report = run.execute(single_job(videos, table, labels=NONE))
    assert (report["ok"], report["carried_over"]) == (3, 3)


def test_empty_input_publishes_an_empty_partition(hook, bucket, table):
    run = Run(params={"allow_empty": True})
    assert run.execute(manifest(bucket, table))["verdict"] == "empty_input"
    report = run.execute(single_job(bucket, table))
    assert (report["verdict"], report["rows_in"]) == ("empty_input", 0)
    assert rows_of(hook, f"{table}_o", "COUNT(*)") == [[0]]


def test_gate_fails_the_task_after_publishing(hook, videos, table):
    run = Run()
    run.execute(manifest(videos, table))
    operator = single_job(videos, table, labels=NONE, gate=GateOptions(max_failure_rate=0.4))
    with pytest.raises(DataGateError, match=r"50\.0%"):
        run.execute(operator)
    assert rows_of(hook, f"{table}_o", "COUNT(*)") == [[7]]
    assert run.xcom(operator, "return_value")["failed"] == 2


def test_finished_job_of_a_lost_worker_is_adopted(hook, videos, table, local_cloud, monkeypatch):
    run = Run()
    run.execute(manifest(videos, table))
    operator = single_job(videos, table)
    monkeypatch.setattr(operator, "_poll", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run.execute(operator)
    record = run.stores["video_labels"][RECORD_KEY]
    watcher = MaxFrameHook()
    job = Job(record["session_id"], record["dag_id"])
    while watcher.status(job).state is JobState.RUNNING:
        pass
    with local_cloud.control.counting() as counted:
        watcher.status(job)
    assert counted == {"maxframe.get_dag_info": 1, "odps.instance_info": 1}, "one request"
    submitted = local_cloud.stats.snapshot()["maxframe.submit_dag"]
    report = run.execute(single_job(videos, table), try_number=2)
    assert report["ok"] == 5
    assert local_cloud.stats.snapshot()["maxframe.submit_dag"] == submitted
    assert watcher.status(job).state is JobState.LOST


def test_a_short_job_is_waited_for_without_deferring(hook, videos, table, monkeypatch):
    run = Run()
    run.execute(manifest(videos, table))
    operator = single_job(videos, table)
    operator.deferrable = True
    monkeypatch.setattr(stage, "BEFORE_DEFERRING", 0)
    with pytest.raises(TaskDeferred):
        run.execute(operator)
    monkeypatch.setattr(stage, "BEFORE_DEFERRING", 300)
    assert run.execute(operator, try_number=2)["ok"] == 5


def test_killed_task_cancels_its_job_and_session(hook, videos, table, monkeypatch):
    run = Run()
    run.execute(manifest(videos, table))
    operator = single_job(videos, table)

    def killed(*_):
        raise SystemExit

    monkeypatch.setattr(operator, "_poll", killed)
    with pytest.raises(SystemExit):
        run.execute(operator)
    job = operator._record.job
    operator.on_kill()
    assert MaxFrameHook().status(job).state is JobState.LOST


def test_missing_table_and_wrong_columns_are_configuration_errors(hook, videos, table):
    with pytest.raises(ConfigurationError, match=f"{table}_m"):
        Run().execute(single_job(videos, table))
    hook.execute_sql(f"CREATE TABLE {table}_m (other STRING) PARTITIONED BY (ds STRING)")
    with pytest.raises(ConfigurationError, match="video_path"):
        Run().execute(single_job(videos, table))


def test_run_without_a_partition_says_how_to_give_one(airflow_connection, videos, table):
    with pytest.raises(ConfigurationError, match="partition key"):
        Run(ds=None).execute(manifest(videos, table))


def test_missing_connection_is_named_with_how_to_make_it(table):
    operator = manifest("bucket", table, conn_id="not_made")
    with pytest.raises(ConfigurationError, match=r"no connection 'not_made'.*Admin.*AIRFLOW_CONN_NOT_MADE"):
        Run().execute(operator)


def test_missing_bucket_is_named(hook, table):
    with pytest.raises(ConfigurationError, match=r"bucket no-such-bucket: NoSuchBucket: "):
        Run().execute(manifest("no-such-bucket", table))


def test_wrong_secret_is_an_authentication_error_that_names_the_connection(local_cloud, monkeypatch, table):
    connection = json.loads(connection_json(local_cloud.settings))
    connection["password"] = "wrong-secret-value"
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", json.dumps(connection))
    with pytest.raises(AuthenticationError, match=r"drivepipe_default.*127\.0\.0\.1") as caught:
        DrivepipeHook().execute_sql("SELECT 1")
    assert "wrong-secret-value" not in str(caught.value)
    assert str(caught.value).count("SignatureNotMatch") == 1


def test_local_connection_has_no_value_that_airflow_warns_of_in_each_log(local_cloud):
    extra = json.loads(connection_json(local_cloud.settings))["extra"]
    # "Skipping masking for a secret as it's too short (<5 chars)"
    assert min(map(len, extra.values())) >= 5
