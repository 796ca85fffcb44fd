"""Input shapes and targets: what is refused says why and what works, and what works is planned."""

from itertools import chain, combinations, pairwise

import pytest

from airflow_provider_drivepipe.pipelines.driving.rules import (
    ALLOWED,
    combination_problems,
    nearest,
    shape_problems,
)
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario, InputShape, Target
from airflow_provider_drivepipe.pipelines.registry import plan

TARGETS = [str(target) for target in Target]
SUBSETS = [set(c) for c in chain.from_iterable(combinations(TARGETS, n) for n in range(1, len(TARGETS) + 1))]
EVERYTHING = {
    "scenario_name": "s",
    "oss_bucket": "my-bucket",
    "video_input_table": "m",
    "source_table": "i",
    "output_table": "o",
    "vlm_model": "v",
    "embedding_model": "e",
    "label_embedding_model": "t",
}
OWNERS = {"labeling": "vlm_model", "embedding": "embedding_model", "label-embedding": "label_embedding_model"}


def values(shape, targets, **more):
    """A scenario of a shape with all that its targets need, and nothing that they do not."""
    found = {**EVERYTHING, "input_shape": str(shape), "targets": list(targets), **more}
    for target, key in OWNERS.items():
        if target not in targets:
            del found[key]
    del found["source_table" if shape == "oss_prefix" else "video_input_table"]
    if set(targets) == {"manifest"}:
        del found["output_table"]
    return found


def problems(shape, targets, **more):
    return list(combination_problems(values(shape, targets, **more)))


def test_every_shape_has_rules():
    assert set(ALLOWED) == {str(shape) for shape in InputShape}


@pytest.mark.parametrize("shape", list(InputShape))
def test_what_is_refused_names_a_combination_that_works_and_what_is_not_can_be_planned(shape):
    for targets in SUBSETS:
        works = nearest(shape, targets)
        assert problems(shape, works) == []
        steps = plan(DrivingScenario(**values(shape, works))).tasks
        assert steps[-1].output_table.name == ("m" if works == ["manifest"] else "o")
        assert len({step.output_table.name for step in steps}) == len(steps)
        assert len({step.task_id for step in steps}) == len(steps)
        found = problems(shape, targets)
        assert bool(found) == (set(works) != targets)
        for key, message in found:
            assert key == "targets"
            assert f"as in [{', '.join(works)}]" in message
            assert "\n" not in message


@pytest.mark.parametrize(
    ("shape", "targets", "said"),
    [
        ("video_table", "labeling", "needs frames: add frame-extraction, as in [frame-extraction, labeling]"),
        ("oss_prefix", "frame-extraction", "starts with a listing: add manifest"),
        ("video_table", "manifest", "use input_shape oss_prefix, or remove manifest"),
        (
            "image_table",
            "frame-extraction labeling",
            "use input_shape video_table, or remove frame-extraction",
        ),
        ("clip_dir_table", "frame-extraction", "or remove frame-extraction, as in [keyframe-expansion]"),
        ("video_table", "keyframe-expansion", "use input_shape clip_dir_table"),
        ("labeled_image_table", "labeling", "have labels already: use input_shape image_table"),
        ("image_table", "label-embedding", "add labeling, as in [labeling, label-embedding], or use input_"),
    ],
)
def test_reasons(shape, targets, said):
    [message] = shape_problems(shape, set(targets.split()))
    assert said in message


