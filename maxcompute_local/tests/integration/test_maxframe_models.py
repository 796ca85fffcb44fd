"""Managed models' ``generate`` and ``embed`` in the engine, against a stand-in for the model service."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import maxframe.dataframe as md
import pandas as pd
import pytest
from maxframe.config import option_context
from maxframe.learn.contrib.llm import ContentPart, ImageContentType
from maxframe.learn.contrib.llm.models.managed import (
    ManagedMultiModalEmbeddingModel,
    ManagedMultiModalGenLLM,
    ManagedTextEmbeddingModel,
    ManagedTextGenLLM,
)
from maxframe_client.session.graph import gen_submit_tileable_graph

from maxcompute_local.maxframe.engine import adapters, execution, model_adapters, model_client, model_pace
from maxcompute_local.maxframe.engine.events import Events
from maxcompute_local.maxframe.engine.job import Job
from maxcompute_local.maxframe.engine.progress import Progress, Step

TOKEN = "token-of-the-dag"


class ModelStub:
    """Answers from a function ``(path, request) -> (status, body)`` and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.answer: Callable[[str, dict[str, Any]], tuple[int, Any]] = lambda *_: (500, {})
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with stub._lock:
                    stub.requests.append(
                        {"path": self.path, "authorization": self.headers["Authorization"], **body}
                    )
                status, answer = stub.answer(self.path, body)
                payload = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(payload)))
                for name, value in stub.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *args: object) -> None:
                """Keep the tests' output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelStub]:
    monkeypatch.setattr(model_client, "_FIRST_BACKOFF_SECONDS", 0.001)
    quick = tuple(replace(limit, first_wait=0.001) for limit in model_pace.LIMITS)
    monkeypatch.setattr(model_pace, "LIMITS", quick)
    stub = ModelStub()
    yield stub
    stub.close()


class Unheard(Events):
    """Tells nobody; the stub stands for the model service alone."""

    def _tell(self, event: dict[str, Any]) -> dict[str, Any]:
        return {}


@pytest.fixture
def run(stub: ModelStub, tmp_path: Path) -> Callable[[Any], pd.DataFrame]:
    """Run a graph in this process, with the engine's code generation."""
    adapters.register()
    model_adapters.register()

    def run(tileable: Any) -> pd.DataFrame:
        job = Job("s", "d", str(tmp_path), "local", stub.url, TOKEN, "/", "http://127.0.0.1:1", "r", {})
        graph, _ = gen_submit_tileable_graph(None, [tileable.data], {})
        progress = Progress(job, [Step(type(node.op).__name__) for node in graph.topological_iter()])
        generated = execution.Generator(job, progress, Unheard(job)).generate(graph)
        variables = dict(generated.constants)
        exec(generated.code, variables)
        (name,) = generated.output_key_to_variables.values()
        return variables[name]

    return run


def completion(text: str) -> dict[str, Any]:
    return {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    }


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"{code} happened"}}


def labelled(frame: md.DataFrame, content: Any, **kwargs: Any) -> Any:
    model = ManagedMultiModalGenLLM(name="projects/shared/schemas/default/models/tagger")
    return model.generate(
        frame, messages=[{"role": "user", "content": content}], running_options={}, **kwargs
    )


def test_generate_sends_rows_and_keeps_the_raw_answer_and_the_index(stub: ModelStub, run) -> None:
    stub.answer = lambda _, request: (200, completion(request["messages"][0]["content"][1]["data"]))
    frame = pd.DataFrame({"jpeg": [b"one", b"two"], "who": ["Ann", "{jpeg}"]}, index=[7, 3])
    parts = [
        ContentPart.text("{{Describe}} for {who}"),
        ContentPart.image(data="{jpeg}", type=ImageContentType.BINARY, mime_type="image/png"),
    ]
    result = run(labelled(md.DataFrame(frame), parts, params={"max_tokens": 5}))
    assert result.index.tolist() == [7, 3]
    assert result["success"].tolist() == [True, True]
    assert [json.loads(text)["choices"][0]["message"]["content"] for text in result["response"]] == [
        "b25l",
        "dHdv",
    ]
    assert json.loads(result["response"][7])["usage"]["prompt_tokens"] == 7
    request = next(r for r in stub.requests if "Ann" in json.dumps(r))
    assert request == {
        "path": "/models/v1/chat",
        "authorization": f"Bearer {TOKEN}",
        "model": "tagger",
        "project": "shared",
        "params": {"max_tokens": 5},
        "running_options": {},
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "{Describe} for Ann"},
                    {"type": "image", "data": "b25l", "mime": "image/png"},
                ],
            }
        ],
    }
    # A value that looks like a placeholder is not read as one.
    assert any("{Describe} for {jpeg}" in json.dumps(r) for r in stub.requests)


