"""What holds for every example scenario, its plan, its documents, and for the code that runs them."""

import ast
import dataclasses
import io
import json
import re
import tokenize
from pathlib import Path

import pytest

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS
from airflow_provider_drivepipe.documents.schema_sql import schema_sql
from airflow_provider_drivepipe.documents.walkthrough import walkthrough
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario, InputShape
from airflow_provider_drivepipe.pipelines.loading import load_scenario, scenario_files
from airflow_provider_drivepipe.pipelines.registry import FAMILIES, plan
from airflow_provider_drivepipe.stages.embed import Embed
from maxcompute_local.models.catalog import PUBLIC_PROJECT, builtin_models

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_drivepipe"
EXAMPLES = scenario_files(ROOT / "dags" / "scenarios")
RUN_BY_OPERATORS = [
    path
    for folder in ("pipelines", "stages", "lifecycle", "operators", "worker", "factory", "hooks", "triggers")
    for path in sorted((PACKAGE / folder).rglob("*.py"))
    if path != PACKAGE / "hooks" / "connection.py" and path.name != "scenario.py"
]
"""The connection is where endpoint and project come from, and a scenario where models come from: both give
examples of them to people."""
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|var)/")
ACCESS_KEY = re.compile(r"LTAI[0-9A-Za-z]{8,}|sk-[0-9A-Za-z]{8,}|STS\.[0-9A-Za-z]{8,}")


def examples(by):
    return pytest.mark.parametrize("file", by, ids=lambda path: path.stem)