@pytest.mark.parametrize(
    ("shape", "targets", "more", "key", "said"),
    [
        ("image_table", ["labeling"], {"split_video": True}, "split_video", "add image-preparation and"),
        ("video_table", ["frame-extraction"], {"split_video": True}, "split_video", "add labeling or"),
        ("image_table", ["labeling"], {"keyframe_count": 3}, "keyframe_count", "use clip_dir_table"),
        ("image_table", ["labeling"], {"image_longest_side": 9}, "image_longest_side", "image-preparation"),
        ("image_table", ["labeling"], {"allow_partial": True}, "allow_partial", "frame-extraction"),
        (
            "image_table",
            ["image-preparation"],
            {"prepared_images": "inline"},
            "prepared_images",
            "or use write_back",
        ),
        (
            "image_table",
            ["image-preparation", "labeling"],
            {"prepared_images": "inline", "split_video": True},
            "prepared_images",
            "or remove the split",
        ),
        (
            "image_table",
            ["image-preparation"],
            {"image_longest_side": 9, "image_exact_size": [9, 9]},
            "image_exact_size",
            "not both",
        ),
        (
            "clip_dir_table",
            ["labeling"],
            {"keyframe_count": 3, "keyframe_stride": 3},
            "keyframe_stride",
            "not both",
        ),
        (
            "video_table",
            ["frame-extraction"],
            {"sampling_rule": "keyframes", "snap_to_keyframe_ms": 5},
            "snap_to_keyframe_ms",
            "all frames are key frames",
        ),
        ("oss_prefix", ["manifest"], {"video_extensions": [".jpg"]}, "video_extensions", "image_table"),
        ("video_table", ["frame-extraction"], {"incremental": True}, "incremental", "use oss_prefix"),
        ("video_table", ["frame-extraction"], {"listing": "maxframe"}, "listing", "use oss_prefix"),
        (
            "clip_dir_table",
            ["labeling"],
            {"split_video": True, "output_table": "s_clip_keyframe_expansion"},
            "output_table",
            "table in between",
        ),
        (
            "image_table",
            ["image-preparation", "labeling"],
            {"split_video": True, "output_table": "s_image_preparation"},
            "output_table",
            "table in between",
        ),
        ("image_table", ["image-preparation"], {"oss_bucket": None}, "oss_bucket", "missing"),
    ],
)
def test_keys_that_do_not_go_together(shape, targets, more, key, said):
    [(found, message)] = problems(shape, targets, **more)
    assert found == key
    assert said in message


def test_images_that_are_only_read_by_models_need_no_bucket():
    assert problems("image_table", ["labeling"], oss_bucket=None) == []


TABLES = [
    ("oss_prefix", ["manifest"], {}, ["manifest"]),
    ("oss_prefix", ["manifest", "frame-extraction"], {}, ["manifest", "frames"]),
    ("oss_prefix", ["manifest", "frame-extraction", "labeling"], {}, ["manifest", "video_labels"]),
    ("video_table", ["frame-extraction"], {}, ["frames"]),
    ("video_table", ["frame-extraction", "embedding"], {}, ["video_labels"]),
    ("video_table", ["frame-extraction", "labeling"], {"split_video": True}, ["frames", "labels"]),
    ("video_table", ["frame-extraction", "image-preparation"], {}, ["frames", "images"]),
    (
        "video_table",
        ["frame-extraction", "image-preparation", "labeling"],
        {},
        ["frames", "image_labels"],
    ),
    (
        "video_table",
        ["frame-extraction", "image-preparation", "labeling"],
        {"split_video": True},
        ["frames", "images", "labels"],
    ),
    ("clip_dir_table", ["keyframe-expansion"], {}, ["keyframes"]),
    ("clip_dir_table", ["labeling"], {}, ["clip_labels"]),
    ("clip_dir_table", ["labeling", "embedding"], {"split_video": True}, ["keyframes", "labels"]),
    ("clip_dir_table", ["image-preparation", "embedding"], {}, ["keyframes", "image_labels"]),
    ("image_table", ["labeling", "embedding"], {}, ["labels"]),
    ("image_table", ["embedding"], {}, ["embeddings"]),
    ("image_table", ["image-preparation"], {}, ["images"]),
    ("image_table", ["image-preparation", "labeling", "label-embedding"], {}, ["image_labels"]),
    ("image_table", ["image-preparation", "labeling"], {"split_video": True}, ["images", "labels"]),
    ("labeled_image_table", ["embedding"], {}, ["embeddings"]),
    ("labeled_image_table", ["label-embedding"], {}, ["embeddings"]),
    ("labeled_image_table", ["image-preparation", "embedding"], {}, ["image_labels"]),
]


@pytest.mark.parametrize(("shape", "targets", "more", "tasks"), TABLES)
def test_the_selection_table(shape, targets, more, tasks):
    assert problems(shape, targets, **more) == []
    steps = plan(DrivingScenario(**values(shape, targets, **more))).tasks
    assert [step.task_id for step in steps] == tasks
    for before, step in pairwise(steps):
        assert step.source == before.output_table.name
    sent = {column for stage in steps[-1].row_stages for column in stage.image_columns}
    assert sent <= {"prepared_url" if "image-preparation" in targets else "image_url"}
    assert sent or not {"labeling", "embedding"}.intersection(targets)
