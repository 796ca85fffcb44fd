"""A local cloud with a model that only reads, whose answers a test decides, and what it was told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from maxcompute_local.models.backend import ChatRequest
from maxcompute_local.models.script_rules import ModelRules
from maxcompute_local.models.scripted import Request, Step
from maxcompute_local.server import LocalCloud

READER = "reader"
_MODEL = {"name": READER, "task": "text-generation", "backend": "script", "script": [{"content": "-"}]}
FAILED = Step(status=400)


@dataclass
class Reader:
    """The model: ``answer`` gets what a call says, ``told`` is what all calls since the last look said."""

    answer: Callable[[str], str | Step] = "read: {}".format
    told: list[str] = field(default_factory=list)

    def asked(self) -> list[str]:
        """Return what was told since the last look, sorted: calls come in any order."""
        told, self.told = sorted(self.told), []
        return told


@pytest.fixture(scope="module")
def reading_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Start a local cloud that has the model, once for all tests of a module."""
    root = tmp_path_factory.mktemp("cloud")
    (root / "models.json").write_text(json.dumps({"models": [_MODEL]}))
    cloud = LocalCloud(root, odps_port=0, oss_port=0).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def reader(reading_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Return the model; other models answer as ever."""
    found = Reader()
    step = ModelRules.step

    def listen(rules: ModelRules, request: Request) -> Any:
        if not isinstance(request, ChatRequest) or request.model != READER:
            return step(rules, request)
        found.told.append(request.text)
        answer = found.answer(request.text)
        return answer if isinstance(answer, Step) else Step(content=answer)

    monkeypatch.setattr(ModelRules, "step", listen)
    return found


@pytest.fixture
def hook(reading_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> MaxFrameHook:
    """Return a hook for the connection drivepipe_default, which is to the local cloud."""
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", connection_json(reading_cloud.settings))
    return MaxFrameHook()
