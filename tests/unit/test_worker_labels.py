"""From a model's answer to a label: found, put right, checked; nothing raises, nothing wrong gets through."""

import json
import string
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_drivepipe.stages.answer_schemas import KEYWORDS, load_answer_schema
from airflow_provider_drivepipe.worker.answer_rows import (
    AnswerJob,
    answer_of,
    repair_request,
    response_columns,
)
from airflow_provider_drivepipe.worker.label_check import label_violations
from airflow_provider_drivepipe.worker.label_find import find_label
from airflow_provider_drivepipe.worker.label_normalise import normalise
from airflow_provider_drivepipe.worker.label_parse import objects
from airflow_provider_drivepipe.worker.label_repair import MAX_QUOTED, repair_text
from airflow_provider_drivepipe.worker.rows import RowPart

SCENE = load_answer_schema("driving-scene/v1")
SCHEMA = {
    "type": "object",
    "required": ["weather"],
    "properties": {
        "weather": {
            "type": "string",
            "enum": ["clear", "rainy", "dawn_dusk"],
            "x-synonyms": {"晴": "clear", "sunny": "clear", "雨": "rainy"},
            "x-names": ["天气"],
        },
        "count": {"type": "integer", "minimum": 0},
        "share": {"type": "number"},
        "wet": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3, "x-empty": ["none", "无"]},
        "parts": {
            "type": "array",
            "items": {"type": "object", "properties": {"weather": {"enum": ["clear"]}}},
        },
        "note": {"type": ["string", "null"], "maxLength": 20},
    },
}


def found(answer):
    return [one.value for one in objects(answer)]


def label(answer, schema=SCHEMA):
    return find_label(answer, schema)


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ('\ufeff {"a": 1}', [{"a": 1}]),
        ('{"a": [1, 2,], "b": {"c": 1,},}', [{"a": [1, 2], "b": {"c": 1}}]),
        ("{'a': 'it's', 'b': True, 'c': None}", [{"a": "it's", "b": True, "c": None}]),
        ("｛“天气”：“晴”，“数量”：3｝", [{"天气": "晴", "数量": 3}]),
        ('{"a"："x"，"b"：["y"、"z"]}', [{"a": "x", "b": ["y", "z"]}]),
        ('{"a": "路牌写着“停”，车已停下", "b": 1,}', [{"a": "路牌写着“停”，车已停下", "b": 1}]),
        ('{"a": "two\nlines"}', [{"a": "two\nlines"}]),
        ("{a: 1, b_2: .5}", [{"a": 1, "b_2": 0.5}]),
        ('[{"a": 1}]', [{"a": 1}]),
        ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ('"{\\"a\\": 1}"', [{"a": 1}]),
        ('Use {this} form { or that }: {"a": 1}.', [{"a": 1}]),
        ('An open brace { and then {"a": 1}', [{"a": 1}]),
        ('{"a": 1} or {"a": 2}', [{"a": 1}, {"a": 2}]),
        ('Draft {"a": 0}\n```json\n{"a": 1}\n```', [{"a": 1}, {"a": 0}, {"a": 1}]),
        ('```json\n{"a": 1}', [{"a": 1}]),
        ('<think>{"a": 0}</think>{"a": 1}', [{"a": 1}]),
        ('so {"a": 0} it is</think>{"a": 1}', [{"a": 1}]),
        ('<think>{"a": 0} and', []),
        # What is inside of something broken or cut off is no label.
        ('{"a": "x" "b": {"a": 1}}', []),
        ('{"a": {"a": 1}, "b": "cut o', []),
        ('{"a": {"a": 1}, "b": [', []),
        ('{"x": "y" "z": {"a": 0}} Corrected: {"a": 1}', [{"a": 1}]),
        ('{"a": NaN}', []),
        ('{"a": Infinity}', []),
        ("{'a': -Infinity}", []),
        ('{"a": 1e999}', []),
        ('{"a": ' + "9" * 5000 + "}", []),
        ('{"a":' * 40 + "1" + "}" * 40, []),
        ("no braces", []),
        ("{}", [{}]),
    ],
)
def test_what_is_found_in_an_answer(answer, values):
    assert found(answer) == values


def test_half_of_a_surrogate_pair_becomes_something_that_a_table_can_store():
    [value] = found('{"a": "\\ud83d", "\\ude00": "\\ud83d\\ude00"}')
    json.dumps(value, ensure_ascii=False).encode()
    assert "😀" in value.values()


