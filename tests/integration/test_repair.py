"""Runs of one partition again and again: who pays for what, counted by the local cloud."""

import subprocess

import alibabacloud_oss_v2 as oss
import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    RemoteJobError,
    TransientError,
    UnbalancedCountsError,
)
from airflow_provider_drivepipe.hooks import partition_lock
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.hooks.partition_lock import PartitionLock
from airflow_provider_drivepipe.hooks.run_process import RunProcess
from airflow_provider_drivepipe.hooks.sessions import SessionTags
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables
from airflow_provider_drivepipe.operators import (
    AiFuncLabelOperator,
    MaxFrameFrameExtractOperator,
    MaxFrameSingleJobOperator,
    OssManifestOperator,
)
from airflow_provider_drivepipe.scenario.options import PartitionOptions, SelectionOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from tests.integration.operator_context import Run, RunningTask
from tests.unit.video_samples import write_video

VLM = "qwen3-vl-plus"
LABELS = {"model": VLM, "prompt": "Label this", "label_schema": "driving-scene/v1"}
OTHER_LABELS = {**LABELS, "prompt": "Other"}
EMBEDDING = {"embedding_model": "qwen3-vl-embedding", "embedding_dim": 16}
SHORT_EMBEDDING = {**EMBEDDING, "embedding_dim": 8}
NONE: dict[str, object] = {}


class Work:
    """What the local cloud did while a block ran."""

    def __init__(self, local_cloud):
        self._control = local_cloud.control

    def __enter__(self):
        self._before = self._control.stats()
        return self

    def __exit__(self, *_):
        after = self._control.stats()
        self.done = {k: after.get(k, 0) - self._before.get(k, 0) for k in {*after, *self._before}}

    def __getitem__(self, kind):
        return self.done.get(kind, 0)

    @property
    def calls(self):
        """Calls of the label model, calls of the embedding model, videos handed to the decoder."""
        return self["model.chat"], self["model.embed"], self["maxframe.mounted_udf.rows_in"]


@pytest.fixture
def work(local_cloud):
    return lambda: Work(local_cloud)


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


@pytest.fixture
def fail(local_cloud):
    """Makes label calls for pictures fail whose address holds one of these texts."""
    models = local_cloud.control.models
    yield lambda *images, **step: models.script(VLM, images=list(images), **{"status": 400, **step})
    models.clear()


@pytest.fixture
def videos(oss_client, bucket, tmp_path):
    """Two good videos, with 2 and 3 frames at one per second, and a broken one."""
    for key, frames in (("v/a.mp4", 50), ("v/b.mp4", 75)):
        body = write_video(tmp_path / "x.mp4", frames=frames).read_bytes()
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))
    oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key="v/c.mp4", body=b"no video " * 20))
    return bucket


class Pipeline:
    """The operators of a scenario, on tables of their own."""

    def __init__(self, bucket, table):
        self.bucket = bucket
        self.table = table

    def _common(self, task_id, output, **more):
        return {
            "task_id": task_id,
            "scenario": "s",
            "output_table": f"{self.table}_{output}",
            **more,
        }

    def _maxframe(self, task_id, output, source, **more):
        waiting = {"deferrable": False, "poll_interval": 0.2}
        return {**self._common(task_id, output, **waiting, **more), "source_table": f"{self.table}_{source}"}

    def manifest(self):
        return OssManifestOperator(**self._common("manifest", "m"), bucket=self.bucket, prefix="v/")

    def single_job(self, labels=LABELS, embedding=EMBEDDING, fps="1", **more):
        return MaxFrameSingleJobOperator(
            **self._maxframe("single", "o", "m", **more),
            bucket=self.bucket,
            fps=fps,
            **labels,
            **embedding,
        )

    def frames(self, **more):
        return MaxFrameFrameExtractOperator(**self._maxframe("frames", "f", "m", **more), bucket=self.bucket)

    def labels(self, labels=LABELS, embedding=EMBEDDING, **more):
        return AiFuncLabelOperator(**self._maxframe("labels", "l", "f", **more), **labels, **embedding)