def test_simple_output_is_the_text(stub: ModelStub, run) -> None:
    stub.answer = lambda _, request: (200, completion(request["messages"][0]["content"].upper()))
    frame = md.DataFrame(pd.DataFrame({"road": ["wet", "dry"]}))
    result = run(
        ManagedTextGenLLM(name="writer").generate(
            frame,
            prompt_template=[{"role": "user", "content": 'Is it {road}? {"a": {"b": 1}}'}],
            simple_output=True,
        )
    )
    assert result["response"].tolist() == ['IS IT WET? {"A": {"B": 1}}', 'IS IT DRY? {"A": {"B": 1}}']
    assert {request["project"] for request in stub.requests} == {"local"}


def test_a_bad_row_fails_alone_with_the_services_error(stub: ModelStub, run) -> None:
    def answer(_: str, request: dict[str, Any]) -> tuple[int, Any]:
        text = request["messages"][0]["content"][0]["text"]
        return (400, error("content_blocked")) if text == "bad" else (200, completion("fine"))

    stub.answer = answer
    frame = md.DataFrame(pd.DataFrame({"text": ["good", "bad", "good"]}))
    result = run(labelled(frame, [ContentPart.text("{text}")]))
    assert result["success"].tolist() == [True, False, True]
    assert json.loads(result["response"][1]) == error("content_blocked")
    assert len(stub.requests) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_overload_is_tried_again(stub: ModelStub, run, status: int) -> None:
    stub.answer = lambda *_: (200, completion("ok")) if len(stub.requests) > 2 else (status, error("busy"))
    result = run(labelled(md.DataFrame(pd.DataFrame({"a": ["x"]})), [ContentPart.text("hi")]))
    assert result["success"].tolist() == [True]
    assert len(stub.requests) == 3


