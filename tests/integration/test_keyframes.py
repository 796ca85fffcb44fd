"""Clips become keyframes and labels against the local cloud: rows, counts, and who pays for what."""

import alibabacloud_oss_v2 as oss
import numpy as np
import pytest
from PIL import Image

from airflow_provider_drivepipe.contracts import KEYFRAME_COLUMNS, STATUS_COLUMNS
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import AiFuncLabelOperator, MaxFrameKeyframeExpandOperator
from airflow_provider_drivepipe.scenario.options import SelectionOptions
from tests.integration.operator_context import Run

VLM = "qwen3-vl-plus"
LABELS = {"model": VLM, "prompt": "Label this", "label_schema": "driving-scene/v1"}
EPOCH = 1532402927612


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


@pytest.fixture
def fail(local_cloud):
    """Makes label calls for pictures fail whose address holds one of these texts."""
    models = local_cloud.control.models
    yield lambda *images: models.script(VLM, images=list(images), status=400)
    models.clear()


def jpeg(tmp_path, shade):
    noise = np.random.default_rng(shade).integers(0, 40, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "x.jpg"
    Image.fromarray(noise + np.uint8(shade)).save(path)
    return path.read_bytes()


@pytest.fixture
def clips(oss_client, bucket, tmp_path):
    """Two clips of the same file names, one with epoch times in them, one with a broken file of times."""

    def put(key, body):
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))

    for shade, clip in enumerate(("a", "b")):
        for number in (1, 2, 3, 10, 11):
            put(f"drives/{clip}/frame{number}.jpg", jpeg(tmp_path, 40 * shade + number))
    put("drives/a/frame7.jpg", b"")
    put("drives/a/notes.md", b"x")
    for number in range(4):
        put(f"drives/timed/front_{EPOCH + 100 * number}.jpg", jpeg(tmp_path, 90 + number))
    put("drives/broken/frame1.jpg", jpeg(tmp_path, 120))
    put("drives/broken/timestamps.txt", b"soon\n")
    put("drives/empty/readme.txt", b"x")
    return bucket


CLIPS = [
    ("a", "drives/a", None, None, "x"),
    ("b", "ROOT/drives/b/", None, None, "y"),
    ("t", "drives/timed", EPOCH + 100, EPOCH + 300, "z"),
    ("broken", "drives/broken", None, None, None),
    ("broken", "drives/empty", None, None, None),
    ("out", "drives/../../other", None, None, None),
    ("foreign", "oss://elsewhere/bucket/a", None, None, None),
    ("evil", "ROOT-evil/a", None, None, None),
    ("gone", "drives/gone", None, None, None),
    ("timeless", "drives/a", 0, 1, None),
]
REASONS = {
    "invalid_timestamps": 1,
    "no_frames": 1,
    "path_traversal": 1,
    "path_outside_root": 2,
    "not_found": 1,
    "no_timestamps": 1,
}


def write_clips(hook, table, bucket, clips, names=("clip_id", "clip_dir")):
    root = str(hook.oss_root(bucket))
    hook.execute_sql(
        f"CREATE TABLE {table} ({names[0]} STRING, {names[1]} STRING, start_ms BIGINT, end_ms BIGINT, "
        "car STRING) PARTITIONED BY (ds STRING)"
    )
    records = [[clip_id, path.replace("ROOT", root), *rest] for clip_id, path, *rest in clips]
    with hook.odps.get_table(table).open_writer(partition="ds=20261120", create_partition=True) as writer:
        writer.write(records)


def operator(task_id, kind, table, source, output, **more):
    return kind(
        task_id=task_id,
        scenario="s",
        source_table=f"{table}_{source}",
        output_table=f"{table}_{output}",
        deferrable=False,
        poll_interval=0.2,
        **more,
    )


def expansion(table, bucket, **more):
    chosen = {} if "stride" in more else {"count": 3}
    return operator(
        "keyframes", MaxFrameKeyframeExpandOperator, table, "c", "k", bucket=bucket, **{**chosen, **more}
    )


def labels(table):
    return operator("labels", AiFuncLabelOperator, table, "k", "l", **LABELS)


def rows(hook, table, columns, where="1 = 1"):
    return hook.execute_sql(f"SELECT {columns} FROM {table} WHERE ds='20261120' AND {where}")


def chats(local_cloud):
    return local_cloud.control.stats().get("model.chat", 0)


