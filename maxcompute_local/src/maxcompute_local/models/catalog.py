"""The models of the local cloud: those built in, and those that models.json adds."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from maxcompute_local.models import embedders, painter, tagger, text_reader
from maxcompute_local.models.backend import Backend
from maxcompute_local.models.openai_compatible import OpenAICompatibleBackend
from maxcompute_local.models.request_limit import RequestLimit
from maxcompute_local.models.scripted import ScriptedBackend, Step

PUBLIC_PROJECT = "bigdata_public_modelset"
"""The project in which Alibaba Cloud offers its own models to all."""


class Task(StrEnum):
    """What a model does, as the catalog spells it."""

    IMAGE_TEXT_TO_TEXT = "image-text-to-text"
    TEXT_GENERATION = "text-generation"
    MULTI_MODAL_EMBEDDING = "multi-modal-embedding"
    SENTENCE_EMBEDDING = "sentence-embedding"
    TEXT_TO_IMAGE = "text-to-image"
    """Not of MaxCompute: its catalog does not show such models, no AI function calls them."""


@dataclass(frozen=True)
class Model:
    """A model: its name, what it does, its card, and who answers."""

    name: str
    task: Task
    backend: Backend
    card: str
    project: str | None = None
    """The one project that offers it; None for the public and the default project."""
    stands_in: bool = False
    """Whether something else answers in the place of the model of this name."""
    limit: RequestLimit | None = None

    @property
    def label(self) -> str:
        """What people are told that answers come from."""
        return f"local stand-in for {self.name}" if self.stands_in else self.name

    @property
    def in_catalog(self) -> bool:
        """Whether MaxCompute's catalog shows it."""
        return self.task is not Task.TEXT_TO_IMAGE

    def to_catalog(self) -> dict[str, Any]:
        """Return the entry that the model catalog serves."""
        multi_modal = self.task in (Task.IMAGE_TEXT_TO_TEXT, Task.MULTI_MODAL_EMBEDDING)
        return {
            "modelName": self.name,
            "modelType": "MLLM" if multi_modal else "LLM",
            "sourceType": "REMOTE",
            "tasks": [str(self.task)],
            "description": self.card,
            "options": {"answeredBy": self.label} if self.stands_in else {},
            "inferenceParameters": {},
            "path": "",
            "createTime": "0",
            "updateTime": "0",
        }


class ModelConfigError(ValueError):
    """models.json cannot be used. ``problems`` names every mistake with its file and field."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


_BUILTIN: Mapping[str, tuple[Task, type[Backend], str]] = {
    "scene-tagger": (Task.IMAGE_TEXT_TO_TEXT, tagger.SceneTagger, tagger.CARD),
    "image-descriptor": (Task.MULTI_MODAL_EMBEDDING, embedders.ImageDescriptor, embedders.IMAGE_CARD),
    "text-reader": (Task.TEXT_GENERATION, text_reader.TextReader, text_reader.CARD),
    "text-hasher": (Task.SENTENCE_EMBEDDING, embedders.TextHasher, embedders.TEXT_CARD),
    "scene-painter": (Task.TEXT_TO_IMAGE, painter.ScenePainter, painter.CARD),
}
_STAND_INS: Mapping[str, str] = {
    "qwen3-vl-plus": "scene-tagger",
    "qwen3-vl-embedding": "image-descriptor",
    "qwen-plus": "text-reader",
    "text-embedding-v4": "text-hasher",
    "qwen-image-edit": "scene-painter",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def builtin_models() -> list[Model]:
    """Return the models that are always there, and stand-ins for real ones that scenarios name."""
    models = [_builtin(f"local-{kind}", kind) for kind in _BUILTIN]
    for name, kind in _STAND_INS.items():
        models.append(_stand_in(name, kind))
    return models


def _builtin(name: str, kind: str) -> Model:
    task, backend, card = _BUILTIN[kind]
    return Model(name, task, backend(), card)


def _stand_in(name: str, kind: str, project: str | None = None) -> Model:
    """Return a model of somebody else's name that a built-in one answers for."""
    model = replace(_builtin(name, kind), project=project, stands_in=True)
    card = (
        f"A {model.label}: no weights of that model are here. local-{kind} answers, so that code that names "
        f"{name} runs without a cloud. "
    )
    return replace(model, card=card + model.card)


@dataclass(frozen=True)
class _Entry:
    """One entry of models.json; the field names are the keys of the file."""

    name: str
    task: str
    backend: str
    project: str | None = None
    description: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    model: str | None = None
    timeout_sec: float | None = None
    script: tuple[Mapping[str, Any], ...] | None = None
    max_requests_per_minute: int | None = None


_KEYS = tuple(item.name for item in fields(_Entry))
_STEP_TYPES: Mapping[str, tuple[type, ...]] = {
    "content": (str, dict),
    "embedding": (list,),
    "status": (int,),
    "code": (str,),
    "message": (str,),
    "body": (str,),
    "delay": (int, float),
    "retry_after": (int,),
}
"""What a step of a script may hold."""
_OPENAI_KEYS = ("base_url", "api_key_env", "model", "timeout_sec")


