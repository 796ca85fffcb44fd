"""Keyframes that are not worth a model call: left out, counted, never paid, on the local cloud."""

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.contracts import FRAME_QUALITY_COLUMNS, KEYFRAME_COLUMNS
from airflow_provider_drivepipe.exceptions import ConfigurationError, DataGateError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import (
    AiFuncLabelOperator,
    MaxFrameClipLabelOperator,
    MaxFrameKeyframeExpandOperator,
)
from airflow_provider_drivepipe.pipelines.driving.options import QualityOptions
from airflow_provider_drivepipe.scenario.options import GateOptions, Reprocess, SelectionOptions
from tests.integration.operator_context import Run
from tests.integration.scenario_run import ScenarioRun, example
from tests.integration.test_keyframes import operator, rows, write_clips
from tests.unit.image_samples import encoded, scene
from tests.unit.test_worker_keyframe_quality import mixed

MODELS = {
    "model": "qwen3-vl-plus",
    "prompt": "Label this",
    "label_schema": "driving-scene/v1",
    "embedding_model": "qwen3-vl-embedding",
    "embedding_dim": 16,
}
RULES = QualityOptions(10.0, 60.0, 0.2, 3)
WITHOUT_SHARPNESS = QualityOptions(10.0, None, 0.2, 3)
REASONS = {"too_dark": 1, "frozen": 1, "too_blurred": 1, "near_duplicate": 1}
FAILURES = {"keyframe_expansion": {"image_decode_error": 1, "not_found": 1}}
CLIPS = [
    ("mixed", "drives/mixed", None, None, "x"),
    ("after", "drives/after/", None, None, "y"),
    ("gone", "drives/gone", None, None, None),
]


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


@pytest.fixture
def clips(oss_client, bucket, table, hook):
    """A clip with three good images of eight, one that begins with the last of these, an absent one."""

    def put(key, body):
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))

    for number, body in enumerate(mixed(), start=8):
        put(f"drives/mixed/frame{number}.jpg", body)
    put("drives/after/frame1.jpg", encoded(scene(3)))
    write_clips(hook, f"{table}_c", bucket, CLIPS)
    return bucket


def single_job(bucket, table, quality=RULES, **more):
    options = {"bucket": bucket, "quality": quality, **MODELS}
    return operator("single", MaxFrameClipLabelOperator, table, "c", "o", **options, **more)


def keyframes(bucket, table, quality=RULES, **more):
    options = {"bucket": bucket, "quality": quality, **more}
    return operator("keyframes", MaxFrameKeyframeExpandOperator, table, "c", "k", **options)


def labels(table):
    return operator("labels", AiFuncLabelOperator, table, "k", "l", **MODELS)


@pytest.fixture
def paid(local_cloud):
    """How many calls of models were made since the last time it was asked: (chat, embed)."""

    def counted():
        stats = local_cloud.stats.snapshot()
        return stats.get("model.chat", 0), stats.get("model.embed", 0)

    before = [counted()]

    def paid():
        before.append(counted())
        return tuple(now - then for now, then in zip(before[-1], before[-2], strict=True))

    return paid


def test_single_job_pays_for_the_keyframes_that_stay_only(hook, clips, table, paid):
    run = Run()
    report = run.execute(single_job(clips, table))
    assert paid() == (4, 4)
    assert (report["rows_in"], report["ok"], report["failed"], report["filtered"]) == (10, 4, 2, 4)
    assert (report["filtered_reasons"], report["failures"]) == (REASONS, FAILURES)
    assert report["verdict"] == "completed_with_failures"
    assert report["stages"] == {
        "keyframe_expansion": {"rows_in": 3, "ok": 2, "failed": 1, "filtered": 0, "skipped": 0},
        "label": {"rows_in": 4, "ok": 4, "failed": 0, "filtered": 0, "skipped": 0},
        "image_embedding": {"rows_in": 4, "ok": 4, "failed": 0, "filtered": 0, "skipped": 0},
    }
    measures = "brightness, sharpness, phash, label_text, image_embedding"
    left_out = rows(hook, f"{table}_o", f"error_stage, {measures}", "status = 'filtered'")
    assert len(left_out) == 4
    assert all(row[0] == "keyframe_expansion" for row in left_out)
    assert all(None not in row[1:4] and row[4:] == [None, None] for row in left_out)
    failed = rows(hook, f"{table}_o", f"frame_idx, image_id, error_stage, {measures}", "status = 'failed'")
    assert sorted(failed) == [
        [-1, None, "keyframe_expansion", *[None] * 5],
        [4, "frame12", "keyframe_expansion", *[None] * 5],
    ]

    # The broken image would make its clip's other keyframes be paid again: it is left alone.
    for reprocess in (Reprocess.CHANGED, Reprocess.FAILED):
        again = run.execute(single_job(clips, table, selection=SelectionOptions(reprocess)), try_number=2)
        assert paid() == (0, 0)
        assert (again["carried_over"], again["filtered_reasons"]) == (4, REASONS)
        assert again["failures"] == FAILURES

    report = Run(run_id="other").execute(single_job(clips, table, WITHOUT_SHARPNESS))
    assert paid() == (6, 6)
    assert (report["ok"], report["filtered_reasons"]) == (6, {"too_dark": 1, "frozen": 1})


