"""Model answers become rows: each kind of answer in its class, nothing paid thrown away."""

import json
from dataclasses import replace

import jsonschema
import pandas as pd
import pyarrow as pa
import pytest

from airflow_provider_drivepipe import contracts
from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema
from airflow_provider_drivepipe.worker.answer_rows import AnswerJob, read_answers, response_columns
from airflow_provider_drivepipe.worker.answers import Failure, scrub
from airflow_provider_drivepipe.worker.label_check import violations
from airflow_provider_drivepipe.worker.rows import (
    RowPart,
    TextChoice,
    pandas_dtype,
    skip_rows,
    start_rows,
    with_results,
    with_texts,
)
from airflow_provider_drivepipe.worker.vectors import VectorJob, read_vectors

SCHEMA = {
    "type": "object",
    "required": ["weather", "count"],
    "additionalProperties": False,
    "properties": {
        "weather": {"type": "string", "enum": ["clear", "rainy"]},
        "count": {"type": "integer", "minimum": 0},
        "notes": {"type": "array", "items": {"type": "string", "maxLength": 5}},
    },
}
LABEL = '{"weather":"clear","count":2}'
LABEL_PART = RowPart(
    "label",
    (
        ("label_text", "string"),
        ("label_json_valid", "boolean"),
        ("label_input_token", "bigint"),
        ("label_output_token", "bigint"),
    ),
    "label_text",
    flags_behind=("drivepipe_need_label_embedding",),
)
VECTOR_PART = RowPart(
    "image_embedding",
    (("image_embedding", "string"), ("image_embedding_total_token", "bigint")),
    "image_embedding",
)
JOB = AnswerJob(LABEL_PART, SCHEMA, sees="picture")
VECTOR_JOB = VectorJob(VECTOR_PART, "image_embedding_total_token", 3, None, None, "empty_input")
FLAGS = ("drivepipe_need_label", "drivepipe_need_image_embedding", "drivepipe_need_label_embedding")
PART_DTYPES = {name: pandas_dtype(type_) for name, type_ in (*LABEL_PART.columns, *VECTOR_PART.columns)}
STATUS_DTYPES = {column.name: pandas_dtype(column.type) for column in contracts.STATUS_COLUMNS}
COLUMNS = {"image_url": None, **PART_DTYPES, **STATUS_DTYPES}
RESPONSE, SUCCESS = response_columns(0)
VECTOR = json.dumps(
    {"output": {"embeddings": [{"embedding": [0.1, 0.2, 0.3]}]}, "usage": {"total_tokens": 7}}
)


def chat(content):
    return json.dumps(
        {
            "choices": [{"message": {"content": content}}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 5},
        }
    )


GOOD = chat(LABEL)


def row(label=GOOD, label_ok=True, vector=VECTOR, vector_ok=True, job=JOB):
    """What becomes of a row that is ok: first its label is read, then its vector."""
    given = pd.DataFrame([{"image_url": "oss://e/b/x.jpg", "status": "ok", "error_stage": "", "attempt": 1}])
    rows = start_rows(given, {**COLUMNS, **{n: pandas_dtype(t) for n, t in job.part.columns}}, FLAGS)
    columns = list(rows.columns)
    rows = read_answers(rows.assign(**{RESPONSE: [label], SUCCESS: [label_ok]}), job, columns)
    rows = read_vectors(rows.assign(**{RESPONSE: [vector], SUCCESS: [vector_ok]}), VECTOR_JOB, columns)
    assert list(rows.columns) == columns
    return rows.to_dict("records")[0]


def test_good_row():
    got = row()
    assert (got["status"], got["label_text"], got["label_json_valid"]) == ("ok", LABEL, True)
    assert (got["label_input_token"], got["label_output_token"]) == (11, 5)
    assert (got["image_embedding"], got["image_embedding_total_token"]) == ("[0.1, 0.2, 0.3]", 7)


