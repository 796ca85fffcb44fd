"""A fingerprint changes exactly when the content of a row would."""

from dataclasses import dataclass, replace

import pytest
from duckdb import connect

from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.lifecycle.fingerprint import (
    fingerprint_of,
    fingerprint_sql,
    input_sql,
    part_sql,
)
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.images import ImagePreparation
from airflow_provider_drivepipe.pipelines.driving.keyframes import KeyframeExpansion
from airflow_provider_drivepipe.pipelines.driving.models import image_embedding, label, label_embedding
from airflow_provider_drivepipe.pipelines.driving.options import (
    FrameOptions,
    ImageOptions,
    KeyframeOptions,
    OssOptions,
    QualityOptions,
)
from airflow_provider_drivepipe.sql import quote_text
from airflow_provider_drivepipe.stages.content import Image


@dataclass(frozen=True)
class Connection:
    """What stages ask of the connection for their hashes."""

    project: str = "p"

    def oss_root(self, bucket: str, root: str | None = None) -> OssUri:
        return OssUri.parse(root) if root else OssUri("e", bucket)

    def model_project(self) -> str:
        return self.project


SITE = Connection()
OSS = OssOptions("b")
FRAMES = FrameExtraction(OSS, FrameOptions(fps="1"))
KEYFRAMES = KeyframeExpansion(OSS, KeyframeOptions(count=3))
IMAGES = ImagePreparation(OSS, ImageOptions(longest_side=160))
LABEL = label("m", "p", Image("image_url"), schema="driving-scene/v1")
VECTOR = image_embedding("m", 8, Image("image_url"))


def hash_of(stage, site=SITE):
    return stage.hashes(site)[stage.hash_name]


@pytest.mark.parametrize(
    "changed",
    [
        {"fps": "2"},
        {"fps": None, "sample_count": 8},
        {"jpeg_quality": 80},
        {"frames_prefix": "x"},
        {"allow_partial": True},
        {"snap_to_keyframe_ms": 100},
        {"image_format": "webp"},
    ],
)
def test_frame_content_changes(changed):
    assert hash_of(replace(FRAMES, frames=replace(FRAMES.frames, **changed))) != hash_of(FRAMES)


@pytest.mark.parametrize("changed", [{"timeout_sec": 5}, {"cpu": 8}, {"memory_gb": 1}, {"batch_rows": 9}])
def test_how_the_work_is_done_does_not_count(changed):
    assert hash_of(replace(FRAMES, frames=replace(FRAMES.frames, **changed))) == hash_of(FRAMES)
    assert hash_of(replace(IMAGES, images=replace(IMAGES.images, **changed))) == hash_of(IMAGES)
    assert hash_of(replace(KEYFRAMES, keyframes=replace(KEYFRAMES.keyframes, **changed))) == hash_of(
        KEYFRAMES
    )


@pytest.mark.parametrize("stage", [FRAMES, KEYFRAMES, IMAGES])
def test_the_root_counts_and_the_place_of_the_mount_does_not(stage):
    assert hash_of(replace(stage, oss=OssOptions("other"))) != hash_of(stage)
    assert hash_of(replace(stage, oss=OssOptions("b", mount_path="/elsewhere"))) == hash_of(stage)


@pytest.mark.parametrize("stage", [FRAMES, LABEL, VECTOR])
def test_a_result_version_that_is_raised_counts(stage, monkeypatch):
    before = hash_of(stage)
    monkeypatch.setattr(type(stage), "result_version", stage.result_version + 1)
    assert hash_of(stage) != before


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "n"},
        {"prompt": "q"},
        {"schema": None},
        {"max_tokens": 9},
        {"media": (Image("prepared_url"),)},
        {"keep_raw_response": True},
        {"flat_columns": True},
        {"prompt_name": "night/v2"},
    ],
)
def test_label_content_changes(changed):
    assert hash_of(replace(LABEL, **changed)) != hash_of(LABEL)


@pytest.mark.parametrize("changed", [{"prompt_name": "other"}, {"repair_rounds": 3}, {"run_param": None}])
def test_name_of_the_prompt_and_repairs_do_not_count(changed):
    assert hash_of(replace(LABEL, **changed)) == hash_of(LABEL)


@pytest.mark.parametrize("stage", [LABEL, VECTOR])
def test_model_project_counts(stage):
    assert hash_of(stage, Connection("a")) != hash_of(stage, Connection("b"))


@pytest.mark.parametrize("changed", [{"model": "n"}, {"dimension": 9}, {"of": Image("prepared_url")}])
def test_embedding_content_changes(changed):
    assert hash_of(replace(VECTOR, **changed)) != hash_of(VECTOR)


def test_a_row_says_which_part_of_it_is_current():
    both = fingerprint_of([FRAMES, LABEL], SITE)
    other_prompt = fingerprint_of([FRAMES, replace(LABEL, prompt="q")], SITE)
    assert both.hashes == {"frames": hash_of(FRAMES), "label": hash_of(LABEL)}
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
        said = {text: "4d", "input=5e": "5e", "of another table": "of another table", "": ""}
        for fingerprint, of_input in said.items():
            assert sql.execute(f"SELECT {input_sql(quote_text(fingerprint))}").fetchone() == (of_input,)
        assert sql.execute(f"SELECT {input_sql('NULL')}").fetchone() == ("",)


def test_rules_that_leave_frames_out_count_beside_the_hash_of_the_pictures():
    without = fingerprint_of([FRAMES], SITE)
    some, other = (
        fingerprint_of([replace(FRAMES, quality=QualityOptions(min_brightness=level))], SITE)
        for level in (10.0, 11.0)
    )
    assert some["frames"] == other["frames"] == without["frames"]
    assert len({some["rules"], other["rules"], without["rules"]}) == 3


def test_rules_and_limits_of_keyframes_count_beside_the_hash_of_the_keyframes():
    rules = QualityOptions(min_brightness=10.0)

    def hashes(quality=None, **changed):
        keyframes = replace(KEYFRAMES.keyframes, **changed)
        return replace(KEYFRAMES, keyframes=keyframes, quality=quality).hashes(SITE)

    found = [
        hashes(rules),
        hashes(QualityOptions(min_brightness=11.0)),
        hashes(rules, max_pixels=9),
        hashes(rules, max_bytes=9),
    ]
    assert {each["keyframes"] for each in found} == {hashes()["keyframes"]}
    assert len({each["rules"] for each in found}) == 4
    assert hashes(rules, image_timeout_sec=9) == found[0]
    assert hashes(max_pixels=9) == hashes()
    assert hashes(stride=3, count=None) != hashes()


def test_size_of_images_counts_only_where_they_are_written_or_passed_on():
    def hash_with(**options):
        return hash_of(replace(IMAGES, images=ImageOptions(**options)))

    assert hash_with(longest_side=160) != hash_with(longest_side=80)
    assert hash_with(longest_side=160, write_back=False) == hash_with(longest_side=80, write_back=False)
    inline = {"write_back": False, "inline": True}
    assert hash_with(longest_side=160, **inline) != hash_with(longest_side=80, **inline)


def test_the_embedding_of_a_label_has_a_part_of_its_own():
    vector = label_embedding("t", 64, given=False)
    without, with_it = fingerprint_of([FRAMES, LABEL], SITE), fingerprint_of([FRAMES, LABEL, vector], SITE)
    assert with_it.hashes == {**without.hashes, "label_embedding": hash_of(vector)}
    for changed in ({"model": "u"}, {"dimension": 65}):
        assert hash_of(replace(vector, **changed)) != hash_of(vector)
    assert hash_of(vector, Connection("q")) != hash_of(vector)
