"""The reasoning family before anything runs: what is refused and why, tasks, the DAG, documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_drivepipe.documents.estimate import Figure, Figures, Source, estimate
from airflow_provider_drivepipe.documents.estimate_text import estimate_text
from airflow_provider_drivepipe.documents.plan_text import plan_text
from airflow_provider_drivepipe.documents.schema_sql import schema_sql
from airflow_provider_drivepipe.documents.walkthrough import walkthrough
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.reasoning.packs import STEPS
from airflow_provider_drivepipe.pipelines.reasoning.plan import plan
from airflow_provider_drivepipe.pipelines.reasoning.rules import combination_problems
from airflow_provider_drivepipe.pipelines.reasoning.scenario import ReasoningScenario
from airflow_provider_drivepipe.stages.content import Content, Image, Video
from airflow_provider_drivepipe.stages.generate import Generate

VALUES = {
    "pipeline": "reasoning",
    "scenario_name": "s",
    "input_shape": "oss_prefix",
    "targets": ["manifest", "reasoning-annotation"],
    "oss_bucket": "my-bucket",
    "oss_prefix": "trips/{ds}/",
    "video_input_table": "m",
    "vlm_model": "sees",
    "llm_model": "reads",
}
TASKS = [
    "manifest",
    "video_filter",
    "video_captions",
    "chunk_captions",
    "highlights",
    "descriptions",
    "qa_questions",
    "qa_answers",
    "qa_items",
    "qa_export",
]


def scenario(given: dict[str, Any] | None = None, **reasoning: Any) -> ReasoningScenario:
    return ReasoningScenario(**{**VALUES, **(given or {}), "reasoning": reasoning})


def names(**reasoning: Any) -> list[str]:
    return [task.task_id for task in plan(scenario(**reasoning)).tasks]


def asked(**reasoning: Any) -> dict[str, Generate]:
    """Return the stages that ask models, by name."""
    stages = (stage for task in plan(scenario(**reasoning)).tasks for stage in task.stages)
    return {stage.name: stage for stage in stages if isinstance(stage, Generate)}


def test_each_step_is_a_task_with_a_table_of_its_own() -> None:
    tasks = plan(scenario()).tasks
    assert [task.task_id for task in tasks] == TASKS
    assert [task.output_table.name for task in tasks] == ["m", *(f"s_{name}" for name in TASKS[1:])]
    assert set(asked()) == {*(step for step in STEPS if not step.startswith("qa.")), "qa"}
    assert {name for name, stage in asked().items() if stage.model == "sees"} == {
        "filter", "global_caption", "dense_caption", "chunk_caption", "highlight"
    }  # fmt: skip


def test_a_table_of_videos_needs_no_manifest() -> None:
    given = {"input_shape": "video_table", "source_table": "v", "targets": ["reasoning-annotation"]}
    first, *_ = plan(scenario({**given, "oss_prefix": "", "video_input_table": None})).tasks
    assert (first.task_id, first.source) == ("video_filter", "v")
    [only] = plan(scenario({"targets": ["manifest"], "vlm_model": None, "llm_model": None})).tasks
    assert only.task_id == "manifest"


@pytest.mark.parametrize(
    ("options", "left_out"),
    [
        ({"mode": "normal"}, {"highlights"}),
        ({"mode": "anomaly"}, set()),
        ({"steps": ["0"]}, set(TASKS[2:])),
        ({"steps": ["2", "1a", "0"]}, {"chunk_captions", "highlights", *TASKS[6:]}),
    ],
)
def test_steps_and_mode_choose_the_tasks(options: dict[str, Any], left_out: set[str]) -> None:
    assert names(**options) == [name for name in TASKS if name not in left_out]


@pytest.mark.parametrize(
    ("options", "whole", "chunk", "highlight"),
    [
        ({}, Image("sheet_url"), Video("clip_url"), Video("highlight_url")),
        ({"video_as": "auto"}, Image("sheet_url"), Video("clip_url"), Video("highlight_url")),
        ({"video_as": "video"}, Video("video_path"), Video("clip_url"), Video("highlight_url")),
        ({"video_as": "frames"}, Image("sheet_url"), Image("sheet_url"), Image("highlight_url")),
    ],
)
def test_models_see_whole_videos_as_frames_and_pieces_as_videos_unless_told(
    options: dict[str, Any], whole: Content, chunk: Content, highlight: Content
) -> None:
    seen = {name: stage.media for name, stage in asked(**options).items() if stage.media}
    assert seen == {
        **dict.fromkeys(("filter", "global_caption", "dense_caption"), (whole,)),
        "chunk_caption": (chunk,),
        "highlight": (highlight,),
    }
    # Files are made of what is seen, and of nothing else.
    stages = [stage for task in plan(scenario(**options)).tasks for stage in task.stages]
    drawn = {stage.name: stage.footage.sheet is not None for stage in stages if hasattr(stage, "footage")}
    shown = {"video_probe": whole, "chunk_cut": chunk, "highlight_cut": highlight}
    assert drawn == {name: isinstance(content, Image) for name, content in shown.items()}


def test_what_tells_what_is_seen_must_tell_something() -> None:
    assert {name for name, stage in asked().items() if stage.must_tell} == {
        "global_caption", "dense_caption", "chunk_caption", "highlight", "description"
    }  # fmt: skip
    assert "not_visible" in asked()["highlight"].guide().reasons


def test_the_moment_is_found_without_chunks() -> None:
    tasks = {task.task_id: task for task in plan(scenario()).tasks}
    gathered = {name: task.gather.tables for name, task in tasks.items() if task.gather}
    assert gathered == {
        "highlights": ("s_video_captions",),
        "descriptions": ("s_video_captions", "s_chunk_captions", "s_highlights"),
    }


def test_in_one_mode_no_prompt_depends_on_the_row() -> None:
    assert {name for name, stage in asked().items() if stage.by} == {
        "global_caption", "dense_caption", "chunk_caption", "description", "qa"
    }  # fmt: skip
    only = asked(mode="anomaly")
    assert [name for name, stage in only.items() if stage.by] == ["qa"]
    assert {variant.value.rpartition(".")[2] for variant in only["qa"].variants} == {"anomaly"}


def test_questions_of_the_wanted_types_alone() -> None:
    stage = asked(qa_types=["mcq", "open_qa"])["qa"]
    assert {variant.value for variant in stage.variants} == {
        "qa.mcq.anomaly", "qa.mcq.normal", "qa.open_qa.anomaly", "qa.open_qa.normal"
    }  # fmt: skip
    assert "blind" not in asked(quality_checks=["duplicate", "balance"])


@pytest.mark.parametrize(
    ("given", "options", "key", "said"),
    [
        ({"vlm_model": None}, {}, "vlm_model", "for example vlm_model: qwen3-vl-plus"),
        ({"llm_model": None}, {}, "llm_model", "for example llm_model: qwen3-max"),
        ({"video_input_table": None}, {}, "video_input_table", "rear_end_manifest"),
        ({"oss_bucket": None}, {}, "oss_bucket", "oss_bucket"),
        ({"source_table": "v"}, {}, "source_table", "remove it"),
        ({"input_shape": "video_table", "video_input_table": None}, {}, "source_table", "my_videos"),
        ({"input_shape": "video_table", "source_table": "v"}, {}, "targets", "or remove manifest"),
        ({}, {"steps": ["1a"]}, "reasoning", "step 1a reads what step 0 writes: add 0"),
        ({}, {"steps": ["0", "1a", "3"]}, "reasoning", "step 3 reads what step 2 writes: add 2"),
        ({}, {"chunk_lengths_sec": [10, 5]}, "reasoning", "lengths ascend"),
        (
            {},
            {"prompt_pack": "boats"},
            "reasoning",
            "built-in packs are dashcam, general",
        ),
        ({}, {"language": "fr"}, "reasoning", "fr.md"),
        ({}, {"exclude": ["balance"]}, "reasoning", "no check of quality_checks flags items as balance"),
        ({}, {"quality_checks": ["length"], "exclude": ["duplicate"]}, "reasoning", "items as duplicate"),
    ],
)
def test_what_does_not_go_together_is_told_with_a_way_out(
    given: dict[str, Any], options: dict[str, Any], key: str, said: str
) -> None:
    found = dict(combination_problems({**VALUES, **given, "reasoning": options}))
    assert said in found[key], found
    assert dict(combination_problems(VALUES)) == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("reasoning: {steps: ['5']}", "steps"),
        ("reasoning: {mode: strange}", "mode"),
        ("reasoning: {qa_types: [poem]}", "qa_types"),
        ("reasoning: {max_frame: 3}", "max_frame"),
        ("reasoning: {prompt_pack: boats}", "prompt_pack"),
        ("reasoning: 7", "reasoning"),
    ],
)
def test_a_file_with_a_wrong_value_names_the_key(tmp_path: Path, line: str, said: str) -> None:
    lines = (f"{key}: {value!r}" for key, value in VALUES.items())
    (tmp_path / "s.yaml").write_text("\n".join([*lines, line]))
    with pytest.raises(ScenarioError, match=said):
        load_scenario(tmp_path / "s.yaml")


def test_the_dag_has_the_tasks_in_the_order_of_what_they_read() -> None:
    dag = build_dag(scenario())
    assert [task.task_id for task in dag.topological_sort()] == TASKS
    for task in plan(scenario()).tasks[1:]:
        reads = set(task.gather.tables if task.gather else [task.source])
        made_by = {t.task_id for t in plan(scenario()).tasks if t.output_table.name in reads}
        assert made_by, task.task_id
        assert made_by <= dag.get_task(task.task_id).get_flat_relative_ids(upstream=True), task.task_id


@pytest.mark.parametrize("options", [{}, {"mode": "normal"}, {"steps": ["0", "1a"]}, {"language": "zh"}])
def test_documents_speak_of_every_task(options: dict[str, Any]) -> None:
    each = scenario(**options)
    steps = plan(each)
    texts = [plan_text(steps, "20261120"), walkthrough(each, steps), schema_sql(steps)]
    for text in texts:
        assert "None" not in text
        for task in steps.tasks:
            assert task.output_table.name in text
    assert build_dag(each).doc_md
    assert json.loads(json.dumps(steps.to_json()))["tasks"]


@pytest.mark.parametrize(
    ("seconds", "options", "calls"),
    [
        # Filter, two captions, chunks, moment and highlight, description, types, items.
        (8, {}, 1 + 2 + 2 + 2 + 1 + 8 + 9),
        (8, {"mode": "normal"}, 1 + 2 + 2 + 1 + 8 + 9),
        (8, {"quality_checks": [], "qa_types": ["mcq", "bcq"]}, 1 + 2 + 2 + 2 + 1 + 2),
        (8, {"steps": ["0", "1a", "2"]}, 1 + 2 + 1),
        (10.5, {"steps": ["0", "1b"]}, 1 + 2),
        (11, {"steps": ["0", "1b"]}, 1 + 3),
        (60, {"steps": ["0", "1b"]}, 1 + 6),
        (None, {"steps": ["0", "1b"]}, 1 + 10),
    ],
)
def test_an_estimate_multiplies_along_the_tasks(
    seconds: float | None, options: dict[str, Any], calls: int
) -> None:
    steps = plan(ReasoningScenario.model_validate({**VALUES, "reasoning": options}))
    hours = None if seconds is None else Figure(100 * seconds / 3600, Source.GIVEN)
    found = estimate(steps, Figures(units=Figure(100, Source.GIVEN), hours=hours))
    assert found.all.calls == 100 * calls
    assert sum(step.all.calls for step in found.steps) == 100 * calls


def test_an_estimate_says_what_each_task_takes() -> None:
    prices = {"currency": "CNY", "input": 1.0, "output": 2.0}
    steps = plan(ReasoningScenario.model_validate({**VALUES, "prices": prices, "max_calls": 100}))
    found = estimate(
        steps,
        Figures(
            Figure(100, Source.GIVEN), Figure(800 / 3600, Source.GIVEN), input_tokens=Figure(10, Source.GIVEN)
        ),
    )
    by_task = {step.task_id: step for step in found.steps}
    assert by_task["qa_items"].all.rows == found.all.rows == 900
    assert by_task["qa_answers"].all.tokens.input == 8000
    assert sum(step.all.spending.cost or 0 for step in found.steps) == pytest.approx(found.all.spending.cost)
    # An answer may take a repair.
    assert (by_task["qa_items"].run.rows, found.run.rows, found.runs) == (50, 50, 18)
    text = estimate_text(steps, found)
    assert "9 items of 8 answers" in text
    assert "per 1,000 items" in text


def test_the_dag_groups_its_tasks_and_each_explains_itself() -> None:
    scenario = ReasoningScenario.model_validate(VALUES)
    dag = build_dag(scenario)
    groups = dag.task_group.get_task_group_dict()
    assert set(groups["captions"].children) == {"video_captions", "chunk_captions", "highlights"}
    assert set(groups["questions"].children) == {"qa_questions", "qa_answers", "qa_items"}
    for task in plan(scenario).tasks:
        text = dag.get_task(task.task_id).doc_md
        assert all(f"**{name}**" in text for name in task.stage_names), task.task_id
    assert "asks a vision-language model what the chunk shows" in dag.get_task("chunk_captions").doc_md
    assert "(`sees`)" in dag.get_task("chunk_captions").doc_md
    assert "video_path" in dag.params.get_param("limit").description


def test_documents_of_the_dag_are_true_of_this_family() -> None:
    scenario = ReasoningScenario.model_validate(VALUES)
    text = walkthrough(scenario, plan(scenario))
    assert "One job or two" not in text
    assert "And the further columns of `s_video_filter`." in text
    assert "further columns of `oss://" not in text
    assert "--videos 100 --hours 5" in text
