"""The reasoning family against the local cloud, with models whose answers a test decides.

Prompts come from a pack of the test's own: each begins with ``STEP <key>``, so that a call says which prompt
it was made with. Each answer names its video as ``<name>``, so that calls of texts say whose they are.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest
import yaml

from airflow_provider_drivepipe.contracts import video_id
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.reasoning.packs import MODES, ONE_MODE, STEPS
from maxcompute_local.models.backend import ChatRequest
from maxcompute_local.models.script_rules import ModelRules
from maxcompute_local.models.scripted import Request, Step
from tests.integration.operator_context import Run
from tests.integration.scenario_run import ScenarioRun
from tests.unit.video_samples import write_video

DAY = "20261120"
VLM, LLM = "qwen3-vl-plus", "qwen-plus"
TABLES = (
    "video_filter", "video_captions", "chunk_captions", "highlights",
    "descriptions", "qa_questions", "qa_answers", "qa_items",
)  # fmt: skip
BLOCKED = Step(status=400, code="DataInspectionFailed")
_COLUMNS = {"highlight": ("start", "end", "moment")}
"""What prompts place; all that they may for other steps, but no highlight where the mode is normal."""


@dataclass(frozen=True)
class Call:
    """What a model was asked: a prompt's key (``qa.mcq.anomaly``), of which video, and the whole text.

    ``shown`` is the kind of what it saw: ``video``, ``image``, or nothing.
    """

    key: str
    video: str
    text: str
    shown: str

    @property
    def step(self) -> str:
        return self.key.removesuffix(".anomaly").removesuffix(".normal")


@dataclass
class Models:
    """Both models. ``answer`` gives what a call gets, None for what fits; ``calls`` are since ``asked``."""

    answer: Callable[[Call], str | Step | None] = lambda call: None
    anomalies: Callable[[str], bool] = lambda video: video.startswith("a")
    calls: list[Call] = field(default_factory=list)

    def asked(self) -> Counter[tuple[str, str]]:
        """Return how often each prompt was used for each video since the last look."""
        calls, self.calls = self.calls, []
        return Counter((call.key, call.video) for call in calls)

    def step(self, request: Request) -> Step:
        assert isinstance(request, ChatRequest)
        shown = "video" if request.videos else "image" if request.images else ""
        call = Call(re.findall(r"STEP (\S+)", request.text)[0], self._video(request), request.text, shown)
        self.calls.append(call)
        answer = self.answer(call)
        if isinstance(answer, Step):
            return answer
        return Step(content=json.dumps(self.fitting(call)) if answer is None else answer)

    @staticmethod
    def _video(request: ChatRequest) -> str:
        for part in (*request.videos, *request.images):
            return next(
                name for name in _NAMES if f"/{name}.mp4" in part.source or _ids()[name] in part.source
            )
        return re.findall(r"<(\w+)>", request.text)[0]

    def fitting(self, call: Call) -> dict[str, Any]:
        """Return an answer that fits the step."""
        # Told something else, a model says something else.
        video = f"<{call.video}> {sha256(call.text.encode()).hexdigest()[:6]}"
        times = {"start_mmss": "00:00.4", "end_mmss": "00:01.4"}
        asked = {"question": f"What does {video} do?", "reasoning": f"{video} slows down.", **times}
        said = {**asked, "answer": f"{video} brakes hard."}
        event = {**times, "text": f"{video} brakes"}
        options = [f"{video} {does}." for does in ("turns", "brakes", "waits", "reverses")]
        made: dict[str, Callable[[], dict[str, Any]]] = {
            "filter": lambda: {
                "observation": f"{video} drives.",
                "reason": f"{video} is filmed.",
                "in_domain": call.video != "garden",
                "mode": "anomaly" if self.anomalies(call.video) else "normal",
            },
            "moment": lambda: {"reason": "It brakes.", "moment_mmss": "00:01.0"},
            "highlight": lambda: {
                "before": "It drives.",
                "moment": f"{video} brakes.",
                "after": "It stands.",
            },
            "dense_caption": lambda: {"events": [event]},
            "description": lambda: {"scene": f"A road with {video}.", "chronology": [event], "analysis": "-"},
            "qa.mcq": lambda: {**asked, "options": options, "answer": options[1]},
            "qa.bcq": lambda: {
                "yes": {**asked, "explanation": f"{video} brakes."},
                "no": {**asked, "question": f"Does {video} turn?", "explanation": f"{video} goes straight."},
            },
            "qa.temporal_event_desc": lambda: {
                **said,
                "question": f"What does {video} do from 00:00 to 00:01?",
            },
            "blind": lambda: {"answer": "I do not know."},
        }
        if call.step in made:
            return made[call.step]()
        return said if call.step.startswith("qa.") else {"caption": f"{video} drives on a road."}


@dataclass(frozen=True)
class Row:
    """How a row ended."""

    status: str
    stage: str
    reason: str


OK = Row("ok", "", "")


class Annotation:
    """A scenario of the family with videos, tables and a pack of its own."""

    def __init__(self, oss_client: oss.Client, bucket: str, table: str, folder: Path, models: Models) -> None:
        self.oss, self.bucket, self.table, self.folder, self.models = (
            oss_client,
            bucket,
            table,
            folder,
            models,
        )
        self.hook = DrivepipeHook()
        self.prompt()

    def put(self, *names: str) -> None:
        """Upload videos, see :func:`body`."""
        for name in names:
            self.oss.put_object(
                oss.PutObjectRequest(bucket=self.bucket, key=f"videos/{name}.mp4", body=body(name))
            )

    def prompt(self, **words: str) -> None:
        """Write the pack, with ``words`` in the prompts whose keys they have, ``__`` for a dot."""
        edited = {key.replace("__", "."): text for key, text in words.items()}
        lines = ["version: 1", "base: dashcam"]
        for step, known in STEPS.items():
            for key in [step] if step in ONE_MODE else [f"{step}.{mode}" for mode in MODES]:
                placed = [
                    c for c in _COLUMNS.get(step, known) if (key, c) != ("description.normal", "highlight")
                ]
                text = " ".join(f"{column}={{{column}}}" for column in placed)
                lines += [f"## {key}", f"STEP {key} {edited.pop(key, '')}", text]
        assert not edited
        pack = self.folder / "pack"
        pack.mkdir(exist_ok=True)
        (pack / "en.md").write_text("\n".join(lines))

    def run(
        self,
        run: Run | None = None,
        try_number: int = 1,
        given: Mapping[str, Any] | None = None,
        **reasoning: Any,
    ) -> dict[str, dict[str, Any]]:
        """Run all tasks; return their reports. ``given`` replaces the keys of what is listed in OSS."""
        options = {"video_as": "video", "max_video_length_sec": 12, "prompt_pack": str(self.folder / "pack")}
        listed = {
            "input_shape": "oss_prefix",
            "targets": ["manifest", "reasoning-annotation"],
            "oss_prefix": "videos/",
            "video_input_table": f"{self.table}_manifest",
        }
        values = {
            "pipeline": "reasoning",
            "scenario_name": self.table,
            "oss_bucket": self.bucket,
            **(given or listed),
            "vlm_model": VLM,
            "llm_model": LLM,
            "reasoning": {**options, **reasoning},
        }
        file = self.folder / "reasoning.yaml"
        file.write_text(yaml.safe_dump(values))
        return ScenarioRun(run or Run()).execute(load_scenario(file), try_number)

    def rows(self, task: str, columns: str = "", where: str = "") -> list[tuple[Any, ...]]:
        """Return the name of the video, then columns, of a task's rows, in order."""
        found = self.hook.execute_sql(
            f"SELECT video_path{columns and ', '}{columns} FROM {self.table}_{task} WHERE ds='{DAY}' {where}"
        )
        return sorted(((Path(path).stem, *rest) for path, *rest in found), key=str)

    def ends(self, task: str) -> dict[str, set[Row]]:
        """Return how the rows of a task ended, by video."""
        ends: dict[str, set[Row]] = {}
        for video, *row in self.rows(task, "status, error_stage, error_type"):
            ends.setdefault(video, set()).add(Row(*row))
        return ends

    def content(self, task: str) -> list[list[Any]]:
        """Return all of a task's rows but for how often they were tried."""
        table = f"{self.table}_{task}"
        names = [c.name for c in self.hook.table_columns(table)[0] if c.name != "attempt"]
        return sorted(
            self.hook.execute_sql(f"SELECT {', '.join(names)} FROM {table} WHERE ds='{DAY}'"), key=str
        )


