"""The retrieval family against the local cloud, with models and vectors that a test decides."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest
import yaml
from PIL import Image as Picture

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, video_id
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.pipelines.driving.models import image_embedding
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.retrieval.scenario import RetrievalScenario
from airflow_provider_drivepipe.stages.content import Image
from maxcompute_local.models.backend import ChatRequest, DrawRequest, EmbedRequest
from maxcompute_local.models.script_rules import ModelRules
from maxcompute_local.models.scripted import Request, Step
from tests.integration.operator_context import Run
from tests.integration.scenario_run import ScenarioRun
from tests.unit.image_samples import encoded

DAY = "20261120"
VLM, EMBEDDER = "qwen3-vl-plus", "qwen3-vl-embedding"
BLOCKED = Step(status=400, code="DataInspectionFailed")
_PICTURE = base64.b64encode(encoded(Picture.new("RGB", (40, 30), (200, 30, 30)))).decode()
ARMS = ("blind", "uniform", "text", "planned_text", "fused", "coverage", "oracle")
Vector = tuple[float, ...]


@dataclass(frozen=True)
class Call:
    """What a model was asked: ``plan``, ``answer`` or ``blind``, about which question, from which frames."""

    kind: str
    question: str
    frames: tuple[int, ...]


@dataclass
class Models:
    """The models: ``answer`` gives what a call gets, None for what fits, ``vector`` a text's or an image's.

    ``draw`` gives what a prompt gets, None for a picture.
    """

    answer: Callable[[Call], str | Step | None] = lambda call: None
    vector: Callable[[str], Vector | Step] = lambda text: (1.0, 0.0, 0.0, 0.0)
    draw: Callable[[str], Step | None] = lambda prompt: None
    calls: list[Call] = field(default_factory=list)

    def asked(self) -> Counter[tuple[str, str]]:
        """Return how often each question was asked in each way since the last look.

        ``embed`` and ``draw`` say what was embedded and drawn instead of a question.
        """
        calls, self.calls = self.calls, []
        return Counter((call.kind, call.question) for call in calls)

    def step(self, request: Request) -> Step:
        if isinstance(request, EmbedRequest):
            [part] = request.parts
            text = getattr(part, "text", None) or "image"
            self.calls.append(Call("embed", text, ()))
            vector = self.vector(text)
            return vector if isinstance(vector, Step) else Step(embedding=vector)
        if isinstance(request, DrawRequest):
            self.calls.append(Call("draw", request.prompt, ()))
            return self.draw(request.prompt) or Step(content=_PICTURE)
        assert isinstance(request, ChatRequest)
        text = request.text
        kind = "plan" if "requests" in text else "blind" if "No frame" in text else "answer"
        numbers = tuple(int(number) for number in re.findall(r"(?:Frame|第) (\d+)", text))
        assert len(numbers) == len(request.images), "each image stands behind its number"
        call = Call(kind, re.findall(r"(?:Question:|问题：)\s*(.*)", text)[0], numbers)
        self.calls.append(call)
        answer = self.answer(call)
        if isinstance(answer, Step):
            return answer
        return Step(content=self.fitting(call) if answer is None else answer)

    @staticmethod
    def fitting(call: Call) -> str:
        if call.kind == "plan":
            requests = [{"reference_image_id": call.frames[0], "prompt": f"{call.question} planned"}]
            return json.dumps({"requests": requests})
        return json.dumps({"reasoning": "It shows.", "answer": "A", "frames": list(call.frames[:1])})


class Library:
    """Videos as tables of frames and questions, and a scenario over them."""

    def __init__(self, oss_client: oss.Client, bucket: str, table: str, folder: Path, models: Models) -> None:
        self.oss, self.bucket, self.table, self.folder, self.models = (
            oss_client, bucket, table, folder, models,
        )  # fmt: skip
        self.hook = MaxFrameHook()
        self.root = str(self.hook.oss_root(bucket))
        self.embedding = image_embedding(EMBEDDER, 4, Image("image_url")).hashes(self.hook)
        status = ", ".join(f"`{c.name}` {c.type}" for c in STATUS_COLUMNS)
        images = "frame_time_ms BIGINT, image_id STRING, image_url STRING, image_embedding STRING"
        texts = " STRING, ".join(("question_id", "video_path", "question", "options", "answer", "category"))
        for name, columns in (
            (
                "frames",
                f"video_path STRING, video_id STRING, frame_idx BIGINT, {images}, {status}",
            ),
            (
                "asked",
                f"{texts} STRING, evidence_start_ms BIGINT, evidence_end_ms BIGINT, trip STRING",
            ),
        ):
            self.hook.execute_sql(f"CREATE TABLE {table}_{name} ({columns}) PARTITIONED BY (ds STRING)")

    def video(self, name: str) -> str:
        return f"{self.root}/videos/{name}.mp4"

    def frames(self, videos: Mapping[str, Sequence[Vector | None]], fingerprint: str | None = None) -> None:
        """Write videos, a frame each second, each with its vector; None for one that has none."""
        made = f"image_embedding={self.embedding['image_embedding']}" if fingerprint is None else fingerprint
        rows = []
        for video, vectors in videos.items():
            for index, vector in enumerate(vectors):
                key = f"frames/{video}_{index:04d}.jpg"
                picture = Picture.new("RGB", (32, 24), (index * 7 % 256, len(video) * 31 % 256, 90))
                self.oss.put_object(oss.PutObjectRequest(bucket=self.bucket, key=key, body=encoded(picture)))
                rows.append(
                    [
                        self.video(video), video_id(f"videos/{video}.mp4"), index, index * 1000,
                        f"{video}_{index:04d}", f"{self.root}/{key}",
                        None if vector is None else json.dumps(vector),
                        "failed" if vector is None else "ok", "", "", "", 1, f"{made};input=0",
                    ]
                )  # fmt: skip
        self._write("frames", rows)

    def questions(self, *questions: Sequence[Any]) -> None:
        """Write questions: id, video, text, options, answer, category, evidence from and to."""
        rows = [
            [
                name,
                self.video(video),
                text,
                json.dumps(options) if options else None,
                *rest,
                f"trip of {video}",
            ]
            for name, video, text, options, *rest in questions
        ]
        self._write("asked", rows)

    def _write(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        table = self.hook.odps.get_table(f"{self.table}_{name}")
        table.delete_partition(f"ds={DAY}", if_exists=True)
        with table.open_writer(partition=f"ds={DAY}", create_partition=True) as writer:
            writer.write([list(row) for row in rows])

    def scenario_file(self, keys: Mapping[str, Any] | None = None, **retrieval: Any) -> Path:
        """Write the scenario; ``keys`` and those below ``retrieval`` say what is other than usual."""
        values = {
            "pipeline": "retrieval",
            "scenario_name": self.table,
            "input_shape": "question_table",
            "targets": ["video-qa"],
            "source_table": f"{self.table}_asked",
            "frames_table": f"{self.table}_frames",
            "oss_bucket": self.bucket,
            "vlm_model": VLM,
            "embedding_model": EMBEDDER,
            "embedding_dim": 4,
            **(keys or {}),
            "retrieval": {"arms": list(ARMS), "top_k": 2, "max_frames": 4, **retrieval},
        }
        file = self.folder / "retrieval.yaml"
        file.write_text(yaml.safe_dump(values))
        return file

    def scenario(self, keys: Mapping[str, Any] | None = None, **retrieval: Any) -> RetrievalScenario:
        """Return the scenario over what is written, with further keys and options."""
        scenario = load_scenario(self.scenario_file(keys, **retrieval))
        assert isinstance(scenario, RetrievalScenario)
        return scenario

    def run(
        self,
        run: Run | None = None,
        try_number: int = 1,
        keys: Mapping[str, Any] | None = None,
        **retrieval: Any,
    ) -> dict[str, dict[str, Any]]:
        """Run all tasks; return their reports."""
        return ScenarioRun(run or Run()).execute(self.scenario(keys, **retrieval), try_number)

    def rows(self, task: str, columns: str, where: str = "") -> list[tuple[Any, ...]]:
        """Return columns of a task's rows, in order."""
        found = self.hook.execute_sql(f"SELECT {columns} FROM {self.table}_{task} WHERE ds='{DAY}' {where}")
        return sorted((tuple(row) for row in found), key=str)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    """Return the models of the local cloud, which answer as the test wants."""
    found = Models()
    monkeypatch.setattr(ModelRules, "step", lambda rules, request: found.step(request))
    return found


@pytest.fixture
def library(
    airflow_connection: str, oss_client: oss.Client, bucket: str, table: str, tmp_path: Path, models: Models
) -> Library:
    return Library(oss_client, bucket, table, tmp_path, models)