@pytest.fixture
def pipeline(hook, videos, table):
    found = Pipeline(videos, table)
    Run().execute(found.manifest())
    return found


def rows(hook, table, columns, where="1 = 1"):
    return hook.execute_sql(f"SELECT {columns} FROM {table} WHERE ds='20261120' AND {where}")


def test_single_job_pays_again_only_for_the_label_that_failed(pipeline, hook, work, fail, local_cloud):
    fail("a_0001.jpg", "b_0000.jpg")
    run = Run()
    with work() as first:
        report = run.execute(pipeline.single_job())
    assert report["stages"]["label"]["failed"] == 2
    assert report["stages"]["image_embedding"]["ok"] == 5
    assert first["model.embed"] == 5
    local_cloud.control.models.clear()
    fail("b_0000.jpg")
    with work() as second:
        report = run.execute(pipeline.single_job(), try_number=2)
    assert second["model.embed"] == 0
    assert second["maxframe.submit_dag"] == 1
    assert report["carried_over"] == 3
    assert report["failures"]["label"] == {"model_error": 1}
    table = f"{pipeline.table}_o"
    tried = rows(hook, table, "COALESCE(image_id, '-'), attempt, status", "status <> 'ok' OR attempt > 1")
    assert sorted(tried) == [
        ["-", 2, "failed"],
        ["a_0001", 2, "ok"],
        ["b_0000", 2, "failed"],
    ]
    assert rows(hook, table, "COUNT(*)", "image_embedding IS NULL AND frame_idx >= 0") == [[0]]


def test_a_repair_makes_exactly_the_missing_calls_and_counts_only_their_tokens(
    pipeline, hook, work, fail, local_cloud
):
    fail("a_0001.jpg")
    run = Run()
    run.execute(pipeline.single_job())
    local_cloud.control.models.clear()
    with work() as repair:
        report = run.execute(
            pipeline.single_job(selection=SelectionOptions(max_row_attempts=1)), try_number=2
        )
    assert repair.calls == (0, 0, 0)
    with work() as repair:
        report = run.execute(pipeline.single_job(), try_number=3)
    # The broken video is tried again too; it makes no frames.
    assert repair.calls == (1, 0, 1)
    assert report["tokens"]["embedding"] == 0
    paid = rows(hook, f"{pipeline.table}_o", "label_input_token", "image_id = 'a_0001'")
    assert report["tokens"]["input"] == paid[0][0] > 0


def test_labels_in_the_wrong_form_are_asked_for_again_in_the_same_job(pipeline, work, fail):
    fail("b_000", status=200, content="It is a road.", times=1)
    fail("a_0001", status=200, content='{"weather": "purple"}')
    with work() as done:
        report = Run().execute(pipeline.single_job())
    # Neither are frames cut again for it, nor pictures embedded.
    assert done.calls == (5 + 3 + 1, 5, 3)
    assert done["maxframe.submit_dag"] == 1
    assert (report["ok"], report["failed"]) == (4, 2)
    assert report["failures"]["label"] == {"schema_violation": 1}
    assert report["tokens"]["input"] == done["model.input_tokens"] - report["tokens"]["embedding"]


def test_changed_prompt_labels_again_and_nothing_else(pipeline, hook, work):
    run = Run()
    run.execute(pipeline.single_job(selection=SelectionOptions(max_row_attempts=1)))
    with work() as changed:
        report = Run(run_id="r2").execute(
            pipeline.single_job(
                labels=OTHER_LABELS,
                selection=SelectionOptions(max_row_attempts=1),
            )
        )
    assert changed.calls == (5, 0, 0)
    assert report["tokens"]["embedding"] == 0
    assert rows(hook, f"{pipeline.table}_o", "COUNT(*)", "image_embedding IS NULL AND status = 'ok'") == [[0]]
    with work() as same:
        Run(run_id="r3").execute(
            pipeline.single_job(
                labels=OTHER_LABELS,
                selection=SelectionOptions(max_row_attempts=1),
            )
        )
    assert same.calls == (0, 0, 0)
    assert same["maxframe.submit_dag"] == same["maxframe.create_session"] == 0


