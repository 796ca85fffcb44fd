"""What the commands say of a scenario, against the tables that its operators make."""

import json

import pytest

from airflow_provider_drivepipe.cli.plan import main as plan_command
from airflow_provider_drivepipe.cli.schema import main as schema_command
from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.scenario.options import SelectionOptions
from tests.integration.operator_context import Run
from tests.integration.test_repair import VLM, Pipeline, hook, pipeline, videos

__all__ = ["hook", "pipeline", "videos"]

EMPTY = {"allow_empty": True, "allow_shrink": True}
FREE_TEXT = {"model": VLM, "prompt": "Label this"}


def statements(text):
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [statement for statement in code.split(";") if statement.strip()]


def shape(hook: DrivepipeHook, table: str):
    found = hook.odps.get_table(table)
    found.reload()
    columns = [(c.name, str(c.type).lower(), c.comment) for c in found.table_schema.simple_columns]
    return columns, [c.name for c in found.table_schema.partitions], found.lifecycle


SCENARIOS = {
    "from a prefix": "input_shape: oss_prefix\ntargets: [manifest, frame-extraction, labeling, embedding]\n"
    "video_input_table: {table}_m\n",
    "split, flat labels": "input_shape: oss_prefix\ntargets: [manifest, frame-extraction, labeling]\n"
    "video_input_table: {table}_m\noutput_tables: {{frames: {table}_f}}\nlabel_columns: true\n"
    "label_schema: driving-scene/v1\nkeep_raw_response: true\nmeta_lifecycle: 30\n"
    "partition_fixed: {{region: east}}\n",
    "from a table": "input_shape: video_table\ntargets: [frame-extraction, labeling]\n"
    "source_table: {table}_m\nsplit_video: true\nmeta_lifecycle: 7\n",
}


@pytest.mark.parametrize("kind", SCENARIOS)
def test_schema_sql_makes_the_tables_that_the_operators_make(
    kind, hook, airflow_connection, bucket, table, tmp_path, capsys
):
    file = tmp_path / "s.yaml"
    text = f"scenario_name: {table}\noss_bucket: {bucket}\noutput_table: {table}_o\n"
    text += SCENARIOS[kind].format(table=table)
    text += "vlm_model: qwen3-vl-plus\n" if "labeling" in text else ""
    text += "embedding_model: qwen3-vl-embedding\n" if "embedding" in text else ""
    file.write_text(text)
    scenario = load_scenario(file)
    arguments = [str(file), "--stdout"]
    if kind == "from a table":
        arguments += ["--source-columns", "trip string, video_path string, speeds array<double>"]
        hook.execute_sql(
            f"CREATE TABLE {table}_m (trip STRING, video_path STRING, speeds ARRAY<DOUBLE>) "
            "PARTITIONED BY (ds STRING)"
        )
    assert schema_command(arguments) == 0
    made = statements(capsys.readouterr().out)
    tasks = build_dag(scenario).tasks
    for task in tasks:
        task.outlets = []
    assert len(made) == len(tasks)
    for statement in made:
        hook.execute_sql(statement)
    tables = [task.output_table for task in tasks]
    from_file = {name: shape(hook, name) for name in tables}

    # The input is empty, so that no job runs; a table that does not fit would be refused.
    for task in tasks:
        Run(params=EMPTY).execute(task)
    for name in tables:
        hook.execute_sql(f"DROP TABLE {name}")
    for task in tasks:
        Run(run_id="r2", params=EMPTY).execute(task)
    assert {name: shape(hook, name) for name in tables} == from_file


def test_estimate_measures_input_and_published_rows(pipeline: Pipeline, hook, tmp_path, capsys):
    table = pipeline.table
    file = tmp_path / "s.yaml"
    file.write_text(
        f"scenario_name: {table}\ninput_shape: oss_prefix\noss_bucket: {pipeline.bucket}\n"
        f"targets: [manifest, frame-extraction, labeling, embedding]\nvideo_input_table: {table}_m\n"
        f"output_table: {table}_o\nvlm_model: qwen3-vl-plus\nembedding_model: qwen3-vl-embedding\n"
        "prices: {currency: CNY, per_tokens: 1000, input: 1, output: 2, embedding: 3}\n"
    )
    command = [str(file), "--partition", "20261120", "--measure", "--json"]
    assert plan_command([*command, "--hours", "1"]) == 0
    before = json.loads(capsys.readouterr().out)["estimate"]
    assert before["figures"]["units"]["value"] == 3
    assert before["figures"]["input_tokens"]["source"] == "assumed"

    # A pilot of two videos, one of them cut short by the budget.
    limited = Run(params={"limit": 2})
    report = limited.execute(pipeline.single_job(labels=FREE_TEXT, selection=SelectionOptions(max_rows=4)))
    assert (report["ok"], report["skipped_reasons"]) == (4, {"budget": 1, "limit": 1})
    capsys.readouterr()
    assert plan_command(command) == 0
    found = json.loads(capsys.readouterr().out)["estimate"]
    figures = found["figures"]
    assert {figure["source"] for figure in figures.values()} == {"measured"}
    # Five frames of two videos, at one per second; the input has three videos.
    assert figures["rows"]["value"] == pytest.approx(7.5)
    assert figures["hours"]["value"] == pytest.approx(7.5 / 3600, rel=1e-4)
    paid = report["tokens"]
    assert figures["input_tokens"]["value"] == pytest.approx(paid["input"] / 4, rel=1e-4)
    assert figures["output_tokens"]["value"] == pytest.approx(paid["output"] / 4, rel=1e-4)
    assert figures["embedding_tokens"]["value"] == pytest.approx(paid["embedding"] / 4, rel=1e-4)
    assert found["all"]["rows"] == 8
    assert found["all"]["calls"] == 16
    prices = {"input": 1, "output": 2, "embedding": 3}
    expected = sum(price * paid[kind] / 4 * 8 / 1000 for kind, price in prices.items())
    assert found["all"]["spending"]["cost"] == pytest.approx(expected, rel=1e-3)
