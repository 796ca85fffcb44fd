"""A backend that gives prepared answers and failures, so that tests decide what each call gets."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from maxcompute_local.models.backend import (
    INTERNAL_ERROR,
    INVALID_PARAMETER,
    RATE_LIMITED,
    Backend,
    ChatAnswer,
    ChatRequest,
    DrawAnswer,
    DrawRequest,
    EmbedAnswer,
    EmbedRequest,
    ModelError,
)
from maxcompute_local.models.tokens import text_tokens


class RawResponse(Exception):
    """An HTTP answer of any shape, for callers that must survive one."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}, {len(body)} characters")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Step:
    """What one call gets, after ``delay`` seconds: error, body or failing status, else the answer."""

    content: str | Mapping[str, Any] | None = None
    """Text of a chat answer, where a mapping is sent as JSON; of a drawing, the picture in Base64."""
    embedding: tuple[float, ...] | None = None
    """Vector for every part of an embedding request."""
    status: int = 200
    """HTTP status; 400 and above is an error unless ``body`` is set."""
    code: str = ""
    """Error code; a usual one for the status when empty."""
    message: str = "scripted failure"
    body: str | None = None
    """Whole answer, sent as it stands with ``status``."""
    delay: float = 0
    retry_after: int | None = None
    """Seconds in the header ``Retry-After`` of a failure."""
    error: Exception | None = None
    """Raised as it is."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Step:
        """Build a step from a checked entry of ``script`` in models.json."""
        embedding = values.get("embedding")
        known = {**values, "embedding": None if embedding is None else tuple(map(float, embedding))}
        return cls(**known)

    @property
    def answers(self) -> bool:
        """Return whether there is more to this step than its delay."""
        return (
            self.content is not None
            or self.embedding is not None
            or self.body is not None
            or self.error is not None
            or self.status >= 400
        )

    def play(self) -> None:
        """Wait, then raise what this step must raise."""
        time.sleep(self.delay)
        if self.error is not None:
            raise self.error
        if self.body is not None:
            raise RawResponse(self.status, self.body)
        if self.status >= 400:
            usual = (
                RATE_LIMITED
                if self.status == 429
                else INTERNAL_ERROR
                if self.status >= 500
                else INVALID_PARAMETER
            )
            raise ModelError(self.status, self.code or usual, self.message, self.retry_after)


Request = ChatRequest | EmbedRequest | DrawRequest


class ScriptedBackend(Backend):
    """Plays steps one per call, the last one again and again; or asks a function for each call's step.

    The function may also return the answer of another backend. ``requests`` keeps what was asked.
    """

    def __init__(self, script: Iterable[Step] | Callable[[Request], Step | ChatAnswer | EmbedAnswer]) -> None:
        self._choose = script if callable(script) else None
        self._steps = [] if callable(script) else list(script)
        self._lock = threading.Lock()
        self.requests: list[Request] = []

    def push(self, *steps: Step) -> None:
        """Add steps to the end of the script."""
        with self._lock:
            self._steps.extend(steps)

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Return the next scripted completion."""
        step = self._next(request)
        if isinstance(step, ChatAnswer):
            return step
        if not isinstance(step, Step):
            raise TypeError(f"the script answers a chat with {type(step).__name__}")
        step.play()
        content = step.content if isinstance(step.content, str) else json.dumps(step.content or {})
        return ChatAnswer(content, text_tokens(request.text), text_tokens(content))

    def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """Return the next scripted vector, once per part."""
        step = self._next(request)
        if isinstance(step, EmbedAnswer):
            return step
        if not isinstance(step, Step):
            raise TypeError(f"the script answers an embedding with {type(step).__name__}")
        step.play()
        return EmbedAnswer((step.embedding or (1.0,),) * len(request.parts), len(request.parts))

    def draw(self, request: DrawRequest) -> DrawAnswer:
        """Return the next scripted picture, as often as pictures were asked for."""
        step = self._next(request)
        if not isinstance(step, Step):
            raise TypeError(f"the script answers a drawing with {type(step).__name__}")
        step.play()
        content = step.content if isinstance(step.content, str) else ""
        return DrawAnswer((base64.b64decode(content),) * request.count)

    def _next(self, request: Request) -> Step | ChatAnswer | EmbedAnswer:
        with self._lock:
            self.requests.append(request)
            if self._choose is None:
                if not self._steps:
                    raise ModelError(500, INTERNAL_ERROR, "the script has no steps")
                return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        return self._choose(request)
