"""plan(scenario): tasks, tables, columns, models."""

import json
from pathlib import Path

import pytest

from airflow_provider_drivepipe.cli.plan import main as plan_command
from airflow_provider_drivepipe.contracts import (
    CHANGE_COLUMNS,
    FRAME_COLUMNS,
    FRAME_QUALITY_COLUMNS,
    KEYFRAME_COLUMNS,
    MANIFEST_COLUMNS,
    STATUS_COLUMNS,
    Column,
)
from airflow_provider_drivepipe.documents.plan_text import plan_text
from airflow_provider_drivepipe.documents.schema_sql import table_columns
from airflow_provider_drivepipe.documents.walkthrough import walkthrough
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.options import DEFAULT_QUALITY, FrameFilter, QualityOptions
from airflow_provider_drivepipe.pipelines.driving.rules import combination_problems
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan

SCENARIOS = Path(__file__).parents[2] / "dags" / "scenarios"
COMMON = {"scenario_name": "s", "oss_bucket": "my-bucket"}


def scenario(**values):
    return DrivingScenario(**{**COMMON, **values})


def names(task):
    return [c.name for c in task.output_table.columns]


def test_manifest_alone():
    [task] = plan(scenario(input_shape="oss_prefix", targets=["manifest"], video_input_table="m")).tasks
    assert (task.task_id, task.operator, task.output_table.name) == ("manifest", "OssManifestOperator", "m")
    assert task.is_listing
    assert task.output_table.columns == MANIFEST_COLUMNS


def test_an_incremental_manifest_says_what_changed_and_its_status_does_not_travel():
    tasks = plan(
        scenario(
            input_shape="oss_prefix",
            targets=["manifest", "frame-extraction"],
            video_input_table="m",
            output_table="o",
            incremental=True,
        )
    ).tasks
    told = [c.name for c in (*MANIFEST_COLUMNS, *CHANGE_COLUMNS)]
    assert names(tasks[0]) == [*told, *(c.name for c in STATUS_COLUMNS)]
    assert [name for name in names(tasks[1]) if name in told] == told
    assert len(names(tasks[1])) == len(set(names(tasks[1])))


def test_a_scenario_says_who_lists_which_decides_nothing_of_the_result():
    manifest = {"input_shape": "oss_prefix", "targets": ["manifest"], "video_input_table": "m"}
    [client], [job] = (
        plan(scenario(**manifest, **more)).tasks for more in ({}, {"listing": "maxframe", "workers": 40})
    )
    options = job.stages[0].options
    assert (options.listing, options.workers) == ("maxframe", 40)
    assert job.stages[0].content(None) == client.stages[0].content(None)


def test_single_job_behind_a_manifest():
    manifest, job = plan(
        scenario(
            input_shape="oss_prefix",
            targets=["manifest", "frame-extraction", "labeling", "embedding"],
            video_input_table="m",
            output_table="o",
            vlm_model="v",
            embedding_model="e",
            label_schema="driving-scene/v1",
        )
    ).tasks
    assert (job.task_id, job.operator, job.source) == (
        "video_labels",
        "MaxFrameSingleJobOperator",
        manifest.output_table.name,
    )
    assert job.models == {"label": "v", "image_embedding": "e"}
    lineage = ["size_bytes", "last_modified", "etag", "crc64", "storage_class"]
    assert names(job) == [
        *(c.name for c in FRAME_COLUMNS),
        *lineage,
        "label_text",
        "label_json_valid",
        "label_input_token",
        "label_output_token",
        "label_normalised",
        "image_embedding",
        "image_embedding_total_token",
        *(c.name for c in STATUS_COLUMNS),
    ]


@pytest.mark.parametrize(
    ("targets", "present", "absent"),
    [
        (["labeling"], "label_text", "image_embedding"),
        (["embedding"], "image_embedding", "label_text"),
        (["labeling"], "label_output_token", "label_json_valid"),
        (["labeling"], "label_output_token", "label_response"),
    ],
)
def test_only_columns_that_are_asked_for(targets, present, absent):
    [task] = plan(
        scenario(
            input_shape="video_table",
            targets=["frame-extraction", *targets],
            source_table="v",
            output_table="o",
            vlm_model="v",
            embedding_model="e",
        )
    ).tasks
    assert present in names(task)
    assert absent not in names(task)


def test_frames_alone_from_a_foreign_table():
    [task] = plan(
        scenario(input_shape="video_table", targets=["frame-extraction"], source_table="v", output_table="o")
    ).tasks
    assert (task.task_id, task.operator) == ("frames", "MaxFrameFrameExtractOperator")
    assert not task.lineage_known
    assert task.find(FrameExtraction).frames.fps == "1"


