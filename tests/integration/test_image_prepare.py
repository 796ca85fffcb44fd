"""Image preparation against the local cloud: features, prepared images in OSS, counts, repair, chaining."""

import hashlib
import io

import alibabacloud_oss_v2 as oss
import pytest
from PIL import Image

from airflow_provider_drivepipe.contracts import IMAGE_COLUMNS, STATUS_COLUMNS
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import (
    AiFuncLabelOperator,
    MaxFrameImagePrepareOperator,
)
from airflow_provider_drivepipe.scenario.options import Reprocess, SelectionOptions
from tests.integration.operator_context import Run
from tests.unit.image_samples import encoded, scene, with_orientation

SMALL = {"longest_side": 160, "batch_rows": 3}
PARTITION = "ds='20261120'"


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


@pytest.fixture
def images(oss_client, bucket):
    """Four good images, two of one name, one cut off and one empty; a URL without object comes in tables."""
    objects = {
        "trips/a/front.jpg": encoded(scene(0)),
        "trips/b/front.jpg": with_orientation(scene(1), 6),
        "trips/map.png": encoded(scene(2).convert("RGBA"), "PNG"),
        "trips/夜间.webp": encoded(scene(3), "WEBP"),
        "trips/cut.jpg": encoded(scene(4))[:-200],
        "trips/empty.jpg": b"",
    }
    for key, body in objects.items():
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))
    return objects


@pytest.fixture
def image_table(hook, images, bucket, table):
    name = f"{table}_i"
    hook.execute_sql(
        f"CREATE TABLE {name} (image_id STRING, image_url STRING, camera BIGINT) PARTITIONED BY (ds STRING)"
    )
    fill(hook, name, bucket, [*images, "trips/missing.jpg"])
    return name


def fill(hook, name, bucket, keys):
    root = hook.oss_root(bucket)
    rows = ", ".join(f"('{n}', '{root}/{key}', {n})" for n, key in enumerate(keys))
    hook.execute_sql(f"INSERT OVERWRITE TABLE {name} PARTITION ({PARTITION}) VALUES {rows}")


def prepare(bucket, table, images=SMALL, source=None, **more):
    return MaxFrameImagePrepareOperator(
        task_id="prepare",
        scenario="s",
        source_table=source or f"{table}_i",
        output_table=f"{table}_p",
        deferrable=False,
        poll_interval=0.2,
        bucket=bucket,
        **images,
        **more,
    )


def rows_of(hook, table, *columns):
    return hook.execute_sql(f"SELECT {', '.join(columns)} FROM {table} WHERE {PARTITION} ORDER BY image_id")


def body_of(oss_client, hook, bucket, url):
    key = url.removeprefix(f"{hook.oss_root(bucket)}/")
    return oss_client.get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body.read()


def test_features_counts_prepared_images_and_a_second_run_that_does_nothing(
    hook, oss_client, images, bucket, image_table, table, local_cloud
):
    run = Run()
    operator = prepare(bucket, table)
    report = run.execute(operator)
    assert (report["rows_in"], report["ok"], report["failed"]) == (7, 4, 3)
    assert report["stages"] == {
        "image_preparation": {"rows_in": 7, "ok": 4, "failed": 3, "filtered": 0, "skipped": 0}
    }
    assert report["failures"] == {
        "image_preparation": {"image_decode_error": 1, "empty_file": 1, "not_found": 1}
    }
    assert report["verdict"] == "completed_with_failures"
    columns = [c.name for c in hook.table_columns(f"{table}_p")[0]]
    assert columns == [
        *("image_id", "image_url", "camera"),
        *(c.name for c in IMAGE_COLUMNS),
        *(c.name for c in STATUS_COLUMNS),
    ]
    rows = rows_of(
        hook,
        f"{table}_p",
        "width, height, format, mode, size_bytes, sha256, phash, prepared_url, camera, status",
    )
    assert [row[:4] for row in rows[:4]] == [
        [320, 200, "JPEG", "RGB"],
        [200, 320, "JPEG", "RGB"],
        [320, 200, "PNG", "RGBA"],
        [320, 200, "WEBP", "RGB"],
    ]
    for row, body in zip(rows[:4], images.values(), strict=False):
        assert row[4:6] == [len(body), hashlib.sha256(body).hexdigest()]
        assert len(row[6]) == 16
        assert row[7].startswith(f"{hook.oss_root(bucket)}/{table}_p/ds=20261120/")
        with Image.open(io.BytesIO(body_of(oss_client, hook, bucket, row[7]))) as image:
            assert (image.format, image.mode, max(image.size)) == ("JPEG", "RGB", 160)
    assert len({row[7] for row in rows[:4]}) == 4
    assert [row[:8] for row in rows[4:]] == [[None] * 8] * 3
    assert [row[8] for row in rows] == list(range(7))

    before = local_cloud.stats.snapshot()["maxframe.submit_dag"]
    again = run.execute(operator, try_number=2)
    assert (again["carried_over"], again["ok"], again["failed"]) == (4, 4, 3)
    attempts = rows_of(hook, f"{table}_p", "status, attempt")
    assert sorted({tuple(row) for row in attempts}) == [("failed", 2), ("ok", 1)]
    run.execute(operator, try_number=3)
    third = run.execute(operator, try_number=4)
    assert (third["carried_over"], third["failed"]) == (4, 3)
    assert local_cloud.stats.snapshot()["maxframe.submit_dag"] == before + 2
    assert [t.name for t in hook.odps.list_tables(prefix=f"{table}_p__")] == []


