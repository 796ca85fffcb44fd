"""Every input shape with its targets: the example scenarios on the local cloud, columns and counts."""

import json

import alibabacloud_oss_v2 as oss
import pytest
from maxframe.learn.contrib.llm.core import LLMTaskOperator
from maxframe.learn.contrib.llm.models.managed import (
    ManagedLLMMultiModalEmbeddingOp,
    ManagedLLMMultiModalGenerationOp,
    ManagedLLMTextEmbeddingOp,
)

from airflow_provider_drivepipe.contracts import (
    FRAME_COLUMNS,
    FRAME_QUALITY_COLUMNS,
    IMAGE_COLUMNS,
    KEYFRAME_COLUMNS,
    MANIFEST_COLUMNS,
    STATUS_COLUMNS,
)
from airflow_provider_drivepipe.documents.schema_sql import table_columns
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.pipelines.registry import plan
from tests.integration.operator_context import Run
from tests.integration.scenario_run import ScenarioRun, example
from tests.unit.image_samples import encoded, scene, with_orientation
from tests.unit.video_samples import write_video

pytestmark = pytest.mark.slow

VLM, EMBEDDER, TEXT_EMBEDDER = "qwen3-vl-plus", "qwen3-vl-embedding", "text-embedding-v4"
LABELS = [
    "label_text",
    "label_json_valid",
    "label_input_token",
    "label_output_token",
    "label_normalised",
]
VECTORS = ["image_embedding", "image_embedding_total_token"]
LABEL_VECTORS = ["label_embedding", "label_embedding_total_token"]
STATUS = [c.name for c in STATUS_COLUMNS]
PARTITION = "ds='20261120'"


@pytest.fixture
def hook(airflow_connection):
    return DrivepipeHook()


@pytest.fixture
def put(oss_client, bucket):
    def put(key, body):
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))

    return put


@pytest.fixture
def videos(put, bucket, tmp_path):
    """Two videos of 2 seconds, one broken, and a text file."""
    body = write_video(tmp_path / "v.mp4", frames=50).read_bytes()
    put("trips/a/front.mp4", body)
    put("trips/b/front.mp4", body)
    put("trips/text.mp4", b"no video at all " * 9)
    put("trips/notes.txt", b"x")
    return bucket


@pytest.fixture
def clips(put, bucket):
    """Two clips of four images, one of them with times; the others cannot be expanded."""
    for number in (1, 2, 10, 11):
        put(f"drives/a/frame{number}.jpg", encoded(scene(number)))
        put(f"drives/b/frame{number}.jpg", encoded(scene(number + 20)))
    put("drives/b/timestamps.csv", b"timestamp_ms\n100\n200\n300\n400\n")
    return bucket


@pytest.fixture
def images(put, bucket):
    """Two images that are fine, one cut off; a further name without an object."""
    put("i/one.jpg", encoded(scene(1, (640, 400))))
    put("i/two.png", encoded(scene(2), "PNG"))
    put("i/turned.jpg", with_orientation(scene(3, (640, 400)), 6))
    put("i/cut.jpg", encoded(scene(4))[:-200])
    return ["i/one.jpg", "i/two.png", "i/turned.jpg", "i/cut.jpg", "i/gone.jpg"]


def make_table(hook, name, columns, rows):
    hook.execute_sql(f"DROP TABLE IF EXISTS {name}")
    hook.execute_sql(f"CREATE TABLE {name} ({columns}) PARTITIONED BY (ds STRING)")
    with hook.odps.get_table(name).open_writer(partition="ds=20261120", create_partition=True) as writer:
        if rows:
            writer.write(rows)


def image_rows(hook, bucket, keys, *more):
    root = hook.oss_root(bucket)
    rows = [[str(number), f"{root}/{key}", number % 2] for number, key in enumerate(keys)]
    return [[*row, *(values[number] for values in more)] for number, row in enumerate(rows)]


IMAGE_INPUT = "image_id STRING, image_url STRING, camera BIGINT"
IMAGE_NAMES = ["image_id", "image_url", "camera"]