def load_models(path: Path, environ: Mapping[str, str] = os.environ) -> list[Model]:
    """Read ``{"models": [...]}``; raise ModelConfigError naming every mistake at once.

    API keys are taken from the environment variable that ``api_key_env`` names, never from the file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ModelConfigError([f"{path.name}:{error.lineno}: not JSON: {error.msg}"]) from error
    entries = content.get("models") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ModelConfigError([f'{path.name}: expected {{"models": [...]}}'])
    problems: list[str] = []
    models = []
    for index, entry in enumerate(entries):
        where = f"{path.name}: models[{index}]"
        found = _problems(entry, environ)
        problems += [f"{where}{problem}" for problem in found]
        if not found:
            models.append(_model(_Entry(**entry), environ))
    if problems:
        raise ModelConfigError(problems)
    return models


def _problems(entry: object, environ: Mapping[str, str]) -> list[str]:
    """Return what is wrong with an entry, each as ``.field: what``."""
    if not isinstance(entry, dict):
        return [": expected an object"]
    problems = [_unknown_key(key) for key in entry if key not in _KEYS]
    for key in ("name", "task", "backend"):
        if key not in entry:
            problems.append(f".{key}: missing")
    for key in ("name", "task", "backend", "project", "description", "base_url", "api_key_env", "model"):
        if key in entry and not isinstance(entry[key], str):
            problems.append(f".{key}: expected text")
    if problems:
        return problems
    for key in ("name", "project"):
        if key in entry and not _NAME.fullmatch(entry[key]):
            problems.append(f".{key}: {entry[key]!r} may hold letters, digits, '.', '_' and '-' only")
    if entry["task"] not in list(Task):
        problems.append(f".task: {entry['task']!r} is none of {', '.join(Task)}")
    most = entry.get("max_requests_per_minute", 1)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        problems.append(".max_requests_per_minute: expected a whole number above 0")
    return problems + _backend_problems(entry, environ)


def _unknown_key(key: str) -> str:
    if "key" in key and key != "api_key_env":
        return f".{key}: keys do not belong in a file; name an environment variable in api_key_env"
    near = difflib.get_close_matches(key, _KEYS, 1)
    return f".{key}: unknown" + (f"; did you mean {near[0]}?" if near else "")


def _backend_problems(entry: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    kind = entry["backend"]
    allowed = {"openai": _OPENAI_KEYS, "script": ("script",)}.get(kind, ())
    problems = [
        f".{key}: not used by backend {kind!r}"
        for key in (*_OPENAI_KEYS, "script")
        if key in entry and key not in allowed
    ]
    if kind == "openai":
        problems += _openai_problems(entry, environ)
    elif kind == "script":
        problems += _script_problems(entry.get("script"))
    elif kind.removeprefix("builtin:") in _BUILTIN and kind.startswith("builtin:"):
        task = _BUILTIN[kind.removeprefix("builtin:")][0]
        if entry["task"] in list(Task) and entry["task"] != task:
            problems.append(f".task: {kind} does {task}")
    else:
        known = ", ".join(["openai", "script", *(f"builtin:{name}" for name in _BUILTIN)])
        problems.append(f".backend: {kind!r} is none of {known}")
    return problems


def _openai_problems(entry: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    problems = []
    url = urlsplit(entry.get("base_url", ""))
    if url.scheme not in ("http", "https") or not url.hostname:
        problems.append(".base_url: expected an address such as http://127.0.0.1:8000/v1")
    elif url.username or url.password:
        problems.append(".base_url: credentials do not belong in a file; use api_key_env")
    variable = entry.get("api_key_env")
    if variable is not None and not environ.get(variable):
        problems.append(f".api_key_env: the environment variable {variable} is not set")
    timeout = entry.get("timeout_sec", 1)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        problems.append(".timeout_sec: expected a number of seconds above 0")
    return problems


def _script_problems(script: Any) -> list[str]:
    if not isinstance(script, list) or not script:
        return [".script: expected a list of steps, at least one"]
    problems = []
    for index, values in enumerate(script):
        where = f".script[{index}]"
        if not isinstance(values, dict):
            problems.append(f"{where}: expected an object")
            continue
        for key, value in values.items():
            if key not in _STEP_TYPES:
                problems.append(f"{where}.{key}: unknown; a step has {', '.join(_STEP_TYPES)}")
            elif not isinstance(value, _STEP_TYPES[key]) or isinstance(value, bool):
                problems.append(f"{where}.{key}: not of a type that fits")
            elif isinstance(value, list) and not all(isinstance(number, int | float) for number in value):
                problems.append(f"{where}.{key}: expected numbers")
    return problems


def _model(entry: _Entry, environ: Mapping[str, str]) -> Model:
    most = entry.max_requests_per_minute
    limit = RequestLimit(most) if most is not None else None
    return replace(_unlimited(entry, environ), limit=limit)


def _unlimited(entry: _Entry, environ: Mapping[str, str]) -> Model:
    task = Task(entry.task)
    if entry.backend == "openai":
        remote = entry.model or entry.name
        key = environ[entry.api_key_env] if entry.api_key_env else None
        backend: Backend = OpenAICompatibleBackend(
            entry.base_url or "", remote, key, **({"timeout": entry.timeout_sec} if entry.timeout_sec else {})
        )
        card = f"Answered by {remote} at {entry.base_url}, an OpenAI-compatible endpoint."
    elif entry.backend == "script":
        backend = ScriptedBackend(Step.from_json(values) for values in entry.script or ())
        card = "Plays prepared answers; for tests."
    else:
        model = _stand_in(entry.name, entry.backend.removeprefix("builtin:"), entry.project)
        return replace(model, card=entry.description or model.card)
    return Model(entry.name, task, backend, entry.description or card, entry.project)