def check_balance(reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Assert that at every task, and at every stage of it, all rows are accounted for."""
    for task, report in reports.items():
        for counts in (report, *report["stages"].values()):
            ends = sum(counts[status] for status in ("ok", "failed", "filtered", "skipped"))
            assert counts["rows_in"] == ends, task


_SECONDS = {"long": 13, "a_long": 11}
"""Lengths of videos, else 2 seconds."""
_NAMES = (
    "a_long", "long", "a", "n", "b", "garden", "corrupt",
    *(f"{kind}_{step}" for kind in "an" for step in STEPS for step in [step.replace("qa.", "")]),
)  # fmt: skip


@cache
def _ids() -> dict[str, str]:
    return {name: video_id(f"videos/{name}.mp4") for name in _NAMES}


@cache
def body(name: str) -> bytes:
    """Return a video of 160x96 and 5 frames a second, or no video at all for ``corrupt``."""
    if name == "corrupt":
        return b"no video at all"
    with TemporaryDirectory() as folder:
        file = write_video(Path(folder) / "v.mp4", 5 * _SECONDS.get(name, 2), 5, size=(160, 96))
        return file.read_bytes()


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    """Return the models of the local cloud, which answer as the test wants."""
    found = Models()
    monkeypatch.setattr(ModelRules, "step", lambda rules, request: found.step(request))
    return found


@pytest.fixture
def annotation(
    airflow_connection: str, oss_client: oss.Client, bucket: str, table: str, tmp_path: Path, models: Models
) -> Annotation:
    return Annotation(oss_client, bucket, table, tmp_path, models)