def names(columns):
    return [c.name for c in columns]


def rows_of(hook, table, columns, where="1 = 1"):
    return hook.execute_sql(f"SELECT {columns} FROM {table} WHERE {PARTITION} AND {where}")


def written(hook, scenario, source=None):
    """The columns of every table that a scenario's tasks wrote; they are what its plan says."""
    found = {}
    columns = hook.table_columns(source)[0] if source else ()
    for task in plan(scenario).tasks:
        columns = table_columns(task, columns)
        found[task.task_id] = names(hook.table_columns(task.output_table.name)[0])
        assert found[task.task_id] == names(columns), task.task_id
    return found


def counted(report):
    """What came in at every stage, what is ok, what failed; and that the counts balance."""
    for counts in [report, *report["stages"].values()]:
        parts = counts["ok"], counts["failed"], counts["filtered"], counts["skipped"]
        assert counts["rows_in"] == sum(parts)
    return {stage: (c["rows_in"], c["ok"], c["failed"]) for stage, c in report["stages"].items()}


@pytest.fixture
def calls(local_cloud):
    """How many calls of models were made since the last time it was asked: (chat, embed)."""
    last = [0, 0]

    def calls():
        stats = local_cloud.stats.snapshot()
        now = [stats.get("model.chat", 0), stats.get("model.embed", 0)]
        made = now[0] - last[0], now[1] - last[1]
        last[:] = now
        return made

    calls()
    return calls


def check_graphs(run, scenario, secrets):
    """What the submitted graphs say of models, access, options and dimensions."""
    allowed = {model for task in plan(scenario).tasks for model in task.models.values()}
    seen, mounts = set(), 0
    role_arn = DrivepipeHook().oss_settings.require_role_arn()
    for _, op in run.submitted:
        for mount in getattr(getattr(op, "func", None), "fs_mount", ()):
            assert mount.storage_options == {"role_arn": role_arn}
            mounts += 1
        if not isinstance(op, LLMTaskOperator):
            continue
        project, _, model = op.model.name.removeprefix("projects/").partition("/schemas/")
        seen.add(model.rpartition("/")[2])
        assert project == "bigdata_public_modelset"
        given = {key: value for key, value in op.running_options.items() if value is not None}
        if isinstance(op, ManagedLLMMultiModalGenerationOp):
            assert given == {"enable_thinking": False, "enable_real_rpm_stats": True}
            [message] = op.prompt_template
            parts = [part for part in message["content"] if part.type == "image"]
        else:
            assert given == {"enable_real_rpm_stats": True}
            parts = op.input if isinstance(op, ManagedLLMMultiModalEmbeddingOp) else []
        for part in parts:
            if part.content["type"] == "image_url":
                assert part.options["storage_options"] == secrets
        if isinstance(op, ManagedLLMTextEmbeddingOp):
            assert op.dimensions == scenario.label_embedding_dim
            assert not op.params
        elif isinstance(op, ManagedLLMMultiModalEmbeddingOp):
            assert op.params == {"dimension": scenario.embedding_dim}
        assert op.simple_output is False
    assert seen == allowed
    assert bool(mounts) == any(stage.mounts for task in plan(scenario).tasks for stage in task.stages)


@pytest.fixture
def secrets(local_cloud):
    return {
        "access_key_id": local_cloud.access_key_id,
        "access_key_secret": local_cloud.access_key_secret,
    }


def test_oss_prefix_manifest_alone(hook, videos, table):
    scenario = example("manifest_only", videos, table)
    report = ScenarioRun().execute(scenario)["manifest"]
    assert counted(report) == {"manifest": (4, 3, 0)}
    assert report["filtered_reasons"] == {"other_extension": 1}
    assert written(hook, scenario) == {"manifest": names(MANIFEST_COLUMNS)}


