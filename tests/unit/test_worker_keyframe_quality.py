"""Keyframes that are measured: which are left out, which fail alone, what harms no others."""

import os
import signal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from airflow_provider_drivepipe.pipelines.driving.keyframes import KeyframeExpansion
from airflow_provider_drivepipe.pipelines.driving.options import KeyframeOptions, OssOptions, QualityOptions
from airflow_provider_drivepipe.stages.stage import Build
from airflow_provider_drivepipe.stages.worker_call import MountOptions
from airflow_provider_drivepipe.worker import keyframe_quality
from airflow_provider_drivepipe.worker.frame_quality import MEASURE_NAMES
from airflow_provider_drivepipe.worker.keyframes import expand_clips, keyframe_dtypes
from tests.unit.image_samples import blurred, encoded, scene, with_orientation

ROOT = "oss://oss-cn-x.aliyuncs.com/bucket/root"
RULES = QualityOptions(10.0, 60.0, 0.2, 3)
MIXED_REASONS = ["", "too_dark", "", "frozen", "image_decode_error", "too_blurred", "near_duplicate", ""]


def mixed():
    """Good, dark, good, frozen, cut off, blurred, near-duplicate of the last good one, good."""
    lighter = scene(1).point(lambda level: min(255, level + 12))
    return [
        encoded(scene(0)),
        encoded(scene(0).point(lambda _: 2)),
        encoded(scene(1)),
        encoded(scene(1)),
        encoded(scene(1))[:-400],
        encoded(blurred(scene(2), 9)),
        encoded(lighter),
        encoded(scene(3)),
    ]


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "mount"
    folder.mkdir()
    return folder


def put_clip(folder, *bodies):
    """Images frame8.jpg, frame9.jpg, frame10.jpg and so on: their order is not that of the alphabet."""
    folder.mkdir(parents=True)
    for number, body in enumerate(bodies, start=8):
        (folder / f"frame{number}.jpg").write_bytes(body)


def expand(mount, quality, *clips, **options):
    stage = KeyframeExpansion(OssOptions("b"), KeyframeOptions(**options), quality)
    columns = ("clip_id", "clip_dir", "car")
    job = stage.job(MountOptions(ROOT, str(mount), "r"), Build(None, "", {}, columns))
    names = list(clips or ("a",))
    clips = pd.DataFrame({"clip_id": names, "clip_dir": names, "car": 1, "attempt": 1, "fingerprint": "f"})
    return expand_clips(clips, job)


def test_keyframes_are_left_out_by_the_first_rule_that_applies_and_fail_alone(mount):
    put_clip(mount / "a", *mixed())
    rows = expand(mount, RULES)
    assert list(rows.columns) == list(keyframe_dtypes({"car": "int64"}, measured=True))
    assert list(rows["error_type"]) == MIXED_REASONS
    statuses = {"": "ok", "image_decode_error": "failed"}
    assert list(rows["status"]) == [statuses.get(reason, "filtered") for reason in MIXED_REASONS]
    assert set(rows.loc[rows["status"] != "ok", "error_stage"]) == {"keyframe_expansion"}
    assert list(rows["frame_idx"]) == list(range(8))
    assert rows["image_url"][4] == f"{ROOT}/a/frame12.jpg"
    assert rows["keyframe_id"].nunique() == 8
    measured = rows[rows["status"] != "failed"]
    assert measured["phash"].str.fullmatch("[0-9a-f]{16}").all()
    assert measured["brightness"][1] < 10 < measured["brightness"][0]
    assert measured["sharpness"][5] < 60 < measured["sharpness"][0]
    assert rows.loc[4, list(MEASURE_NAMES)].isna().all()


def test_an_unreadable_keyframe_is_for_its_neighbours_as_if_it_were_not_there(mount):
    put_clip(mount / "a", encoded(scene(1)), b"no image", encoded(scene(1)))
    assert list(expand(mount, RULES)["error_type"]) == ["", "image_decode_error", "frozen"]


def test_rules_never_reach_over_the_end_of_a_clip(mount):
    for clip in ("a", "b"):
        put_clip(mount / clip, encoded(scene(1)), encoded(scene(1)))
    rows = expand(mount, QualityOptions(None, None, 0.2, 64), "a", "b")
    assert list(rows["error_type"]) == ["", "frozen"] * 2
    assert list(rows["frame_change"].isna()) == [True, False] * 2


