"""The managed models' operators over a frame: one request per row, a bad row never fails the DAG."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from .content import RowError, Storage, to_wire
from .model_client import ModelClient
from .templates import is_null, render

logger = logging.getLogger("maxcompute_local")

CONCURRENT_REQUESTS = 8
"""Requests in flight at once, per operator."""


@dataclass(frozen=True)
class ModelCall:
    """What one operator asks of its model for every row.

    ``template`` is a prompt, a list of chat messages, or the content to embed; None takes a series' values.
    """

    model: str
    project: str
    template: Any
    params: Mapping[str, Any]
    running_options: Mapping[str, Any]
    simple_output: bool
    dimension: int | None = None

    def base(self) -> dict[str, Any]:
        """Return what all requests have in common."""
        return {"model": self.model, "project": self.project, "params": dict(self.params)}


@dataclass(frozen=True)
class Operation:
    """How one kind of operator builds its requests and reads the answers."""

    path: str
    request: Callable[[ModelCall, Mapping[str, Any], Storage], dict[str, Any]]
    simple: Callable[[Mapping[str, Any]], str] = field(repr=False)


def run(
    data: Any,
    *,
    operation: Operation,
    call: ModelCall,
    client: ModelClient,
    storage: Storage,
    on_done: Callable[[float], None],
) -> pd.DataFrame:
    """Return ``response`` and ``success`` for every row of a frame or series, with its index."""
    frame = data.to_frame() if isinstance(data, pd.Series) else data
    columns = [str(column) for column in frame.columns]

    names: list[str] = []

    def answer(values: tuple[Any, ...]) -> tuple[str, bool]:
        try:
            request = operation.request(call, dict(zip(columns, values, strict=True)), storage)
            raw = client.call(operation.path, request)
            if not names:
                names.append(_answered_by(raw, call.model))
            return operation.simple(json.loads(raw)) if call.simple_output else raw, True
        except RowError as error:
            return _error_text(error.code, error.message), False
        except (KeyError, IndexError, TypeError, ValueError) as error:
            # An answer or a cell of an unexpected shape is the row's problem.
            return _error_text("invalid_row_or_answer", f"{type(error).__name__}: {error}"), False

    responses: list[str] = []
    successes: list[bool] = []
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        for response, success in pool.map(answer, frame.itertuples(index=False, name=None)):
            responses.append(response)
            successes.append(success)
            on_done(len(responses) / len(frame))
    _log_outcome(names[0] if names else call.model, responses, successes)
    return pd.DataFrame(
        {
            "response": pd.Series(responses, index=frame.index, dtype="string"),
            "success": pd.Series(successes, index=frame.index, dtype=bool),
        }
    )


def _answered_by(raw: str, model: str) -> str:
    """Return who an answer says has given it, else the model that was asked."""
    try:
        return str(json.loads(raw).get("model") or model)
    except (ValueError, AttributeError):
        return model


def _error_text(code: str, message: str) -> str:
    return json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False)


def _log_outcome(model: str, responses: list[str], successes: list[bool]) -> None:
    failed = successes.count(False)
    logger.info("model %s: %d rows ok, %d failed", model, len(successes) - failed, failed)
    if failed:
        logger.warning("model %s: first failure: %s", model, responses[successes.index(False)])


def _chat_request(call: ModelCall, row: Mapping[str, Any], storage: Storage) -> dict[str, Any]:
    template = call.template
    messages = [{"role": "user", "content": template}] if isinstance(template, str) else template
    return {
        **call.base(),
        "running_options": dict(call.running_options),
        "messages": [
            {"role": message["role"], "content": _content(message["content"], row, storage)}
            for message in messages
        ],
    }


def _content(content: Any, row: Mapping[str, Any], storage: Storage) -> Any:
    if isinstance(content, str):
        return render(content, row)
    parts = content if isinstance(content, list | tuple) else [content]
    return [to_wire(part, row, storage) for part in parts]


def _multimodal_request(call: ModelCall, row: Mapping[str, Any], storage: Storage) -> dict[str, Any]:
    parts = call.template if isinstance(call.template, list | tuple) else [call.template]
    return {
        **call.base(),
        "kind": "multimodal",
        "input": [to_wire(part, row, storage) for part in parts],
        "dimension": call.dimension,
    }


def _text_request(call: ModelCall, row: Mapping[str, Any], _storage: Storage) -> dict[str, Any]:
    if call.template is not None:
        text = render(call.template, row)
    else:
        value = next(iter(row.values()))
        if is_null(value):
            raise RowError("null_content", "the text is NULL")
        text = str(value)
    return {
        **call.base(),
        "kind": "text",
        "input": [{"type": "text", "text": text}],
        "dimension": call.dimension,
    }


def _chat_text(raw: Mapping[str, Any]) -> str:
    return str(raw["choices"][0]["message"]["content"])


def _multimodal_vectors(raw: Mapping[str, Any]) -> str:
    return _one_or_all([item["embedding"] for item in raw["output"]["embeddings"]])


def _text_vectors(raw: Mapping[str, Any]) -> str:
    return _one_or_all([item["embedding"] for item in raw["data"]])


def _one_or_all(vectors: list[Any]) -> str:
    return json.dumps(vectors[0] if len(vectors) == 1 else vectors)


GENERATE = Operation("chat", _chat_request, _chat_text)
EMBED_MULTIMODAL = Operation("embed", _multimodal_request, _multimodal_vectors)
EMBED_TEXT = Operation("embed", _text_request, _text_vectors)