def test_oss_prefix_manifest_then_the_single_job(hook, videos, table, secrets, calls):
    run, scenario = ScenarioRun(), example("driving_demo", videos, table)
    reports = run.execute(scenario)
    assert counted(reports["manifest"]) == {"manifest": (4, 3, 0)}
    assert counted(reports["video_labels"]) == {
        "frame_extraction": (3, 2, 1),
        "label": (2, 2, 0),
        "image_embedding": (2, 2, 0),
    }
    assert calls() == (2, 2)
    lineage = names(MANIFEST_COLUMNS)[1:]
    assert written(hook, scenario)["video_labels"] == [
        *names(FRAME_COLUMNS),
        *lineage,
        *LABELS,
        *VECTORS,
        *STATUS,
    ]
    check_graphs(run, scenario, secrets)


def test_oss_prefix_chained_into_prepared_frames_and_label_embeddings(hook, videos, table, secrets, calls):
    """Everything at once: three tables and four paid or unpaid stages behind the listing."""
    more = {
        "targets": ["manifest", "frame-extraction", "image-preparation", "labeling", "label-embedding"],
        "image_longest_side": 48,
        "label_embedding_model": TEXT_EMBEDDER,
        "embedding_model": None,
        "embedding_dim": None,
    }
    run, scenario = ScenarioRun(), example("driving_demo", videos, table, **more)
    reports = run.execute(scenario)
    assert list(reports) == ["manifest", "frames", "image_labels"]
    assert counted(reports["frames"]) == {"frame_extraction": (3, 2, 1)}
    assert counted(reports["image_labels"]) == {
        "image_preparation": (2, 2, 0),
        "label": (2, 2, 0),
        "label_embedding": (2, 2, 0),
    }
    assert calls() == (2, 2)
    frames = [c for c in names(FRAME_COLUMNS) if c not in ("width", "height")]
    assert written(hook, scenario)["image_labels"] == [
        *frames,
        *names(MANIFEST_COLUMNS)[2:],
        *names(IMAGE_COLUMNS),
        *LABELS,
        *LABEL_VECTORS,
        *STATUS,
    ]
    check_graphs(run, scenario, secrets)
    final = scenario.output_table
    [[url]] = rows_of(hook, final, "MAX(prepared_url)")
    assert url.startswith(f"{hook.oss_root(videos)}/{scenario.scenario_name}_prepared/ds=20261120/")
    assert rows_of(hook, final, "error_stage, error_type", "status = 'failed'") == [
        ["frame_extraction", "not_a_video"]
    ]


def test_frames_that_a_rule_leaves_out_are_not_prepared(hook, videos, table, calls):
    more = {
        "targets": ["manifest", "frame-extraction", "image-preparation", "embedding"],
        "frame_fps": "2",
        "near_duplicate_distance": 64,
        "vlm_model": None,
        "label_schema": None,
        "label_prompt_style": "driving-scene-en",
    }
    scenario = example("driving_demo", videos, table, **more)
    reports = ScenarioRun().execute(scenario)
    assert counted(reports["frames"]) == {"frame_extraction": (3, 2, 1)}
    # Of each video all frames but the first are taken for its duplicates.
    assert reports["frames"]["filtered_reasons"] == {"near_duplicate": 6}
    assert counted(reports["image_labels"]) == {"image_preparation": (2, 2, 0), "image_embedding": (2, 2, 0)}
    assert calls() == (0, 2)
    measures = [c.name for c in FRAME_QUALITY_COLUMNS]
    columns = written(hook, scenario)["image_labels"]
    assert [c for c in columns if c in measures] == measures
    counts = "status, COUNT(brightness), COUNT(sha256)"
    found = rows_of(hook, scenario.output_table, counts, "1=1 GROUP BY status")
    assert sorted(found) == [["failed", 0, 0], ["filtered", 6, 0], ["ok", 2, 2]]


