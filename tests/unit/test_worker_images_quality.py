"""Which frames are worth a model call."""

import dataclasses

import pytest
from PIL import Image

from airflow_provider_drivepipe.pipelines.driving.options import QualityOptions
from airflow_provider_drivepipe.worker import frame_quality
from airflow_provider_drivepipe.worker.frame_quality import (
    FrameMeasures,
    QualityRules,
    decide,
    in_video_order,
    measure,
)
from tests.unit.image_samples import blurred, scene

FAR = ("0" * 16, "f" * 16, "00000000ffffffff", "ffff0000ffff0000")


def frame(brightness=100.0, sharpness=500.0, change=9.0, phash="0" * 16):
    return FrameMeasures(brightness, sharpness, change, phash)


def test_measures_are_those_of_the_table_and_rules_those_of_the_options():
    assert {f.name for f in dataclasses.fields(FrameMeasures)} == set(frame_quality.MEASURE_NAMES)
    assert [f.name for f in dataclasses.fields(QualityRules)] == [
        f.name for f in dataclasses.fields(QualityOptions)
    ]


def test_brightness_is_mean_luma():
    assert measure(Image.new("RGB", (64, 48))).brightness == 0
    assert measure(Image.new("RGB", (64, 48), "white")).brightness == 255
    assert measure(Image.new("RGB", (1, 1), (90, 90, 90))).brightness == 90


def test_sharpness_falls_with_blur_and_is_zero_for_an_even_picture():
    sharp, soft = measure(scene()).sharpness, measure(blurred(scene())).sharpness
    assert soft < sharp / 10
    assert measure(Image.new("RGB", (64, 48), "grey")).sharpness == 0
    assert measure(Image.new("RGB", (2, 900), "grey")).sharpness == 0


def test_sharpness_does_not_grow_with_the_camera():
    drawn = scene(size=(512, 320))
    large = drawn.resize((2048, 1280), Image.Resampling.NEAREST)
    assert measure(large).sharpness == pytest.approx(measure(drawn).sharpness, rel=0.01)


def test_laplacian_by_hand():
    image = Image.new("L", (3, 4))
    image.putpixel((1, 1), 10)
    # At the two inner pixels: -4 * 10 and 10; their variance is 25 squared.
    assert measure(image).sharpness == 625


def test_change_to_the_frame_before():
    looks = [measure(image) for image in (scene(0), scene(0), scene(1))]
    first, second, third = in_video_order(looks)
    assert (first.frame_change, second.frame_change) == (None, 0)
    assert third.frame_change > 10
    assert in_video_order([]) == []


def test_no_rule_keeps_everything():
    assert decide([frame(), frame(0, 0, 0), frame(0, 0, 0)], QualityRules()) == [None] * 3
    assert decide([], QualityRules(min_brightness=5)) == []


def test_thresholds_are_inclusive_where_a_frame_is_kept():
    rules = QualityRules(min_brightness=40, min_sharpness=100)
    frames = [frame(40, 100), frame(39.999, 100), frame(40, 99.999)]
    assert decide(frames, rules) == [None, "too_dark", "too_blurred"]


def test_the_first_rule_that_applies_gives_the_reason():
    rules = QualityRules(40, 100, 0.5, 64)
    assert decide([frame(1, 1, None), frame(1, 1, 0), frame(change=0), frame()], rules) == [
        "too_dark",
        "too_dark",
        "frozen",
        None,
    ]


def test_frozen_compares_with_the_frame_before_whatever_became_of_it():
    frames = [frame(change=None), frame(change=0.2), frame(change=0.2), frame(change=0.201)]
    assert decide(frames, QualityRules(max_frozen_change=0.2)) == [None, "frozen", "frozen", None]


def test_near_duplicate_compares_with_the_last_frame_that_was_kept():
    # Each differs from the one before by 2 bits; from the kept one by 2, 4, 6.
    creeping = [frame(phash=f"{(1 << bits) - 1:016x}") for bits in (0, 2, 4, 6, 8)]
    assert decide(creeping, QualityRules(near_duplicate_distance=4)) == [
        None,
        "near_duplicate",
        "near_duplicate",
        None,
        "near_duplicate",
    ]


def test_a_frame_that_was_left_out_hides_no_later_one():
    frames = [frame(phash=FAR[0]), frame(brightness=1, phash=FAR[1]), frame(phash=FAR[1])]
    rules = QualityRules(min_brightness=10, near_duplicate_distance=3)
    assert decide(frames, rules) == [None, "too_dark", None]


def test_distance_zero_means_equal_hashes():
    frames = [frame(phash=FAR[0]), frame(phash=FAR[0]), frame(phash="0" * 15 + "1")]
    assert decide(frames, QualityRules(near_duplicate_distance=0)) == [None, "near_duplicate", None]
