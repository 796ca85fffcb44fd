"""DAGs that people write by hand, with plain arguments and templates, against a local cloud."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.factory import DrivepipeTaskGroup
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import (
    AiFuncEmbedOperator,
    AiFuncGenerateOperator,
    MaxFrameSingleJobOperator,
    MaxFrameStageOperator,
)
from airflow_provider_drivepipe.stages.content import TextColumn
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate
from maxcompute_local.models.backend import ChatRequest
from maxcompute_local.models.script_rules import ModelRules
from maxcompute_local.models.scripted import Request, Step
from maxcompute_local.server import LocalCloud
from tests.example_dags import EXAMPLES, example
from tests.integration.operator_context import Run
from tests.unit.image_samples import encoded, scene
from tests.unit.test_macros import context_of
from tests.unit.video_samples import write_video

READER = {"name": "reader", "task": "text-generation", "backend": "script", "script": [{"content": "-"}]}
ANSWER = '{"topic": "weather"}'
TOPIC = {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}}
DAY = datetime(2026, 11, 20, 4, tzinfo=UTC)


class Worker(Run):
    """Runs tasks as a worker of Airflow does, with templates rendered in Airflow's own context."""

    def run(self, operator: BaseOperator, **dag_run: Any) -> dict[str, Any]:
        """Run a task; ``dag_run`` are its run's conf, logical date and partition key."""
        task: Any = copy.copy(operator)
        rendered = context_of(task, **(dag_run or {"logical_date": DAY}))
        own = self.context(task)
        task.render_template_fields(rendered)
        task.deferrable, task.poll_interval = False, 0.2
        report: dict[str, Any] = task.execute(
            {
                **rendered,
                **{name: own[name] for name in ("ti", "task_instance", "task_state_store")},
                "outlet_events": OutletEventAccessors(),
            }
        )
        return report


@pytest.fixture(scope="module")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A local cloud that has a model which only reads."""
    root = tmp_path_factory.mktemp("cloud")
    (root / "models.json").write_text(json.dumps({"models": [READER]}))
    cloud = LocalCloud(root, odps_port=0, oss_port=0).start()
    yield cloud
    cloud.stop()


@pytest.fixture
def hook(airflow_connection: str) -> DrivepipeHook:
    return DrivepipeHook(airflow_connection)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What models are told, in words; they all give the same answer."""
    heard: list[str] = []
    step = ModelRules.step

    def listen(rules: ModelRules, request: Request) -> Any:
        if not isinstance(request, ChatRequest):
            return step(rules, request)
        heard.append(request.text)
        return Step(content=ANSWER)

    monkeypatch.setattr(ModelRules, "step", listen)
    return heard


def put(client: oss.Client, bucket: str, key: str, body: bytes) -> None:
    client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))


def fill(hook: DrivepipeHook, table: str, *rows: tuple[str | None, ...]) -> None:
    spelled = [", ".join("NULL" if value is None else f"'{value}'" for value in row) for row in rows]
    values = ", ".join(f"({row})" for row in spelled)
    hook.execute_sql(f"INSERT OVERWRITE TABLE {table} PARTITION (ds='20261120') VALUES {values}")


def rows_of(hook: DrivepipeHook, table: str, columns: str) -> list[list[Any]]:
    return hook.execute_sql(f"SELECT {columns} FROM {table} WHERE ds='20261120' ORDER BY 1 LIMIT 100")


@pytest.fixture
def notes(hook: DrivepipeHook, table: str) -> str:
    columns = "id STRING, note STRING, place STRING"
    hook.execute_sql(f"CREATE TABLE {table} ({columns}) PARTITIONED BY (ds STRING)")
    fill(hook, table, ("a", "rain", "bridge"), ("b", "fog {place}", "{note}"), ("c", None, "tunnel"))
    return table


def test_the_example(
    hook: DrivepipeHook, oss_client: oss.Client, tmp_path: Any, told: list[str], table: str
) -> None:
    oss_client.put_bucket(oss.PutBucketRequest(bucket="drivepipe-demo"))
    put(oss_client, "drivepipe-demo", "trips/a.mp4", write_video(tmp_path / "a.mp4", frames=75).read_bytes())
    worker = Worker()
    for task in example("by_hand").dag.topological_sort():
        report = worker.run(task, conf={"ds": "20261120", "question": f"{table}?"})
    assert (report["scenario"], report["ok"], report["partition"]) == ("dag", 2, "ds=20261120")
    assert set(told) == {f"{table}?"}
    found = rows_of(hook, "by_hand_labels", "frame_time_ms, label_text, status, image_url")
    assert [row[:3] for row in found] == [[ms, ANSWER, "ok"] for ms in (0, 2000)]
    assert all("/by_hand_frames/ds=20261120/" in row[3] for row in found)