def test_video_table_frames_then_labels_in_a_table_of_their_own(hook, videos, table, secrets, calls):
    listing = example("manifest_only", videos, table, video_input_table=f"{table}_driving_demo_manifest")
    ScenarioRun().execute(listing)
    alone = example("frames_only", videos, table)
    assert counted(ScenarioRun().execute(alone)["frames"]) == {"frame_extraction": (3, 2, 1)}
    assert rows_of(hook, alone.output_table, "COUNT(*)") == [[17]]
    assert written(hook, alone, alone.source_table)["frames"] == [
        *names(FRAME_COLUMNS),
        *names(MANIFEST_COLUMNS)[1:],
        *STATUS,
    ]

    run, scenario = ScenarioRun(), example("driving_split", videos, table)
    reports = run.execute(scenario)
    assert counted(reports["frames"]) == {"frame_extraction": (3, 2, 1)}
    assert counted(reports["labels"]) == {
        "label": (6, 6, 0),
        "image_embedding": (6, 6, 0),
        "label_embedding": (6, 6, 0),
    }
    assert calls() == (6, 12)
    assert written(hook, scenario, scenario.source_table)["labels"] == [
        *names(FRAME_COLUMNS),
        *names(MANIFEST_COLUMNS)[1:],
        *LABELS,
        *VECTORS,
        *LABEL_VECTORS,
        *STATUS,
    ]
    check_graphs(run, scenario, secrets)
    vectors = rows_of(hook, scenario.output_table, "image_embedding, label_embedding", "status = 'ok'")
    assert {(len(json.loads(i)), len(json.loads(t))) for i, t in vectors} == {(256, 128)}

    again = run.execute(scenario, try_number=2)
    assert calls() == (0, 0)
    assert again["labels"]["carried_over"] == 6


def clip_table(hook, bucket, table):
    root = hook.oss_root(bucket)
    rows = [
        ["a", "drives/a", None, None, "x"],
        ["b", f"{root}/drives/b", 200, 400, "y"],
        ["up", "drives/../../other", None, None, None],
        ["absolute", "/etc", None, None, None],
        ["foreign", "oss://elsewhere/bucket/a", None, None, None],
        ["gone", "drives/gone", None, None, None],
    ]
    columns = "clip_id STRING, clip_dir STRING, start_ms BIGINT, end_ms BIGINT, car STRING"
    make_table(hook, f"{table}_my_clips", columns, rows)


CLIP_LINEAGE = ["start_ms", "end_ms", "car"]


def test_clip_dir_table_keyframes_labels_and_embeddings_in_one_job(
    hook, clips, table, secrets, calls, local_cloud
):
    clip_table(hook, clips, table)
    run, scenario = ScenarioRun(), example("clip_labels", clips, table)
    local_cloud.control.models.script(VLM, images=["drives/b/frame10"], status=400)
    report = run.execute(scenario)["clip_labels"]
    local_cloud.control.models.clear()
    assert counted(report) == {
        "keyframe_expansion": (6, 2, 4),
        "label": (5, 4, 1),
        "image_embedding": (5, 5, 0),
    }
    assert report["failures"]["keyframe_expansion"] == {
        "path_traversal": 1,
        "path_outside_root": 2,
        "not_found": 1,
    }
    assert calls() == (5, 5)
    assert written(hook, scenario, scenario.source_table)["clip_labels"] == [
        *names(KEYFRAME_COLUMNS),
        *CLIP_LINEAGE,
        *LABELS,
        *VECTORS,
        *STATUS,
    ]
    check_graphs(run, scenario, secrets)
    made = rows_of(hook, scenario.output_table, "clip_id, image_id, frame_time_ms, car", "frame_idx >= 0")
    assert sorted(made) == [
        ["a", "frame1", None, "x"],
        ["a", "frame10", None, "x"],
        ["a", "frame11", None, "x"],
        ["b", "frame10", 300, "y"],
        ["b", "frame2", 200, "y"],
    ]
    # The label that failed is asked for again, alone: clips, other labels and all vectors stay.
    report = run.execute(scenario, try_number=2)["clip_labels"]
    assert calls() == (1, 0)
    assert counted(report)["label"] == (5, 5, 0)
    assert report["carried_over"] == 4


