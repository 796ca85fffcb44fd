"""A backend that forwards calls to any OpenAI-compatible endpoint: vLLM, Ollama, llama.cpp, a cloud."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from maxcompute_local.models.backend import (
    CONTENT_BLOCKED,
    INTERNAL_ERROR,
    INVALID_PARAMETER,
    MODEL_NOT_FOUND,
    RATE_LIMITED,
    TIMEOUT,
    Backend,
    ChatAnswer,
    ChatRequest,
    DrawAnswer,
    DrawRequest,
    EmbedAnswer,
    EmbedRequest,
    ImagePart,
    MediaPart,
    ModelError,
    Part,
    TextPart,
)

_BLOCKED_WORDS = ("content_filter", "content_policy", "data_inspection_failed", "datainspectionfailed")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MAX_MESSAGE = 300


class OpenAICompatibleBackend(Backend):
    """Client of one model at one endpoint. Answers and errors are mapped; nothing is tried twice."""

    def __init__(self, base_url: str, model: str, api_key: str | None = None, timeout: float = 120.0) -> None:
        """``base_url`` ends in ``/v1`` for most servers; ``timeout`` is seconds without a byte received."""
        self._base_url = base_url.rstrip("/")
        self._model = model
        self._api_key = api_key
        self._timeout = timeout
        self._local = urlsplit(base_url).hostname in _LOOPBACK

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Forward a chat; pictures and videos go as data URIs."""
        messages = [
            {"role": message.role, "content": _content(message.parts)} for message in request.messages
        ]
        answer = self._post(
            "chat/completions", {**request.params, "model": self._model, "messages": messages}
        )
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise self._malformed("no choices[0].message")
        reason = choice.get("finish_reason") or "stop"
        if reason == "content_filter":
            raise ModelError(400, CONTENT_BLOCKED, "the model service blocked the answer (content_filter)")
        content = choice["message"].get("content") or ""
        if not isinstance(content, str):
            raise self._malformed("choices[0].message.content is not text")
        usage = answer.get("usage")
        return ChatAnswer(
            content, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"), str(reason)
        )

    def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """Forward embeddings: texts in one call, anything else in calls of their own, as vLLM takes them."""
        extra: dict[str, Any] = {"model": self._model, "encoding_format": "float"}
        if request.dimension is not None:
            extra["dimensions"] = request.dimension
        if all(isinstance(part, TextPart) for part in request.parts):
            texts = [part.text for part in request.parts if isinstance(part, TextPart)]
            return self._embeddings({**extra, "input": texts}, len(texts))
        answers = [
            self._embeddings({**extra, "messages": [{"role": "user", "content": _content((part,))}]}, 1)
            for part in request.parts
        ]
        vectors = tuple(vector for answer in answers for vector in answer.vectors)
        return EmbedAnswer(vectors, sum(answer.input_tokens for answer in answers))

    def draw(self, request: DrawRequest) -> DrawAnswer:
        """Forward a drawing; the pictures to look like go as data URIs under ``image``."""
        body: dict[str, Any] = {
            "model": self._model,
            "prompt": request.prompt,
            "n": request.count,
            "response_format": "b64_json",
        }
        if request.size is not None:
            body["size"] = "{}x{}".format(*request.size)
        if request.images:
            uris = [_data_uri(part) for part in request.images]
            body["image"] = uris if len(uris) > 1 else uris[0]
        data = self._post("images/generations", body).get("data")
        try:
            pictures = tuple(base64.b64decode(item["b64_json"], validate=True) for item in data or ())
        except (KeyError, TypeError, ValueError) as error:
            raise self._malformed("data[].b64_json is not Base64") from error
        if len(pictures) != request.count:
            raise self._malformed(f"data does not hold {request.count} pictures")
        return DrawAnswer(pictures)

    def _embeddings(self, body: dict[str, Any], count: int) -> EmbedAnswer:
        answer = self._post("embeddings", body)
        data = answer.get("data")
        if not isinstance(data, list) or len(data) != count:
            raise self._malformed(f"data does not hold {count} embeddings")
        try:
            ordered = sorted(data, key=lambda item: int(item.get("index", 0)))
            vectors = tuple(tuple(float(number) for number in item["embedding"]) for item in ordered)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._malformed("data[].embedding is not a list of numbers") from error
        usage = answer.get("usage")
        return EmbedAnswer(vectors, _count(usage, "prompt_tokens") or _count(usage, "total_tokens"))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{self._base_url}/{path}"
        try:
            with requests.Session() as session:
                # A proxy for the internet must not be asked for this machine.
                session.trust_env = not self._local
                response = session.post(
                    url,
                    json=body,
                    auth=_Bearer(self._api_key),
                    timeout=(5, self._timeout),
                    # A redirect would carry pictures and videos elsewhere.
                    allow_redirects=False,
                )
        except requests.Timeout as error:
            raise ModelError(504, TIMEOUT, f"{self._base_url} did not answer in time") from error
        except requests.RequestException as error:
            raise ModelError(
                503, INTERNAL_ERROR, f"cannot reach {self._base_url} ({type(error).__name__})"
            ) from error
        if response.status_code != 200:
            raise self._refused(response)
        try:
            answer = response.json()
        except ValueError as error:
            raise self._malformed("not JSON") from error
        if not isinstance(answer, dict):
            raise self._malformed("not a JSON object")
        return answer

    def _refused(self, response: requests.Response) -> ModelError:
        status, text = response.status_code, response.text
        message = self._without_key(_error_message(response))
        if status == 429:
            return ModelError(429, RATE_LIMITED, message, response.headers.get("Retry-After"))
        if status in (401, 403):
            # Not the caller's token: a 401 of ours would blame it.
            return ModelError(
                502, INTERNAL_ERROR, f"{self._base_url} refused the configured API key ({status})"
            )
        if status == 404:
            return ModelError(404, MODEL_NOT_FOUND, message)
        if any(word in text.lower() for word in _BLOCKED_WORDS):
            return ModelError(400, CONTENT_BLOCKED, message)
        if status >= 500:
            return ModelError(status, INTERNAL_ERROR, message)
        if status >= 400:
            return ModelError(400, INVALID_PARAMETER, message)
        return ModelError(502, INTERNAL_ERROR, f"{self._base_url} answered {status}, which is no completion")

    def _malformed(self, what: str) -> ModelError:
        return ModelError(502, INTERNAL_ERROR, f"{self._base_url} gave no OpenAI-shaped answer: {what}")

    def _without_key(self, text: str) -> str:
        return text.replace(self._api_key, "***") if self._api_key else text


class _Bearer(AuthBase):
    """Sets the key, or nothing: requests would otherwise fill in credentials from a netrc file."""

    def __init__(self, api_key: str | None) -> None:
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._api_key:
            request.headers["Authorization"] = f"Bearer {self._api_key}"
        return request


def _content(parts: tuple[Part, ...]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    kind = "image_url" if isinstance(part, ImagePart) else "video_url"
    return {"type": kind, kind: {"url": _data_uri(part)}}


def _data_uri(part: MediaPart) -> str:
    return f"data:{part.mime};base64,{base64.b64encode(part.data).decode()}"


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) else 0


def _error_message(response: requests.Response) -> str:
    try:
        answer = response.json()
    except ValueError:
        return f"HTTP {response.status_code} without a JSON body"
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    message = error.get("message") if isinstance(error, dict) else error
    return f"HTTP {response.status_code}: {message}"[:_MAX_MESSAGE]