@pytest.mark.parametrize(
    "answer",
    [
        f"```json\n{LABEL}\n```",
        f"Here is the label:\n{LABEL}\nI hope this helps.",
        f"```\n{LABEL}```",
        [{"type": "text", "text": LABEL}],
        f'<think>maybe {{}} or {{"weather": 1}}</think>{LABEL}',
        f'Not {{this}}, nor {{"a": 1}}, but {LABEL}',
        LABEL.replace("{", "{\n  ", 1),
    ],
)
def test_json_is_found_in_fences_and_prose(answer):
    assert row(chat(answer))["label_text"] == LABEL


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ('{"weather":"purple","count":1}', "schema_violation"),
        ('{"weather":"clear"}', "schema_violation"),
        ('{"weather":"clear","count":-1}', "schema_violation"),
        ('{"weather":"clear","count":true}', "schema_violation"),
        ('{"weather":"clear","count":1,"extra":1}', "schema_violation"),
        ('{"weather":"clear","count":1,"notes":["too long"]}', "schema_violation"),
        ('{"weather":"clear","cou', "invalid_json"),
        ('{"weather":"clear","count":NaN}', "invalid_json"),
        ('{"weather":1,"count":1}', "schema_violation"),
        ('["clear", 2]', "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ('{"a":' * 100_000, "invalid_json"),
        ("{" * 100_000, "invalid_json"),
        ("I\u2019m unable to see any picture.", "refusal"),
        ("抱歉，我无法识别这张图片。", "refusal"),
        ("a sunny road", "invalid_json"),
        ("I'm sorry, I can't help with that.", "refusal"),
        ("Please provide the image you want labelled.", "refusal"),
        ("", "empty_response"),
        (None, "empty_response"),
    ],
)
def test_answers_that_are_no_label(answer, reason):
    got = row(chat(answer))
    assert (got["status"], got["error_stage"], got["error_type"]) == ("failed", "label", reason)
    assert got["label_json_valid"] is False or not got["label_json_valid"]
    assert got["image_embedding"] == "[0.1, 0.2, 0.3]"
    assert got["label_input_token"] == 11
    assert got["error_msg"]
    # What was paid for is kept; a null answer has no text.
    assert pd.isna(got["label_text"]) == (not answer)


def test_raw_answer_is_kept_when_it_is_no_json():
    assert row(chat("a sunny road"))["label_text"] == "a sunny road"


def test_violation_names_the_value_and_where_it_is():
    got = row(chat('{"weather":"clear","count":1,"notes":["ok","too long"]}'))
    assert got["error_msg"] == "$.notes[1]: longer than 5 characters"


@pytest.mark.parametrize(
    ("value", "schema", "fits"),
    [
        (None, {"type": ["string", "null"]}, True),
        (None, {"type": "string"}, False),
        (1.0, {"type": "integer"}, True),
        (1.5, {"type": "integer"}, False),
        (1, {"type": "number"}, True),
        (True, {"enum": [1]}, False),
        (3, {"maximum": 2}, False),
        ([1, 2], {"maxItems": 1}, False),
        ({"a": {"b": "x"}}, {"properties": {"a": {"properties": {"b": {"type": "integer"}}}}}, False),
        ({"c": 1}, {"properties": {"a": {}}}, True),
    ],
)
def test_light_validator_agrees_with_a_real_one(value, schema, fits):
    assert (list(violations(value, schema)) == []) is fits
    assert jsonschema.Draft202012Validator(schema).is_valid(value) is fits


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"choices": [{"message": {"content": None, "refusal": "no"}}]}, "refusal"),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}, "content_blocked"),
        ({"error": {"code": "rate_limit_exceeded", "message": ""}}, "rate_limited"),
        ({"choices": []}, "empty_response"),
        ({"choices": {}}, "empty_response"),
        ({"choices": ["x"]}, "empty_response"),
        ({"choices": [{"message": "x"}]}, "empty_response"),
        ({"choices": [{"message": {"content": [1, {"text": 5}]}}], "usage": "none"}, "empty_response"),
        ([], "model_error"),
        (None, "model_error"),
    ],
)
def test_responses_without_an_answer(response, reason):
    got = row(json.dumps(response))
    assert (got["error_stage"], got["error_type"]) == ("label", reason)
    assert got["image_embedding"] is not None