def test_only_the_chosen_keyframes_are_compared(mount):
    put_clip(mount / "a", encoded(scene(1)), encoded(scene(2)), encoded(scene(1)), b"broken")
    rows = expand(mount, RULES, stride=2)
    assert list(rows["error_type"]) == ["", "frozen"]


def test_measures_without_any_rule_and_of_failed_clips(mount):
    put_clip(mount / "a", *mixed())
    rows = expand(mount, QualityOptions(), "a", "gone")
    assert list(rows["status"]) == ["ok"] * 4 + ["failed"] + ["ok"] * 3 + ["failed"]
    assert (rows["frame_idx"].iloc[-1], rows["error_type"].iloc[-1]) == (-1, "not_found")
    table = pa.Table.from_pandas(rows, preserve_index=False)
    assert table.schema.field("sharpness").type == pa.float64()
    assert [table[name].null_count for name in MEASURE_NAMES] == [2, 2, 3, 2]


def test_no_image_is_opened_where_nobody_asks_for_quality(mount, monkeypatch):
    monkeypatch.setattr(keyframe_quality, "read_image", None)
    put_clip(mount / "a", *mixed(), b"no image")
    rows = expand(mount, None)
    assert list(rows["status"]) == ["ok"] * 9
    assert not set(MEASURE_NAMES) & set(rows.columns)


@pytest.mark.parametrize(
    ("body", "options", "reason"),
    [
        (b"GIF89a nothing else", {}, "image_decode_error"),
        (encoded(scene(1), "PNG")[:600], {}, "image_decode_error"),
        (encoded(scene(1)), {"max_pixels": 320 * 200 - 1}, "image_too_large"),
        (encoded(scene(1)), {"max_bytes": 1000}, "image_too_large"),
        (encoded(Image.new("I", (9, 9)), "TIFF"), {}, "image_decode_error"),
    ],
)
def test_what_fails_alone(mount, body, options, reason):
    even = encoded(Image.new("RGB", (8, 8), "grey"))
    put_clip(mount / "a", even, body, even)
    rows = expand(mount, QualityOptions(), **options)
    assert list(rows["error_type"]) == ["", reason, ""]
    assert 0 < len(rows["error_msg"][1]) <= 512
    assert str(mount) not in rows["error_msg"][1]


def test_pictures_are_measured_as_models_see_them(mount):
    deep = Image.fromarray(np.full((40, 60), 40_000, dtype=np.uint16))
    clear = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    tall = scene(1, (40, 60))
    put_clip(
        mount / "a",
        encoded(Image.new("CMYK", (60, 40), (0, 0, 0, 255))),
        encoded(deep, "PNG"),
        encoded(clear, "PNG"),
        encoded(tall),
        with_orientation(tall.transpose(Image.Transpose.ROTATE_90), 6),
    )
    rows = expand(mount, QualityOptions())
    assert list(rows["status"]) == ["ok"] * 5
    assert rows["brightness"][0] < 2
    assert list(rows["brightness"][1:3]) == [round(40_000 / 257), 255]
    assert rows["frame_change"][4] < 5


@pytest.mark.parametrize(
    ("end", "reason"),
    [(lambda: os.kill(os.getpid(), signal.SIGKILL), "image_decode_error"), (signal.pause, "timeout")],
)
def test_a_decoder_that_crashes_or_hangs_takes_no_other_keyframe_with_it(mount, monkeypatch, end, reason):
    decode = keyframe_quality.decode

    def poisoned(data, max_pixels):
        if data == b"poison":
            end()
        return decode(data, max_pixels)

    monkeypatch.setattr(keyframe_quality, "decode", poisoned)
    put_clip(mount / "a", encoded(scene(0)), b"poison", encoded(scene(1)))
    rows = expand(mount, QualityOptions(), image_timeout_sec=5)
    assert list(rows["error_type"]) == ["", reason, ""]


def test_an_image_that_goes_while_the_clip_is_read(mount, monkeypatch):
    read = keyframe_quality.read_image

    def gone(mount_path, key, max_bytes):
        (mount / key).unlink()
        return read(mount_path, key, max_bytes)

    monkeypatch.setattr(keyframe_quality, "read_image", gone)
    put_clip(mount / "a", encoded(scene(0)))
    rows = expand(mount, QualityOptions())
    assert list(rows["error_type"]) == ["not_found"]
    assert list(rows["frame_idx"]) == [0]