def test_in_two_tasks_only_keyframes_that_come_in_are_paid(hook, clips, table, paid, oss_client):
    report = Run().execute(keyframes(clips, table))
    assert (report["ok"], report["failed"], report["filtered"]) == (4, 2, 4)
    assert (report["filtered_reasons"], report["failures"]) == (REASONS, FAILURES)
    columns = [c.name for c in hook.table_columns(f"{table}_k")[0]]
    own = [c.name for c in (*KEYFRAME_COLUMNS, *FRAME_QUALITY_COLUMNS)]
    assert columns[: len(own)] == own

    report = Run().execute(labels(table))
    assert paid() == (4, 4)
    assert (report["ok"], report["failed"], report["filtered"]) == (4, 2, 4)
    assert report["stages"]["label"]["rows_in"] == 4

    # The clip with the broken image is tried again, which pays nothing.
    report = Run(run_id="again").execute(keyframes(clips, table))
    assert (report["carried_over"], report["failures"]) == (1, FAILURES)
    report = Run(run_id="again").execute(labels(table))
    assert (paid(), report["carried_over"]) == ((0, 0), 4)

    # Without the second rule the blurred one comes in, and what follows is no duplicate of that one.
    Run(run_id="other").execute(keyframes(clips, table, WITHOUT_SHARPNESS))
    report = Run(run_id="other").execute(labels(table))
    assert paid() == (2, 2)
    assert (report["ok"], report["filtered_reasons"]) == (6, {"too_dark": 1, "frozen": 1})

    # A mended image comes in, alone.
    mended = oss.PutObjectRequest(bucket=clips, key="drives/mixed/frame12.jpg", body=encoded(scene(7)))
    oss_client.put_object(mended)
    report = Run(run_id="mended").execute(keyframes(clips, table, WITHOUT_SHARPNESS))
    assert report["failures"] == {"keyframe_expansion": {"not_found": 1}}
    Run(run_id="mended").execute(labels(table))
    assert paid() == (1, 1)


def test_the_gate_counts_keyframes_that_fail_alone(hook, clips, table):
    hook.execute_sql(f"DROP TABLE {table}_c")
    write_clips(hook, f"{table}_c", clips, CLIPS[:2])
    with pytest.raises(DataGateError, match=r"11\.1% of the input failed"):
        Run().execute(keyframes(clips, table, gate=GateOptions(max_failure_rate=0.1)))
    report = Run(run_id="r").execute(keyframes(clips, table, gate=GateOptions(max_failure_rate=0.12)))
    assert report["stages"]["keyframe_expansion"]["failed"] == 0


def test_without_rules_broken_images_are_not_noticed_and_measures_need_their_columns(hook, clips, table):
    report = Run().execute(keyframes(clips, table, None))
    assert (report["ok"], report["failed"]) == (9, 1)
    with pytest.raises(ConfigurationError, match="brightness double"):
        Run().execute(keyframes(clips, table))
    added = ", ".join(f"{c.name} {c.type}" for c in FRAME_QUALITY_COLUMNS)
    hook.execute_sql(f"ALTER TABLE {table}_k ADD COLUMNS ({added})")
    # The rules leave out more than half of what is published.
    allowed = Run(params={"allow_shrink": True})
    assert allowed.execute(keyframes(clips, table))["filtered_reasons"] == REASONS
    dark = rows(hook, f"{table}_k", "status, error_type, brightness < 10, car", "image_id = 'frame9'")
    assert dark == [["filtered", "too_dark", True, "x"]]


def test_keyframes_that_are_left_out_or_broken_are_not_prepared(hook, clips, table, paid):
    more = {
        "source_table": f"{table}_c",
        "targets": ["keyframe-expansion", "image-preparation", "embedding"],
        "keyframe_count": None,
        "keyframe_stride": None,
        "min_brightness": 10,
        "min_sharpness": 60,
        "max_frozen_change": 0.2,
        "near_duplicate_distance": 3,
        "vlm_model": None,
        "label_schema": None,
        "label_prompt_style": "driving-scene-en",
    }
    scenario = example("clip_labels", clips, table, **more)
    reports = ScenarioRun().execute(scenario)
    assert reports["keyframes"]["filtered_reasons"] == REASONS
    prepared = reports["image_labels"]["stages"]["image_preparation"]
    assert prepared == {"rows_in": 4, "ok": 4, "failed": 0, "filtered": 0, "skipped": 0}
    assert paid() == (0, 4)
    found = rows(
        hook, scenario.output_table, "status, COUNT(brightness), COUNT(sha256)", "1 = 1 GROUP BY status"
    )
    assert sorted(found) == [["failed", 0, 0], ["filtered", 4, 0], ["ok", 4, 4]]
