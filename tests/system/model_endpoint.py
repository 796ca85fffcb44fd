"""A vision-language model in the test's own process: the test sees, holds, answers or fails each call.

The local cloud asks it through a ``models.json`` entry, as it would ask any OpenAI-compatible server.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "system-test-labeller"

_WAIT_SECONDS = 120.0
_HOLD_SECONDS = 600.0


@dataclass(frozen=True)
class Call:
    """One request: its prompt, by which tests tell their DAGs apart, and the SHA-256 of its picture."""

    prompt: str
    image: str


@dataclass(frozen=True)
class Answer:
    """What a call gets: a text, or an error when ``status`` is 400 or above."""

    text: str = "a street"
    status: int = 200


OK = Answer()
REFUSED = Answer("this picture cannot be labelled", status=400)
"""An error that no client tries again."""


class ModelEndpoint:
    """An OpenAI-compatible chat endpoint on loopback. ``calls`` has every request, in order of arrival."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._answers: dict[str, Callable[[Call], Answer]] = {}
        self._held: dict[str, threading.Event] = {}
        self._waiting: dict[str, int] = defaultdict(int)
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="model-endpoint", daemon=True).start()

    def close(self) -> None:
        """Let every held call go and stop."""
        for gate in self._held.values():
            gate.set()
        self._server.shutdown()
        self._server.server_close()

    def models_json(self) -> str:
        """Return the content of ``models.json`` that makes this endpoint the model :data:`MODEL`."""
        entry = {
            "name": MODEL,
            "task": "image-text-to-text",
            "backend": "openai",
            "base_url": f"http://127.0.0.1:{self._server.server_address[1]}/v1",
            "timeout_sec": _HOLD_SECONDS,
        }
        return json.dumps({"models": [entry]})

    # What tests decide.

    def answer(self, prompt: str, choose: Callable[[Call], Answer]) -> None:
        """Ask ``choose`` for the answer to every later call with ``prompt``."""
        with self._changed:
            self._answers[prompt] = choose

    @contextmanager
    def held(self, prompt: str):
        """Let no call with ``prompt`` be answered inside the ``with`` block."""
        gate = threading.Event()
        with self._changed:
            self._held[prompt] = gate
        try:
            yield
        finally:
            with self._changed:
                self._held.pop(prompt).set()

    # What tests look at.

    def calls_of(self, prompt: str) -> list[Call]:
        with self._changed:
            return [call for call in self.calls if call.prompt == prompt]

    def wait_until_held(self, prompt: str, calls: int = 1) -> None:
        """Wait until so many calls with ``prompt`` are in progress. Raises AssertionError."""
        deadline = time.monotonic() + _WAIT_SECONDS
        with self._changed:
            while self._waiting[prompt] < calls:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise AssertionError(f"{self._waiting[prompt]} calls of {prompt!r} wait, not {calls}")

    # What the server does.

    def serve(self, call: Call) -> Answer:
        with self._changed:
            self.calls.append(call)
            gate = self._held.get(call.prompt)
            choose = self._answers.get(call.prompt, lambda call: OK)
            self._waiting[call.prompt] += 1
            self._changed.notify_all()
        try:
            if gate is not None:
                gate.wait(_HOLD_SECONDS)
            return choose(call)
        finally:
            with self._changed:
                self._waiting[call.prompt] -= 1


def digest(image: bytes) -> str:
    """Return what :class:`Call` holds for a picture."""
    return hashlib.sha256(image).hexdigest()


def _handler(endpoint: ModelEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = endpoint.serve(_call(body))
            usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
            message = {"role": "assistant", "content": answer.text}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            content: dict[str, Any] = {"choices": [choice], "usage": usage}
            if answer.status >= 400:
                content = {"error": {"message": answer.text}}
            payload = json.dumps(content).encode()
            try:
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except ConnectionError:
                # The local cloud was killed while it waited.
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Say nothing; ``calls`` has it all."""

    return Handler


def _call(body: dict[str, Any]) -> Call:
    texts, image = [], ""
    for message in body["messages"]:
        content = message["content"]
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                image = digest(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
    return Call("\n".join(texts), image)