@pytest.mark.slow
def test_the_examples_of_images_clips_and_search(
    hook: DrivepipeHook, oss_client: oss.Client, tmp_path: Any
) -> None:
    oss_client.put_bucket(oss.PutBucketRequest(bucket="drivepipe-demo"))
    root, picture = hook.oss_root("drivepipe-demo"), encoded(scene(), "JPEG")
    for name in ("frame1.jpg", "frame2.jpg"):
        put(oss_client, "drivepipe-demo", f"clips/a/{name}", picture)
    put(oss_client, "drivepipe-demo", "trips/a.mp4", write_video(tmp_path / "a.mp4", frames=75).read_bytes())
    hook.execute_sql("CREATE TABLE fleet_images (image_url STRING) PARTITIONED BY (ds STRING)")
    fill(hook, "fleet_images", (f"{root}/clips/a/frame1.jpg",))
    hook.execute_sql("CREATE TABLE fleet_clips (clip_id STRING, clip_dir STRING) PARTITIONED BY (ds STRING)")
    fill(hook, "fleet_clips", ("a", "clips/a"))
    worker = Worker()
    ok = {}
    for name in ("images_by_hand", "clips_by_hand"):
        for task in example(name).dag.topological_sort():
            said = worker.run(task, conf={"ds": "20261120"})
            ok[task.task_id] = said.get("ok", said.get("table"))
    assert ok == {
        "there": "fleet_images",
        "prepared": 1,
        "captions": 1,
        "vectors": 1,
        "keyframes": 2,
        "signs": 2,
    }
    tasks = [example("by_hand").videos, *example("search_by_hand").dag.topological_sort()]
    assert [worker.run(task, conf={"ds": "20261119"})["ok"] for task in tasks] == [1, 2, 2]


def generate(**arguments: Any) -> AiFuncGenerateOperator:
    with DAG("d", params={"day": "20261120", "question": "What of {note}, not {this}"}):
        return AiFuncGenerateOperator(
            **{
                "task_id": "topics",
                "unit_key": "id",
                "columns": ("note", "place"),
                "model": "reader",
                "prompt": '{{ params.question }} or {"a": {"b": 1}}?',
                "schema": TOPIC,
                "flat_columns": True,
                **arguments,
            }
        )