def test_answer_that_ran_into_the_token_limit_says_so():
    cut = {"choices": [{"message": {"content": '{"weather": "cl'}, "finish_reason": "length"}]}
    got = row(json.dumps(cut))
    assert got["error_type"] == "invalid_json"
    assert "token limit" in got["error_msg"]


def test_not_a_number_elsewhere_in_a_response_does_no_harm():
    assert row(GOOD[:-1] + ', "logprobs": -Infinity}')["status"] == "ok"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ('{"error": {"code": "429", "message": "slow down"}}', "rate_limited"),
        ('{"error": {"code": "Throttling.RateQuota", "message": ""}}', "rate_limited"),
        ('{"error": {"code": "DataInspectionFailed", "message": "x"}}', "content_blocked"),
        ('{"error": {"code": "500", "message": "oops"}}', "model_error"),
        ("TimeoutError: timed out", "timeout"),
        ("", "model_error"),
        (None, "model_error"),
        ('{"code": "DataInspectionFailed", "message": "x"}', "content_blocked"),
        ('{"error": {"code": 429, "message": "x"}}', "rate_limited"),
        ('{"error": "Requests rate limit exceeded"}', "rate_limited"),
        ('{"error": {"code": "InvalidImage.Format", "message": "x"}}', "image_decode_error"),
        ('{"error": {"code": "504", "message": "gateway"}}', "timeout"),
        ('{"error": {"code": "500", "message": "image of 4290 bytes"}}', "model_error"),
    ],
)
def test_calls_that_failed(response, reason):
    got = row(response, label_ok=False)
    assert (got["error_stage"], got["error_type"]) == ("label", reason)
    assert got["image_embedding"] is not None
    assert pd.isna(got["label_text"])


@pytest.mark.parametrize("success", [None, float("nan"), pd.NA, False, "False"])
def test_call_that_never_came_back_failed(success):
    assert row(GOOD, label_ok=success)["error_type"] == "model_error"


def test_raw_response_is_kept_on_demand_without_signed_urls_of_errors():
    job = replace(JOB, part=replace(LABEL_PART, columns=(*LABEL_PART.columns, ("label_response", "string"))))
    assert row(GOOD, job=job)["label_response"] == GOOD
    failed = row('{"error": {"message": "https://h/b/x.jpg?Signature=s3cret"}}', label_ok=False, job=job)
    assert "s3cret" not in failed["label_response"]
    assert "s3cret" not in failed["error_msg"]


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (json.dumps({"output": {"embeddings": [{"embedding": [1, 2]}]}}), "dimension_mismatch"),
        (json.dumps({"output": {"embeddings": []}}), "empty_response"),
        ('{"output": {"embeddings": [{"embedding": [1, NaN, 2]}]}}', "model_error"),
        ("garbage", "model_error"),
        (json.dumps({"output": {"embeddings": [{"embedding": [1, True, 2]}]}}), "model_error"),
        (json.dumps({"output": {"embeddings": [{"embedding": "AAAA"}]}}), "model_error"),
        (json.dumps({"output": {"embeddings": {"embedding": [1, 2, 3]}}}), "empty_response"),
        ('{"data": [{"embedding": [1e999, 1, 2]}]}', "model_error"),
        ('{"data": [{"embedding": [1%s, 1, 2]}]}' % ("0" * 400), "model_error"),
    ],
)
def test_embeddings_that_are_none(vector, reason):
    got = row(vector=vector)
    assert (got["error_stage"], got["error_type"]) == ("image_embedding", reason)
    assert (got["label_text"], got["image_embedding"]) == (LABEL, None)


def test_embedding_in_the_shape_of_openai():
    got = row(vector=json.dumps({"data": [{"embedding": [1, 2, 3]}], "usage": {"prompt_tokens": 4}}))
    assert (got["status"], got["image_embedding"]) == ("ok", "[1, 2, 3]")
    assert got["image_embedding_total_token"] == 4