def test_clip_dir_table_split_and_by_stride(hook, clips, table, calls):
    clip_table(hook, clips, table)
    more = {
        "targets": ["labeling"],
        "embedding_model": None,
        "embedding_dim": None,
        "keyframe_count": None,
        "keyframe_stride": 3,
        "split_video": True,
    }
    scenario = example("clip_labels", clips, table, **more)
    reports = ScenarioRun().execute(scenario)
    assert counted(reports["keyframes"]) == {"keyframe_expansion": (6, 2, 4)}
    assert counted(reports["labels"]) == {"label": (3, 3, 0)}
    assert calls() == (3, 0)
    found = written(hook, scenario, scenario.source_table)
    assert found["keyframes"] == [*names(KEYFRAME_COLUMNS), *CLIP_LINEAGE, *STATUS]
    assert found["labels"] == [*names(KEYFRAME_COLUMNS), *CLIP_LINEAGE, *LABELS, *STATUS]


def test_clips_of_one_id_are_kept_apart_when_their_images_are_prepared(
    hook, clips, table, local_cloud, calls
):
    """Also: no label at all is good, so there is nothing to embed."""
    rows = [["a", d, None, None, None] for d in ("drives/a", "drives/gone", "drives/../../other")]
    columns = "clip_id STRING, clip_dir STRING, start_ms BIGINT, end_ms BIGINT, car STRING"
    make_table(hook, f"{table}_my_clips", columns, rows)
    more = {
        "targets": ["image-preparation", "labeling", "label-embedding"],
        "embedding_model": None,
        "embedding_dim": None,
        "label_embedding_model": TEXT_EMBEDDER,
        "label_schema": None,
        "keyframe_count": 2,
    }
    scenario = example("clip_labels", clips, table, **more)
    local_cloud.control.models.script(VLM, content="I'm sorry, I can't help with that.")
    reports = ScenarioRun().execute(scenario)
    local_cloud.control.models.clear()
    assert counted(reports["keyframes"]) == {"keyframe_expansion": (3, 1, 2)}
    assert counted(reports["image_labels"]) == {
        "image_preparation": (2, 2, 0),
        "label": (2, 0, 2),
        "label_embedding": (0, 0, 0),
    }
    assert reports["image_labels"]["rows_in"] == 4
    assert reports["image_labels"]["failures"] == {"label": {"refusal": 2}}
    assert calls() == (2, 0)
    failed = rows_of(hook, scenario.output_table, "error_type", "error_stage = 'keyframe_expansion'")
    assert sorted(failed) == [["not_found"], ["path_traversal"]]


def test_image_table_labels_and_embeddings_in_one_job(hook, bucket, images, table, secrets, calls):
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, image_rows(hook, bucket, images))
    run, scenario = ScenarioRun(), example("image_labels", bucket, table)
    report = run.execute(scenario)["labels"]
    # Nothing was prepared: what cannot be read fails at the model, and keeps its row.
    assert counted(report) == {"label": (5, 3, 2), "image_embedding": (5, 3, 2)}
    assert calls()[0] >= 3
    assert written(hook, scenario, scenario.source_table)["labels"] == [
        *IMAGE_NAMES,
        *LABELS,
        *VECTORS,
        *STATUS,
    ]
    check_graphs(run, scenario, secrets)
    assert rows_of(hook, scenario.output_table, "COUNT(*)", "camera IS NOT NULL") == [[5]]


