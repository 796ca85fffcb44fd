"""A fingerprint changes exactly when the content of a row would."""

from dataclasses import replace

import pytest

from airflow_provider_drivepipe.pipelines.fingerprint import (
    fingerprint_of,
    frames_fingerprint,
    image_embedding_fingerprint,
    label_embedding_fingerprint,
    label_fingerprint,
)
from airflow_provider_drivepipe.pipelines.keyframes import keyframes_fingerprint
from airflow_provider_drivepipe.scenario.options import (
    FrameOptions,
    ImageEmbeddingOptions,
    KeyframeOptions,
    LabelEmbeddingOptions,
    LabelOptions,
    QualityOptions,
    StageOptions,
)

FRAMES = FrameOptions(fps="1")
LABELS = LabelOptions(model="m", prompt="p")


@pytest.mark.parametrize(
    "changed", [{"fps": "2"}, {"fps": None, "sample_count": 8}, {"jpeg_quality": 80}, {"frames_prefix": "x"}]
)
def test_frame_content_changes(changed):
    assert frames_fingerprint(replace(FRAMES, **changed), "r") != frames_fingerprint(FRAMES, "r")


@pytest.mark.parametrize("changed", [{"timeout_sec": 5}, {"cpu": 8}, {"memory_gb": 1}, {"batch_rows": 9}])
def test_how_the_work_is_done_does_not_count(changed):
    assert frames_fingerprint(replace(FRAMES, **changed), "r") == frames_fingerprint(FRAMES, "r")


@pytest.mark.parametrize(
    "changed", [{"model": "n"}, {"prompt": "q"}, {"label_schema": "driving-scene/v1"}, {"max_tokens": 9}]
)
def test_label_content_changes(changed):
    assert label_fingerprint(replace(LABELS, **changed), "p") != label_fingerprint(LABELS, "p")


def test_name_of_the_prompt_does_not_count_but_its_text_does():
    assert label_fingerprint(replace(LABELS, prompt_name="other"), "p") == label_fingerprint(LABELS, "p")


def test_model_project_counts():
    options = ImageEmbeddingOptions(model="m")
    assert image_embedding_fingerprint(options, "a") != image_embedding_fingerprint(options, "b")


def test_a_row_says_which_part_of_it_is_current():
    both = fingerprint_of(StageOptions(FRAMES, LABELS), "r", "p")
    other_prompt = fingerprint_of(StageOptions(FRAMES, replace(LABELS, prompt="q")), "r", "p")
    assert both.prefix() == f"{frames_fingerprint(FRAMES, 'r')}.{label_fingerprint(LABELS, 'p')}.-"
    assert [both.at(n) == other_prompt.at(n) for n in (1, 2, 3)] == [True, False, True]


def test_rules_that_leave_frames_out_count_beside_the_hash_of_the_pictures():
    without = fingerprint_of(StageOptions(FRAMES), "r", None).frames
    some, other = (
        fingerprint_of(StageOptions(FRAMES, quality=QualityOptions(min_brightness=level)), "r", None).frames
        for level in (10.0, 11.0)
    )
    assert {part.partition("~")[0] for part in (some, other)} == {without}
    assert some != other
    assert "." not in some


def test_rules_and_limits_of_keyframes_count_beside_the_hash_of_the_keyframes():
    options, rules = KeyframeOptions(count=3), QualityOptions(min_brightness=10.0)
    without = keyframes_fingerprint(options, "r")
    found = [
        keyframes_fingerprint(options, "r", rules),
        keyframes_fingerprint(options, "r", QualityOptions(min_brightness=11.0)),
        keyframes_fingerprint(replace(options, max_pixels=9), "r", rules),
        keyframes_fingerprint(replace(options, max_bytes=9), "r", rules),
    ]
    assert {part.partition("~")[0] for part in found} == {without}
    assert len(set(found)) == 4
    assert keyframes_fingerprint(replace(options, image_timeout_sec=9), "r", rules) == found[0]
    assert keyframes_fingerprint(replace(options, max_pixels=9), "r") == without


def test_the_embedding_of_a_label_has_a_place_of_its_own_behind_the_inputs():
    without = fingerprint_of(StageOptions(FRAMES, LABELS), "r", "p")
    embedding = LabelEmbeddingOptions("t", 64)
    with_it = fingerprint_of(StageOptions(FRAMES, LABELS, label_embedding=embedding), "r", "p")
    assert (without.prefix(), without.suffix()) == (with_it.prefix(), "")
    assert with_it.suffix() == f".{label_embedding_fingerprint(embedding, 'p')}"
    assert with_it.at(5) == with_it.suffix()[1:]
    for changed in ({"model": "u"}, {"dimension": 65}):
        assert label_embedding_fingerprint(replace(embedding, **changed), "p") != with_it.at(5)
    assert label_embedding_fingerprint(embedding, "q") != with_it.at(5)