def test_a_repaired_object_is_prepared_alone_and_a_changed_size_prepares_all(
    hook, oss_client, bucket, image_table, table
):
    run = Run()
    run.execute(prepare(bucket, table))
    oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key="trips/cut.jpg", body=encoded(scene(4))))
    report = run.execute(prepare(bucket, table), try_number=2)
    assert (report["carried_over"], report["ok"], report["failed"]) == (4, 5, 2)
    exact = {"exact_size": (64, 48)}
    report = run.execute(prepare(bucket, table, exact), try_number=3)
    assert (report["carried_over"], report["ok"]) == (0, 5)
    [[url]] = hook.execute_sql(f"SELECT prepared_url FROM {table}_p WHERE {PARTITION} AND image_id = '4'")
    with Image.open(io.BytesIO(body_of(oss_client, hook, bucket, url))) as image:
        assert image.size == (64, 48)
    report = run.execute(
        prepare(bucket, table, exact, selection=SelectionOptions(reprocess=Reprocess.FAILED)), try_number=4
    )
    assert report["carried_over"] == 5


def test_without_write_back_images_stay_where_they_are(hook, oss_client, bucket, image_table, table):
    Run().execute(prepare(bucket, table, {"write_back": False}))
    rows = rows_of(hook, f"{table}_p", "image_url, prepared_url, status")
    assert all(row[0] == row[1] for row in rows if row[2] == "ok")
    listed = oss_client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, prefix="prepared"))
    assert not listed.contents


def test_a_limit_skips_the_rest_and_a_run_without_it_does_them(hook, bucket, image_table, table):
    run = Run()
    limited = run.execute(prepare(bucket, table, selection=SelectionOptions(limit=2)))
    assert (limited["ok"], limited["skipped"], limited["rows_in"]) == (2, 5, 7)
    skipped = hook.execute_sql(
        f"SELECT error_stage, error_type, width FROM {table}_p WHERE {PARTITION} AND status = 'skipped'"
    )
    assert skipped == [["image_preparation", "limit", None]] * 5
    report = run.execute(prepare(bucket, table), try_number=2)
    assert (report["carried_over"], report["ok"], report["failed"], report["skipped"]) == (2, 4, 3, 0)


def test_duplicate_rows_are_left_out_and_counted(hook, bucket, image_table, table):
    hook.execute_sql(
        f"INSERT INTO TABLE {image_table} PARTITION ({PARTITION}) "
        f"SELECT image_id, image_url, camera FROM {image_table} WHERE {PARTITION} AND image_id = '0'"
    )
    report = Run().execute(prepare(bucket, table))
    assert report["stages"]["image_preparation"]["filtered"] == 1
    assert (report["rows_in"], report["filtered_reasons"]) == (7, {"duplicate": 1})


@pytest.fixture
def stage_table(hook, images, bucket, table):
    """What a stage wrote: two rows that are ok, one failed, one filtered."""
    name, root = f"{table}_f", hook.oss_root(bucket)
    hook.execute_sql(
        f"CREATE TABLE {name} (image_id STRING, image_url STRING, width BIGINT, height BIGINT, "
        "status STRING, error_stage STRING, error_type STRING, error_msg STRING, attempt BIGINT, "
        "fingerprint STRING) PARTITIONED BY (ds STRING)"
    )
    write_stage_table(
        hook,
        name,
        f"('0', '{root}/trips/a/front.jpg', 320, 200, 'ok', '', '', '', 1, 'F1.-.-.a')",
        f"('1', '{root}/trips/map.png', 320, 200, 'ok', '', '', '', 1, 'F1.-.-.b')",
        "('2', NULL, NULL, NULL, 'failed', 'frame_extraction', 'truncated', 'cut', 3, 'F1.-.-.c')",
        f"('3', '{root}/trips/b/front.jpg', 9, 9, 'filtered', 'frame_extraction', 'too_dark', 'd', 1, 'F')",
    )
    return name


def write_stage_table(hook, name, *rows):
    hook.execute_sql(f"INSERT OVERWRITE TABLE {name} PARTITION ({PARTITION}) VALUES {', '.join(rows)}")