def test_rows_wait_as_the_service_asks(stub: ModelStub, run, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if seconds > 6:
            stub.headers = {}

    monkeypatch.setattr(model_pace, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    stub.headers = {"Retry-After": "7"}
    stub.answer = lambda *_: (429, error("slow")) if stub.headers else (200, completion("ok"))
    frame = md.DataFrame(pd.DataFrame({"a": [str(number) for number in range(40)]}))
    result = run(labelled(frame, [ContentPart.text("{a}")]))
    assert result["success"].all()
    assert 7 <= max(waited) < 8
    assert len(stub.requests) <= 40 + 8, "only those under way when the first was refused came too early"


def test_lasting_overload_fails_the_row(stub: ModelStub, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_pace, "PATIENCE_SECONDS", 0.1)
    stub.answer = lambda *_: (429, error("rate_limited"))
    result = run(labelled(md.DataFrame(pd.DataFrame({"a": ["x"]})), [ContentPart.text("hi")]))
    assert result["success"].tolist() == [False]
    assert json.loads(result["response"][0]) == error("rate_limited")
    assert len(stub.requests) > 2


def test_rows_are_sent_concurrently_up_to_the_limit(stub: ModelStub, run) -> None:
    together = threading.Barrier(8, timeout=20)

    def answer(*_: object) -> tuple[int, Any]:
        together.wait()
        return 200, completion("ok")

    stub.answer = answer
    result = run(labelled(md.DataFrame(pd.DataFrame({"a": ["x"] * 16})), [ContentPart.text("{a}")]))
    assert result["success"].all()


@pytest.mark.parametrize(
    ("value", "options", "code"),
    [
        ("oss://127.0.0.1:1/bucket/a.jpg", {}, "access_denied"),
        (
            "oss://oss-cn-hangzhou.aliyuncs.com/bucket/a.jpg",
            {"access_key_id": "i", "access_key_secret": "s"},
            "invalid_content",
        ),
        (None, {}, "null_content"),
        ("/etc/passwd", {}, "invalid_content"),
    ],
)
def test_image_that_cannot_be_had_fails_its_row(stub: ModelStub, run, value, options, code) -> None:
    stub.answer = lambda *_: (200, completion("ok"))
    frame = md.DataFrame(pd.DataFrame({"url": pd.Series([value], dtype=object)}))
    image = ContentPart.image(data="{url}", type=ImageContentType.URL, storage_options=options)
    result = run(labelled(frame, [image]))
    assert result["success"].tolist() == [False]
    assert json.loads(result["response"][0])["error"]["code"] == code
    assert stub.requests == []


def test_multimodal_embedding(stub: ModelStub, run) -> None:
    raw = {
        "output": {"embeddings": [{"index": 0, "type": "image", "embedding": [0.5, 1.0]}]},
        "usage": {"total_tokens": 3},
    }
    stub.answer = lambda *_: (200, raw)
    frame = md.DataFrame(pd.DataFrame({"picture": ["b25l"]}))
    model = ManagedMultiModalEmbeddingModel(name="projects/p/schemas/default/models/vision")
    image = ContentPart.image(data=frame["picture"], type=ImageContentType.BASE64, mime_type="image/jpeg")
    result = run(model.embed(frame, [image], params={"dimension": 2}))
    assert json.loads(result["response"][0]) == raw
    assert stub.requests[0] == {
        "path": "/models/v1/embed",
        "authorization": f"Bearer {TOKEN}",
        "model": "vision",
        "project": "p",
        "params": {"dimension": 2},
        "kind": "multimodal",
        "input": [{"type": "image", "data": "b25l", "mime": "image/jpeg"}],
        "dimension": 2,
    }
    assert run(model.embed(frame, [image], simple_output=True))["response"].tolist() == ["[0.5, 1.0]"]


def test_text_embedding_of_a_series(stub: ModelStub, run) -> None:
    stub.answer = lambda *_: (200, {"data": [{"embedding": [1, 2]}], "usage": {"total_tokens": 1}})
    texts = md.DataFrame(pd.DataFrame({"label": ["rain", None]}, dtype="str"))["label"]
    model = ManagedTextEmbeddingModel(name="words")
    result = run(model.embed(texts, dimensions=2, simple_output=True))
    assert result["success"].tolist() == [True, False]
    assert result["response"][0] == "[1, 2]"
    assert json.loads(result["response"][1])["error"]["code"] == "null_content"
    (request,) = stub.requests
    assert (request["kind"], request["dimension"], request["input"]) == (
        "text",
        2,
        [{"type": "text", "text": "rain"}],
    )


def test_no_rows_are_no_requests(stub: ModelStub, run) -> None:
    frame = md.DataFrame(pd.DataFrame({"a": pd.Series([], dtype=object)}))
    result = run(labelled(frame, [ContentPart.text("{a}")]))
    assert result.columns.tolist() == ["response", "success"]
    assert len(result) == 0


def test_an_odd_answer_is_passed_on_as_it_came(stub: ModelStub, run) -> None:
    stub.answer = lambda *_: (200, "not a completion")
    frame = md.DataFrame(pd.DataFrame({"a": ["x"]}))
    raw = run(labelled(frame, [ContentPart.text("{a}")]))
    assert (raw["success"][0], raw["response"][0]) == (True, '"not a completion"')
    simple = run(labelled(frame, [ContentPart.text("{a}")], simple_output=True))
    assert not simple["success"][0]


def test_operator_that_the_engine_lacks_is_named(stub: ModelStub, run) -> None:
    with pytest.raises(NotImplementedError, match="SeriesDataSource"):
        run(md.Series(pd.Series([1, 2])))


def test_quotas_have_no_effect(stub: ModelStub, run) -> None:
    frame = md.DataFrame(pd.DataFrame({"a": ["x"]}))
    quotas = {"session.gu_quota_name": "gpus", "session.inference_quota_name": "models"}
    with option_context(quotas):
        generated = labelled(frame, [ContentPart.text("{a}")])
    stub.answer = lambda *_: (200, {"choices": [{"message": {"content": "a"}}]})
    assert generated.op.running_options["inference_quota_name"] == "models"
    assert run(generated)["success"].tolist() == [True]
    (request,) = stub.requests
    assert not {"gu_quota_name", "inference_quota_name"} & request["running_options"].keys()
