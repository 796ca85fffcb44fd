"""The model service over HTTP: authorisation, shapes of answers and errors, counters."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from maxcompute_local.models.registry import ModelRegistry
from maxcompute_local.models.scripted import ScriptedBackend, Step
from maxcompute_local.models.service import ModelService
from maxcompute_local.stats import Stats

TOKEN = "token-of-the-engine"


class Server:
    """The service as the server mounts it, on a free port."""

    def __init__(self) -> None:
        self.registry = ModelRegistry("demo")
        self.stats = Stats()
        service = ModelService(self.registry, lambda token: token == TOKEN, self.stats)
        app = Starlette(routes=[Mount("/models", service.app)])
        self._server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Server:
        started = threading.Event()
        startup = self._server.startup

        async def announce(*args: Any, **kwargs: Any) -> None:
            await startup(*args, **kwargs)
            started.set()

        self._server.startup = announce  # type: ignore[method-assign]  # the only hook for "is listening"
        self._thread.start()
        assert started.wait(10)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def post(self, path: str, body: Any, token: str | None = TOKEN, timeout: float = 30) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}/models/v1/{path}"
        if isinstance(body, bytes):
            return requests.post(url, data=body, headers=headers, timeout=timeout)
        return requests.post(url, json=body, headers=headers, timeout=timeout)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def picture(value: int = 120) -> dict[str, str]:
    data = np.full((60, 80, 3), value, np.uint8)
    return {
        "type": "image",
        "data": base64.b64encode(cv2.imencode(".jpg", data)[1]).decode(),
        "mime": "image/jpeg",
    }


def chat_body(**changes: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "Label this."}, picture()]
    body = {
        "model": "qwen3-vl-plus",
        "project": "bigdata_public_modelset",
        "messages": [{"role": "system", "content": "You label."}, {"role": "user", "content": content}],
        "params": {"max_tokens": 1024},
        "running_options": {"enable_thinking": False},
    }
    return {**body, **changes}


def embed_body(**changes: Any) -> dict[str, Any]:
    body = {
        "model": "qwen3-vl-embedding",
        "project": "demo",
        "kind": "multimodal",
        "input": [picture()],
        "dimension": 64,
        "params": {},
    }
    return {**body, **changes}


def test_chat_answers_like_openai(server: Server) -> None:
    response = server.post("chat", chat_body())
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) >= {"id", "object", "model", "choices", "usage"}
    assert (answer["object"], answer["model"]) == ("chat.completion", "local stand-in for qwen3-vl-plus")
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "stop", "assistant")
    assert '"abstain": true' in choice["message"]["content"]
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert server.stats.snapshot() == {
        "model.chat": 1,
        "model.chat.ok": 1,
        "model.images.qwen3-vl-plus": 1,
        "model.input_tokens": usage["prompt_tokens"],
        "model.output_tokens": usage["completion_tokens"],
    }


def test_multimodal_embedding(server: Server) -> None:
    answer = server.post("embed", embed_body(input=[picture(), {"type": "text", "text": "road"}])).json()
    first, second = answer["output"]["embeddings"]
    assert (first["index"], first["type"], len(first["embedding"])) == (0, "image", 64)
    assert (second["index"], second["type"], len(second["embedding"])) == (1, "text", 64)
    assert answer["usage"]["total_tokens"] > 0
    assert answer["model"] == "local stand-in for qwen3-vl-embedding"
    assert answer["request_id"]
    assert server.stats.snapshot() == {
        "model.embed": 1,
        "model.embed.ok": 1,
        "model.images.qwen3-vl-embedding": 1,
        "model.input_tokens": answer["usage"]["total_tokens"],
    }


def test_text_embedding(server: Server) -> None:
    texts = [{"type": "text", "text": text} for text in ("a wet road", "a dry road")]
    body = embed_body(model="text-embedding-v4", kind="text", input=texts, dimension=None)
    answer = server.post("embed", body).json()
    assert (answer["object"], answer["model"]) == ("list", "local stand-in for text-embedding-v4")
    assert [(item["object"], item["index"], len(item["embedding"])) for item in answer["data"]] == [
        ("embedding", 0, 256),
        ("embedding", 1, 256),
    ]
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] == 6


@pytest.mark.parametrize("params", [{"dimension": 32}, {"dimensions": 32}])
def test_dimension_from_params(server: Server, params: dict[str, int]) -> None:
    answer = server.post("embed", embed_body(dimension=None, params=params)).json()
    assert len(answer["output"]["embeddings"][0]["embedding"]) == 32


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x"])
@pytest.mark.parametrize("path", ["chat", "embed"])
def test_needs_the_token(server: Server, path: str, token: str | None) -> None:
    response = server.post(path, chat_body(), token)
    assert (response.status_code, response.json()["error"]["code"]) == (401, "InvalidApiKey")
    assert server.stats.snapshot() == {"model.error": 1}


NO_BASE64 = {"type": "image", "data": "%%%"}
NO_VIDEO = {"type": "video", "data": base64.b64encode(b"no video").decode()}
NO_IMAGE = {"type": "image", "data": base64.b64encode(b"no picture").decode()}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("chat", b"{", 400, "InvalidParameter"),
        ("chat", [], 400, "InvalidParameter"),
        ("chat", {}, 400, "InvalidParameter"),
        ("chat", chat_body(model="nope"), 404, "ModelNotFound"),
        ("chat", chat_body(project="elsewhere"), 404, "ModelNotFound"),
        ("chat", chat_body(project=1), 400, "InvalidParameter"),
        ("chat", chat_body(model="text-embedding-v4"), 400, "UnsupportedTask"),
        ("chat", chat_body(messages=[]), 400, "InvalidParameter"),
        ("chat", chat_body(messages=["hi"]), 400, "InvalidParameter"),
        ("chat", chat_body(messages=[{"role": "user", "content": None}]), 400, "InvalidParameter"),
        (
            "chat",
            chat_body(messages=[{"role": "user", "content": [{"type": "audio"}]}]),
            400,
            "InvalidParameter",
        ),
        ("chat", chat_body(messages=[{"role": "user", "content": [NO_BASE64]}]), 400, "InvalidImage"),
        ("chat", chat_body(messages=[{"role": "user", "content": [NO_IMAGE]}]), 400, "InvalidImage"),
        (
            "chat",
            chat_body(messages=[{"role": "user", "content": [{**NO_BASE64, "type": "video"}]}]),
            400,
            "InvalidVideo",
        ),
        ("chat", chat_body(messages=[{"role": "user", "content": [NO_VIDEO]}]), 400, "InvalidVideo"),
        ("chat", chat_body(model="qwen-plus"), 400, "InvalidParameter"),
        ("chat", chat_body(params=[]), 400, "InvalidParameter"),
        ("embed", embed_body(input=[NO_IMAGE]), 400, "InvalidImage"),
        ("embed", embed_body(input=[NO_VIDEO]), 400, "InvalidParameter"),
        ("embed", embed_body(input=[]), 400, "InvalidParameter"),
        ("embed", embed_body(kind="audio"), 400, "InvalidParameter"),
        ("embed", embed_body(kind=[]), 400, "InvalidParameter"),
        ("embed", embed_body(kind="text"), 400, "UnsupportedTask"),
        ("embed", embed_body(dimension=0), 400, "InvalidParameter"),
        ("embed", embed_body(dimension=True), 400, "InvalidParameter"),
        ("embed", embed_body(dimension="64"), 400, "InvalidParameter"),
        ("embed", embed_body(model="qwen3-vl-plus"), 400, "UnsupportedTask"),
    ],
)
def test_errors_have_status_code_and_message(
    server: Server, path: str, body: Any, status: int, code: str
) -> None:
    response = server.post(path, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["message"]
    counted = server.stats.snapshot()
    assert (counted[f"model.{path}"], counted[f"model.{path}.error.{status}"], counted["model.error"]) == (
        1,
        1,
        1,
    )
    assert f"model.{path}.ok" not in counted


def test_scripted_failures_reach_the_caller(server: Server) -> None:
    steps = [
        Step(status=429),
        Step(status=500),
        Step(error=KeyError("secret detail")),
        Step(body="<html>"),
        Step("ok"),
    ]
    server.registry.register("flaky", "image-text-to-text", ScriptedBackend(steps))
    answers = [server.post("chat", chat_body(model="flaky")) for _ in steps]
    assert [answer.status_code for answer in answers] == [429, 500, 500, 200, 200]
    assert answers[0].json()["error"]["code"] == "Throttling.RateQuota"
    assert answers[2].json()["error"] == {
        "code": "InternalError",
        "message": "the model backend failed (KeyError)",
    }
    assert answers[3].text == "<html>"
    assert answers[4].json()["choices"][0]["message"]["content"] == "ok"
    assert server.stats.snapshot()["model.error"] == 3


def test_a_slow_model_does_not_hold_up_others(server: Server) -> None:
    entered, release = threading.Event(), threading.Event()

    def wait(_: object) -> Step:
        entered.set()
        assert release.wait(30)
        return Step("slow")

    server.registry.register("slow", "image-text-to-text", ScriptedBackend(wait))
    answers: list[int] = []
    caller = threading.Thread(
        target=lambda: answers.append(server.post("chat", chat_body(model="slow"), timeout=60).status_code)
    )
    caller.start()
    assert entered.wait(10)
    assert server.post("chat", chat_body()).status_code == 200
    assert answers == []
    release.set()
    caller.join(30)
    assert answers == [200]