def test_image_table_prepared_images_are_embedded(hook, bucket, images, table, secrets, calls, local_cloud):
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, image_rows(hook, bucket, images))
    run, scenario = ScenarioRun(), example("image_features", bucket, table)
    local_cloud.control.models.script(EMBEDDER, status=400, fail_first=1)
    report = run.execute(scenario)["image_labels"]
    local_cloud.control.models.clear()
    assert counted(report) == {"image_preparation": (5, 3, 2), "image_embedding": (3, 2, 1)}
    assert report["failures"]["image_preparation"] == {"image_decode_error": 1, "not_found": 1}
    assert calls() == (0, 3)
    assert written(hook, scenario, scenario.source_table)["image_labels"] == [
        *IMAGE_NAMES,
        *names(IMAGE_COLUMNS),
        *VECTORS,
        *STATUS,
    ]
    check_graphs(run, scenario, secrets)
    root = hook.oss_root(bucket)
    rows = rows_of(hook, scenario.output_table, "image_id, width, height, prepared_url", "width IS NOT NULL")
    assert sorted(row[:3] for row in rows) == [["0", 640, 400], ["1", 320, 200], ["2", 400, 640]]
    assert all(row[3].startswith(f"{root}/{table}_prepared/ds=20261120/") for row in rows)

    report = run.execute(scenario, try_number=2)["image_labels"]
    assert calls() == (0, 1)
    assert counted(report)["image_embedding"] == (3, 3, 0)


def test_image_preparation_alone_and_in_front_of_labels_as_a_table(hook, bucket, images, table, calls):
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, image_rows(hook, bucket, images))
    alone = {"targets": ["image-preparation"], "embedding_model": None, "embedding_dim": None}
    scenario = example("image_features", bucket, table, **alone)
    assert counted(ScenarioRun().execute(scenario)["images"]) == {"image_preparation": (5, 3, 2)}
    expected = [*IMAGE_NAMES, *names(IMAGE_COLUMNS), *STATUS]
    assert written(hook, scenario, scenario.source_table) == {"images": expected}

    split = {"split_video": True, "output_table": f"{table}_split"}
    scenario = example("image_features", bucket, table, **split)
    run = ScenarioRun()
    reports = run.execute(scenario)
    assert counted(reports["embeddings"]) == {"image_embedding": (3, 3, 0)}
    assert calls() == (0, 3)
    [op] = [op for _, op in run.submitted if isinstance(op, LLMTaskOperator)]
    assert op.input[0].content["data"] == "{prepared_url}"


def test_images_passed_on_inline_are_prepared_again_for_a_repair_and_never_written(
    hook, bucket, images, table, secrets, calls, local_cloud, oss_client
):
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, image_rows(hook, bucket, images))
    more = {
        "targets": ["image-preparation", "labeling", "embedding"],
        "vlm_model": VLM,
        "label_schema": "driving-scene/v1",
        "prepared_images": "inline",
    }
    run, scenario = ScenarioRun(), example("image_features", bucket, table, **more)
    local_cloud.control.models.script(VLM, status=400, fail_first=1)
    report = run.execute(scenario)["image_labels"]
    local_cloud.control.models.clear()
    assert counted(report) == {
        "image_preparation": (5, 3, 2),
        "label": (3, 2, 1),
        "image_embedding": (3, 3, 0),
    }
    assert calls() == (3, 3)
    check_graphs(run, scenario, secrets)
    parts = [op.input[0] for _, op in run.submitted if isinstance(op, ManagedLLMMultiModalEmbeddingOp)]
    assert {part.content["type"] for part in parts} == {"image_base64"}
    listed = oss_client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket)).contents
    assert {found.key for found in listed} == set(images) - {"i/gone.jpg"}

    report = run.execute(scenario, try_number=2)["image_labels"]
    assert calls() == (1, 0)
    assert counted(report)["label"] == (3, 3, 0)
    vectors = rows_of(hook, scenario.output_table, "COUNT(image_embedding), COUNT(sha256)")
    assert vectors == [[3, 3]]


