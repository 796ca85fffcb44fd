"""The OpenAI-compatible client against a small HTTP server that plays an endpoint, good and bad."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from maxcompute_local.models.backend import (
    ChatRequest,
    EmbedRequest,
    ImagePart,
    Message,
    ModelError,
    TextPart,
    VideoPart,
)
from maxcompute_local.models.openai_compatible import OpenAICompatibleBackend

KEY = "sk-test-secret"
COMPLETION = {
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a road"}}],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}
CHAT = ChatRequest(
    "local-name",
    (
        Message("system", (TextPart("You label."),)),
        Message(
            "user",
            (
                TextPart("What is it?"),
                ImagePart(b"\x01\x02", "image/png"),
                ImagePart(b"\x03"),
                VideoPart(b"\x04", "video/webm"),
            ),
        ),
    ),
    {"max_tokens": 9, "temperature": 0},
    {"enable_thinking": False},
)


class Endpoint:
    """Answers each POST with ``answer`` (status, body) and keeps what it was sent."""

    def __init__(self) -> None:
        self.answer: tuple[int, Any] = (200, COMPLETION)
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.hang = False
        self.release = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.seen.append((self.path, dict(self.headers), json.loads(body)))
                if endpoint.hang:
                    endpoint.release.wait(30)
                    return
                status, content = endpoint.answer
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in endpoint.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def client(self, key: str | None = KEY, timeout: float = 10) -> OpenAICompatibleBackend:
        return OpenAICompatibleBackend(self.url, "remote-name", key, timeout)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield endpoint
    endpoint.release.set()
    endpoint.server.shutdown()
    endpoint.server.server_close()
    thread.join(10)


def test_chat_is_forwarded_with_pictures_and_videos_as_data_uris(endpoint: Endpoint) -> None:
    answer = endpoint.client().chat(CHAT)
    assert (answer.content, answer.input_tokens, answer.output_tokens, answer.finish_reason) == (
        "a road",
        12,
        3,
        "stop",
    )
    ((path, headers, body),) = endpoint.seen
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body == {
        "model": "remote-name",
        "max_tokens": 9,
        "temperature": 0,
        "messages": [
            {"role": "system", "content": "You label."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQI="}},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,Aw=="}},
                    {"type": "video_url", "video_url": {"url": "data:video/webm;base64,BA=="}},
                ],
            },
        ],
    }


def test_without_a_key_none_is_sent(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password other-secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    endpoint.client(key=None).chat(CHAT)
    assert "Authorization" not in endpoint.seen[0][1]


def test_text_embeddings_in_one_call(endpoint: Endpoint) -> None:
    data = [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0.5]}]
    endpoint.answer = (200, {"data": data, "usage": {"prompt_tokens": 4, "total_tokens": 4}})
    answer = endpoint.client().embed(EmbedRequest("m", (TextPart("a"), TextPart("b")), 2))
    assert (answer.vectors, answer.input_tokens) == (((1.0, 0.5), (0.0, 1.0)), 4)
    ((path, _, body),) = endpoint.seen
    assert path == "/v1/embeddings"
    assert body == {"model": "remote-name", "encoding_format": "float", "dimensions": 2, "input": ["a", "b"]}


def test_picture_embeddings_one_call_each(endpoint: Endpoint) -> None:
    endpoint.answer = (200, {"data": [{"index": 0, "embedding": [1.0]}], "usage": {"total_tokens": 7}})
    answer = endpoint.client().embed(EmbedRequest("m", (ImagePart(b"\x01"), TextPart("b"))))
    assert (answer.vectors, answer.input_tokens) == (((1.0,), (1.0,)), 14)
    assert endpoint.seen[0][2]["messages"][0]["content"][0]["type"] == "image_url"


@pytest.mark.parametrize(
    ("status", "body", "expected_status", "code"),
    [
        (429, {"error": {"message": "slow down"}}, 429, "Throttling.RateQuota"),
        (500, {"error": {"message": "boom"}}, 500, "InternalError"),
        (503, "<html>overloaded</html>", 503, "InternalError"),
        (400, {"error": {"message": "bad picture"}}, 400, "InvalidParameter"),
        (422, {"detail": "nope"}, 400, "InvalidParameter"),
        (400, {"error": {"code": "content_filter", "message": "no"}}, 400, "DataInspectionFailed"),
        (400, {"error": {"code": "data_inspection_failed", "message": "no"}}, 400, "DataInspectionFailed"),
        (404, {"error": {"message": "model not found"}}, 404, "ModelNotFound"),
        (401, {"error": {"message": f"bad key {KEY}"}}, 502, "InternalError"),
        (403, "no", 502, "InternalError"),
        (204, "", 502, "InternalError"),
        (200, "<html>hello</html>", 502, "InternalError"),
        (200, "[]", 502, "InternalError"),
        (200, {"choices": []}, 502, "InternalError"),
        (200, {"choices": [{"message": "text"}]}, 502, "InternalError"),
        (200, {"choices": [{"message": {"content": ["x"]}}]}, 502, "InternalError"),
        (200, {"choices": [{"finish_reason": "content_filter", "message": {}}]}, 400, "DataInspectionFailed"),
    ],
)
def test_failures_are_classified(
    endpoint: Endpoint, status: int, body: Any, expected_status: int, code: str
) -> None:
    endpoint.answer = (status, body)
    with pytest.raises(ModelError) as caught:
        endpoint.client().chat(CHAT)
    assert (caught.value.status, caught.value.code) == (expected_status, code)
    assert KEY not in caught.value.message


def test_when_to_come_again_is_passed_on(endpoint: Endpoint) -> None:
    endpoint.answer, endpoint.headers = (429, {"error": {"message": "slow down"}}), {"Retry-After": "12"}
    with pytest.raises(ModelError, match="slow down") as caught:
        endpoint.client().chat(CHAT)
    assert caught.value.retry_after == "12"


def test_key_is_not_repeated_from_the_endpoints_message(endpoint: Endpoint) -> None:
    endpoint.answer = (500, {"error": {"message": f"key {KEY} failed"}})
    with pytest.raises(ModelError, match=r"key \*\*\* failed"):
        endpoint.client().chat(CHAT)


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": "x"},
        {"data": [{"index": 0}]},
        {"data": [{"index": 0, "embedding": "x"}]},
        {"data": ["x"]},
        {"data": [{"index": None, "embedding": [1]}]},
    ],
)
def test_malformed_embeddings(endpoint: Endpoint, body: Any) -> None:
    endpoint.answer = (200, body)
    with pytest.raises(ModelError, match="no OpenAI-shaped answer"):
        endpoint.client().embed(EmbedRequest("m", (TextPart("a"),)))


def test_an_empty_answer_is_passed_on(endpoint: Endpoint) -> None:
    endpoint.answer = (200, {"choices": [{"finish_reason": "length", "message": {"content": None}}]})
    answer = endpoint.client().chat(CHAT)
    assert (answer.content, answer.finish_reason, answer.input_tokens) == ("", "length", 0)


def test_redirects_are_not_followed(endpoint: Endpoint) -> None:
    endpoint.answer, endpoint.headers = (307, ""), {"Location": "/elsewhere"}
    with pytest.raises(ModelError, match="answered 307"):
        endpoint.client().chat(CHAT)
    assert len(endpoint.seen) == 1


def test_timeout(endpoint: Endpoint) -> None:
    endpoint.hang = True
    with pytest.raises(ModelError, match="did not answer in time") as caught:
        endpoint.client(timeout=0.2).chat(CHAT)
    assert (caught.value.status, caught.value.code) == (504, "RequestTimeOut")


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(ModelError, match="cannot reach") as caught:
            OpenAICompatibleBackend(url, "m").chat(CHAT)
    assert caught.value.status == 503
