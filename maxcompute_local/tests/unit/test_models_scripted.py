"""The scripted backend."""

from __future__ import annotations

import time

import pytest

from maxcompute_local.models.backend import (
    ChatAnswer,
    ChatRequest,
    EmbedAnswer,
    EmbedRequest,
    Message,
    ModelError,
    TextPart,
)
from maxcompute_local.models.scripted import RawResponse, ScriptedBackend, Step

CHAT = ChatRequest("m", (Message("user", (TextPart("hello"),)),))
EMBED = EmbedRequest("m", (TextPart("a"), TextPart("b")))


def test_steps_in_order_and_the_last_again() -> None:
    backend = ScriptedBackend(
        [Step(status=429), Step(status=503, message="busy"), Step({"weather": "clear"})]
    )
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(backend.chat(CHAT).content)
        except ModelError as error:
            outcomes.append(f"{error.status} {error.code}")
    label = '{"weather": "clear"}'
    assert outcomes == ["429 Throttling.RateQuota", "503 InternalError", label, label]
    assert backend.requests == [CHAT] * 4


def test_pushed_steps_follow() -> None:
    backend = ScriptedBackend([Step("one")])
    backend.push(Step("two"))
    assert [backend.chat(CHAT).content for _ in range(3)] == ["one", "two", "two"]


def test_embedding_for_every_part() -> None:
    assert ScriptedBackend([Step(embedding=(0.5, 0.5))]).embed(EMBED) == EmbedAnswer(
        ((0.5, 0.5), (0.5, 0.5)), 2
    )


def test_body_error_and_code() -> None:
    with pytest.raises(RawResponse) as raw:
        ScriptedBackend([Step(status=200, body="<html>")]).chat(CHAT)
    assert (raw.value.status, raw.value.body) == (200, "<html>")
    with pytest.raises(RuntimeError, match="boom"):
        ScriptedBackend([Step(error=RuntimeError("boom"))]).embed(EMBED)
    with pytest.raises(ModelError) as blocked:
        ScriptedBackend([Step(status=400, code="DataInspectionFailed")]).chat(CHAT)
    assert blocked.value.code == "DataInspectionFailed"


def test_function_decides_by_request() -> None:
    def choose(request: ChatRequest | EmbedRequest) -> Step | ChatAnswer | EmbedAnswer:
        return ChatAnswer("real", 1, 1) if isinstance(request, ChatRequest) else Step(embedding=(1.0,))

    backend = ScriptedBackend(choose)
    assert backend.chat(CHAT) == ChatAnswer("real", 1, 1)
    assert backend.embed(EMBED).vectors == ((1.0,), (1.0,))
    with pytest.raises(TypeError, match="ChatAnswer"):
        ScriptedBackend(lambda _: ChatAnswer("x", 1, 1)).embed(EMBED)


def test_delay_comes_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    ScriptedBackend([Step("late", delay=1.5)]).chat(CHAT)
    assert slept == [1.5]


def test_empty_script_is_an_error() -> None:
    with pytest.raises(ModelError, match="no steps"):
        ScriptedBackend([]).chat(CHAT)
