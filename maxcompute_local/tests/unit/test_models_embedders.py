"""The built-in embedders: dimensions, lengths, likeness, determinism."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from maxcompute_local.models.backend import (
    ChatRequest,
    EmbedRequest,
    ImagePart,
    ModelError,
    TextPart,
)
from maxcompute_local.models.embedders import (
    ImageDescriptor,
    TextHasher,
    describe_image,
    describe_text,
    hash_text,
)
from maxcompute_local.models.notions import GROUPS, Notion, block, named


def cosine(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.mark.parametrize("dimension", [1, 2, 7, 256, 2048])
def test_dimension_and_length(dimension: int) -> None:
    picture = (np.arange(90 * 160 * 3) % 251).astype(np.uint8).reshape(90, 160, 3)
    texts = ("a wet road at night", "a bus")
    vectors = [describe(text, dimension) for describe in (hash_text, describe_text) for text in texts]
    for vector in (describe_image(picture, dimension), *vectors):
        assert len(vector) == dimension
        assert math.isclose(np.linalg.norm(vector), 1, abs_tol=1e-4)


def test_default_dimension_is_256() -> None:
    answer = ImageDescriptor().embed(EmbedRequest("m", (ImagePart(png(np.zeros((9, 9, 3), np.uint8))),)))
    assert len(answer.vectors[0]) == 256
    assert len(TextHasher().embed(EmbedRequest("m", (TextPart("x"),))).vectors[0]) == 256


@pytest.mark.parametrize("dimension", [0, -1, 2049])
@pytest.mark.parametrize("backend", [ImageDescriptor(), TextHasher()])
def test_refuses_other_dimensions(backend: ImageDescriptor | TextHasher, dimension: int) -> None:
    with pytest.raises(ModelError, match="1 to 2048") as caught:
        backend.embed(EmbedRequest("m", (TextPart("x"),), dimension))
    assert (caught.value.status, caught.value.code) == (400, "InvalidParameter")


@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_pictures_have_finite_unit_vectors(value: int) -> None:
    vector = describe_image(np.full((20, 20, 3), value, np.uint8))
    assert math.isclose(np.linalg.norm(vector), 1, abs_tol=1e-4)


def test_one_vector_per_part_in_order() -> None:
    dark, light = (np.full((40, 40, 3), value, np.uint8) for value in (10, 240))
    parts = (ImagePart(png(dark)), ImagePart(png(light)), TextPart("a road"))
    answer = ImageDescriptor().embed(EmbedRequest("m", parts, 32))
    assert answer.vectors == (
        describe_image(dark, 32),
        describe_image(light, 32),
        describe_text("a road", 32),
    )
    assert answer.input_tokens == 6 + 6 + 2


def test_texts_that_share_words_are_near() -> None:
    rain = hash_text("city street in heavy rain, wet road, two cars ahead")
    similar = hash_text("rainy city street, the road is wet, one car ahead")
    other = hash_text("sunny highway, no traffic")
    assert cosine(rain, similar) > cosine(rain, other) + 0.2


def test_chinese_texts_that_share_words_are_near() -> None:
    assert (
        cosine(hash_text("雨天城市道路"), hash_text("城市道路雨天"))
        > 0.6
        > cosine(hash_text("雨天城市道路"), hash_text("晴空万里高速"))
    )


@pytest.mark.parametrize("text", ["!!!", "。。。", "a", "🚗"])
def test_any_text_has_a_unit_vector(text: str) -> None:
    assert math.isclose(np.linalg.norm(hash_text(text, 3)), 1, abs_tol=1e-4)


@pytest.mark.parametrize("part", [TextPart(""), TextPart(" \n"), ImagePart(b"x")])
def test_text_hasher_refuses(part: TextPart | ImagePart) -> None:
    with pytest.raises(ModelError) as caught:
        TextHasher().embed(EmbedRequest("m", (part,)))
    assert caught.value.code == "InvalidParameter"


def test_vectors_are_the_same_in_another_process() -> None:
    program = (
        "import numpy as np\n"
        "from maxcompute_local.models.embedders import describe_image, describe_text, hash_text\n"
        "picture = (np.arange(90 * 160 * 3) % 251).astype(np.uint8).reshape(90, 160, 3)\n"
        "print(describe_image(picture, 16), hash_text('wet road', 16), describe_text('wet bus', 16))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    picture = (np.arange(90 * 160 * 3) % 251).astype(np.uint8).reshape(90, 160, 3)
    own = describe_image(picture, 16), hash_text("wet road", 16), describe_text("wet bus", 16)
    assert outputs == {"{} {} {}\n".format(*own)}


def test_text_vector_never_changes() -> None:
    # Stored vectors would no longer compare with new ones.
    assert hash_text("wet road", 4) == (0.0, -0.821869, -0.569676, 0.0)
    assert hash_text("wet road", 4) == hash_text("Wet  road.", 4)


def test_embedders_do_not_chat() -> None:
    with pytest.raises(ModelError) as caught:
        TextHasher().chat(ChatRequest("text-embedding-v4", ()))
    assert caught.value.code == "UnsupportedTask"


@pytest.mark.parametrize(
    ("text", "notions"),
    [
        ("A pedestrian at night, in heavy rain", {Notion.PERSON, Notion.NIGHT, Notion.RAIN}),
        ("no rain, not foggy: a sunny day", {Notion.CLEAR, Notion.DAY}),
        ("there are no pedestrians on the highway", {Notion.HIGHWAY}),
        ("没有雨，夜晚的高速公路", {Notion.NIGHT, Notion.HIGHWAY}),
        ("红灯前有一辆卡车", {Notion.RED_LIGHT, Notion.LORRY}),
        ("the traffic light is green", {Notion.GREEN_LIGHT}),
        ("training on a brainy train", set()),
    ],
)
def test_notions_that_a_text_names(text: str, notions: set[Notion]) -> None:
    assert named(text) == notions


def test_notions_of_a_group_exclude_each_other() -> None:
    values = dict(zip(Notion, block({Notion.RAIN}), strict=True))
    assert (values[Notion.RAIN], values[Notion.FOG], values[Notion.NIGHT]) == (1, -0.25, 0)
    assert sorted(notion for group in GROUPS for notion in group) == sorted(Notion)


def test_a_text_without_a_notion_has_its_own_vector() -> None:
    bus, tram = (np.array(describe_text(f"what colour is the {thing}?", 256)) for thing in ("bus", "tram"))
    assert abs(np.linalg.norm(bus) - 1) < 1e-4
    assert not np.allclose(bus, tram)
    wet, soaked = (describe_text(text, 256) for text in ("a wet road", "rain at night"))
    assert cosine(wet, describe_text("this road is wet", 256)) > 0.9 > cosine(wet, soaked)