@pytest.mark.parametrize(
    "answer", ['{"weather": "clear", "weather": "rainy"}', "{'count': 1, 'count': 2, 'weather': 'clear',}"]
)
def test_a_key_with_two_values_is_no_label(answer):
    assert "stands twice" in label(answer).problem


def test_a_key_that_says_the_same_twice_is_harmless():
    assert label('{"weather": "clear", "weather": "clear"}').problem == ""


@pytest.mark.parametrize(
    "answer",
    [
        "{" * 500_000,
        '{"a":' * 200_000,
        '{"weather":' + "[" * 900_000,
        "<think>" * 140_000,
        "```" + " " * 900_000,
        "```{" * 250_000,
        '{"a":"' + '"x' * 400_000,
        "{a:“x}" * 160_000,
        '{"weather":"' + "\ufdfa" * 900_000 + '"}',
        '{"tags":"' + "\ufdfa" * 900_000 + '"}',
        '{"weather":' + "9" * 900_000 + "}",
        '{"count":1.' + "0" * 900_000 + "1}",
        '{"tags":[' + '"无",' * 200_000 + "]}",
        "{" + ",".join(f'"k":{n}' for n in range(100_000)) + "}",
        '{"weather":"\\' + "\\" * 900_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_megabyte_of_anything_is_read_in_the_end(answer):
    result = label(answer)
    assert result is None or result.problem


@pytest.mark.parametrize(
    ("given", "wanted", "count"),
    [
        ({"weather": "clear"}, {"weather": "clear"}, 0),
        ({"weather": "晴"}, {"weather": "clear"}, 1),
        ({"天气": "雨。"}, {"weather": "rainy"}, 2),
        ({"Weather": "CLEAR"}, {"weather": "clear"}, 2),
        ({"weather": "Dawn/Dusk"}, {"weather": "dawn_dusk"}, 1),
        ({"weather": "dawn - dusk"}, {"weather": "dawn_dusk"}, 1),
        ({"weather": "ｓｕｎｎｙ"}, {"weather": "clear"}, 1),
        ({"weather": "晴(clear)"}, {"weather": "clear"}, 1),
        ({"weather": "晴（rainy）"}, {"weather": "晴（rainy）"}, 0),
        ({"weather": "not (clear)"}, {"weather": "not (clear)"}, 0),
        ({"weather": "clear, rainy"}, {"weather": "clear, rainy"}, 0),
        ({"weather": ["rainy"]}, {"weather": "rainy"}, 1),
        ({"weather": [["雨"]]}, {"weather": "rainy"}, 2),
        ({"weather": ["clear", "rainy"]}, {"weather": ["clear", "rainy"]}, 0),
        ({"weather": None}, {"weather": None}, 0),
        ({"wet": None, "WET ": True}, {"wet": True}, 2),
        ({"count": [None]}, {"count": [None]}, 0),
        ({"count": "3"}, {"count": 3}, 1),
        ({"count": "３.0"}, {"count": 3}, 1),
        ({"count": "3 cars"}, {"count": "3 cars"}, 0),
        ({"count": "1" + " " * 300 + "x"}, {"count": "1" + " " * 300 + "x"}, 0),
        ({"share": "1e2"}, {"share": 100.0}, 1),
        ({"wet": "是"}, {"wet": True}, 1),
        ({"wet": "False"}, {"wet": False}, 1),
        ({"wet": 0}, {"wet": False}, 1),
        ({"wet": 2}, {"wet": 2}, 0),
        ({"tags": "none"}, {"tags": []}, 1),
        ({"tags": "wet"}, {"tags": ["wet"]}, 1),
        ({"tags": ["无", "wet"]}, {"tags": ["wet"]}, 1),
        ({"tags": None, "note": None}, {"note": None}, 1),
        ({"weather": "clear", "天气": "雨"}, {"weather": "clear", "天气": "雨"}, 0),
        ({"other": "晴"}, {"other": "晴"}, 0),
    ],
)
def test_values_are_put_right_where_they_are_certain(given, wanted, count):
    assert normalise(given, SCHEMA) == (wanted, count)


@pytest.mark.parametrize(
    ("field", "word", "value"),
    [
        ("weather", "晴", "clear"),
        ("weather", "多云", "partly_cloudy"),
        ("weather", "partly cloudy", "partly_cloudy"),
        ("weather", "阴", "overcast"),
        ("weather", "雨", "rainy"),
        ("weather", "雪", "snowy"),
        ("weather", "雾", "foggy"),
        ("weather", "undefined", "unknown"),
        ("time_of_day", "白天", "daytime"),
        ("time_of_day", "黄昏", "dawn_dusk"),
        ("time_of_day", "黎明", "dawn_dusk"),
        ("time_of_day", "黄昏/黎明", "dawn_dusk"),
        ("time_of_day", "dawn/dusk", "dawn_dusk"),
        ("time_of_day", "夜", "night"),
        ("time_of_day", "夜晚", "night"),
        ("scene_type", "city street", "city_street"),
        ("scene_type", "gas stations", "gas_station"),
        ("scene_type", "parking lot", "parking_lot"),
    ],
)
def test_built_in_schema_knows_chinese_words_and_spaced_spellings(field, word, value):
    assert normalise({field: word}, SCENE) == ({field: value}, 1)


def test_every_synonym_of_the_built_in_schema_means_what_it_says():
    def check(schema):
        for word, value in schema.get("x-synonyms", {}).items():
            wrapped = {"type": "object", "properties": {"x": schema}}
            assert normalise({"x": word}, wrapped)[0] == {"x": value}, word
        for inner in [*schema.get("properties", {}).values(), schema.get("items")]:
            if inner:
                check(inner)

    check(SCENE)


def test_all_violations_are_named_up_to_a_few():
    problem = label('{"weather": "purple", "count": -1, "tags": ["a", "b", "c", "d"]}').problem
    assert problem == (
        '$.weather: "purple" is none of clear, rainy, dawn_dusk; $.count: below 0; $.tags: more than 3 items'
    )
    assert label("{}").problem == "$: weather is missing"


def test_first_object_that_fits_is_the_label_else_the_one_most_like_it():
    assert label('{"x": 1} {"weather": "rainy"} {"weather": "clear"}').value == {"weather": "rainy"}
    assert label('{"x": 1} {"weather": "purple"} {"y": 1}').value == {"weather": "purple"}


def test_an_object_without_any_key_of_the_schema_is_no_label():
    schema = {"type": "object", "properties": {"weather": {"type": "string"}}}
    assert label("I use {} here", schema).problem == "$: none of weather is there"
    assert label('{"x": 1}', schema).problem


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        ('{"abstain": true}', True),
        ('{"abstain": "是", "abstain_reason": "dark"}', True),
        ('{"abstain": true, "weather": "purple"}', False),
        ('{"abstain": false}', False),
    ],
)
def test_a_label_that_abstains_may_leave_out_the_rest(answer, fits):
    assert (label(answer, SCENE).problem == "") is fits