def test_first_stage_names_the_failure_when_both_fail():
    got = row("x", label_ok=False, vector="x", vector_ok=False)
    assert got["error_stage"] == "label"


def test_free_text_labels_need_no_json():
    got = row(chat("a sunny road"), job=replace(JOB, schema=None))
    assert (got["status"], got["label_text"]) == ("ok", "a sunny road")


def inputs():
    return pd.DataFrame(
        {
            "image_url": ["a", None, "c"],
            "frame_idx": pd.Series([0, -1, 1], dtype="Int64"),
            "width": [96.0, float("nan"), 96.0],
            "size_bytes": pd.Series([(1 << 60) + 1, None, 5], dtype="Int64"),
            "label_text": ["old", "older", None],
            "status": ["ok", "failed", "ok"],
            "error_stage": ["", "frame_extraction", ""],
            "error_type": ["", "timeout", ""],
            "error_msg": ["", "m", ""],
            "attempt": [1, 2, 1],
            "fingerprint": ["f", "g", "h"],
            "drivepipe_need_label": pd.Series([0, 1, None], dtype="Int64"),
        },
    ).set_axis([0, 1, 0])  # as after concatenating chunks


INPUT_COLUMNS = {"image_url": None, "frame_idx": None, "width": "Int64", "size_bytes": None, **COLUMNS}


def test_rows_start_with_all_columns_and_flags():
    rows = start_rows(inputs(), INPUT_COLUMNS, FLAGS)
    assert list(rows.columns) == [*INPUT_COLUMNS, *FLAGS]
    assert list(rows.index) == [0, 1, 0]
    declared = {**INPUT_COLUMNS, "image_url": "str", "frame_idx": "Int64", "size_bytes": "Int64"}
    assert {name: str(rows[name].dtype) for name in declared} == declared
    assert {str(rows[flag].dtype) for flag in FLAGS} == {"int64"}
    table = pa.Table.from_pandas(rows, preserve_index=False)
    assert table["size_bytes"].to_pylist() == [(1 << 60) + 1, None, 5]
    assert table["width"].to_pylist() == [96, None, 96]
    assert table["label_input_token"].type == pa.int64()
    assert table["label_json_valid"].type == pa.bool_()
    assert list(rows["label_text"]) == ["old", "older", None], "what a row holds stays"
    assert list(rows["error_type"]) == ["", "timeout", ""]
    # A given flag counts on rows that are ok; one that is not given stands for them all.
    assert list(rows["drivepipe_need_label"]) == [0, 0, 0]
    assert list(rows["drivepipe_need_image_embedding"]) == [1, 0, 1]


def test_rows_without_a_status_need_nothing():
    rows = start_rows(inputs().drop(columns="status"), INPUT_COLUMNS, FLAGS)
    assert rows["status"].isna().all()
    assert not rows[list(FLAGS)].any(axis=None)


def test_rows_beyond_the_budget_are_skipped_and_keep_what_they_hold():
    started = start_rows(inputs(), INPUT_COLUMNS, FLAGS)
    rows = skip_rows(started, FLAGS, "label", "budget", "no money left")
    assert rows.dtypes.equals(started.dtypes)
    assert list(rows.index) == [0, 1, 0]
    said = rows[["status", "error_stage", "error_type", "error_msg", "attempt"]]
    assert said.drop_duplicates().values.tolist() == [["skipped", "label", "budget", "no money left", 0]]
    assert list(rows["fingerprint"]) == ["f", "g", "h"]
    assert list(rows["label_text"]) == ["old", "older", None]
    assert not rows[list(FLAGS)].any(axis=None)


def test_results_replace_a_part_and_nothing_else():
    started = start_rows(inputs(), INPUT_COLUMNS, FLAGS)
    new = {"label_text": "new", "label_input_token": 7}
    results = [(new, None), (new, None), ({}, Failure("timeout", "late"))]
    rows = with_results(started.assign(raw="x"), results, LABEL_PART, list(started.columns))
    assert rows.dtypes.equals(started.dtypes)
    assert list(rows.index) == [0, 1, 0]
    assert list(rows["label_text"]) == ["new", "new", None]
    assert list(rows["label_input_token"]) == [7, 7, pd.NA]
    assert list(rows["status"]) == ["ok", "failed", "failed"]
    assert list(rows["error_stage"]) == ["", "frame_extraction", "label"]
    assert rows["size_bytes"].iloc[0] == (1 << 60) + 1


