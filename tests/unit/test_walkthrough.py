"""Walkthroughs and schema files: complete, the same every time, and free of secrets and names of others."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
import yaml

from airflow_provider_drivepipe.cli.plan import main as plan_command
from airflow_provider_drivepipe.cli.schema import main as schema_command
from airflow_provider_drivepipe.cli.walkthrough import main as walkthrough_command
from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.documents.estimate import Figure, Figures, Source, estimate
from airflow_provider_drivepipe.documents.plan_text import plan_text
from airflow_provider_drivepipe.documents.schema_sql import schema_sql, table_columns
from airflow_provider_drivepipe.documents.walkthrough import walkthrough
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.stages.generate import Generate

PREFIX = {"input_shape": "oss_prefix", "video_input_table": "night_video_manifest"}
TABLE = {"input_shape": "video_table", "source_table": "videos"}
ALL = ["frame-extraction", "labeling", "embedding"]
SCENARIOS = {
    "manifest": {**PREFIX, "targets": ["manifest"]},
    "frames": {**TABLE, "targets": ["frame-extraction"], "output_table": "night_video_frame_extraction"},
    "single": {**PREFIX, "targets": ["manifest", *ALL], "label_schema": "driving-scene/v1"},
    "split": {**TABLE, "targets": ALL, "split_video": True, "max_calls": 1000, "schedule": "30 2 * * *"},
    "hourly": {
        **PREFIX,
        "targets": ["manifest", "frame-extraction", "embedding"],
        "partition_granularity": "hourly",
        "partition_fixed": {"region": "east"},
        "oss_prefix": "trips/{ds}/",
        "schedule": "5 * * * *",
        "prices": {"currency": "CNY", "embedding": 0.7},
    },
    "clips": {
        "input_shape": "clip_dir_table",
        "source_table": "clips",
        "targets": ["labeling", "label-embedding"],
        "label_embedding_model": "texts-x",
    },
    "images": {
        "input_shape": "image_table",
        "source_table": "images",
        "targets": ["image-preparation", "embedding"],
        "split_video": True,
    },
}


def scenario_of(kind, **more):
    values = {"scenario_name": "night", "oss_bucket": "my-bucket", **SCENARIOS[kind], **more}
    if "labeling" in values["targets"]:
        values.setdefault("vlm_model", "labeller-x")
    if "embedding" in values["targets"]:
        values.setdefault("embedding_model", "embedder-x")
    if values["targets"] != ["manifest"]:
        values.setdefault("output_table", "night_image_labeling")
    return DrivingScenario(**values)


def text_of(kind, **more):
    scenario = scenario_of(kind, **more)
    return walkthrough(scenario, plan(scenario))


@pytest.mark.parametrize("kind", SCENARIOS)
def test_a_walkthrough_names_all_that_the_plan_has(kind):
    scenario = scenario_of(kind)
    steps = plan(scenario)
    text = walkthrough(scenario, steps)
    for task in steps.tasks:
        for name in (task.task_id, task.source, task.output_table.name, *task.models.values()):
            assert f"`{name}`" in text or f"### {name}" in text
        for column in task.output_table.columns:
            assert f"| `{column.name}` | {column.type} |" in text
        for stage in task.stage_names:
            assert f"### Stage {stage} (task {task.task_id})" in text
    for heading in (
        "One job or two",
        "Connection and settings",
        "Input",
        "Output tables",
        "Partitions and runs",
        "Failures",
        "Models",
        "Queries",
    ):
        assert f"\n## {heading}\n" in text
    assert ("## Cost" in text) == any(task.models for task in steps.tasks)


@pytest.mark.parametrize("kind", SCENARIOS)
def test_the_walkthrough_is_the_documentation_of_the_dag(kind):
    assert build_dag(scenario_of(kind)).doc_md == text_of(kind) == text_of(kind)


@pytest.mark.parametrize("kind", SCENARIOS)
def test_markdown_is_well_formed(kind):
    text = text_of(kind, description="a | b `c` <d>")
    assert text.count("\n```") % 2 == 0
    body = re.sub(r"```.*?\n```", "", text, flags=re.DOTALL)
    for first, second in pairwise(body.splitlines()):
        if first.startswith("| ") and second.startswith("|"):
            cells = [len(re.findall(r"(?<!\\)\|", line)) for line in (first, second)]
            assert cells[0] == cells[1], first
    for block in re.findall(r"^    '(\{.*\})'$", text, re.MULTILINE):
        json.loads(block)


def test_single_or_split_says_why_and_how_to_get_the_other():
    assert "**Single job**, the default" in text_of("single")
    split = text_of("split")
    assert "**Split-video**, because the scenario has `split_video`" in split
    assert "`night_video_frame_extraction`" in split
    assert "nothing to split" in text_of("frames")


def test_columns_that_are_not_there_are_named_with_how_to_get_them():
    assert "`label_json_valid` | answers are free text | set `label_schema`" in text_of("split")
    assert "`label_text`, " in text_of("hourly").split("Left out on purpose")[1].split("##")[0]
    flat = text_of("single", label_columns=True, keep_raw_response=True)
    assert "set `keep_raw_response" not in flat


def test_caps_and_prices_are_explained():
    assert "`max_calls: 1000`" in text_of("split")
    assert "Prices in `CNY` per 1,000,000 tokens: embedding 0.7." in text_of("hourly")
    assert "A run has no cap" in text_of("single")


def test_a_schema_of_a_file_is_not_pasted_into_the_text(tmp_path):
    (tmp_path / "my.json").write_text(
        '{"type": "object", "properties": {"secret_field": {"type": "string"}}}'
    )
    (tmp_path / "s.yaml").write_text(
        "scenario_name: night\ninput_shape: video_table\ntargets: [frame-extraction, labeling]\n"
        "source_table: videos\noutput_table: o\noss_bucket: my-bucket\nvlm_model: m\n"
        "label_schema: file:my.json\n"
    )
    scenario = load_scenario(tmp_path / "s.yaml")
    text = walkthrough(scenario, plan(scenario))
    assert "schema of its own" in text
    assert "secret_field" not in text


@pytest.mark.parametrize("kind", SCENARIOS)
def test_documents_name_nothing_that_the_scenario_does_not(kind):
    scenario = scenario_of(kind)
    text = walkthrough(scenario, plan(scenario)) + schema_sql(plan(scenario))
    assert not re.search(r"qwen|aliyun|LTAI|bigdata_public|127\.0\.0\.1|https?://", text)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "night.yaml"
    path.write_text(
        "scenario_name: night\ninput_shape: video_table\ntargets: [frame-extraction, labeling]\n"
        "source_table: videos\noutput_table: night_image_labeling\noss_bucket: my-bucket\nvlm_model: m\n"
        "split_video: true\n"
    )
    return path


@pytest.mark.parametrize(
    ("command", "name"), [(walkthrough_command, "night_walkthrough.md"), (schema_command, "night_schema.sql")]
)
def test_commands_write_their_file_anew_but_no_other(file, tmp_path, command, name, capsys):
    out = tmp_path / "out"
    out.mkdir()
    arguments = [str(file), "--output-dir", str(out)]
    assert command(arguments) == 0
    first = (out / name).read_text()
    assert [p.name for p in out.iterdir()] == [name]
    assert command(arguments) == 0
    assert (out / name).read_text() == first
    (out / name).write_text("written by hand")
    assert command(arguments) == 1
    assert (out / name).read_text() == "written by hand"
    assert command([str(file), "--output-dir", str(tmp_path / "no")]) == 1
    assert command([str(file), "--stdout"]) == 0
    assert capsys.readouterr().out.strip().endswith(first.strip()[-200:])


def test_tables_of_unknown_input_are_commented_out_until_its_columns_are_named(file, capsys):
    assert schema_command([str(file), "--stdout"]) == 0
    assert all(line.startswith("--") for line in capsys.readouterr().out.splitlines() if line)
    columns = "video_path string, trip string, m map<string,array<double>>, p decimal(10,2)"
    assert schema_command([str(file), "--stdout", "--source-columns", columns]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\nCREATE TABLE IF NOT EXISTS") == 2
    assert shown.count("`m` MAP<STRING,ARRAY<DOUBLE>>") == 2


@pytest.mark.parametrize("columns", ["", "a", "a b; drop", "a string, a string", "1a string", "a str'ing"])
def test_source_columns_are_columns(file, columns, capsys):
    with pytest.raises(SystemExit):
        schema_command([str(file), "--stdout", "--source-columns", columns])
    assert "--source-columns" in capsys.readouterr().err


@pytest.mark.parametrize("kind", SCENARIOS)
def test_a_comment_never_ends_a_statement(kind):
    steps = plan(scenario_of(kind, **({"label_columns": True} if kind == "single" else {})))
    first = steps.tasks[0]
    needed = [Column(c.name, "string") for c in first.stages[0].guide().reads if c.needed]
    text = schema_sql(steps, needed)
    statements = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert statements.count(";") == len(steps.tasks)


def test_input_columns_do_not_come_twice():
    steps = plan(scenario_of("split"))
    frames, labels = steps.tasks
    videos = [Column(name, "string") for name in ("video_path", "trip", "width")]
    columns = table_columns(frames, videos)
    names = [c.name for c in table_columns(labels, columns)]
    assert len(names) == len(set(names))
    assert "trip" in names


def test_columns_that_a_run_would_refuse_are_refused(file, capsys):
    columns = "video_path string, status string"
    assert schema_command([str(file), "--stdout", "--source-columns", columns]) == 1
    assert "input columns status have names that the output needs" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [kind for kind in SCENARIOS if kind not in ("manifest", "frames")])
def test_the_estimate_that_a_walkthrough_shows_can_be_made(kind, tmp_path, capsys):
    file = tmp_path / "night.yaml"
    file.write_text(yaml.safe_dump(scenario_of(kind).model_dump(mode="json", exclude_unset=True)))
    [shown] = re.findall(r"^drivepipe plan FILE (--estimate .*)$", text_of(kind), re.MULTILINE)
    assert plan_command([str(file), *shown.split()]) == 0
    assert "the whole partition" in capsys.readouterr().out


def with_summary(kind):
    """A scenario, and its plan with a stage of its own that no document has heard of."""
    scenario = scenario_of(kind)
    steps = plan(scenario)
    task = steps.tasks[-1]
    summary = Generate("summary", "texter-x", "Sum up", columns=("label_text",), needs=("label",))
    columns = task.output_table.columns
    table = replace(task.output_table, columns=(*columns[:-6], *summary.part().columns, *columns[-6:]))
    task = replace(task, stages=(*task.stages, summary), output_table=table)
    return scenario, replace(steps, tasks=(*steps.tasks[:-1], task))


@pytest.mark.parametrize("kind", ["single", "split", "clips"])
def test_documents_explain_a_stage_that_they_have_not_heard_of(kind):
    scenario, steps = with_summary(kind)
    text = walkthrough(scenario, steps)
    for said in (
        "`summary`: asks a language model for the summary of each row",
        f"### Stage summary (task {steps.tasks[-1].task_id})",
        "| `summary` | `texter-x` | prompt inline, schema none, free text, answers of at most 1024 tokens |",
        "| `summary_text` | string |",
        "SUM(summary_input_token)",
    ):
        assert said in text
    assert "   model    texter-x (summary)\n   prompt   inline\n" in plan_text(steps, None)
    assert "`summary_text` STRING" in schema_sql(steps)
    found = estimate(steps, Figures(rows=Figure(10, Source.GIVEN)))
    assert found.calls_per_row["summary"] == 1
    assert "200 of label_text" in found.figures["input_tokens"].note


def test_images_of_a_table_need_no_role_and_have_to_lie_in_our_bucket():
    text = text_of("images", targets=["labeling"], split_video=None)
    assert "`oss_role_arn`" not in text
    assert "`error_type`: `path_outside_root`, " in text
    clips = text_of("clips")
    assert "`oss_role_arn`" in clips
    assert "| `clip_id` | no |" not in text_of("split", split_video=None)
    assert "`error_type`: `image_decode_error`" in clips