def test_image_labeling_is_labeling():
    one = scenario(
        input_shape="video_table",
        targets="frame-extraction,image-labeling",
        source_table="v",
        output_table="o",
        vlm_model="m",
    )
    assert plan(one).tasks[0].models == {"label": "m"}


def test_plan_command_prints_tasks_tables_columns_models(capsys):
    assert plan_command(["dags/scenarios/driving_demo.yaml", "--partition", "20261120"]) == 0
    text = capsys.readouterr().out
    for word in (
        "ds=20261120",
        "driving_demo_manifest",
        "driving_demo_labels",
        "qwen3-vl-plus",
        "frame_time_ms",
    ):
        assert word in text
    assert plan_command(["dags/scenarios/driving_demo.yaml", "--json"]) == 0
    assert [t["task_id"] for t in json.loads(capsys.readouterr().out)["tasks"]] == [
        "manifest",
        "video_labels",
    ]
    assert plan_command(["dags/scenarios/driving_demo.yaml", "--partition", "../x"]) == 1
    assert "does not fit the key format" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("clip_labels", "clips    3 per clip; columns clip_id, clip_dir, start_ms, end_ms"),
        ("image_features", "images   longest side 512, below image_features_prepared/"),
        ("labeled_images", "model    text-embedding-v4 (label_embedding)"),
    ],
)
def test_plan_command_prints_what_becomes_of_clips_images_and_labels(capsys, name, said):
    assert plan_command([f"dags/scenarios/{name}.yaml"]) == 0
    assert said in capsys.readouterr().out


SPLIT = {
    "input_shape": "video_table",
    "targets": ["frame-extraction", "labeling", "embedding"],
    "source_table": "v",
    "output_table": "o",
    "vlm_model": "v",
    "embedding_model": "e",
}


@pytest.mark.parametrize("ask", [{"split_video": True}, {"need_intermediate_table": True}])
def test_split_video_hands_frames_over_in_a_table(ask):
    frames, labels = plan(scenario(**SPLIT, **ask)).tasks
    assert (frames.task_id, frames.operator) == ("frames", "MaxFrameFrameExtractOperator")
    assert frames.stage_names == ("frame_extraction",)
    assert frames.output_table.name == labels.source == "s_video_frame_extraction"
    assert (labels.task_id, labels.operator) == ("labels", "AiFuncLabelOperator")
    assert labels.unit is None
    assert labels.models == {"label": "v", "image_embedding": "e"}
    [single] = plan(scenario(**SPLIT)).tasks
    assert names(labels) == names(single)


def test_split_video_with_named_tables_and_embedding_alone():
    values = {
        **SPLIT,
        "targets": ["frame-extraction", "embedding"],
        "output_table": None,
        "output_tables": {"frames": "f", "final": "l"},
    }
    frames, embeddings = plan(scenario(**values)).tasks
    assert (frames.output_table.name, embeddings.output_table.name) == ("f", "l")
    assert embeddings.task_id == "embeddings"


def test_fixed_partition_columns_reach_every_table():
    steps = plan(scenario(**SPLIT, split_video=True, partition_fixed={"region": "east", "fleet": "3"}))
    assert steps.partition.columns == ("ds", "region", "fleet")
    assert steps.partition.fixed_values == ("east", "3")
    assert {t.output_table.partition_columns for t in steps.tasks} == {("ds", "region", "fleet")}


FRAMES_ONLY = {
    "input_shape": "video_table",
    "targets": ["frame-extraction"],
    "source_table": "v",
    "output_table": "o",
}


@pytest.mark.parametrize(
    ("keys", "quality"),
    [
        ({}, None),
        ({"frame_filters": []}, QualityOptions()),
        ({"frame_filters": ["too_dark", "frozen"]}, QualityOptions(10.0, None, 0.2, None)),
        ({"min_sharpness": 55}, QualityOptions(min_sharpness=55.0)),
        ({"frame_filters": ["too_dark"], "min_brightness": 0}, QualityOptions(min_brightness=0.0)),
        ({"frame_filters": list(FrameFilter)}, DEFAULT_QUALITY),
    ],
)
@pytest.mark.parametrize(
    ("shape", "target"), [("video_table", "frame-extraction"), ("clip_dir_table", "keyframe-expansion")]
)
def test_frame_filters(shape, target, keys, quality):
    [task] = plan(scenario(**FRAMES_ONLY | {"input_shape": shape, "targets": [target]}, **keys)).tasks
    assert task.unit.quality == quality
    measures = [c.name for c in FRAME_QUALITY_COLUMNS]
    assert [n for n in names(task) if n in measures] == ([] if quality is None else measures)