def test_params_of_a_run_change_frame_rate_and_prompt_and_are_reported(pipeline, hook, work):
    Run().execute(pipeline.single_job())
    with work() as faster:
        report = Run(run_id="r2", params={"frame_fps": "2", "label_prompt": "Now {this}"}).execute(
            pipeline.single_job()
        )
    assert faster.calls == (10, 10, 3)
    assert report["params"] == {"frame_fps": "2", "label_prompt": "Now {this}"}
    assert (report["ok"], report["carried_over"]) == (10, 0)
    with pytest.raises(ConfigurationError, match=r"limit=0.*frame_fps='fast'"):
        Run(run_id="r3", params={"frame_fps": "fast", "limit": 0}).execute(pipeline.single_job())


def test_split_video_repairs_labels_without_touching_frames(pipeline, hook, work, fail, local_cloud):
    run = Run()
    with work() as frames:
        run.execute(pipeline.frames())
    assert frames.calls == (0, 0, 3)
    fail("b_000")
    report = run.execute(pipeline.labels())
    assert report["failures"] == {"label": {"model_error": 3}}
    local_cloud.control.models.clear()
    with work() as repair:
        report = run.execute(pipeline.labels(), try_number=2)
    assert repair.calls == (3, 0, 0)
    assert (report["ok"], report["failed"], report["carried_over"]) == (5, 1, 2)
    with work() as changed:
        Run(run_id="r2").execute(pipeline.labels(embedding=SHORT_EMBEDDING))
    assert changed.calls == (0, 5, 0)
    with work() as again:
        Run(run_id="r3").execute(pipeline.labels(embedding=SHORT_EMBEDDING))
    assert again.calls == (0, 0, 0)


def test_reprocess_failed_leaves_ok_rows_of_another_configuration_alone(
    pipeline, hook, work, fail, local_cloud
):
    run = Run()
    run.execute(pipeline.frames())
    fail("a_0000")
    run.execute(pipeline.labels())
    local_cloud.control.models.clear()
    other = OTHER_LABELS
    with work() as repair:
        Run(run_id="r2", params={"reprocess": "failed"}).execute(pipeline.labels(labels=other))
    assert repair.calls == (1, 0, 0)
    with work() as changed:
        Run(run_id="r3").execute(pipeline.labels(labels=other))
    assert changed.calls == (4, 0, 0)


def test_reprocess_all_pays_once_per_run(pipeline, work):
    run = Run(params={"reprocess": "all"})
    run.execute(pipeline.single_job())
    with work() as other_run:
        Run(run_id="r2", params={"reprocess": "all"}).execute(pipeline.single_job())
    assert other_run.calls == (5, 5, 3)
    with work() as retry:
        run.execute(pipeline.single_job(selection=SelectionOptions(max_row_attempts=1)), try_number=2)
    assert retry.calls == (0, 0, 0)


def test_row_stays_failed_after_its_attempts_until_someone_asks(pipeline, hook, work, fail):
    fail("a_0000")
    run = Run()
    run.execute(pipeline.frames(selection=SelectionOptions(max_row_attempts=1)))
    for number in range(1, 4):
        with work() as tried:
            run.execute(
                pipeline.labels(embedding=NONE, selection=SelectionOptions(max_row_attempts=2)), number
            )
        assert (tried["maxframe.submit_dag"] > 0) is (number <= 2)
    assert rows(hook, f"{pipeline.table}_l", "attempt", "status = 'failed' AND error_stage = 'label'") == [
        [2]
    ]
    with work() as asked:
        Run(run_id="r2", params={"reprocess": "failed"}).execute(
            pipeline.labels(embedding=NONE, selection=SelectionOptions(max_row_attempts=2))
        )
    assert asked["maxframe.submit_dag"] == 1


