"""A fingerprint changes exactly when the content of a row would."""

from dataclasses import replace

import pytest
from duckdb import connect

from airflow_provider_drivepipe.lifecycle.fingerprint import (
    fingerprint_of,
    fingerprint_sql,
    frames_fingerprint,
    image_embedding_fingerprint,
    label_embedding_fingerprint,
    label_fingerprint,
    part_sql,
    without_part_sql,
)
from airflow_provider_drivepipe.pipelines.driving.keyframes import keyframes_fingerprint
from airflow_provider_drivepipe.sql import quote_text
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
    assert both.hashes == {"frames": frames_fingerprint(FRAMES, "r"), "label": label_fingerprint(LABELS, "p")}
    assert [name for name in both.hashes if both[name] != other_prompt[name]] == ["label"]
    assert both["image_embedding"] == ""


def test_sql_reads_a_part_by_its_name_whatever_its_place():
    wanted = {"frames": "'1a'", "rules": "'2b'", "label": "'3c'", "input": "'4d'"}
    with connect() as sql:
        text = sql.execute(f"SELECT {fingerprint_sql(wanted)}").fetchone()[0]
        assert text == "frames=1a;rules=2b;label=3c;input=4d"
        for shuffled in (text, "input=4d;label=3c;rules=2b;frames=1a", "label_embedding=5e;" + text):
            read = f"SELECT {', '.join(part_sql(quote_text(shuffled), name) for name in (*wanted, 'other'))}"
            assert sql.execute(read).fetchone() == ("1a", "2b", "3c", "4d", "")
        for empty in ("NULL", "''", "'of another table'"):
            assert sql.execute(f"SELECT {part_sql(empty, 'label')}").fetchone() == ("",)
        without = sql.execute(f"SELECT {without_part_sql(quote_text('image|' + text), 'rules')}").fetchone()
        assert without == ("image|frames=1a;label=3c;input=4d",)


def test_rules_that_leave_frames_out_count_beside_the_hash_of_the_pictures():
    without = fingerprint_of(StageOptions(FRAMES), "r", None)
    some, other = (
        fingerprint_of(StageOptions(FRAMES, quality=QualityOptions(min_brightness=level)), "r", None)
        for level in (10.0, 11.0)
    )
    assert some["frames"] == other["frames"] == without["frames"]
    assert len({some["rules"], other["rules"], without["rules"]}) == 3


def test_rules_and_limits_of_keyframes_count_beside_the_hash_of_the_keyframes():
    options, rules = KeyframeOptions(count=3), QualityOptions(min_brightness=10.0)
    without = keyframes_fingerprint(options, "r")
    found = [
        keyframes_fingerprint(options, "r", rules),
        keyframes_fingerprint(options, "r", QualityOptions(min_brightness=11.0)),
        keyframes_fingerprint(replace(options, max_pixels=9), "r", rules),
        keyframes_fingerprint(replace(options, max_bytes=9), "r", rules),
    ]
    assert {hashes["keyframes"] for hashes in found} == {without["keyframes"]}
    assert len({hashes["rules"] for hashes in found}) == 4
    assert keyframes_fingerprint(replace(options, image_timeout_sec=9), "r", rules) == found[0]
    assert keyframes_fingerprint(replace(options, max_pixels=9), "r") == without


def test_the_embedding_of_a_label_has_a_part_of_its_own():
    without = fingerprint_of(StageOptions(FRAMES, LABELS), "r", "p")
    embedding = LabelEmbeddingOptions("t", 64)
    with_it = fingerprint_of(StageOptions(FRAMES, LABELS, label_embedding=embedding), "r", "p")
    own = label_embedding_fingerprint(embedding, "p")
    assert with_it.hashes == {**without.hashes, "label_embedding": own}
    for changed in ({"model": "u"}, {"dimension": 65}):
        assert label_embedding_fingerprint(replace(embedding, **changed), "p") != own
    assert label_embedding_fingerprint(embedding, "q") != own
