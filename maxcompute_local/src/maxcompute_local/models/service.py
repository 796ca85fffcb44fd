"""The HTTP service of the models: the MaxFrame engine asks it to generate and embed, anybody to draw."""

from __future__ import annotations

import base64
import binascii
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from maxcompute_local import json_text
from maxcompute_local.models import draw_calls
from maxcompute_local.models.backend import (
    INTERNAL_ERROR,
    INVALID_IMAGE,
    INVALID_PARAMETER,
    INVALID_VIDEO,
    UNAUTHORIZED,
    UNSUPPORTED_TASK,
    Backend,
    ChatRequest,
    DrawRequest,
    EmbedRequest,
    ImagePart,
    Message,
    ModelError,
    Part,
    TextPart,
    VideoPart,
)
from maxcompute_local.models.catalog import Model, Task
from maxcompute_local.models.registry import ModelRegistry
from maxcompute_local.models.script_rules import ModelRules, input_key
from maxcompute_local.models.scripted import RawResponse, ScriptedBackend
from maxcompute_local.stats import Stats

_logger = logging.getLogger(__name__)

_CHAT_TASKS = (Task.IMAGE_TEXT_TO_TEXT, Task.TEXT_GENERATION)
_EMBED_TASKS = {"multimodal": Task.MULTI_MODAL_EMBEDDING, "text": Task.SENTENCE_EMBEDDING}
_KINDS = {TextPart: "text", ImagePart: "image", VideoPart: "video"}
_KEPT_PICTURES = 64
"""Drawn pictures that can be fetched by address; older ones are gone."""
_MAX_CONCURRENT = 16
"""Calls in progress; more wait. Most of a slow endpoint's calls are only waiting."""

Answer = dict[str, Any]