def test_pilot_run_skips_the_rest_and_a_full_run_goes_on_from_there(pipeline, hook, work):
    with work() as pilot:
        report = Run(params={"limit": 1}).execute(pipeline.single_job())
    assert pilot.calls == (2, 2, 1)
    assert (report["ok"], report["skipped"], report["rows_in"]) == (2, 2, 4)
    assert report["stages"]["frame_extraction"] == {
        "rows_in": 3,
        "ok": 1,
        "failed": 0,
        "filtered": 0,
        "skipped": 2,
    }
    assert (
        rows(hook, f"{pipeline.table}_o", "error_type, attempt, frame_idx", "status = 'skipped'")
        == [["limit", 0, -1]] * 2
    )
    with work() as full:
        report = Run(run_id="r2").execute(pipeline.single_job())
    assert full.calls == (3, 3, 2)
    assert (report["ok"], report["failed"], report["skipped"], report["carried_over"]) == (5, 1, 0, 2)
    with work() as pilot:
        report = Run(run_id="r3", params={"limit": 1}).execute(pipeline.single_job())
    assert pilot.calls == (0, 0, 0)
    assert (report["ok"], report["failed"]) == (5, 1)


def test_limit_counts_images_where_images_come_in(pipeline, hook, work):
    Run().execute(pipeline.frames())
    with work() as pilot:
        report = Run(params={"limit": 2}).execute(pipeline.labels(embedding=NONE))
    assert pilot.calls == (2, 0, 0)
    assert report["stages"]["label"] == {"rows_in": 5, "ok": 2, "failed": 0, "filtered": 0, "skipped": 3}
    with work() as full:
        report = Run(run_id="r2").execute(pipeline.labels(embedding=NONE))
    assert full.calls == (3, 0, 0)
    assert (report["ok"], report["failed"]) == (5, 1)


def test_input_named_twice_is_paid_once_and_counted(pipeline, hook, work):
    hook.execute_sql(
        f"INSERT INTO TABLE {pipeline.table}_m PARTITION (ds='20261120') SELECT video_path, size_bytes, "
        f"last_modified, etag, crc64, storage_class FROM {pipeline.table}_m WHERE ds='20261120'"
    )
    with work() as twice:
        report = Run().execute(pipeline.single_job(embedding=NONE))
    assert twice.calls == (5, 0, 3)
    assert report["stages"]["frame_extraction"]["filtered"] == 3
    assert report["filtered_reasons"] == {"duplicate": 3}
    assert (report["ok"], report["failed"]) == (5, 1)


def test_input_that_changes_while_the_job_runs_changes_nothing_until_the_next_run(
    pipeline, hook, work, monkeypatch
):
    operator = pipeline.single_job(embedding=NONE)
    poll = operator._poll

    def change_and_poll(*arguments):
        hook.execute_sql(
            f"INSERT OVERWRITE TABLE {pipeline.table}_m PARTITION (ds='20261120') SELECT video_path, "
            f"size_bytes, last_modified, etag, crc64, storage_class FROM {pipeline.table}_m "
            "WHERE ds='20261120' AND video_path LIKE '%a.mp4'"
        )
        return poll(*arguments)

    monkeypatch.setattr(operator, "_poll", change_and_poll)
    report = Run().execute(operator)
    assert (report["ok"], report["failed"]) == (5, 1)
    with work() as following:
        report = Run(run_id="r2", params={"allow_shrink": True}).execute(pipeline.single_job(embedding=NONE))
    assert following.calls == (0, 0, 0)
    assert (report["ok"], report["failed"], report["removed"]) == (2, 0, 4)


