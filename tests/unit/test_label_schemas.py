"""Label schemas and prompts: what is wrong with a user's own is named; what is sent is what was written."""

import json
import re
from dataclasses import replace

import jsonschema
import pytest

from airflow_provider_drivepipe.pipelines.fingerprint import label_fingerprint
from airflow_provider_drivepipe.scenario.label_schemas import (
    BUILT_IN,
    RESERVED_FIELDS,
    label_fields,
    load_label_schema,
    read_label_schema,
    schema_name,
)
from airflow_provider_drivepipe.scenario.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.options import LabelOptions
from airflow_provider_drivepipe.scenario.plan import plan
from airflow_provider_drivepipe.scenario.prompts import (
    load_prompt,
    prompt_report,
    prompt_styles,
    state_schema,
    whole_prompt,
)

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


def property_(**content):
    return own(properties={"sign": content})


def test_built_in_schemas_are_schemas():
    for name in BUILT_IN:
        jsonschema.Draft202012Validator.check_schema(load_label_schema(name))
        assert schema_name(name) == name == load_label_schema(name)["title"]
        for content in load_label_schema(name)["properties"].values():
            assert "unknown" in content.get("enum", ["unknown"])


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{", "line 1 column 2"),
        ('{\n  "type": "object",\n  "properties": {"a": }\n}', "line 3 column"),
        ("[]", "not a JSON object"),
        ("driving", "not a JSON object"),
        ('{"type": "object", "type": "object"}', "'type' stands twice"),
        ('{"type":' + '{"type":' * 20_000, "not valid JSON"),
        (own(type="array"), "$: a label is a JSON object"),
        (own(properties={}), "names no properties"),
        (own(properties=["sign"]), "properties maps names to schemas"),
        (own(properties={"sign": True}), "$.sign: expected a schema"),
        (own(required=["colour"]), "$: 'colour' is required but not among the properties"),
        (own(required="sign"), "required is a list of names"),
        (property_(pattern="x"), "$.sign: unsupported keyword 'pattern'; supported: type, enum"),
        (property_(type="text"), "$.sign: type is one or more of object, array"),
        (property_(type=[{}]), "$.sign: type is"),
        (property_(enum=[]), "$.sign: enum is a list"),
        (property_(enum=[["a"]]), "$.sign: enum is a list"),
        (property_(type="integer", enum=["a"]), "$.sign: enum has 'a', which is not of type integer"),
        (property_(type="string", enum=["1", True]), "$.sign: enum has True"),
        (property_(maxLength=-1), "$.sign: maxLength is a whole number"),
        (property_(maxLength=True), "$.sign: maxLength is a whole number"),
        (property_(minItems=3, maxItems=2), "$.sign: minItems is above maxItems"),
        (property_(minimum="1"), "$.sign: minimum is a number"),
        ('{"type": "object", "properties": {"a": {"minimum": NaN}}}', "NaN is no number"),
        (property_(type="array", items=[]), "$.sign[]: expected a schema"),
        (property_(items={"properties": {"b": {"typ": 1}}}), "$.sign[].b: unsupported keyword 'typ'"),
        (property_(description=5), "$.sign: description is a text"),
        (property_(additionalProperties={}), "additionalProperties is true or false"),
        (property_(enum=["a"], **{"x-synonyms": {"b": "c"}}), "$.sign: x-synonyms gives 'b' the value 'c'"),
        (property_(type="string", **{"x-synonyms": {"b": "c"}}), "$.sign: x-synonyms needs an enum"),
        (property_(**{"x-names": "b"}), "$.sign: x-names is a list of texts"),
        (" " + own(description="x" * 300_000), "at most 200000 characters"),
    ],
)
def test_what_is_wrong_with_a_schema_of_ones_own(tmp_path, schema, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        read_label_schema(schema)
    # In a scenario with its file, its line, the key, and the schema's own file.
    (tmp_path / "own.json").write_text(schema)
    (tmp_path / "night.yaml").write_text(f"{SCENARIO}label_schema: file:own.json\n")
    with pytest.raises(ScenarioError) as refused:
        load_scenario(tmp_path / "night.yaml")
    [problem] = refused.value.problems
    assert (problem.line, problem.key) == (8, "label_schema")
    assert problem.message.startswith("own.json: ")
    assert said in problem.message
    assert len(problem.message) < 1000


def test_everything_wrong_with_a_schema_is_said_at_once():
    with pytest.raises(ValueError, match=r"\$\.a: .*; \$\.b: "):
        load_label_schema(own(properties={"a": {"pattern": "x"}, "b": {"type": "date"}}))


def test_schema_file_of_a_scenario(tmp_path):
    schema = json.dumps(OWN, indent=1)
    (tmp_path / "own.json").write_bytes(b"\xef\xbb\xbf" + schema.encode())
    (tmp_path / "night.yaml").write_text(f"{SCENARIO}label_schema: file:own.json\nlabel_columns: true\n")
    scenario = load_scenario(tmp_path / "night.yaml")
    assert load_label_schema(scenario.label_schema) == OWN
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


def test_columns_of_a_label():
    schema = own(
        properties={
            "Sign": {"type": "string"},
            "count": {"type": ["integer", "null"]},
            "share": {"type": "number"},
            "wet": {"type": "boolean"},
            "parts": {"type": "array"},
            "any": {},
            "both": {"type": ["string", "integer"]},
        }
    )
    assert [(f.property, f.column, f.type) for f in label_fields(schema)] == [
        ("Sign", "label_sign", "string"),
        ("count", "label_count", "bigint"),
        ("share", "label_share", "double"),
        ("wet", "label_wet", "boolean"),
        ("parts", "label_parts", "string"),
        ("any", "label_any", "string"),
        ("both", "label_both", "string"),
    ]


@pytest.mark.parametrize(
    "names", [["天气"], ["a b"], ["Sign", "sign"], ["1`; DROP"], *([n] for n in RESERVED_FIELDS)]
)
def test_properties_that_cannot_be_columns(names):
    schema = own(properties={name: {"type": "string"} for name in names})
    load_label_schema(schema)
    with pytest.raises(ValueError, match=r"cannot be a column|stands twice"):
        label_fields(schema)


# Prompts.


def test_built_in_prompts_have_names_and_versions():
    assert prompt_styles() == (
        "driving-scene-en",
        "driving-scene-zh",
        "driving-scene-en/v1",
        "driving-scene-zh/v1",
    )
    assert load_prompt("driving-scene-en") == load_prompt("driving-scene-en/v1") != ""
    with pytest.raises(ValueError, match="no such prompt"):
        load_prompt("../../secrets")


@pytest.mark.parametrize(
    ("style", "head"), [("en", "Answer with one JSON object"), ("zh", "只回答一个 JSON 对象")]
)
def test_the_prompt_states_the_schema_in_its_own_language(style, head):
    options = LabelOptions("m", load_prompt(f"driving-scene-{style}"), label_schema="driving-scene/v1")
    said = whole_prompt(options)
    assert said.startswith(options.prompt)
    assert head in said

    def names(schema):
        for name, content in schema.get("properties", {}).items():
            yield name
            yield from content.get("enum", ())
            yield from content.get("items", {}).get("enum", ())
            yield from names(content.get("items", {}))

    assert [word for word in names(load_label_schema("driving-scene/v1")) if word not in said] == []


def test_every_kind_of_value_is_stated():
    schema = own(
        required=["sign"],
        properties={
            "sign": {"type": "string", "enum": ["stop", "other"], "description": "{the} sign"},
            "v": {"const": 1},
            "n": {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
            "t": {"type": "string", "maxLength": 5},
            "grid": {
                "type": "array",
                "maxItems": 2,
                "items": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
                },
            },
            "list": {"type": "array"},
            "any": {},
        },
    )
    assert state_schema(schema, chinese=False).splitlines()[1:] == [
        "- sign: stop | other ({the} sign)",
        "- v: 1 (may be left out)",
        "- n: integer (at least 0, at most 9) or null (may be left out)",
        "- t: text (at most 5 characters) (may be left out)",
        "- grid: list (at most 2 items) of list of object with the keys below (may be left out)",
        "  - deep: boolean (may be left out)",
        "- list: list (may be left out)",
        "- any: any value (may be left out)",
    ]
    assert "- t: 文本 (至多 5 个字符) (可省略)" in state_schema(schema, chinese=True)


LABELS = LabelOptions("m", "p", prompt_name="night/v1", label_schema=json.dumps(OWN))


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"prompt_name": "night/v2"}, False),
        ({"prompt_name": "day/v1"}, True),
        ({"prompt": "P"}, False),
        ({"label_schema": json.dumps(OWN, indent=2)}, True),
        ({"label_schema": property_(type="string")}, False),
        ({"label_schema": None}, False),
        ({"repair_rounds": 0}, True),
        ({"label_columns": True}, False),
    ],
)
def test_prompt_with_its_version_and_schema_decide_the_fingerprint(changes, same):
    other = replace(LABELS, **changes)
    assert (label_fingerprint(other, "x") == label_fingerprint(LABELS, "x")) is same


def test_report_of_a_prompt():
    said = prompt_report(LABELS)
    assert (said["name"], said["version"], said["text"], said["schema"]) == ("night/v1", "v1", "p", "signs")
    assert {len(said["sha256"]), len(said["schema_sha256"])} == {64}
    assert prompt_report(replace(LABELS, prompt="q"))["sha256"] != said["sha256"]
    plain = prompt_report(LabelOptions("m", "x" * 100_000))
    assert (plain["name"], plain["version"], plain["schema"], plain["schema_sha256"]) == (
        "inline",
        "",
        None,
        None,
    )
    assert len(json.dumps(plain)) < 4000


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
    return plan(Scenario(**values | keys)).tasks[-1].labels


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
    labels = plan(load_scenario(tmp_path / "night.yaml")).tasks[-1].labels
    assert (labels.prompt, labels.prompt_name, labels.prompt_version) == (own_text, "prompts/night/v3", "v3")
