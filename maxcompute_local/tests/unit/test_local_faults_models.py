"""Rules that pick calls of a model and give them prepared answers."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from maxcompute_local.models.backend import (
    ChatRequest,
    EmbedRequest,
    ImagePart,
    Message,
    TextPart,
    VideoPart,
)
from maxcompute_local.models.script_rules import ModelRule, ModelRules, RuleError
from maxcompute_local.models.scripted import Step

BAD = Step(status=400)


def shown(picture: bytes, model: str = "qwen", source: str = "") -> ChatRequest:
    return ChatRequest(
        model, (Message("user", (TextPart("Label."), ImagePart(picture, "image/jpeg", source))),)
    )


def picked(rules: ModelRules, *requests: ChatRequest | EmbedRequest) -> list[bool]:
    return [rules.step(request) is not None for request in requests]


def rules_of(*rules: ModelRule) -> ModelRules:
    made = ModelRules()
    for rule in rules:
        made.add(rule)
    return made


def test_the_first_different_pictures_for_ever_or_some_times() -> None:
    one, two, three = shown(b"1"), shown(b"2"), shown(b"3")
    for_ever = rules_of(ModelRule("qwen", fail_first=2, step=BAD))
    assert picked(for_ever, one, one, two, three, one, two) == [True, True, True, False, True, True]
    once = rules_of(ModelRule("qwen", fail_first=2, times=1, step=BAD))
    assert picked(once, one, one, two, three, two) == [True, False, True, False, False]


def test_pictures_by_address_or_digest() -> None:
    by_address = rules_of(ModelRule("qwen", images=("cam7/", "cam9/"), step=BAD))
    assert picked(
        by_address, shown(b"1", source="oss://b/cam7/1.jpg"), shown(b"1", source="oss://b/cam8/1.jpg")
    ) == [
        True,
        False,
    ]
    digest = hashlib.sha256(b"1").hexdigest()
    by_digest = rules_of(ModelRule("qwen", images=(digest[:12],), step=BAD))
    assert picked(by_digest, shown(b"1"), shown(b"2")) == [True, False]


def test_videos_by_address_and_calls_by_their_text() -> None:
    def filmed(video: bytes, text: str) -> ChatRequest:
        return ChatRequest(
            "qwen", (Message("user", (VideoPart(video, source=f"oss://b/{text}.mp4"), TextPart(text))),)
        )

    first, other = filmed(b"1", "cam7: filter"), filmed(b"1", "cam8: caption")
    assert picked(rules_of(ModelRule("qwen", videos=("/cam7",), step=BAD)), first, other) == [True, False]
    assert picked(rules_of(ModelRule("qwen", images=("/cam7",), step=BAD)), first, other) == [False, False]
    assert picked(rules_of(ModelRule("qwen", prompts=("caption",), step=BAD)), first, other) == [False, True]
    by_video = rules_of(ModelRule("qwen", videos=("cam",), prompts=("cam",), times=1, step=BAD))
    assert picked(by_video, first, other, filmed(b"2", "cam8")) == [True, False, True]


def test_the_share_of_a_seed_is_the_same_in_any_order() -> None:
    pictures = [shown(str(number).encode()) for number in range(400)]

    def chosen(seed: int, backwards: bool) -> set[int]:
        rules = rules_of(ModelRule("qwen", rate=0.25, seed=seed, step=BAD))
        order = list(enumerate(pictures))
        return {
            number for number, request in (reversed(order) if backwards else order) if rules.step(request)
        }

    assert chosen(1, backwards=False) == chosen(1, backwards=True)
    assert chosen(1, backwards=False) != chosen(2, backwards=False)
    assert 70 < len(chosen(1, backwards=False)) < 130


def test_numbered_calls_and_kinds_of_calls() -> None:
    one = shown(b"1")
    numbered = rules_of(ModelRule("qwen", nth=(2, 4), step=BAD))
    assert picked(numbered, one, one, one, one, one) == [False, True, False, True, False]
    embeds = rules_of(ModelRule("*", call="embed", step=BAD))
    assert picked(embeds, one, EmbedRequest("any", (ImagePart(b"1"),))) == [False, True]
    other = rules_of(ModelRule("qwen", step=BAD))
    assert picked(other, shown(b"1", model="qwen3")) == [False]


def test_calls_without_a_picture_go_by_their_text() -> None:
    rules = rules_of(ModelRule("hasher", fail_first=1, step=BAD))
    road, rain = EmbedRequest("hasher", (TextPart("road"),)), EmbedRequest("hasher", (TextPart("rain"),))
    assert picked(rules, road, rain, road) == [True, False, True]


def test_the_rule_added_last_is_asked_first_and_rules_are_dropped_by_model() -> None:
    rules = rules_of(ModelRule("qwen", step=Step("old")), ModelRule("qwen", times=1, step=Step("new")))
    one = shown(b"1")
    assert [rules.step(one), rules.step(one)] == [Step("new"), Step("old")]
    assert [(rule["id"], rule["picked"]) for rule in rules.describe()] == [(2, 1), (1, 1)]
    assert rules.clear("other") == 0
    assert rules.clear("qwen") == 2
    assert rules.step(one) is None


def test_json_and_back() -> None:
    values = {
        "model": "qwen",
        "call": "chat",
        "nth": [1, 2],
        "fail_first": 9,
        "images": ["cam7/"],
        "videos": ["cam8/"],
        "prompts": ["caption"],
        "rate": 0.5,
        "seed": 3,
        "times": 2,
        "status": 429,
        "message": "busy",
        "delay": 0.1,
    }
    rule = ModelRule.from_json(values)
    assert rule.step == Step(status=429, message="busy", delay=0.1)
    assert rule.to_json() == values
    assert ModelRule.from_json(rule.to_json()) == rule


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], "expected an object"),
        ({}, "model: missing"),
        ({"model": ""}, "model: expected"),
        ({"model": "m", "colour": 1}, "colour: unknown"),
        ({"model": "m", "rate": 2}, "rate: 2 is not between 0 and 1"),
        ({"model": "m", "rate": True}, "rate: not of a type"),
        ({"model": "m", "times": 0}, "times"),
        ({"model": "m", "fail_first": 0}, "fail_first"),
        ({"model": "m", "nth": [0]}, "nth"),
        ({"model": "m", "nth": ["1"]}, "nth"),
        ({"model": "m", "images": [1]}, "images"),
        ({"model": "m", "call": "talk"}, "call"),
        ({"model": "m", "status": 99}, "status"),
        ({"model": "m", "delay": -1}, "delay"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(values: Any, problem: str) -> None:
    with pytest.raises(RuleError, match=problem):
        ModelRule.from_json(values)