def chat(content, **more):
    usage = {"prompt_tokens": 10, "completion_tokens": 3}
    return json.dumps({"choices": [{"message": {"content": content}, **more}], "usage": usage})


def answers(*contents):
    """The row of a first answer and of repairs; None stands for one that was not asked for."""
    row = {}
    for number, content in enumerate(contents):
        response, success = response_columns(number)
        row[response] = None if content is None else chat(content)
        row[success] = content is not None
    return row


def job_of(schema=None, sees="picture", **more):
    return AnswerJob(RowPart("label", (), "label_text"), schema, sees=sees, **more)


JOB = job_of(SCHEMA, repair_rounds=2)


@pytest.mark.parametrize(
    ("contents", "reason", "text", "tokens"),
    [
        (['{"weather": "clear"}', None, None], None, '{"weather":"clear"}', 10),
        (['{"weather": 5}', '{"weather": "clear"}', None], None, '{"weather":"clear"}', 20),
        (["prose", '{"weather": 5}', '{"weather": "雨"}'], None, '{"weather":"rainy"}', 30),
        # The better of what came back is kept, under the first error.
        (["prose", '{"weather": 5}', "prose"], "invalid_json", '{"weather":5}', 30),
        (['{"weather": 5}', "prose", "I'm sorry, I can't"], "schema_violation", '{"weather":5}', 30),
    ],
)
def test_repairs(contents, reason, text, tokens):
    got = answer_of(answers(*contents), JOB)
    assert (got.failure.reason if got.failure else None) == reason
    assert (got.cells["label_text"], got.cells["label_input_token"]) == (text, tokens)