@pytest.mark.parametrize(
    "key",
    [
        {"frame_filters": ["dark"]},
        {"min_brightness": 256},
        {"min_sharpness": -1},
        {"max_frozen_change": float("nan")},
        {"near_duplicate_distance": 65},
        {"near_duplicate_distance": 1.5},
    ],
)
def test_thresholds_that_make_no_sense_are_refused(key):
    with pytest.raises(ValueError, match=next(iter(key))):
        scenario(**FRAMES_ONLY, **key)


def test_filters_of_frames_need_frames():
    values = {"input_shape": "oss_prefix", "targets": ["manifest"], "frame_filters": [], "min_brightness": 5}
    found = dict(combination_problems(values))
    assert all("frame-extraction" in found[key] for key in ("frame_filters", "min_brightness"))


@pytest.mark.parametrize("shape", ["image_table", "labeled_image_table"])
@pytest.mark.parametrize("key", [{"frame_filters": []}, {"near_duplicate_distance": 0}])
def test_images_of_a_table_are_not_filtered(shape, key):
    values = {"input_shape": shape, "targets": ["embedding"], **key}
    found = dict(combination_problems(values))
    assert "there are none" in found[next(iter(key))]


CLIP_COLUMNS = (Column("clip_id", "string"), Column("clip_dir", "string"))
CLIPS = FRAMES_ONLY | {"input_shape": "clip_dir_table", "targets": ["labeling"], "vlm_model": "m"}


@pytest.mark.parametrize("more", [{}, {"split_video": True}])
def test_keyframes_are_measured_before_models_and_never_again_later(more):
    tasks = plan(scenario(**CLIPS, frame_filters=["too_dark"], image_max_pixels=1000, **more)).tasks
    assert tasks[0].unit.quality == QualityOptions(min_brightness=10.0)
    assert all(task.unit is None for task in tasks[1:])
    assert tasks[0].unit.keyframes.max_pixels == 1000
    columns = [c.name for c in (*KEYFRAME_COLUMNS, *FRAME_QUALITY_COLUMNS)]
    assert all(names(task)[: len(columns)] == columns for task in tasks)


def test_operators_of_clips_get_the_rules():
    for more in ({}, {"split_video": True}):
        asked = scenario(**CLIPS, min_sharpness=7, **more)
        dag = build_dag(asked)
        made = dag.get_task(plan(asked).tasks[0].task_id)
        assert made.stages[0].quality == QualityOptions(min_sharpness=7.0)


def test_documents_of_clips_say_what_is_left_out_and_what_fails_alone():
    asked = scenario(**CLIPS, frame_filters=["frozen"])
    assert "leaves out frozen (max_frozen_change 0.2)" in plan_text(plan(asked), None)
    text = " ".join(walkthrough(asked, plan(asked)).split())
    assert "Keyframes that are `frozen` are `filtered` rows" in text
    assert "a `failed` row of its own (`image_decode_error`" in text
    columns = table_columns(plan(asked).tasks[0], CLIP_COLUMNS)
    assert ("frame_change", "double") in {(c.name, c.type) for c in columns}
    plain = scenario(**CLIPS)
    assert "a `failed` row of its own" not in walkthrough(plain, plan(plain))


def test_plan_and_walkthrough_name_rules_and_thresholds():
    asked = scenario(**FRAMES_ONLY, frame_filters=["frozen"])
    assert "leaves out frozen (max_frozen_change 0.2)" in plan_text(plan(asked), None)
    text = walkthrough(asked, plan(asked))
    assert "| `max_frozen_change` | `0.2` |" in text
    assert "Frames that are `frozen` are `filtered` rows" in text


def test_plan_command_refuses_a_partition_that_no_run_accepts(capsys):
    file = SCENARIOS / "driving_demo.yaml"
    assert plan_command([str(file), "--partition", "2026-11-20"]) == 1
    said = capsys.readouterr().err
    assert "'2026-11-20' does not fit the key format '%Y%m%d': give a value such as 20261120" in said


def test_plan_command_asks_for_a_file_of_a_folder(capsys):
    with pytest.raises(SystemExit):
        plan_command([str(SCENARIOS)])
    assert "is a folder: name one of its scenario files (clip_labels.yaml, " in capsys.readouterr().err


def test_the_first_task_knows_the_models_of_those_behind_it():
    steps = plan(load_scenario(SCENARIOS / "driving_split.yaml"))
    frames, labels = steps.tasks[-2:]
    assert steps.models_behind(frames) == tuple(labels.models.values())
    assert steps.models_behind(labels) == ()
