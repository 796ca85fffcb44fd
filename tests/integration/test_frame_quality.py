"""Frames that are not worth a model call: left out, counted, never paid, on the local cloud."""

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.contracts import FRAME_QUALITY_COLUMNS
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import (
    AiFuncLabelOperator,
    MaxFrameFrameExtractOperator,
    MaxFrameSingleJobOperator,
    OssManifestOperator,
)
from airflow_provider_drivepipe.pipelines.driving.options import QualityOptions
from tests.integration.operator_context import Run
from tests.unit.image_samples import scene
from tests.unit.test_worker_frames import each_second, write_mixed
from tests.unit.video_samples import detailed, write_video

LABEL = {"model": "qwen3-vl-plus", "prompt": "Label this", "label_schema": "driving-scene/v1"}
MODELS = {
    **LABEL,
    "embedding_model": "qwen3-vl-embedding",
    "embedding_dim": 16,
}
RULES = QualityOptions(10.0, 60.0, 0.2, 3)
REASONS = {"too_dark": 2, "frozen": 1, "too_blurred": 1, "near_duplicate": 1}


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


@pytest.fixture
def videos(oss_client, bucket, table, tmp_path, hook):
    """A manifest of a video with three good frames of seven, one with a dark frame only, and a broken one."""
    dark = write_video(tmp_path / "dark.mp4", frames=25, picture=each_second(scene(0).point(lambda _: 3)))
    bodies = {"mixed": write_mixed(tmp_path / "mixed.mp4").read_bytes(), "dark": dark.read_bytes()}
    for name, body in {**bodies, "broken": b"no video " * 20}.items():
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=f"v/{name}.mp4", body=body))
    Run().execute(OssManifestOperator(**common("manifest", f"{table}_m"), bucket=bucket, prefix="v/"))
    return bucket


def common(task_id, output):
    return {
        "task_id": task_id,
        "scenario": "s",
        "output_table": output,
    }


def waiting(task_id, table, output, source):
    return {
        **common(task_id, f"{table}_{output}"),
        "source_table": f"{table}_{source}",
        "deferrable": False,
        "poll_interval": 0.2,
    }


def single_job(bucket, table, quality=RULES):
    return MaxFrameSingleJobOperator(
        **waiting("single", table, "o", "m"),
        bucket=bucket,
        quality=quality,
        **MODELS,
    )


def frames(bucket, table, quality=RULES):
    return MaxFrameFrameExtractOperator(**waiting("frames", table, "f", "m"), bucket=bucket, quality=quality)


def labels(table):
    return AiFuncLabelOperator(**waiting("labels", table, "l", "f"), **MODELS)


def calls(local_cloud):
    counted = local_cloud.stats.snapshot()
    return counted.get("model.chat", 0), counted.get("model.embed", 0)


def paid(local_cloud, before):
    return tuple(now - then for now, then in zip(calls(local_cloud), before, strict=True))


def test_single_job_pays_for_the_frames_that_stay_only(hook, videos, table, local_cloud):
    before = calls(local_cloud)
    report = Run().execute(single_job(videos, table))
    assert paid(local_cloud, before) == (3, 3)
    assert (report["rows_in"], report["ok"], report["failed"], report["filtered"]) == (9, 3, 1, 5)
    assert report["filtered_reasons"] == REASONS
    assert report["stages"] == {
        "frame_extraction": {"rows_in": 3, "ok": 2, "failed": 1, "filtered": 0, "skipped": 0},
        "label": {"rows_in": 3, "ok": 3, "failed": 0, "filtered": 0, "skipped": 0},
        "image_embedding": {"rows_in": 3, "ok": 3, "failed": 0, "filtered": 0, "skipped": 0},
    }
    rows = hook.execute_sql(
        "SELECT status, error_stage, label_text, image_embedding, image_url, brightness, phash "
        f"FROM {table}_o WHERE ds='20261120'"
    )
    left_out = [row for row in rows if row[0] == "filtered"]
    assert len(left_out) == 5
    assert all(row[1:4] == ["frame_extraction", None, None] and None not in row[4:] for row in left_out)

    again = Run().execute(single_job(videos, table))
    assert paid(local_cloud, before) == (3, 3)
    assert (again["carried_over"], again["filtered_reasons"]) == (3, REASONS)