def test_clips_become_keyframes_and_failures_are_rows(hook, clips, table):
    write_clips(hook, f"{table}_c", clips, CLIPS)
    run = Run()
    report = run.execute(expansion(table, clips))
    assert report["failures"] == {"keyframe_expansion": REASONS}
    assert (report["rows_in"], report["ok"], report["failed"]) == (8 + 7, 8, 7)
    assert report["stage"] == "keyframe_expansion"
    columns = [c.name for c in hook.table_columns(f"{table}_k")[0]]
    own = [c.name for c in KEYFRAME_COLUMNS]
    assert columns == [*own, "start_ms", "end_ms", "car", *(c.name for c in STATUS_COLUMNS)]

    root = str(hook.oss_root(clips))
    made = rows(hook, f"{table}_k", "clip_id, frame_idx, frame_time_ms, image_url, car", "status = 'ok'")
    assert sorted(made) == [
        *(
            [clip, at, None, f"{root}/drives/{clip}/frame{number}.jpg", car]
            for clip, car in (("a", "x"), ("b", "y"))
            for at, number in enumerate((1, 3, 11))
        ),
        *(
            ["t", at, EPOCH + 100 * (at + 1), f"{root}/drives/timed/front_{EPOCH + 100 * (at + 1)}.jpg", "z"]
            for at in range(2)
        ),
    ]
    assert rows(hook, f"{table}_k", "COUNT(DISTINCT keyframe_id)") == [[8]]
    failed = rows(hook, f"{table}_k", "frame_idx, keyframe_id, image_url, error_stage", "status = 'failed'")
    assert failed == [[-1, None, None, "keyframe_expansion"]] * 7
    assert "/mnt/" not in str(rows(hook, f"{table}_k", "*"))

    again = run.execute(expansion(table, clips), try_number=2)
    assert (again["carried_over"], again["ok"], again["failed"]) == (8, 8, 7)
    attempts = {tuple(row) for row in rows(hook, f"{table}_k", "status, attempt")}
    assert attempts == {("ok", 1), ("failed", 2)}
    assert [t.name for t in hook.odps.list_tables(prefix=f"{table}_k__")] == []


def test_another_choice_replaces_the_keyframes_and_a_moved_range_only_its_clip(hook, clips, table):
    write_clips(hook, f"{table}_c", clips, CLIPS[:3])
    run = Run()
    run.execute(expansion(table, clips))
    report = run.execute(expansion(table, clips, stride=2))
    assert (report["carried_over"], report["ok"]) == (0, 7)
    hook.execute_sql(f"DROP TABLE {table}_c")
    moved = (*CLIPS[2][:2], EPOCH, EPOCH + 300, "z")
    write_clips(hook, f"{table}_c", clips, [*CLIPS[:2], moved])
    report = Run(run_id="r2").execute(expansion(table, clips, stride=2))
    assert (report["carried_over"], report["ok"]) == (6, 8)


def test_keyframes_are_labelled_and_a_repair_asks_only_for_the_failed_label(
    hook, clips, table, local_cloud, fail
):
    write_clips(hook, f"{table}_c", clips, CLIPS)
    run = Run()
    run.execute(expansion(table, clips))
    fail("drives/b/frame3.jpg")
    before = chats(local_cloud)
    report = run.execute(labels(table))
    assert chats(local_cloud) - before == 8
    assert report["stages"]["label"] == {"rows_in": 8, "ok": 7, "failed": 1, "filtered": 0, "skipped": 0}
    # Failed clips pass by, also two of one id.
    assert (report["rows_in"], report["ok"], report["failed"], report["filtered"]) == (15, 7, 8, 0)
    kept = rows(hook, f"{table}_l", "clip_id, clip_dir, keyframe_id, car", "label_text IS NOT NULL")
    assert len({row[2] for row in kept}) == 7
    failed = {tuple(row) for row in rows(hook, f"{table}_l", "error_stage, error_type", "status = 'failed'")}
    expected = {("keyframe_expansion", reason) for reason in REASONS}
    assert failed == {*expected, ("label", "model_error")}

    local_cloud.control.models.clear()
    before = chats(local_cloud)
    report = run.execute(labels(table), try_number=2)
    assert chats(local_cloud) - before == 1
    assert (report["ok"], report["failed"], report["carried_over"]) == (8, 7, 7)
    before = chats(local_cloud)
    run.execute(labels(table), try_number=3)
    assert chats(local_cloud) == before


def test_columns_of_other_names_and_clips_beyond_the_limit(hook, clips, table):
    named = {"count": 1, "clip_id_column": "segment", "clip_dir_column": "folder"}
    write_clips(hook, f"{table}_c", clips, CLIPS[:3], names=("segment", "folder"))
    run = Run()
    report = run.execute(expansion(table, clips, **named, selection=SelectionOptions(limit=1)))
    assert (report["rows_in"], report["ok"], report["skipped"]) == (3, 1, 2)
    made = rows(hook, f"{table}_k", "clip_id, clip_dir, segment, folder, frame_idx, status")
    root = str(hook.oss_root(clips))
    assert sorted(made) == [
        ["a", "drives/a", "a", "drives/a", 0, "ok"],
        ["b", f"{root}/drives/b/", "b", f"{root}/drives/b/", -1, "skipped"],
        ["t", "drives/timed", "t", "drives/timed", -1, "skipped"],
    ]
    report = run.execute(labels(table))
    assert (report["rows_in"], report["ok"], report["skipped"]) == (3, 1, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clip_dir_column": "folder"}, "has no column folder"),
        ({"start_column": "begin"}, "has no column begin"),
        ({"clip_id_column": "start_ms"}, "start_ms .* is bigint, not string"),
        ({"end_column": "car"}, "car .* is string, not tinyint"),
        ({"clip_id_column": "car"}, "clip_id have names that the output needs"),
    ],
)
def test_columns_that_do_not_fit_are_refused(hook, clips, table, options, said):
    write_clips(hook, f"{table}_c", clips, CLIPS[:1])
    with pytest.raises(ConfigurationError, match=said):
        Run().execute(expansion(table, clips, **options))


def test_count_and_stride_together_are_refused(table):
    with pytest.raises(ValueError, match="not by both"):
        expansion(table, "bucket", count=1, stride=1)
