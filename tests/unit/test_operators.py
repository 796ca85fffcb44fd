"""Operators as people write them: what wrong arguments say, and what is a template."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_drivepipe import operators
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.operators import (
    AiFuncEmbedOperator,
    AiFuncGenerateOperator,
    AiFuncLabelOperator,
    MaxFrameFrameExtractOperator,
    MaxFrameImageLabelOperator,
    MaxFrameKeyframeExpandOperator,
    MaxFrameSingleJobOperator,
    MaxFrameStageOperator,
    OssManifestOperator,
)
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.stages.generate import Generate
from tests.example_dags import EXAMPLES
from tests.unit.test_factory import HEAVY, PARSE, airflow_env, run
from tests.unit.test_macros import context_of

__all__ = ["airflow_env"]

TABLES = {"source_table": "s", "output_table": "t_{{ ds_nodash }}"}
ANSWER = {**TABLES, "model": "m", "prompt": "p"}


@pytest.mark.parametrize("name", operators.__all__)
def test_short_imports(name: str) -> None:
    assert getattr(operators, name).__name__ == name


@pytest.mark.parametrize("name", ["by_hand", "export_by_hand"])
def test_parsing_the_examples_imports_nothing_heavy(airflow_env: dict[str, str], name: str) -> None:
    out = run(PARSE, airflow_env, str(EXAMPLES / f"{name}.py"), ",".join(HEAVY)).splitlines()
    assert out[-2:] == ["['dag']", "[]"]


@pytest.mark.parametrize(("page", "name"), [("by-hand", "by_hand"), ("exports", "export_by_hand")])
def test_the_pages_show_the_examples(page: str, name: str) -> None:
    [code, *_] = re.findall(
        "```python\n(.*?)```", (EXAMPLES.parent / "docs" / f"{page}.md").read_text(), re.DOTALL
    )
    assert (EXAMPLES / f"{name}.py").read_text().endswith(code)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (AiFuncGenerateOperator, {**ANSWER, "colums": "a"}, r"AiFuncGenerateOperator.*\n.*colums"),
        (AiFuncLabelOperator, {**TABLES, "model": "m", "lable_schema": "x"}, "lable_schema"),
        (MaxFrameFrameExtractOperator, {**TABLES, "bucket": "b", "fsp": "1"}, "fsp"),
        (OssManifestOperator, {"output_table": "o", "bucket": "b", "prefx": "a"}, "prefx"),
        (AiFuncGenerateOperator, {**TABLES, "prompt": "p"}, "missing keyword argument 'model'"),
        (AiFuncGenerateOperator, {**ANSWER, "source_table": ""}, "reads either source_table or source"),
        (AiFuncGenerateOperator, {**ANSWER, "schema": "mine"}, "no such schema; built in: driving-scene/v1"),
        (AiFuncGenerateOperator, {**ANSWER, "schema": {"type": "list"}}, "needs type: object"),
        (AiFuncGenerateOperator, {**ANSWER, "flat_columns": True}, "need a schema"),
        (
            AiFuncGenerateOperator,
            {**ANSWER, "name": "My answer"},
            "'My answer' cannot start names",
        ),
        (AiFuncEmbedOperator, {**TABLES, "model": "m"}, "either column or image_column"),
        (
            AiFuncEmbedOperator,
            {**TABLES, "model": "m", "column": "a", "image_column": "b"},
            "either column or",
        ),
        (AiFuncLabelOperator, TABLES, "name a model, an embedding_model or a label_embedding_model"),
        (AiFuncLabelOperator, {**TABLES, "model": "m", "label_schema": "mine"}, "no such schema"),
        (MaxFrameSingleJobOperator, {**TABLES, "bucket": "b"}, "name a model"),
        (MaxFrameSingleJobOperator, {**TABLES, "model": "m"}, "name a bucket, or a root"),
        (OssManifestOperator, {"output_table": "o"}, "name a bucket"),
        (
            MaxFrameFrameExtractOperator,
            {**TABLES, "bucket": "b", "fps": "1", "sample_count": 3},
            "fps or by sample",
        ),
        (MaxFrameFrameExtractOperator, {**TABLES, "bucket": "b", "fps": "often"}, "2, 0.5 or 1/2"),
        (MaxFrameKeyframeExpandOperator, {**TABLES, "bucket": "b", "count": 1, "stride": 2}, "count or by"),
        (MaxFrameStageOperator, {**TABLES, "stages": ()}, "needs a stage"),
    ],
)
def test_wrong_arguments_fail_the_dag_file_and_say_what_is_wrong(
    kind: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    with DAG("d"), pytest.raises((TypeError, ValueError), match=message):
        kind(task_id="t", **arguments)


def test_arguments_beside_stages_are_refused() -> None:
    stages = AiFuncLabelOperator(task_id="t", model="m", **TABLES).stages
    for kind in (AiFuncLabelOperator, MaxFrameSingleJobOperator, MaxFrameImageLabelOperator):
        with pytest.raises(TypeError, match="model"):
            kind(task_id="t", model="m", stages=stages, **TABLES)


def test_frame_rates_of_one_meaning_make_the_same_frames() -> None:
    made = [
        MaxFrameFrameExtractOperator(task_id="t", bucket="b", fps=fps, **TABLES).stages
        for fps in ("1/2", 0.5, "0.50")
    ]
    assert made[0] == made[1] == made[2]


def rendered(task: Any) -> Any:
    task.render_template_fields(context_of(task, logical_date=datetime(2026, 11, 20, 4, tzinfo=UTC)))
    return task


def test_a_prompt_as_an_argument_is_a_template_and_so_are_tables_and_prefixes() -> None:
    with DAG("d", params={"wet": "dry"}):
        task = MaxFrameSingleJobOperator(
            task_id="t", bucket="b", model="m", prompt="How {{ params.wet }}? {a}", **TABLES
        )
        manifest = OssManifestOperator(
            task_id="m", bucket="b", prefix="{{ params.wet }}/{ds}/", output_table="o"
        )
    frames, label = rendered(task).wanted_stages()
    assert (task.output_table, frames.frames.frames_prefix) == ("t_20261120", "t_20261120")
    assert label.prompt == "How dry? {a}"
    assert rendered(manifest).options.prefix == "dry/{ds}/"


def test_a_prompt_of_a_scenario_is_data() -> None:
    prompt = "{{ params.wet }} {% raw %} {# a #}"
    scenario = load_scenario(EXAMPLES / "scenarios" / "driving_demo.yaml")
    dag = build_dag(scenario.model_copy(update={"label_prompt": prompt}))
    stages = rendered(dag.get_task("video_labels")).wanted_stages()
    assert [stage.prompt for stage in stages if isinstance(stage, Generate)] == [prompt]