@pytest.mark.parametrize("content", ['{"weather": "clear"}', "I'm sorry, I can't help.", "", None])
def test_only_an_answer_in_the_wrong_form_is_asked_for_again(content):
    assert repair_request(answers(content), JOB, 1) == ""
    asked = repair_request(answers("the {road}"), JOB, 1)
    assert "the {road}" in asked
    assert "no JSON object" in asked
    second = answers("the road", '{"weather": 5}')
    assert "$.weather: 5 is none of" in repair_request(second, JOB, 2)
    assert repair_request(answers("the road", '{"weather": "clear"}'), JOB, 2) == ""


def test_repair_speaks_the_prompts_language_and_quotes_no_megabytes():
    assert "问题: p{" in repair_text("{a}", "p{", chinese=True, sees="picture")
    assert len(repair_text("x" * 1_000_000, "p", chinese=False, sees="picture")) < MAX_QUOTED + 500


@pytest.mark.parametrize(
    ("sees", "english", "chinese"),
    [
        ("picture", "Look at the picture again and answer with", "请重新查看图片,只回答"),
        ("video", "Look at the video again and answer with", "请重新查看视频,只回答"),
        ("", "Answer again with", "\n请只回答"),
    ],
)
def test_repair_speaks_of_what_the_model_sees(sees, english, chinese):
    job = job_of(SCHEMA, sees=sees)
    assert english in repair_request(answers("prose"), job, 1)
    assert chinese in repair_request(answers("prose"), replace(job, chinese=True), 1)


@pytest.mark.parametrize(
    "answer", ["No image was provided to the annotator, so the caption is empty.", "没有看到图片"]
)
def test_a_model_that_only_reads_may_speak_of_missing_pictures(answer):
    assert answer_of(answers(answer), job_of(sees="")).failure is None
    assert answer_of(answers(answer), job_of()).failure.reason == "refusal"
    label = json.dumps({"weather": "clear", "note": "No image provided"})
    assert answer_of(answers(label), job_of(SCHEMA, sees="")).failure is None
    declined = answers("I'm sorry, but I can't assist with that request.")
    assert answer_of(declined, job_of(sees="")).failure.reason == "refusal"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"error": "I cannot see the image"}', "refusal"),
        ('{"message": "Please upload the picture first."}', "refusal"),
        ('{"message": "请提供图片"}', "refusal"),
        ('{"message": "a road"}', "schema_violation"),
        ("请您先上传图片，我再为您打标。", "refusal"),
        ("没有看到图片", "refusal"),
        ('{"weather": "clear", "note": "No image provided"}', "refusal"),
        ('{"weather": "purple", "note": "No image provided"}', "refusal"),
    ],
)
def test_refusals_in_the_form_of_json(content, reason):
    assert answer_of(answers(content), job_of(SCHEMA)).failure.reason == reason


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that request.",
        "I\u2019m unable to view images.",
        "Unfortunately, I am not able to see the picture.",
        "As an AI language model, I do not label pictures.",
        "It seems that no image was attached. Could you please share the image?",
        "Kindly upload the picture first.",
        "The image did not load.",
        "The photo can't be opened.",
        "This image couldn't be displayed.",
        "The picture appears to be missing.",
        "I don't see any images in this message.",
        "抱歉，我无法识别这张图片。",
        "很抱歉，我无法完成该请求",
        "对不起，作为一个人工智能模型，我不能…",
        "看不到图片，请重新上传图片。",
        "请提供需要打标的图片",
        "您没有上传图片",
        "图片未提供",
        "无法加载图片",
    ],
)
def test_who_declines_gives_no_label(answer):
    for job in (job_of(SCHEMA), job_of()):
        assert answer_of(answers(answer), job).failure.reason == "refusal"


@pytest.mark.parametrize(
    "caption",
    [
        "No pedestrians can be seen in the image.",
        "The image is dark; the traffic light is not visible.",
        "Sorry state of the road; drivers can't see the lane markings.",
        "没有看到图中有行人横穿。",
        "未看到图像右侧的车辆，夜间无法看到画面边缘。",
        "画面中没有车辆，看不到图像中的红绿灯。",
    ],
)
def test_a_caption_that_misses_something_is_no_refusal(caption):
    label = {"weather": "unknown", "caption": caption}
    schema = {"type": "object", "properties": {"weather": {"type": "string"}, "caption": {"type": "string"}}}
    got = answer_of(answers(json.dumps(label, ensure_ascii=False)), job_of(schema))
    assert got.failure is None


def test_content_filter_that_ends_an_answer_is_told_from_bad_json():
    response, success = response_columns(0)
    row = {response: chat('{"weather": "cl', finish_reason="content_filter"), success: True}
    assert answer_of(row, JOB).failure.reason == "content_blocked"
    row = {response: chat('{"weather": "clear"}', finish_reason="content_filter"), success: True}
    assert answer_of(row, JOB).failure is None