def test_images_at_foreign_places_fail_and_no_model_gets_them(hook, bucket, images, table, calls):
    rows = image_rows(hook, bucket, images[:2])
    place = str(hook.oss_root(bucket)).removeprefix("oss://")
    foreign = [
        f"oss://oss-cn-shanghai.aliyuncs.com/{bucket}/i/one.jpg",
        f"oss://user@{place}/i/one.jpg",
        f"oss://{place.replace('/', '.example.org/', 1)}/i/one.jpg",
        f"https://{place}/i/one.jpg",
        "i/one.jpg",
        "",
        None,
    ]
    rows += [[f"f{number}", url, 0] for number, url in enumerate(foreign)]
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, rows)
    run, scenario = ScenarioRun(), example("image_labels", bucket, table)
    report = run.execute(scenario)["labels"]
    assert counted(report) == {"label": (9, 2, 7), "image_embedding": (9, 2, 7)}
    assert report["failures"]["label"] == {"path_outside_root": 7}
    assert calls() == (2, 2)
    [message] = rows_of(hook, scenario.output_table, "DISTINCT error_msg", "status = 'failed'")
    assert message == [f"image_url is not below oss://{place.partition('/')[0]}/"]

    rows[2][1] = rows[0][1]
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, rows)
    report = run.execute(scenario, try_number=2)["labels"]
    assert calls() == (1, 1)
    assert counted(report)["label"] == (9, 3, 6)
    assert report["carried_over"] == 2


def test_images_may_be_at_the_scenarios_own_endpoint_too(hook, bucket, table):
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, [])
    endpoint = hook.oss_settings.require_oss().netloc
    elsewhere = f"oss://oss.example.org/{bucket}/raw"
    for root, places in ((None, [endpoint]), (elsewhere, [endpoint, "oss.example.org"])):
        labels = build_dag(example("image_labels", bucket, table, oss_root=root)).get_task("labels")
        tables = labels._resolve(Run().context(labels), MaxFrameHook()).tables
        assert tables.image_roots == tuple(f"oss://{place}/" for place in places)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("clip_labels", {"max_rows": 3}),
        # A label takes up to two calls, with its repair, and an embedding one.
        ("image_features", {"max_calls": 8, "prepared_images": "inline"}),
    ],
)
def test_budgets_stop_keyframes_and_prepared_images_too(hook, clips, images, table, calls, name, more):
    clip_table(hook, clips, table)
    keys = ["i/cut.jpg", "drives/a/frame1.jpg", "drives/a/frame2.jpg", *images[:3]]
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, image_rows(hook, clips, keys))
    if name == "image_features":
        targets = ["image-preparation", "labeling", "embedding"]
        more = {**more, "targets": targets, "vlm_model": VLM, "label_schema": "driving-scene/v1"}
    scenario = example(name, clips, table, **more)
    within = 3 if name == "clip_labels" else 2
    run, left, ok = ScenarioRun(), 5, 0
    for number in range(1, 5):
        report = run.execute(scenario, try_number=number)[plan(scenario).tasks[-1].task_id]
        made = min(within, left)
        left, ok = left - made, ok + made
        assert calls() == (made, made)
        assert counted(report)["label"] == (5, ok, 0)
        assert report["skipped_reasons"] == ({"budget": left} if left else {})
        first = next(iter(report["stages"].values()))
        assert (first["skipped"], first["ok"]) == (0, 2 if name == "clip_labels" else 5)
        assert report["spending"]["frames"] == made
    assert left == 0


LABELED_INPUT = f"{IMAGE_INPUT}, label_text STRING"


def test_labeled_image_table_embeds_images_and_texts_each_when_it_changes(
    hook, bucket, images, table, secrets, calls
):
    texts = ['{"weather": "clear"}', "rain {at} night", None]
    source = f"{table}_my_labeled_images"
    make_table(hook, source, LABELED_INPUT, image_rows(hook, bucket, images[:3], texts))
    run, scenario = ScenarioRun(), example("labeled_images", bucket, table)
    report = run.execute(scenario)["embeddings"]
    assert counted(report) == {"image_embedding": (3, 3, 0), "label_embedding": (3, 2, 1)}
    assert report["failures"] == {"label_embedding": {"no_label": 1}}
    assert calls() == (0, 5)
    assert written(hook, scenario, source)["embeddings"] == [
        *IMAGE_NAMES,
        "label_text",
        *VECTORS,
        *LABEL_VECTORS,
        *STATUS,
    ]
    check_graphs(run, scenario, secrets)
    [row] = rows_of(hook, scenario.output_table, "status, image_embedding", "label_text IS NULL")
    assert row[0] == "failed"
    assert len(json.loads(row[1])) == 256

    make_table(hook, source, LABELED_INPUT, image_rows(hook, bucket, images[:3], [*texts[:2], "snow"]))
    report = run.execute(scenario, try_number=2)["embeddings"]
    assert calls() == (0, 1)
    assert counted(report)["label_embedding"] == (3, 3, 0)
    assert rows_of(hook, scenario.output_table, "COUNT(*)", "attempt > 1") == [[0]]
    make_table(hook, source, LABELED_INPUT, image_rows(hook, bucket, images[:3], ["fog", texts[1], "snow"]))
    run.execute(scenario, try_number=3)
    assert calls() == (0, 1)
    run.execute(scenario, try_number=4)
    assert calls() == (0, 0)


