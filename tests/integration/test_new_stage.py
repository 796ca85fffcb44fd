"""A stage that the package does not have, declared here: what a stage gets from its declaration alone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column
from airflow_provider_drivepipe.documents.estimate import Figure, Figures, Source, estimate
from airflow_provider_drivepipe.documents.plan_text import plan_text
from airflow_provider_drivepipe.documents.schema_sql import schema_sql
from airflow_provider_drivepipe.documents.walkthrough import walkthrough
from airflow_provider_drivepipe.factory.params import trigger_form
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.operators import MaxFrameStageOperator
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.options import FrameOptions, OssOptions
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.options import SelectionOptions
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.stage import Stage
from maxcompute_local.clients import oss_client
from maxcompute_local.server import LocalCloud
from tests.integration.operator_context import Run
from tests.integration.reader import READER, Reader, hook, reader, reading_cloud
from tests.integration.scenario_run import EXAMPLES
from tests.unit.image_samples import encoded, scene
from tests.unit.video_samples import write_video

pytestmark = pytest.mark.slow

__all__ = ["hook", "reader", "reading_cloud"]

VLM = "qwen3-vl-plus"
SCHEMA = json.dumps(
    {
        "type": "object",
        "required": ["line"],
        "properties": {"line": {"type": "string"}, "cars": {"type": "integer"}},
    }
)
SKIPPED = {"rows_in": 3, "ok": 2, "failed": 0, "filtered": 0, "skipped": 1}


def stages(label: str = "Label it", summary: str = "Sum it up") -> tuple[Generate, ...]:
    """Return the label of images, and the new stage: a call of a text model for each, with a schema."""
    return (
        Generate("label", VLM, label, media=(Image("image_url"),)),
        Generate(
            "summary",
            READER,
            summary,
            columns=("label_text",),
            needs=("label",),
            schema=SCHEMA,
            flat_columns=True,
            run_param="summary_prompt",
        ),
    )


class Work:
    """Runs stages over one partition, and says what both models were asked."""

    def __init__(self, hook: MaxFrameHook, cloud: LocalCloud, reader: Reader, table: str) -> None:
        self.hook, self.cloud, self.reader, self.table = hook, cloud, reader, table
        self.client = oss_client(cloud.settings)
        self.bucket = f"test-{table.removeprefix('t_')}"
        self.client.put_bucket(oss.PutBucketRequest(bucket=self.bucket))
        self.failure_counts: dict[str, int] = {}

    def put(self, name: str, body: bytes) -> str:
        self.client.put_object(oss.PutObjectRequest(bucket=self.bucket, key=name, body=body))
        return f"oss://{self.cloud.oss_endpoint.removeprefix('http://')}/{self.bucket}/{name}"

    def input(self, column: str, values: Sequence[str]) -> None:
        self.hook.execute_sql(f"CREATE TABLE {self.table}_i ({column} STRING) PARTITIONED BY (ds STRING)")
        rows = ", ".join(f"('{value}')" for value in values)
        self.hook.execute_sql(f"INSERT INTO TABLE {self.table}_i PARTITION (ds='20261120') VALUES {rows}")

    def label(self, name: str, text: str | None) -> None:
        """Make the label of a picture a text, or make it fail."""
        answer: dict[str, Any] = {"status": 400} if text is None else {"content": text}
        self.cloud.control.models.script(VLM, images=[f"/{name}.jpg"], **answer)

    def run(self, *of: Stage, **selection: Any) -> tuple[dict[str, Any], int, list[str]]:
        """Return the report, how many labels were asked for, and of which labels summaries were."""
        operator = MaxFrameStageOperator(
            task_id="t",
            stages=of,
            source_table=f"{self.table}_i",
            output_table=f"{self.table}_o",
            selection=SelectionOptions(**selection),
            deferrable=False,
            poll_interval=0.2,
        )
        run = Run()
        with self.cloud.control.counting() as done:
            report = run.execute(operator)
        self.failure_counts = run.xcom(operator, "failure_counts")
        told = self.reader.asked()
        summed_up = [re.search(r"label_text:\n(.*)", text)[1] for text in told]  # type: ignore[index]
        return report, done.get("model.chat", 0) - len(told), summed_up

    def rows(self, columns: str) -> list[list[Any]]:
        rows: list[list[Any]] = self.hook.execute_sql(
            f"SELECT {columns} FROM {self.table}_o WHERE ds='20261120' ORDER BY image_url LIMIT 100"
        )
        return rows

    def made_with(self) -> set[str]:
        """Return the fingerprints, without the part of the input."""
        return {text.rpartition(";")[0] for (text,) in self.rows("fingerprint")}


@pytest.fixture
def work(hook: MaxFrameHook, reading_cloud: LocalCloud, reader: Reader, table: str) -> Any:
    reader.answer = lambda told: json.dumps({"line": f"summary {len(told)}", "cars": 2})
    yield Work(hook, reading_cloud, reader, table)
    reading_cloud.control.models.clear()


@pytest.fixture
def pictures(work: Work) -> Work:
    """Four pictures, whose labels are their names."""
    names = "abcd"
    work.input("image_url", [work.put(f"{n}.jpg", encoded(scene(i))) for i, n in enumerate(names)])
    for name in names:
        work.label(name, f"road {name}")
    return work


def test_what_is_missing_is_repaired_and_what_changed_is_made_anew(pictures: Work, reader: Reader) -> None:
    good = reader.answer
    pictures.label("d", None)
    reader.answer = lambda told: "It is dark." if "road c" in told else good(told)
    report, labels, summaries = pictures.run(*stages())
    # A label that failed is not summed up; a summary in the wrong form is asked for again at once.
    assert (labels, summaries) == (4, ["road a", "road b", "road c", "road c"])
    assert report["failures"] == {"label": {"model_error": 1}, "summary": {"invalid_json": 1}}
    assert pictures.failure_counts == {"label": 1, "summary": 1}
    assert report["stages"] == {
        "label": {"rows_in": 4, "ok": 3, "failed": 1, "filtered": 0, "skipped": 0},
        "summary": {"rows_in": 3, "ok": 2, "failed": 1, "filtered": 0, "skipped": 0},
    }
    assert pictures.rows("status, error_stage, label_text, summary_text IS NULL, summary_line") == [
        ["ok", "", "road a", False, pictures.rows("summary_line")[0][0]],
        ["ok", "", "road b", False, pictures.rows("summary_line")[1][0]],
        ["failed", "summary", "road c", False, None],
        ["failed", "label", None, True, None],
    ]

    reader.answer = good
    report, labels, summaries = pictures.run(*stages())
    assert (labels, summaries) == (1, ["road c"])
    assert report["carried_over"] == 2

    pictures.label("d", "road d")
    _, labels, summaries = pictures.run(*stages())
    assert (labels, summaries) == (1, ["road d"])
    assert pictures.run(*stages())[1:] == (0, [])
    [before] = pictures.made_with()
    assert re.fullmatch(r"label=[0-9a-f]{16};summary=[0-9a-f]{16}", before)

    everything = [f"road {name}" for name in "abcd"]
    _, labels, summaries = pictures.run(*stages(summary="Say it again"))
    assert (labels, summaries) == (0, everything)
    [after] = pictures.made_with()
    assert [a == b for a, b in zip(before.split(";"), after.split(";"), strict=True)] == [True, False]
    # The summary's prompt is as it was, but it is of another label now.
    _, labels, summaries = pictures.run(*stages("Label anew", "Say it again"))
    assert (labels, summaries) == (4, everything)


def test_the_report_counts_its_tokens_and_says_what_was_asked(pictures: Work) -> None:
    report = pictures.run(*stages())[0]
    sums = pictures.rows(
        "SUM(label_input_token) OVER (), SUM(label_output_token) OVER (), SUM(summary_input_token) OVER (), "
        "SUM(summary_output_token) OVER (), summary_json_valid, summary_normalised, summary_cars"
    )
    label_in, label_out, summary_in, summary_out, *flat = sums[0]
    assert flat == [True, 0, 2]
    assert min(summary_in, summary_out) > 0
    assert report["tokens"] == {
        "input": label_in + summary_in, "output": label_out + summary_out, "embedding": 0
    }  # fmt: skip
    assert report["models"] == {"label": f"local stand-in for {VLM}", "summary": READER}
    asked = report["prompts"]["summary"]
    assert (asked["text"], asked["schema"]) == ("Sum it up", "inline")
    assert report["prompts"]["label"]["schema"] is None


def test_a_budget_counts_its_calls_behind_frames_of_videos(
    work: Work, tmp_path: Path, reader: Reader
) -> None:
    video = work.put("v.mp4", write_video(tmp_path / "v.mp4", frames=75).read_bytes())
    work.input("video_path", [video])
    work.label("v_0000", "first")
    work.label("v_0001", "second")
    work.label("v_0002", "third")
    frames = FrameExtraction(OssOptions(work.bucket), FrameOptions(frames_prefix="f"))
    # A label takes one call, a summary up to two: two frames fit, a third one does not.
    report, labels, summaries = work.run(frames, *stages(), max_calls=8)
    assert (labels, summaries) == (2, ["first", "second"])
    assert report["stages"]["label"] == report["stages"]["summary"] == SKIPPED
    good = reader.answer
    reader.answer = lambda told: "It is dark."
    report, labels, summaries = work.run(frames, *stages())
    assert (labels, summaries) == (1, ["third", "third"])
    assert report["failures"] == {"summary": {"invalid_json": 1}}
    reader.answer = good
    report, labels, summaries = work.run(frames, *stages())
    assert (labels, summaries) == (0, ["third"])
    assert (report["ok"], report["carried_over"]) == (3, 2)
    assert {each.partition("=")[0] for text in work.made_with() for each in text.split(";")} == {
        "frames", "label", "summary"
    }  # fmt: skip


def test_documents_say_what_it_is_and_what_it_makes() -> None:
    scenario = load_scenario(EXAMPLES / "image_labels.yaml")
    before = plan(scenario)
    [task] = before.tasks
    summary = stages()[1]
    made = [c for c in task.output_table.columns if c not in STATUS_COLUMNS]
    table = replace(task.output_table, columns=(*made, *summary.part().columns, *STATUS_COLUMNS))
    steps = replace(before, tasks=(replace(task, stages=(*task.stages, summary), output_table=table),))
    own = [c.name for c in summary.part().columns]

    assert json.loads(json.dumps(steps.to_json()))["tasks"][0]["stages"][-1]["columns"] == ["label_text"]
    said = plan_text(steps, None)
    assert "   stages   label, image_embedding, summary\n" in said
    assert "   model    reader (summary)\n   prompt   inline\n   schema   of its own\n" in said
    assert re.findall(r"^     (summary_\w+)", said, re.MULTILINE) == own

    text = walkthrough(scenario, steps)
    assert "`summary`: asks a language model for the summary of each row" in text
    failures = " ".join(text.partition("### Stage summary (task labels)")[2].partition("###")[0].split())
    assert "A row whose label failed is not sent." in failures
    assert "`invalid_json`, `schema_violation`" in failures
    assert "`image_decode_error`" not in failures
    assert (
        "| `summary` | `reader` | prompt inline, schema of its own, answers of at most 1024 tokens |" in text
    )
    assert "SUM(summary_output_token) AS summary_output_token" in text
    assert "| `summary_prompt` | prompt (summary) | as the scenario says |" in text
    # Its text is made by the task itself: the input need not have it.
    assert "`label_text`" not in text.partition("## Input")[2].partition("## Output tables")[0]

    schema = schema_sql(steps, [Column("image_url", "string")])
    assert re.findall(r"^    `(summary_\w+)`", schema, re.MULTILINE) == own
    assert trigger_form(steps, None)["summary_prompt"].schema["format"] == "multiline"
    expected = estimate(steps, Figures(units=Figure(10, Source.GIVEN)))
    assert expected.calls_per_row == {"label": 2, "image_embedding": 1, "summary": 2}
    assert expected.all.calls == 30