class ModelService:
    """``POST /v1/chat``, ``/v1/embed`` and ``/v1/images/generations``; ``app`` is mounted under ``/models``.

    ``authenticate`` gets the bearer token and says whether it is good. Errors are
    ``{"error": {"code", "message"}}`` with a fitting status, those of drawings in the shape of OpenAI's.
    ``rules`` may answer chosen calls instead of the models.

    Counts ``model.chat``, ``model.embed`` and ``model.draw`` (calls that arrived, tries again included), for
    each also ``….ok`` and ``….error.<status>``; ``model.images.<model>`` and ``model.videos.<model>``,
    different pictures and videos that a model was shown; ``model.images_drawn``; ``model.error``, all
    failures; and tokens.
    """

    def __init__(self, registry: ModelRegistry, authenticate: Callable[[str], bool], stats: Stats) -> None:
        self._registry = registry
        self._authenticate = authenticate
        self._stats = stats
        self.rules = ModelRules()
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        # Threads of their own, so that slow models do not hold up tables and objects.
        self._limiter = CapacityLimiter(_MAX_CONCURRENT)
        self.app = Starlette(
            routes=[
                Route("/v1/chat", self._chat, methods=["POST"]),
                Route("/v1/embed", self._embed, methods=["POST"]),
                Route("/v1/images/generations", self._draw, methods=["POST"]),
                Route("/v1/images/{number}.png", self._drawn, methods=["GET"]),
            ],
            exception_handlers={ClientDisconnect: _nobody_there},
        )

    async def _chat(self, request: Request) -> Response:
        return await self._serve(request, "model.chat", self._answer_chat)

    async def _embed(self, request: Request) -> Response:
        return await self._serve(request, "model.embed", self._answer_embed)

    async def _draw(self, request: Request) -> Response:
        beside = str(request.url.replace(query="")).removesuffix("generations")
        return await self._serve(
            request, "model.draw", lambda body: self._answer_draw(body, beside), _openai_error
        )

    async def _drawn(self, request: Request) -> Response:
        """Return a picture that a caller wanted by address; whoever knows its number may have it."""
        picture = self._pictures.get(request.path_params["number"])
        return Response(status_code=404) if picture is None else Response(picture, media_type="image/png")

    async def _serve(
        self,
        request: Request,
        kind: str,
        answer: Callable[[Answer], Answer],
        refuse: Callable[[ModelError], Response] = lambda error: _error(error),
    ) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        # In a thread: it may look the token up in a file.
        known = scheme.lower() == "bearer" and await anyio.to_thread.run_sync(
            self._authenticate, token.strip()
        )
        if not known:
            self._stats.add("model.error")
            return refuse(ModelError(401, UNAUTHORIZED, "a valid bearer token is needed"))
        response = await self._response(request, kind, answer, refuse)
        if response.status_code < 400:
            self._stats.add(f"{kind}.ok")
        else:
            self._stats.add(f"{kind}.error.{response.status_code}")
            self._stats.add("model.error")
        return response

    async def _response(
        self,
        request: Request,
        kind: str,
        answer: Callable[[Answer], Answer],
        refuse: Callable[[ModelError], Response],
    ) -> Response:
        body = await request.body()
        try:
            self._stats.count(kind)
            return JSONResponse(
                await anyio.to_thread.run_sync(lambda: answer(_object(body)), limiter=self._limiter)
            )
        except ModelError as error:
            return refuse(error)
        except RawResponse as raw:
            return Response(raw.body, raw.status)
        except Exception as error:
            # The log has the traceback; the caller's table needs no more than the kind.
            _logger.exception("A model backend failed")
            return refuse(
                ModelError(500, INTERNAL_ERROR, f"the model backend failed ({type(error).__name__})")
            )

    def _answer_chat(self, body: Answer) -> Answer:
        model = self._model(body)
        if model.task not in _CHAT_TASKS:
            raise ModelError(400, UNSUPPORTED_TASK, f"model {model.name!r} does {model.task}, not chat")
        request = ChatRequest(
            model.name,
            _messages(body.get("messages")),
            _mapping(body, "params"),
            _mapping(body, "running_options"),
        )
        if model.task == Task.TEXT_GENERATION and (request.images or request.videos):
            raise _invalid(f"model {model.name!r} reads text only")
        answer = self._backend(model, request).chat(request)
        self._stats.add("model.input_tokens", answer.input_tokens)
        self._stats.add("model.output_tokens", answer.output_tokens)
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model.label,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": answer.finish_reason,
                    "message": {"role": "assistant", "content": answer.content},
                }
            ],
            "usage": {
                "prompt_tokens": answer.input_tokens,
                "completion_tokens": answer.output_tokens,
                "total_tokens": answer.input_tokens + answer.output_tokens,
            },
        }

    def _answer_embed(self, body: Answer) -> Answer:
        model = self._model(body)
        kind = body.get("kind")
        if not isinstance(kind, str) or kind not in _EMBED_TASKS:
            raise _invalid(f"kind: expected 'multimodal' or 'text', not {kind!r}")
        if model.task != _EMBED_TASKS[kind]:
            raise ModelError(
                400, UNSUPPORTED_TASK, f"model {model.name!r} does {model.task}, not {kind} embedding"
            )
        parts = _parts(body.get("input"), "input")
        if not parts:
            raise _invalid("input: nothing to embed")
        params = _mapping(body, "params")
        request = EmbedRequest(model.name, parts, _dimension(body, params), params)
        answer = self._backend(model, request).embed(request)
        tokens = answer.input_tokens
        self._stats.add("model.input_tokens", tokens)
        if kind == "text":
            data = [
                {"object": "embedding", "index": index, "embedding": list(vector)}
                for index, vector in enumerate(answer.vectors)
            ]
            usage = {"prompt_tokens": tokens, "total_tokens": tokens}
            return {"object": "list", "data": data, "model": model.label, "usage": usage}
        embeddings = [
            {
                "index": index,
                "type": _KINDS[type(part)],
                "embedding": list(vector),
            }
            for index, (part, vector) in enumerate(zip(parts, answer.vectors, strict=True))
        ]
        return {
            "model": model.label,
            "output": {"embeddings": embeddings},
            "usage": {"input_tokens": tokens, "total_tokens": tokens},
            "request_id": str(uuid.uuid4()),
        }

    def _answer_draw(self, body: Answer, beside: str) -> Answer:
        model = self._model(body)
        if model.task != Task.TEXT_TO_IMAGE:
            raise ModelError(
                400, UNSUPPORTED_TASK, f"model {model.name!r} does {model.task}, it does not draw"
            )
        by_address = draw_calls.wants_address(body)
        request = draw_calls.parse(model.name, body)
        pictures = self._backend(model, request).draw(request).pictures
        self._stats.add("model.images_drawn", len(pictures))
        data = []
        for picture in pictures:
            if by_address:
                number = uuid.uuid4().hex
                self._pictures[number] = picture
                while len(self._pictures) > _KEPT_PICTURES:
                    self._pictures.popitem(last=False)
                data.append({"url": f"{beside}{number}.png"})
            else:
                data.append({"b64_json": base64.b64encode(picture).decode()})
        return {"created": int(time.time()), "data": data, "model": model.label}

    def _backend(self, model: Model, request: ChatRequest | EmbedRequest | DrawRequest) -> Backend:
        """Return who answers a request: a rule's step if one picks it, else the model's own backend.

        Raises ModelError (429) when the request is beyond the model's limit.
        """
        if model.limit is not None:
            model.limit.take()
        for name, kind in (("images", ImagePart), ("videos", VideoPart)):
            if any(isinstance(part, kind) for part in request.parts):
                self._stats.distinct(f"model.{name}.{model.name}", input_key(request).encode())
        step = self.rules.step(request)
        if step is None:
            return model.backend
        if step.answers:
            return ScriptedBackend([step])
        step.play()
        return model.backend

    def _model(self, body: Answer) -> Model:
        name, project = body.get("model"), body.get("project")
        if not isinstance(name, str) or not name:
            raise _invalid("model: expected a name")
        if project is not None and not isinstance(project, str):
            raise _invalid("project: expected a name")
        return self._registry.find(name, project)