def test_flattened_columns():
    fields = (
        ("weather", "label_weather", "string"),
        ("count", "label_count", "bigint"),
        ("share", "label_share", "double"),
        ("wet", "label_wet", "boolean"),
        ("tags", "label_tags", "string"),
        ("note", "label_note", "string"),
    )
    job = job_of(SCHEMA, fields=fields)
    content = '{"weather": "雨", "count": 3.0, "share": 1, "wet": false, "tags": ["急 刹"], "note": null}'
    cells = answer_of(answers(content), job).cells
    assert [cells[column] for _, column, _ in fields] == ["rainy", 3, 1.0, False, '["急 刹"]', None]
    assert isinstance(cells["label_share"], float)
    big = '{"weather": "clear", "count": ' + "9" * 30 + ', "share": ' + "9" * 400 + "}"
    cells = answer_of(answers(big), job).cells
    assert (cells["label_count"], cells["label_share"]) == (None, None)
    assert {answer_of(answers("prose"), job).cells.get(column) for _, column, _ in fields} == {None}


# What holds for any text and any value.

WORDS = st.sampled_from(
    ["clear", "晴", "雨", "none", "无", "是", "", "Dawn/Dusk", "晴(clear)", "3", "-1", "1e5", "x" * 30]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.sampled_from([*SCHEMA["properties"], "天气", "Weather", "WET ", "other"]) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS | WORDS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
LABELS = st.dictionaries(KEYS, VALUES, max_size=6)
PIECES = st.sampled_from(
    [
        *"{}[]:,\"'\\｛｝“”‘’：，、 \n",
        "```",
        "<think>",
        "</think>",
        '"weather"',
        '"clear"',
        "晴",
        "NaN",
        "true",
        "1",
        "\ud800",
    ]
)
MESSY = st.lists(PIECES | st.text(max_size=3), max_size=40).map("".join)
many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plain(schema):
    """The schema as any validator reads it: without our own keywords."""
    if isinstance(schema, dict):
        return {key: plain(value) for key, value in schema.items() if not key.startswith("x-")}
    return [plain(value) for value in schema] if isinstance(schema, list) else schema


VALIDATOR = jsonschema.Draft202012Validator(plain(SCHEMA))


@many
@given(MESSY)
def test_any_text_gives_a_label_that_fits_or_none(text):
    got = label(text)
    if got is not None and not got.problem:
        assert VALIDATOR.is_valid(got.value)
        json.loads(got.text)
    for one in objects(text):
        json.dumps(one.value, allow_nan=False).encode()


@many
@given(LABELS)
def test_putting_right_twice_changes_nothing_more_and_never_what_fits(value):
    first, _ = normalise(value, SCHEMA)
    assert normalise(first, SCHEMA) == (first, 0)
    if VALIDATOR.is_valid(value) and not value.keys() & {"天气", "Weather", "WET "}:
        assert {k: first[k] for k in first} == first
        assert VALIDATOR.is_valid(first)


@many
@given(LABELS)
def test_the_light_validator_and_a_real_one_agree(value):
    assert (not list(label_violations(value, SCHEMA))) == VALIDATOR.is_valid(value)


@many
@given(LABELS.filter(bool), st.sampled_from(["{}", "```json\n{}\n```", "Here you are: {}. Bye!", "[{}]"]))
def test_json_is_read_back_as_it_was_written(value, around):
    text = json.dumps(value, ensure_ascii=False)
    if "```" in text or "</think" in text:
        return
    assert found(around.replace("{}", text))[0] == json.loads(text)


@many
@given(LABELS, st.text(string.printable, max_size=20), st.booleans())
def test_any_row_gets_cells_and_a_reason_or_a_label(value, noise, success):
    content = json.dumps(value)[: len(noise) * 5] + noise
    row = {**answers(content, content, content), response_columns(0)[1]: success}
    got = answer_of(row, JOB)
    assert (got.failure is None) == (got.cells["label_json_valid"] is True)
    if got.failure is None:
        assert VALIDATOR.is_valid(json.loads(got.cells["label_text"]))


def test_keywords_that_the_validator_knows_are_those_that_schemas_may_use():
    text = Path(label_violations.__code__.co_filename).read_text("utf-8")
    assert all(f'"{keyword}"' in text for keyword in KEYWORDS if not keyword.startswith("x-"))
