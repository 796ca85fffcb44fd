"""The image descriptor on drawn drives: what looks alike is near, and a text that names what is seen."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from maxcompute_local.models.embedders import describe_image, describe_text
from maxcompute_local.samples.driving.look import Light, Look, Place, Weather
from maxcompute_local.samples.driving.scene import DrivingScene

LOOKS = (
    Look(Place.HIGHWAY, Light.DAY, Weather.CLEAR, 201, 27),
    Look(Place.CITY, Light.NIGHT, Weather.CLEAR, 202, 11),
    Look(Place.RURAL, Light.DAY, Weather.FOG, 203, 14),
    Look(Place.CITY, Light.DAY, Weather.RAIN, 204, 10),
    Look(Place.HIGHWAY, Light.DUSK, Weather.CLEAR, 205, 25),
)


def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


@cache
def drives() -> tuple[tuple[np.ndarray, ...], ...]:
    scenes = [DrivingScene(look) for look in LOOKS]
    return tuple(tuple(scene.frame(seconds) for seconds in (2.0, 2.2, 3.0)) for scene in scenes)


@pytest.mark.parametrize("dimension", [64, 256, 1024])
def test_frames_of_a_drive_are_nearer_than_other_drives(dimension: int) -> None:
    vectors = [[describe_image(picture, dimension) for picture in drive] for drive in drives()]
    same = [cosine(drive[0], other) for drive in vectors for other in drive[1:]]
    different = [cosine(a[0], b[0]) for i, a in enumerate(vectors) for b in vectors[i + 1 :]]
    assert min(same) > 0.7
    assert min(same) > max(different) + 0.1


def test_survives_jpeg_and_scaling() -> None:
    picture = drives()[0][0]
    lossy = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    assert cosine(describe_image(picture), describe_image(cv2.resize(lossy, (320, 180)))) > 0.95


NIGHT_RAIN = Look(Place.CITY, Light.NIGHT, Weather.RAIN, 208, 10)
NAMED = {
    "a highway on a sunny day": 0,
    "a dry city street at night": 1,
    "thick fog": 2,
    "rain by day in the city": 3,
    "sunset on the motorway": 4,
    "rain at night": 5,
    "雾天": 2,
    "雨天，白天": 3,
    "黄昏的高速公路": 4,
}


@pytest.mark.parametrize("dimension", [128, 512])
@pytest.mark.parametrize("text", NAMED)
def test_a_text_is_nearest_to_the_drive_that_it_names(text: str, dimension: int) -> None:
    rainy_night = DrivingScene(NIGHT_RAIN).frame(2.0)
    pictures = [*(drive[0] for drive in drives()), rainy_night]
    vector = describe_text(text, dimension)
    near = [cosine(vector, describe_image(picture, dimension)) for picture in pictures]
    right = near.pop(NAMED[text])
    assert right > 0.15
    assert right > max(near) + 0.05