def test_a_prompt_over_a_table(hook: DrivepipeHook, notes: str, told: list[str]) -> None:
    templates = {
        "source_table": "{{ 't' }}" + notes.removeprefix("t"),
        "output_table": notes + "_{{ params.day }}",
        "partition": "ds={{ params.day }}",
        "conn_id": "{{ 'drivepipe' }}_default",
    }
    worker = Worker()
    assert worker.run(generate(**templates))["ok"] == 3
    question = 'What of {}, not {{this}} or {{"a": {{"b": 1}}}}?\n\nplace:\n{}'
    assert sorted(text.partition("\n\nAnswer")[0] for text in told) == [
        question.format("", "tunnel"),
        question.format("fog {place}", "{note}"),
        question.format("rain", "bridge"),
    ]
    found = rows_of(hook, f"{notes}_20261120", "id, note, answer_topic, answer_json_valid, status")
    assert found[0] == ["a", "rain", "weather", True, "ok"]

    told.clear()
    again = worker.run(generate(**templates))
    assert (again["tokens"], again["carried_over"], told) == (
        {"input": 0, "output": 0, "embedding": 0},
        3,
        [],
    )
    fill(hook, notes, ("a", "snow", "bridge"), ("b", "fog {place}", "{note}"), ("c", None, "tunnel"))
    assert worker.run(generate(**templates))["carried_over"] == 2
    assert [("snow" in text) for text in told] == [True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": "place"}, r"the prompt holds \{note\}.* name it in columns"),
        ({"columns": "tone"}, "has no column tone, which stage answer reads .*id, note, place"),
        ({"unit_key": ()}, "tell its rows apart .*name them as unit_key"),
        ({"unit_key": "key"}, "has no column key"),
        ({"partition": "20261120"}, "not a partition: '20261120'; write for example ds=20261120"),
        ({"partition": "day={{ params.day }}"}, r"not partitioned by day \(its partition columns: ds\)"),
        ({"source_table": "not_made"}, "not_made"),
        ({"model": "not_made"}, "model not_made not found"),
        ({"model": "text-embedding-v4"}, "text-embedding-v4 .* cannot answer"),
    ],
)
def test_what_only_the_table_or_the_cloud_shows_is_said_before_anything_is_paid(
    notes: str, told: list[str], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Worker().run(generate(**{"source_table": notes, "output_table": f"{notes}_o", **arguments}))
    assert told == []


def test_vectors_of_texts(hook: DrivepipeHook, notes: str) -> None:
    with DAG("d"):
        task = AiFuncEmbedOperator(
            task_id="vectors",
            source_table=notes,
            output_table=f"{notes}_o",
            unit_key=("id",),
            model="text-embedding-v4",
            column="note",
            dimension=8,
        )
    report = Worker().run(task)
    assert report["failures"] == {"embedding": {"empty_input": 1}}
    vectors = [row[0] and len(json.loads(row[0])) for row in rows_of(hook, f"{notes}_o", "embedding, id")]
    assert sorted(vectors, key=str) == [8, 8, None]
    assert Worker().run(task)["tokens"]["embedding"] == 0


def test_stages_of_ones_own(hook: DrivepipeHook, notes: str, told: list[str]) -> None:
    with DAG("d"):
        task = MaxFrameStageOperator(
            task_id="summaries",
            source_table=notes,
            output_table=f"{notes}_o",
            unit_key="id",
            stages=(
                Generate("summary", "reader", "{{ ds }} {note}", columns=("note",)),
                Embed("vector", "text-embedding-v4", TextColumn("summary_text"), 8, needs=("summary",)),
            ),
        )
    assert Worker().run(task)["stages"]["vector"]["ok"] == 3
    assert "{{ ds }} rain" in told
    assert rows_of(hook, f"{notes}_o", "DISTINCT summary_text, vector IS NULL") == [[ANSWER, False]]


def test_answers_about_images_and_their_vectors(
    hook: DrivepipeHook, oss_client: oss.Client, bucket: str, table: str, told: list[str]
) -> None:
    put(oss_client, bucket, "a.jpg", encoded(scene()))
    hook.execute_sql(f"CREATE TABLE {table} (image_url STRING) PARTITIONED BY (ds STRING)")
    fill(hook, table, (f"{hook.oss_root(bucket)}/a.jpg",), ("oss://elsewhere/b/c.jpg",))
    with DAG("d"):
        topics = AiFuncGenerateOperator(
            task_id="topics",
            source_table=table,
            output_table=f"{table}_o",
            model="qwen3-vl-plus",
            image_columns="image_url",
            prompt="What is it?",
        )
        vectors = AiFuncEmbedOperator(
            task_id="vectors",
            source_table=topics.output_table,
            output_table=f"{table}_v",
            model="qwen3-vl-embedding",
            image_column="image_url",
        )
    worker = Worker()
    for task in (topics, vectors):
        report = worker.run(task)
        assert (report["ok"], report["failed"]) == (1, 1)
    assert told == ["What is it?"]
    assert rows_of(hook, f"{table}_v", "error_stage, error_type, answer_text, embedding IS NULL") == [
        ["", "", ANSWER, False],
        ["answer", "path_outside_root", None, True],
    ]


def test_videos_to_labels_in_one_job(
    hook: DrivepipeHook, oss_client: oss.Client, bucket: str, table: str, tmp_path: Any, told: list[str]
) -> None:
    put(oss_client, bucket, "a.mp4", write_video(tmp_path / "a.mp4", frames=50).read_bytes())
    hook.execute_sql(f"CREATE TABLE {table} (video_path STRING) PARTITIONED BY (ds STRING)")
    fill(hook, table, (f"{hook.oss_root(bucket)}/a.mp4",))
    with DAG("d", default_args={"bucket": bucket}):
        task = MaxFrameSingleJobOperator(
            task_id="labels",
            source_table=table,
            output_table=table + "_{{ ds_nodash }}",
            fps=1,
            model="qwen3-vl-plus",
            prompt="{{ 'Wet' }}?",
            embedding_model="qwen3-vl-embedding",
        )
    assert Worker().run(task)["ok"] == 2
    assert told == ["Wet?", "Wet?"]
    found = rows_of(hook, f"{table}_20261120", "image_url, image_embedding IS NULL")
    assert all(f"/{bucket}/{table}_20261120/ds=20261120/" in url and not null for url, null in found)


def test_a_scenario_as_a_group_of_tasks(
    hook: DrivepipeHook, oss_client: oss.Client, tmp_path: Any, table: str
) -> None:
    oss_client.put_bucket(oss.PutBucketRequest(bucket="drivepipe-demo"))
    video = write_video(tmp_path / "b.mp4", frames=50).read_bytes()
    put(oss_client, "drivepipe-demo", "trips/b.mp4", video)
    put(oss_client, "drivepipe-demo", "trips/c.mp4", video)
    with DAG("d"):
        group = DrivepipeTaskGroup(EXAMPLES / "scenarios" / "driving_demo.yaml", group_id="day")
    worker = Worker()
    reports = [worker.run(task, partition_key="20261120", conf={"limit": 1}) for task in group]
    assert [report["partition"] for report in reports] == ["ds=20261120"] * 2
    assert (reports[1]["scenario"], reports[1]["params"]) == ("driving_demo", {"limit": 1})
    assert sorted(rows_of(hook, "driving_demo_labels", "DISTINCT status")) == [["ok"], ["skipped"]]
