"""Schemas of answers and prompts: what is wrong with one's own is named; what is sent is what was written."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import pytest

from airflow_provider_drivepipe.stages.answer_schemas import (
    BUILT_IN,
    RESERVED_FIELDS,
    answer_fields,
    load_answer_schema,
    read_answer_schema,
    schema_name,
)
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.prompts import load_prompt, prompt_styles, state_schema

OWN = {
    "type": "object",
    "title": "signs",
    "properties": {"sign": {"type": "string", "enum": ["stop", "other"]}},
}


def own(**changes):
    return json.dumps(OWN | changes)


def property_(**content):
    return own(properties={"sign": content})


def test_built_in_schemas_are_schemas():
    for name in BUILT_IN:
        jsonschema.Draft202012Validator.check_schema(load_answer_schema(name))
        assert schema_name(name) == name == load_answer_schema(name)["title"]
        for content in load_answer_schema(name)["properties"].values():
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
        (own(type="array"), "$: an answer is a JSON object"),
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
def test_what_is_wrong_with_a_schema_of_ones_own(schema, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        read_answer_schema(schema)


def test_everything_wrong_with_a_schema_is_said_at_once():
    with pytest.raises(ValueError, match=r"\$\.a: .*; \$\.b: "):
        load_answer_schema(own(properties={"a": {"pattern": "x"}, "b": {"type": "date"}}))


def test_columns_of_an_answer():
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
    assert [(f.property, f.column, f.type) for f in answer_fields(schema, "label")] == [
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
    load_answer_schema(schema)
    with pytest.raises(ValueError, match=r"cannot be a column|stands twice"):
        answer_fields(schema, "label")


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
    prompt = load_prompt(f"driving-scene-{style}")
    said = Generate("label", "m", prompt, schema="driving-scene/v1").whole_prompt
    assert said.startswith(prompt)
    assert head in said

    def names(schema):
        for name, content in schema.get("properties", {}).items():
            yield name
            yield from content.get("enum", ())
            yield from content.get("items", {}).get("enum", ())
            yield from names(content.get("items", {}))

    assert [word for word in names(load_answer_schema("driving-scene/v1")) if word not in said] == []


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


LABELS = Generate("label", "m", "p", prompt_name="night/v1", schema=json.dumps(OWN))
SITE = SimpleNamespace(model_project=lambda: "models")


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"prompt_name": "night/v2"}, False),
        ({"prompt_name": "day/v1"}, True),
        ({"prompt": "P"}, False),
        ({"schema": json.dumps(OWN, indent=2)}, True),
        ({"schema": property_(type="string")}, False),
        ({"schema": None}, False),
        ({"repair_rounds": 0}, True),
        ({"flat_columns": True}, False),
    ],
)
def test_prompt_with_its_version_and_schema_decide_the_fingerprint(changes, same):
    other = replace(LABELS, **changes)
    assert (other.hashes(SITE) == LABELS.hashes(SITE)) is same


def test_report_of_a_prompt():
    said = LABELS.report()
    assert (said["name"], said["version"], said["text"], said["schema"]) == ("night/v1", "v1", "p", "signs")
    assert {len(said["sha256"]), len(said["schema_sha256"])} == {64}
    assert replace(LABELS, prompt="q").report()["sha256"] != said["sha256"]
    plain = Generate("label", "m", "x" * 100_000).report()
    assert (plain["name"], plain["version"], plain["schema"], plain["schema_sha256"]) == (
        "inline",
        "",
        None,
        None,
    )
    assert len(json.dumps(plain)) < 4000