def test_rows_that_an_earlier_stage_held_back_pass_by(hook, bucket, stage_table, table):
    run = Run()
    operator = prepare(bucket, table, source=stage_table)
    report = run.execute(operator)
    assert report["stages"]["image_preparation"]["rows_in"] == 2
    assert (report["ok"], report["failed"], report["filtered"], report["verdict"]) == (2, 1, 1, "completed")
    held = rows_of(
        hook, f"{table}_p", "status, error_stage, error_type, error_msg, attempt, fingerprint, prepared_url"
    )[2:]
    assert held == [
        ["failed", "frame_extraction", "truncated", "cut", 3, "F1.-.-.c", None],
        ["filtered", "frame_extraction", "too_dark", "d", 1, "F", None],
    ]
    again = run.execute(operator, try_number=2)
    assert (again["carried_over"], again["ok"], again["failed"], again["filtered"]) == (2, 2, 1, 1)


@pytest.mark.parametrize("reprocess", list(Reprocess))
def test_rows_that_become_ok_at_the_earlier_stage_are_prepared(hook, bucket, stage_table, table, reprocess):
    run, root = Run(), hook.oss_root(bucket)
    run.execute(prepare(bucket, table, source=stage_table))
    write_stage_table(
        hook,
        stage_table,
        f"('0', '{root}/trips/a/front.jpg', 320, 200, 'ok', '', '', '', 1, 'F1.-.-.a')",
        f"('3', '{root}/trips/b/front.jpg', 200, 320, 'ok', '', '', '', 1, 'F1.-.-.d')",
    )
    operator = prepare(bucket, table, source=stage_table, selection=SelectionOptions(reprocess=reprocess))
    report = run.execute(operator, try_number=2)
    assert report["carried_over"] == (0 if reprocess is Reprocess.ALL else 1)
    rows = rows_of(hook, f"{table}_p", "image_id, width, height, status, attempt")
    assert rows == [["0", 320, 200, "ok", 2 if reprocess is Reprocess.ALL else 1], ["3", 200, 320, "ok", 1]]


def test_prepared_images_are_embedded(hook, bucket, image_table, table, local_cloud):
    run = Run()
    run.execute(prepare(bucket, table))
    embed = AiFuncLabelOperator(
        task_id="embed",
        scenario="s",
        source_table=f"{table}_p",
        output_table=f"{table}_e",
        deferrable=False,
        poll_interval=0.2,
        embedding_model="qwen3-vl-embedding",
        embedding_dim=16,
    )
    before = local_cloud.stats.snapshot().get("model.embed", 0)
    report = run.execute(embed)
    assert local_cloud.stats.snapshot()["model.embed"] - before == 4
    assert (report["ok"], report["failed"], report["verdict"]) == (4, 3, "completed")
    assert run.execute(embed, try_number=2)["carried_over"] == 4


def test_an_object_changed_under_its_name_is_seen_by_its_etag(hook, oss_client, bucket, images, table):
    name, url = f"{table}_i", f"{hook.oss_root(bucket)}/trips/a/front.jpg"
    hook.execute_sql(
        f"CREATE TABLE {name} (image_id STRING, image_url STRING, etag STRING) PARTITIONED BY (ds STRING)"
    )
    run = Run()
    phashes = []
    for try_number, (etag, drawing) in enumerate([("E1", 0), ("E1", 5), ("E2", 5)], start=1):
        body = encoded(scene(drawing))
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key="trips/a/front.jpg", body=body))
        hook.execute_sql(
            f"INSERT OVERWRITE TABLE {name} PARTITION ({PARTITION}) VALUES ('0', '{url}', '{etag}')"
        )
        run.execute(prepare(bucket, table), try_number=try_number)
        phashes += rows_of(hook, f"{table}_p", "phash")
    assert phashes[0] == phashes[1] != phashes[2]


def test_settings_and_tables_that_do_not_fit_are_configuration_errors(hook, bucket, image_table, table):
    with pytest.raises(ConfigurationError, match="JPEG quality"):
        Run().execute(prepare(bucket, table, {"jpeg_quality": 101}))
    hook.execute_sql(
        f"CREATE TABLE {table}_w (image_url STRING, size_bytes BIGINT) PARTITIONED BY (ds STRING)"
    )
    with pytest.raises(ConfigurationError, match="size_bytes"):
        Run().execute(prepare(bucket, table, source=f"{table}_w"))
    hook.execute_sql(f"CREATE TABLE {table}_n (url STRING) PARTITIONED BY (ds STRING)")
    with pytest.raises(ConfigurationError, match="image_url"):
        Run().execute(prepare(bucket, table, source=f"{table}_n"))
    assert [t.name for t in hook.odps.list_tables(prefix=f"{table}_p__")] == []