async def _nobody_there(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


def _object(body: bytes) -> Answer:
    try:
        value = json_text.load(body)
    except ValueError as error:
        raise _invalid("the request body is not JSON") from error
    if not isinstance(value, dict):
        raise _invalid("the request body is not a JSON object")
    return value


def _mapping(body: Answer, key: str) -> Mapping[str, Any]:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _invalid(f"{key}: expected an object")
    return value


def _dimension(body: Answer, params: Mapping[str, Any]) -> int | None:
    """The dimension is an own field; ``params`` may hold it under either of its usual names."""
    for value in (body.get("dimension"), params.get("dimension"), params.get("dimensions")):
        if value is not None:
            if isinstance(value, bool) or not isinstance(value, int):
                raise _invalid(f"dimension: expected an integer, not {value!r}")
            return value
    return None


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise _invalid("messages: expected a list of at least one message")
    messages = []
    for index, message in enumerate(value):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _invalid(f"messages[{index}]: expected an object with role and content")
        content = message.get("content")
        where = f"messages[{index}].content"
        parts = (TextPart(content),) if isinstance(content, str) else _parts(content, where)
        messages.append(Message(message["role"], parts))
    return tuple(messages)


def _parts(value: object, where: str) -> tuple[Part, ...]:
    if not isinstance(value, list):
        raise _invalid(f"{where}: expected a list of parts")
    return tuple(_part(part, f"{where}[{index}]") for index, part in enumerate(value))


def _part(value: object, where: str) -> Part:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(value, dict) and kind == "text" and isinstance(value.get("text"), str):
        return TextPart(value["text"])
    if isinstance(value, dict) and kind in ("image", "video") and isinstance(value.get("data"), str):
        made, code = (ImagePart, INVALID_IMAGE) if kind == "image" else (VideoPart, INVALID_VIDEO)
        try:
            data = base64.b64decode(value["data"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise ModelError(400, code, f"{where}.data is not base64") from error
        return made(data, str(value.get("mime") or made.mime), str(value.get("source") or ""))
    raise _invalid(f"{where}: expected a text part with text, or an image or video part with base64 data")


def _invalid(message: str) -> ModelError:
    return ModelError(400, INVALID_PARAMETER, message)


def _error(error: ModelError) -> JSONResponse:
    return _refusal(error, {"code": error.code, "message": error.message})


def _openai_error(error: ModelError) -> JSONResponse:
    usual = "server_error" if error.status >= 500 else "invalid_request_error"
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(error.status, usual)
    return _refusal(error, {"message": error.message, "type": kind, "param": None, "code": error.code})


def _refusal(error: ModelError, said: Answer) -> JSONResponse:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse({"error": said}, error.status, headers)
