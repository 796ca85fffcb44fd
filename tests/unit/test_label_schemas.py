"""Label schemas and prompts of scenarios: mistakes are named with their place, files are read."""

import json

import pytest

from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.prompts import load_prompt

OWN = {
    "type": "object",
    "title": "signs",
    "properties": {"sign": {"type": "string", "enum": ["stop", "other"]}},
}
SCENARIO = """\
scenario_name: night
input_shape: video_table
targets: [frame-extraction, labeling]
oss_bucket: my-bucket
source_table: videos
output_table: night_labels
vlm_model: some-model
"""


def own(**changes):
    return json.dumps(OWN | changes)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ('{\n  "type": "object",\n  "properties": {"a": }\n}', "line 3 column"),
        ("driving", "not a JSON object"),
    ],
)
def test_what_is_wrong_with_a_schema_of_ones_own(tmp_path, schema, said):
    """Said with the scenario's file, its line, the key, and the schema's own file."""
    (tmp_path / "own.json").write_text(schema)
    (tmp_path / "night.yaml").write_text(f"{SCENARIO}label_schema: file:own.json\n")
    with pytest.raises(ScenarioError) as refused:
        load_scenario(tmp_path / "night.yaml")
    [problem] = refused.value.problems
    assert (problem.line, problem.key) == (8, "label_schema")
    assert problem.message.startswith("own.json: ")
    assert said in problem.message
    assert len(problem.message) < 1000


def test_schema_file_of_a_scenario(tmp_path):
    schema = json.dumps(OWN, indent=1)
    (tmp_path / "own.json").write_bytes(b"\xef\xbb\xbf" + schema.encode())
    (tmp_path / "night.yaml").write_text(f"{SCENARIO}label_schema: file:own.json\nlabel_columns: true\n")
    scenario = load_scenario(tmp_path / "night.yaml")
    assert load_answer_schema(scenario.label_schema) == OWN
    task = plan(scenario).tasks[-1]
    assert "label_sign" in {column.name for column in task.output_table.columns}
    (tmp_path / "own.json").write_text(own(properties={"light": {"type": "boolean"}}))
    columns = {
        c.name: c.type for c in plan(load_scenario(tmp_path / "night.yaml")).tasks[-1].output_table.columns
    }
    assert columns["label_light"] == "boolean"
    assert "label_sign" not in columns
    (tmp_path / "night.yaml").write_text(f"{SCENARIO}label_schema: file:../other.json\n")
    with pytest.raises(ScenarioError, match=r"other\.json: no such file below the scenario's folder"):
        load_scenario(tmp_path / "night.yaml")


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        ("label_schema: driving/v9\n", "label_schema", "built in: driving-scene/v1"),
        ("label_columns: true\n", "label_columns", "needs the fields of a label_schema"),
        ("label_prompt_style: night\n", "label_prompt_style", "driving-scene-en, driving-scene-zh"),
        ("repair_rounds: 4\n", "repair_rounds", "less than or equal to 3"),
        ("repair_rounds: -1\n", "repair_rounds", "greater than or equal to 0"),
    ],
)
def test_label_keys_that_do_not_fit(tmp_path, changes, key, said):
    (tmp_path / "night.yaml").write_text(SCENARIO + changes)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(tmp_path / "night.yaml")
    assert [p.key for p in caught.value.problems] == [key]
    assert said in caught.value.problems[0].message


def labels_of(**keys):
    values = {
        "scenario_name": "n",
        "input_shape": "video_table",
        "targets": ["frame-extraction", "labeling"],
        "oss_bucket": "my-bucket",
        "source_table": "v",
        "output_table": "o",
        "vlm_model": "m",
    }
    return plan(DrivingScenario(**values | keys)).tasks[-1].find(Generate)


def test_where_a_prompt_comes_from(tmp_path):
    assert labels_of().prompt_name == "driving-scene-en/v1"
    chinese = labels_of(label_prompt_style="driving-scene-zh")
    assert (chinese.prompt, chinese.prompt_version) == (load_prompt("driving-scene-zh/v1"), "v1")
    own_text = "{{ ds }} {% raw %} ${x} 'quoted' \"too\" {weather}"
    assert (labels_of(label_prompt=own_text).prompt, labels_of(label_prompt=own_text).prompt_name) == (
        own_text,
        "inline",
    )
    folder = tmp_path / "prompts" / "night"
    folder.mkdir(parents=True)
    (folder / "v3.txt").write_text(own_text)
    (tmp_path / "night.yaml").write_text(f"{SCENARIO}label_prompt: file:prompts/night/v3.txt\n")
    labels = plan(load_scenario(tmp_path / "night.yaml")).tasks[-1].find(Generate)
    assert (labels.prompt, labels.prompt_name, labels.prompt_version) == (own_text, "prompts/night/v3", "v3")