def held_by(hook, table, run_id):
    """Let another run hold the partition and have begun to work."""
    owner = SessionTags("other", run_id, "single", -1, 1)
    working = WorkingTables.of(f"{table}_o", PartitionSpec(("ds",), ("20261120",)), owner.text())
    PartitionLock(hook, working, owner).acquire(lambda _: True)
    hook.execute_sql(f"CREATE TABLE {working.staging} (a STRING)")
    return owner, working


def test_second_run_of_a_partition_waits_while_the_first_is_alive(pipeline, hook, monkeypatch, work):
    _, working = held_by(hook, pipeline.table, "alive")
    monkeypatch.setitem(RunningTask.task_states, "other", {"alive": {"single": "deferred"}})
    with work() as waited, pytest.raises(AirflowRescheduleException):
        Run().execute(pipeline.single_job())
    assert waited["maxframe.create_session"] == 0
    assert hook.table_comment(working.staging) is not None
    # Another partition of the same table is nobody's business.
    other = Run(ds="20261121")
    other.execute(pipeline.manifest())
    assert other.execute(pipeline.single_job(labels=NONE))["ok"] == 5


def test_partition_of_a_dead_run_is_taken_over_with_all_that_it_left(pipeline, hook):
    owner, working = held_by(hook, pipeline.table, "dead")
    sessions = MaxFrameHook()
    session = sessions.open_session(owner)
    assert Run().execute(pipeline.single_job(labels=NONE))["ok"] == 5
    assert hook.list_tables(f"{pipeline.table}_o__") == []
    assert session not in {s.session_id for s in sessions.list_sessions()}
    assert hook.table_comment(working.lock) is None


@pytest.fixture
def process():
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_partition_of_a_run_without_scheduler_is_free_when_its_process_has_ended(
    pipeline, hook, monkeypatch, process
):
    with monkeypatch.context() as tested:
        tested.setattr(RunProcess, "of_this_run", lambda: RunProcess.of(process.pid))
        held_by(hook, pipeline.table, "tested")
    # Unknown here: it is of another Airflow.
    with pytest.raises(AirflowRescheduleException):
        Run().execute(pipeline.single_job())
    monkeypatch.setitem(RunningTask.task_states, "other", {"tested": {"single": "running"}})
    with pytest.raises(AirflowRescheduleException):
        Run().execute(pipeline.single_job())
    # What killed it wrote no other state.
    process.kill()
    process.wait()
    assert Run().execute(pipeline.single_job(labels=NONE))["ok"] == 5


