"""The model registry and models.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from maxcompute_local.models.backend import ChatRequest, EmbedRequest, ModelError, TextPart
from maxcompute_local.models.catalog import PUBLIC_PROJECT, ModelConfigError, Task
from maxcompute_local.models.embedders import ImageDescriptor, TextHasher
from maxcompute_local.models.openai_compatible import OpenAICompatibleBackend
from maxcompute_local.models.registry import ModelRegistry
from maxcompute_local.models.scripted import ScriptedBackend
from maxcompute_local.models.tagger import SceneTagger
from maxcompute_local.models.text_reader import TextReader

BUILTIN = {
    "local-scene-tagger": ("MLLM", "image-text-to-text", SceneTagger),
    "local-image-descriptor": ("MLLM", "multi-modal-embedding", ImageDescriptor),
    "local-text-reader": ("LLM", "text-generation", TextReader),
    "local-text-hasher": ("LLM", "sentence-embedding", TextHasher),
    "qwen3-vl-plus": ("MLLM", "image-text-to-text", SceneTagger),
    "qwen3-vl-embedding": ("MLLM", "multi-modal-embedding", ImageDescriptor),
    "qwen-plus": ("LLM", "text-generation", TextReader),
    "text-embedding-v4": ("LLM", "sentence-embedding", TextHasher),
}


def with_file(root: Path, models: Any, environ: dict[str, str] | None = None) -> ModelRegistry:
    (root / "models.json").write_text(json.dumps(models))
    return ModelRegistry("demo", root, environ or {})


@pytest.mark.parametrize("project", [PUBLIC_PROJECT, "demo"])
def test_builtin_models_in_both_projects(project: str) -> None:
    registry = ModelRegistry("demo")
    assert [entry["modelName"] for entry in registry.list_models(project, "default")] == sorted(BUILTIN)
    for name, (model_type, task, backend) in BUILTIN.items():
        entry = registry.get_model(project, "default", name)
        assert entry is not None
        assert {key: value for key, value in entry.items() if key != "description"} == {
            "modelName": name,
            "modelType": model_type,
            "sourceType": "REMOTE",
            "tasks": [task],
            "options": {} if name.startswith("local-") else {"answeredBy": f"local stand-in for {name}"},
            "inferenceParameters": {},
            "path": "",
            "createTime": "0",
            "updateTime": "0",
        }
        assert isinstance(registry.backend(name, project), backend)


@pytest.mark.parametrize("name", ["qwen3-vl-plus", "qwen3-vl-embedding", "qwen-plus", "text-embedding-v4"])
def test_card_of_a_stand_in_says_so(name: str) -> None:
    entry = ModelRegistry("demo").get_model("demo", "default", name)
    assert entry is not None
    assert entry["description"].startswith(f"A local stand-in for {name}: no weights of that model are here.")


def test_other_projects_and_schemas_have_none() -> None:
    registry = ModelRegistry("demo")
    assert registry.list_models("elsewhere", "default") == []
    assert registry.list_models("demo", "other") == []
    assert registry.get_model("demo", "other", "qwen3-vl-plus") is None
    assert registry.get_model("demo", "default", "nope") is None


def test_unknown_model_is_a_404() -> None:
    with pytest.raises(
        ModelError, match="no model 'nope' in project demo or bigdata_public_modelset"
    ) as caught:
        ModelRegistry("demo").backend("nope")
    assert (caught.value.status, caught.value.code) == (404, "ModelNotFound")


def test_file_adds_and_replaces(tmp_path: Path) -> None:
    registry = with_file(
        tmp_path,
        {
            "models": [
                {
                    "name": "qwen3-vl-plus",
                    "task": "image-text-to-text",
                    "backend": "openai",
                    "base_url": "http://127.0.0.1:1/v1",
                    "api_key_env": "MY_KEY",
                    "model": "Qwen/Qwen3-VL-8B-Instruct",
                },
                {
                    "name": "words",
                    "project": "demo",
                    "task": "sentence-embedding",
                    "backend": "builtin:text-hasher",
                },
                {
                    "name": "flaky",
                    "task": "text-generation",
                    "backend": "script",
                    "script": [{"status": 429}, {"content": "x"}],
                },
            ]
        },
        {"MY_KEY": "sk-very-secret"},
    )
    assert isinstance(registry.backend("qwen3-vl-plus"), OpenAICompatibleBackend)
    entry = registry.get_model("demo", "default", "qwen3-vl-plus")
    assert entry is not None
    assert "STAND-IN" not in entry["description"]
    assert "sk-very-secret" not in json.dumps(entry)
    assert isinstance(registry.backend("words", "demo"), TextHasher)
    assert registry.get_model(PUBLIC_PROJECT, "default", "words") is None
    flaky = registry.backend("flaky")
    with pytest.raises(ModelError) as caught:
        flaky.chat(ChatRequest("flaky", ()))
    assert caught.value.status == 429
    assert flaky.chat(ChatRequest("flaky", ())).content == "x"


def test_all_mistakes_at_once_with_file_and_field(tmp_path: Path) -> None:
    models = [
        {"name": "a", "task": "labeling", "backend": "builtin:scene-tagger"},
        {
            "name": "b",
            "task": "text-generation",
            "backend": "openai",
            "base_url": "vllm:8000",
            "api_key_env": "UNSET",
        },
        {
            "name": "c",
            "task": "text-generation",
            "backend": "openai",
            "base_url": "http://u:p@host/v1",
            "api_key": "sk",
        },
        {
            "name": "d",
            "task": "text-generation",
            "backend": "openai",
            "base_url": "http://u:p@host/v1",
            "timeout_sec": 0,
        },
        {"name": "e", "task": "text-generation", "backend": "ollama"},
        {"name": "f", "task": "sentence-embedding", "backend": "builtin:scene-tagger", "model": "x"},
        {"name": "g", "taks": "sentence-embedding", "backend": 7},
        {
            "name": "h/i",
            "task": "text-generation",
            "backend": "script",
            "script": [{"contents": 1}, {"status": "429"}],
        },
        {"name": "j", "task": "text-generation", "backend": "script", "max_requests_per_minute": 0},
        "k",
    ]
    with pytest.raises(ModelConfigError) as caught:
        with_file(tmp_path, {"models": models})
    expected = [
        "[0].task: 'labeling' is none of image-text-to-text, text-generation, multi-modal-embedding",
        "[1].base_url: expected an address such as",
        "[1].api_key_env: the environment variable UNSET is not set",
        "[2].api_key: keys do not belong in a file; name an environment variable in api_key_env",
        "[3].base_url: credentials do not belong in a file",
        "[3].timeout_sec: expected a number of seconds above 0",
        "[4].backend: 'ollama' is none of openai, script, builtin:scene-tagger",
        "[5].model: not used by backend 'builtin:scene-tagger'",
        "[5].task: builtin:scene-tagger does image-text-to-text",
        "[6].taks: unknown; did you mean task?",
        "[6].task: missing",
        "[6].backend: expected text",
        "[7].name: 'h/i' may hold letters",
        "[7].script[0].contents: unknown; a step has content, embedding",
        "[7].script[1].status: not of a type",
        "[8].max_requests_per_minute: expected a whole number above 0",
        "[8].script: expected a list of steps",
        "[9]: expected an object",
    ]
    problems = caught.value.problems
    assert len(problems) == len(expected)
    for problem in expected:
        assert any(line.startswith("models.json: models" + problem) for line in problems), (problem, problems)
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"models": [', r"models.json:1: not JSON"), ("[]", "expected"), ('{"models": {}}', "expected")],
)
def test_unreadable_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "models.json").write_text(text)
    with pytest.raises(ModelConfigError, match=message):
        ModelRegistry("demo", tmp_path, {})


def test_registered_backend_replaces_in_one_project_only() -> None:
    registry = ModelRegistry("demo")
    backend = ScriptedBackend([])
    registry.register("qwen3-vl-plus", "image-text-to-text", backend, project="demo")
    assert registry.backend("qwen3-vl-plus") is backend
    assert isinstance(registry.backend("qwen3-vl-plus", PUBLIC_PROJECT), SceneTagger)
    registry.register("mine", Task.SENTENCE_EMBEDDING, TextHasher(), card="my own")
    assert registry.backend("mine", PUBLIC_PROJECT).embed(EmbedRequest("mine", (TextPart("x"),))).vectors


def test_models_of_one_name_may_differ_between_projects_of_the_file(tmp_path: Path) -> None:
    base = {"name": "m", "task": "text-generation", "backend": "script"}
    registry = with_file(
        tmp_path,
        {
            "models": [
                {**base, "script": [{"content": "all"}]},
                {**base, "project": "p", "script": [{"content": "p"}]},
            ]
        },
    )
    answers = {
        project: registry.backend("m", project).chat(ChatRequest("m", ())).content
        for project in ("demo", "p")
    }
    assert answers == {"demo": "all", "p": "p"}