def test_in_two_tasks_other_thresholds_pay_for_frames_that_come_in_only(hook, videos, table, local_cloud):
    report = Run().execute(frames(videos, table))
    assert (report["ok"], report["filtered"], report["filtered_reasons"]) == (3, 5, REASONS)
    columns = [c.name for c in hook.table_columns(f"{table}_f")[0]]
    assert columns[8:12] == [c.name for c in FRAME_QUALITY_COLUMNS]

    before = calls(local_cloud)
    report = Run().execute(labels(table))
    assert paid(local_cloud, before) == (3, 3)
    assert (report["ok"], report["failed"], report["filtered"]) == (3, 1, 5)
    assert report["filtered_reasons"] == REASONS
    assert report["stages"]["label"]["rows_in"] == 3

    # Without the second rule the blurred frame comes in, and what follows is no duplicate of that one.
    Run().execute(frames(videos, table, QualityOptions(10.0, None, 0.2, 3)))
    report = Run().execute(labels(table))
    assert paid(local_cloud, before) == (5, 5)
    assert (report["ok"], report["filtered"], report["filtered_reasons"]) == (
        5,
        3,
        {"too_dark": 2, "frozen": 1},
    )


def test_measures_come_into_a_table_that_is_there_already(hook, videos, table):
    Run().execute(frames(videos, table, None))
    with pytest.raises(ConfigurationError, match="brightness double"):
        Run().execute(frames(videos, table))
    added = ", ".join(f"{c.name} {c.type}" for c in FRAME_QUALITY_COLUMNS)
    hook.execute_sql(f"ALTER TABLE {table}_f ADD COLUMNS ({added})")
    # The rules leave out more than half of what is published.
    report = Run(params={"allow_shrink": True}).execute(frames(videos, table))
    assert report["filtered_reasons"] == REASONS
    [row] = hook.execute_sql(
        "SELECT frame_idx, status, error_type, brightness, phash, storage_class "
        f"FROM {table}_f WHERE ds='20261120' AND image_id='mixed_0001'"
    )
    assert row[:3] == [1, "filtered", "too_dark"]
    assert row[3] < 10
    assert (len(row[4]), row[5]) == (16, "Standard")


def test_whole_frames_of_a_video_that_was_cut_off_are_labelled_and_say_so(
    oss_client, bucket, table, tmp_path, hook
):
    whole = write_video(
        tmp_path / "v.mp4", frames=100, picture=detailed, container_options={"movflags": "faststart"}
    ).read_bytes()
    for name, body in {"whole": whole, "cut": whole[: len(whole) * 60 // 100]}.items():
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=f"v/{name}.mp4", body=body))
    Run().execute(OssManifestOperator(**common("manifest", f"{table}_m"), bucket=bucket, prefix="v/"))
    partial = {"allow_partial": True, "image_format": "webp", "snap_to_keyframe_ms": 40, "cpu": 2}
    single = MaxFrameSingleJobOperator(
        **waiting("single", table, "o", "m"), bucket=bucket, **partial, **LABEL
    )
    assert Run().execute(single)["ok"] == 7
    rows = hook.execute_sql(
        "SELECT image_id, image_url, decode_note, label_json_valid "
        f"FROM {table}_o WHERE ds='20261120' ORDER BY image_id"
    )
    assert [row[0] for row in rows] == [
        *(f"cut_000{i}" for i in range(3)),
        *(f"whole_000{i}" for i in range(4)),
    ]
    assert all(row[1].endswith(".webp") for row in rows)
    assert [row[2] for row in rows] == ["the file was cut off: it holds 2.2 of 4.0 seconds"] * 3 + [None] * 4
    assert all(row[3] for row in rows)