def test_label_texts_alone_need_no_image(hook, bucket, table, calls):
    source = f"{table}_my_labeled_images"
    make_table(hook, source, "image_id STRING, label_text STRING", [["1", "clear"], ["2", "rain"]])
    more = {"targets": ["label-embedding"], "embedding_model": None, "embedding_dim": None}
    scenario = example("labeled_images", bucket, table, **more)
    report = ScenarioRun().execute(scenario)["embeddings"]
    assert counted(report) == {"label_embedding": (2, 2, 0)}
    assert calls() == (0, 2)
    expected = ["image_id", "label_text", *LABEL_VECTORS, *STATUS]
    assert written(hook, scenario, source) == {"embeddings": expected}


def test_a_failed_label_is_not_embedded_and_a_new_one_is(hook, bucket, images, table, calls, local_cloud):
    make_table(hook, f"{table}_my_images", IMAGE_INPUT, image_rows(hook, bucket, images[:3]))
    more = {
        "targets": ["labeling", "label-embedding"],
        "embedding_model": None,
        "embedding_dim": None,
        "label_embedding_model": TEXT_EMBEDDER,
    }
    run, scenario = ScenarioRun(), example("image_labels", bucket, table, **more)
    local_cloud.control.models.script(VLM, images=["i/one"], status=400)
    local_cloud.control.models.script(TEXT_EMBEDDER, status=400, nth=[1])
    report = run.execute(scenario)["labels"]
    local_cloud.control.models.clear()
    assert counted(report) == {"label": (3, 2, 1), "label_embedding": (2, 1, 1)}
    assert calls() == (3, 2)
    failed = rows_of(hook, scenario.output_table, "error_stage", "status = 'failed' AND label_text IS NULL")
    assert failed == [["label"]]
    report = run.execute(scenario, try_number=2)["labels"]
    assert calls() == (1, 2)
    assert counted(report) == {"label": (3, 3, 0), "label_embedding": (3, 3, 0)}
    assert run.execute(scenario, try_number=3)["labels"]["carried_over"] == 3
    assert calls() == (0, 0)
    changed = example("image_labels", bucket, table, **{**more, "label_embedding_dim": 64})
    run.execute(changed, try_number=4)
    assert calls() == (0, 3)
    reworded = {**more, "label_embedding_dim": 64, "label_prompt": "Say it in other words"}
    run.execute(example("image_labels", bucket, table, **reworded), try_number=5)
    assert calls() == (3, 3)


@pytest.mark.parametrize(
    ("name", "columns", "said"),
    [
        ("labeled_images", "image_id STRING, image_url STRING", "no column label_text, which stage label_"),
        ("labeled_images", "image_id STRING, image_url STRING, label_text BIGINT", "bigint, not string"),
        ("labeled_images", "image_id STRING, label_text STRING", "no column image_url"),
        ("image_labels", "image_url STRING, label_text STRING", "label_text have names that the output"),
        ("image_features", "image_id STRING", "no column image_url"),
    ],
)
def test_input_tables_that_do_not_fit_are_refused(hook, bucket, table, name, columns, said):
    scenario = example(name, bucket, table)
    make_table(hook, scenario.source_table, columns, [])
    with pytest.raises(ConfigurationError, match=said):
        ScenarioRun().execute(scenario)