def text_of(path):
    """The code of a module without its comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [n for n in body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
            node.body = kept or [ast.Pass()]
    return ast.unparse(tree)


def test_there_is_an_example_of_every_input_shape_and_target():
    scenarios = [load_scenario(file) for file in EXAMPLES]
    assert {s.pipeline for s in scenarios} == set(FAMILIES)
    driving = [s for s in scenarios if isinstance(s, DrivingScenario)]
    assert {s.input_shape for s in driving} == set(InputShape)
    assert any(s.is_split for s in driving)
    for name, family in FAMILIES.items():
        made = {target for s in scenarios if s.pipeline == name for target in s.targets}
        assert made == set(family.targets)
    assert len({table for s in scenarios for table in written(s)}) == sum(len(written(s)) for s in scenarios)


def written(scenario):
    return [task.output_table.name for task in plan(scenario).tasks]


@examples(EXAMPLES)
def test_names_of_models_buckets_and_tables_come_from_the_scenario(file):
    """Everything in a plan that names something outside stands in the file, or follows from its name."""
    scenario = load_scenario(file)
    steps = plan(scenario)
    values = {v for v in scenario.model_dump().values() if isinstance(v, str)}
    for task in steps.tasks:
        assert set(task.models.values()) <= values
        table = task.output_table.name
        assert table in values or table.startswith(f"{scenario.scenario_name}_")
        for stage in task.to_json()["stages"]:
            for options in stage.values():
                assert not isinstance(options, dict) or options.get("bucket") in (None, scenario.oss_bucket)
    text = json.dumps(steps.to_json(), default=str)
    for unwanted in ("aliyuncs", "http://", "https://", "127.0.0.1", "project", "access_key", "secret"):
        assert unwanted not in text
    assert not ACCESS_KEY.search(file.read_text())
    assert not MACHINE_PATH.search(file.read_text())


@examples(EXAMPLES)
def test_every_stage_that_can_fail_a_row_ends_with_the_status_columns(file):
    for task in plan(load_scenario(file)).tasks:
        names = [c.name for c in task.output_table.columns]
        assert len(names) == len(set(names))
        if task.is_job:
            assert task.output_table.columns[-len(STATUS_COLUMNS) :] == STATUS_COLUMNS


@examples([file for file in EXAMPLES if "embedding_dim" in file.read_text()])
def test_dimensions_are_options_of_their_own_kind_of_model(file):
    scenario = load_scenario(file)
    for task in plan(scenario).tasks:
        wanted = {
            "image_embedding": scenario.embedding_dim,
            "label_embedding": getattr(scenario, "label_embedding_dim", None),
            "query_embedding": scenario.embedding_dim,
        }
        for stage in task.row_stages:
            if isinstance(stage, Embed):
                assert stage.dimension == wanted[stage.name]


@examples(EXAMPLES)
def test_documents_explain_every_task_and_stage(file):
    scenario = load_scenario(file)
    steps = plan(scenario)
    text = walkthrough(scenario, steps)
    sql = schema_sql(steps)
    for task in steps.tasks:
        assert task.output_table.name in text
        assert task.output_table.name in sql
        for stage in task.stage_names:
            assert f"Stage {stage} (task {task.task_id})" in text
        for model in task.models.values():
            assert model in text


def test_the_walkthrough_names_the_columns_that_the_scenario_names():
    clips = load_scenario(ROOT / "dags" / "scenarios" / "clip_labels.yaml")
    clips = clips.model_copy(update={"clip_dir_column": "folder", "clip_start_column": None})
    text = walkthrough(clips, plan(clips))
    assert "| `folder` | yes |" in text
    assert "| `start_ms` |" not in text
    labeled = load_scenario(ROOT / "dags" / "scenarios" / "labeled_images.yaml")
    text = walkthrough(labeled, plan(labeled))
    assert "| `image_url` | yes |" in text
    assert "| `label_text` | yes |" in text


def test_no_model_endpoint_bucket_project_quota_or_credential_is_written_into_the_code():
    names = [model.name for model in builtin_models()]
    assert "qwen3-vl-plus" in names
    others = ("aliyuncs", "dashscope", "drivepipe-demo", "127.0.0.1", "gu_quota_name", "inference_quota_name")
    hints = ("the service odps.aliyuncs.com", f"(Alibaba Cloud's own: {PUBLIC_PROJECT})")
    for path in RUN_BY_OPERATORS:
        code = text_of(path)
        if (
            path.name == "maxframe.py" and path.parent.name == "hooks"
        ):  # the one place that sets sessions' options
            code = code.replace("options.session.inference_quota_name", "")
        if path == PACKAGE / "pipelines" / "driving" / "scenario.py":  # shows what a key may look like
            code = re.sub(r"example='[^']*'", "", code)
        if path.name == "checks.py":  # says what to grant to whom
            for hint in hints:
                assert hint in code
                code = code.replace(hint, "")
        assert not [name for name in (*names, PUBLIC_PROJECT, *others) if name in code], path
        assert not ACCESS_KEY.search(code), path


def test_models_are_loaded_with_read_odps_model_only():
    """No other way to a model: no class of a managed model, no client of a model service, no HTTP call."""
    for path in RUN_BY_OPERATORS:
        code = text_of(path)
        tokens = {t.string for t in tokenize.generate_tokens(io.StringIO(code).readline)}
        if path == PACKAGE / "worker" / "retrieval" / "drawing.py":  # MaxCompute has no models that draw
            assert "urlopen" not in tokens, path
            continue
        assert not re.search(r"import (openai|dashscope|requests|httpx|urllib|aiohttp|http)\b", code), path
        assert "urlopen" not in tokens, path
        assert not any(token.startswith("Managed") for token in tokens), path
        if path != PACKAGE / "stages" / "model_calls.py":
            assert not re.search(r"\b(read_odps_model|\.generate|\.embed)\(", code), path


def test_options_hold_no_credentials():
    from airflow_provider_drivepipe.pipelines.driving import options as driving
    from airflow_provider_drivepipe.scenario import options

    for kind in (*vars(options).values(), *vars(driving).values()):
        if dataclasses.is_dataclass(kind):
            names = {f.name for f in dataclasses.fields(kind)}
            assert not {n for n in names if "secret" in n or "access_key" in n or "password" in n}