def test_partition_held_by_another_airflow_is_waited_for_with_a_way_out(pipeline, hook, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(partition_lock, "installation", lambda: "https://airflow.example.com")
        _, working = held_by(hook, pipeline.table, "there")
    with pytest.raises(AirflowRescheduleException) as waits:
        Run().execute(pipeline.single_job())
    said = str(waits.value.__cause__)
    assert "task single of DAG other, run there" in said
    assert f"DROP TABLE {working.lock}" in said


def test_publishing_that_fails_is_done_by_the_retry_without_paying_again(pipeline, hook, work, monkeypatch):
    run = Run()
    operator = pipeline.single_job()
    execute_sql = DrivepipeHook.execute_sql

    def lose_the_publication(self, sql, hints=None):
        if sql.startswith("INSERT OVERWRITE"):
            raise TransientError("connection lost")
        return execute_sql(self, sql, hints)

    with monkeypatch.context() as broken:
        broken.setattr(DrivepipeHook, "execute_sql", lose_the_publication)
        with pytest.raises(TransientError):
            run.execute(operator)
    assert rows(hook, f"{pipeline.table}_o", "COUNT(*)") == [[0]]
    with work() as retry:
        report = run.execute(pipeline.single_job(), try_number=2)
    assert retry.calls == (0, 0, 0)
    assert retry["maxframe.submit_dag"] == 0
    assert (report["ok"], report["failed"]) == (5, 1)
    assert hook.list_tables(f"{pipeline.table}_o__") == []


def test_job_that_fails_says_why_how_far_it_came_and_where_to_look(pipeline, hook, local_cloud):
    Run().execute(pipeline.single_job(labels=NONE))
    local_cloud.control.faults.add("maxframe.operator.*", "kill_worker", count=1)
    changed = pipeline.single_job(labels=NONE, embedding=SHORT_EMBEDDING)
    try:
        with pytest.raises(RemoteJobError) as caught:
            Run(run_id="r2").execute(changed)
    finally:
        local_cloud.control.faults.clear()
    said = str(caught.value)
    assert (
        "3 input units: 1 to do from the start, 2 kept, 5 rows that lack results (5 image_embedding)" in said
    )
    assert "unchanged by it: " in said
    assert "5 ok" in said
    assert "/logview/" in said
    assert hook.list_tables(f"{pipeline.table}_o__") == []
    assert MaxFrameHook().list_sessions() == []


def test_unbalanced_counts_publish_nothing_and_leave_nothing(pipeline, hook, monkeypatch):
    operator = pipeline.single_job(labels=NONE)
    poll = operator._poll

    def lose_rows_and_poll(context, hook, run, record):
        finish = operator._finish

        def finish_with_fewer_rows(*arguments):
            staging = run.tables.working.staging
            hook.execute_sql(
                f"INSERT OVERWRITE TABLE {staging} PARTITION (drivepipe_wave) SELECT * FROM {staging} "
                "WHERE video_path NOT LIKE '%a.mp4'"
            )
            return finish(*arguments)

        monkeypatch.setattr(operator, "_finish", finish_with_fewer_rows)
        return poll(context, hook, run, record)

    monkeypatch.setattr(operator, "_poll", lose_rows_and_poll)
    with pytest.raises(UnbalancedCountsError, match=r"3 input units .* 2 units"):
        Run().execute(operator)
    assert rows(hook, f"{pipeline.table}_o", "COUNT(*)") == [[0]]
    assert hook.list_tables(f"{pipeline.table}_o__") == []
    assert MaxFrameHook().list_sessions() == []


def test_further_partition_columns_with_fixed_values(hook, videos, table, work):
    partition = PartitionOptions(columns=("ds", "region"), fixed_values=("east",))
    pipeline = Pipeline(videos, table)

    def at(operator):
        operator.partition = partition
        return operator

    report = Run().execute(at(pipeline.manifest()))
    assert report["partition"] == "ds=20261120/region=east"
    hook.execute_sql(
        f"INSERT INTO TABLE {table}_m PARTITION (ds='20261120', region='west') SELECT video_path, "
        f"size_bytes, last_modified, etag, crc64, storage_class FROM {table}_m WHERE region='east' LIMIT 1"
    )
    report = Run().execute(at(pipeline.single_job(labels=NONE)))
    assert (report["ok"], report["failed"]) == (5, 1)
    found = hook.execute_sql(f"SELECT ds, region, COUNT(*) FROM {table}_o GROUP BY ds, region")
    assert found == [["20261120", "east", 6]]
    urls = rows(hook, f"{table}_o", "image_url", "status = 'ok'")
    assert all("/ds=20261120/region=east/" in url for [url] in urls)
    with work() as again:
        Run(run_id="r2").execute(at(pipeline.single_job(labels=NONE)))
    assert again["model.embed"] == 0
    columns = "video_path STRING, size_bytes BIGINT, last_modified STRING, etag STRING, crc64 STRING"
    hook.execute_sql(f"CREATE TABLE {table}_s ({columns}, storage_class STRING) PARTITIONED BY (ds STRING)")
    plain = pipeline.single_job(labels=NONE)
    plain.source_table = f"{table}_s"
    with pytest.raises(ConfigurationError, match=r"is partitioned by \(ds, region\), .* of \(ds\)"):
        Run().execute(plain)