def test_parts_behind_a_lacking_result_are_not_tried():
    started = start_rows(inputs().assign(status="ok"), INPUT_COLUMNS, FLAGS)
    bad = ({"label_text": "prose"}, Failure("invalid_json", "m"))
    results = [({"label_text": "a"}, None), ({"label_text": None}, None), bad]
    rows = with_results(started, results, LABEL_PART, list(started.columns))
    assert list(rows["drivepipe_need_label_embedding"]) == [1, 0, 0]
    assert list(rows["drivepipe_need_image_embedding"]) == [1, 1, 1]
    assert rows["label_text"].iloc[2] == "prose", "what was paid for stays"


def test_no_rows_give_no_rows():
    rows = start_rows(inputs().iloc[:0], INPUT_COLUMNS, FLAGS)
    columns = list(rows.columns)
    assert columns == [*INPUT_COLUMNS, *FLAGS]
    for made in (
        read_answers(rows.assign(**{RESPONSE: "", SUCCESS: True}), JOB, columns),
        read_vectors(rows.assign(**{RESPONSE: "", SUCCESS: True}), VECTOR_JOB, columns),
        skip_rows(rows, FLAGS, "label", "budget", "m"),
    ):
        assert made.dtypes.equals(rows.dtypes)
        assert len(made) == 0


def test_cells_as_texts():
    rows = pd.DataFrame(
        {"s": ["{a} ", None], "n": pd.Series([1, None], dtype="Int64"), "f": [0.5, None]}
    ).set_axis([1, 1])
    made = with_texts(rows, {to: TextChoice("", {"": ((of, True),)}) for to, of in ("xs", "yn", "zf")})
    assert made[["x", "y", "z"]].values.tolist() == [["{a} ", "1", "0.5"], ["", "", ""]]


def test_types_that_no_part_has():
    with pytest.raises(ValueError, match="decimal"):
        pandas_dtype("decimal")


@pytest.mark.parametrize(
    "text",
    [
        "GET https://b.oss-cn-x.aliyuncs.com/k.jpg?OSSAccessKeyId=SECRET&Expires=1&Signature=SECRET failed",
        "x-oss-credential=SECRET x-oss-signature=SECRET x-oss-security-token=SECRET",
        'header {"Authorization": "Bearer SECRET"}',
        "http://user:SECRET@host/path",
        "api_key=SECRET, api-key: SECRET",
        "key LTAI5tSECRETSECRET and sk-SECRETSECRET",
    ],
)
def test_credentials_never_reach_a_message(text):
    assert "SECRET" not in scrub(text)


def test_local_paths_never_reach_a_message_but_addresses_do():
    text = scrub('File "/home/admin/run.py": GET https://host/v1/chat of oss://e/b/k.jpg failed')
    assert "/home" not in text
    assert "https://host/v1/chat" in text
    assert "oss://e/b/k.jpg" in text


def test_messages_are_scrubbed_and_short():
    text = scrub("denied: access_key_secret=abc123 Signature=zzz\n" + "x" * 900)
    assert "abc123" not in text
    assert "zzz" not in text
    assert len(text) == 512


def test_built_in_schema_is_accepted_by_a_real_validator():
    schema = load_answer_schema("driving-scene/v1")
    jsonschema.Draft202012Validator.check_schema(schema)
    label = dict.fromkeys(schema["required"], "unknown")
    label |= {"key_objects": [], "risk_reasons": [], "hazards": [], "caption": "", "abstain": True}
    jsonschema.validate(label, schema)
    assert list(violations(label, schema)) == []
    label["weather"] = "purple"
    assert "weather" in next(violations(label, schema))
