"""Model answers become rows: each kind of answer in its class, nothing paid thrown away."""

import json
import pathlib
import re

import jsonschema
import pandas as pd
import pyarrow as pa
import pytest

from airflow_provider_drivepipe import contracts, worker
from airflow_provider_drivepipe.scenario.columns import LABEL_NORMALISED_COLUMN
from airflow_provider_drivepipe.scenario.label_schemas import load_label_schema
from airflow_provider_drivepipe.worker import assemble as module
from airflow_provider_drivepipe.worker.answers import MAX_ERROR_MESSAGE, scrub
from airflow_provider_drivepipe.worker.assemble import (
    AssembleJob,
    assemble,
    assemble_dtypes,
    passthrough,
)
from airflow_provider_drivepipe.worker.label_check import violations

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
COLUMNS = (
    "image_url",
    "label_text",
    "label_json_valid",
    "label_input_token",
    "label_output_token",
    "image_embedding",
    "image_embedding_total_token",
    *(c.name for c in contracts.STATUS_COLUMNS),
)
JOB = AssembleJob(COLUMNS, labels=True, embedding=True, label_schema=SCHEMA, dimension=3)
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
    rows = pd.DataFrame(
        [
            {
                "image_url": "oss://e/b/x.jpg",
                "status": "ok",
                "error_stage": "",
                "error_type": "",
                "error_msg": "",
                "attempt": 1,
                "fingerprint": "f",
                "label_response": label,
                "label_success": label_ok,
                "embedding_response": vector,
                "embedding_success": vector_ok,
            }
        ]
    )
    out = assemble(rows, job)
    assert list(out.columns) == list(job.columns)
    return out.to_dict("records")[0]


def test_literals_equal_the_contracts():
    types = {"string": "object", "bigint": "Int64", "boolean": "boolean"}

    def dtypes(*columns):
        return {column.name: types[column.type] for column in columns}

    assert dtypes(*contracts.STATUS_COLUMNS) == module._STATUS_DTYPES
    labels = (*contracts.LABEL_COLUMNS, LABEL_NORMALISED_COLUMN, contracts.RAW_RESPONSE_COLUMN)
    assert dtypes(*labels) == module._LABEL_DTYPES
    assert dtypes(*contracts.IMAGE_EMBEDDING_COLUMNS) == module._EMBEDDING_DTYPES
    assert set(module._FRAME_INTEGERS) == {c.name for c in contracts.FRAME_COLUMNS if c.type == "bigint"}
    assert contracts.Stage.LABEL.value == module.LABEL
    assert contracts.Stage.IMAGE_EMBEDDING.value == module.IMAGE_EMBEDDING
    assert {module.OK, *module._NOT_TRIED} == {str(status) for status in contracts.Status}
    assert MAX_ERROR_MESSAGE == contracts.MAX_ERROR_MESSAGE


@pytest.mark.parametrize(
    "path", sorted(pathlib.Path(worker.__file__).parent.glob("*.py")), ids=lambda p: p.stem
)
def test_every_reason_is_one_of_the_contracts(path):
    source = path.read_text()
    named = re.findall(r'(?:VideoError|Failure)\(\s*"(\w+)"|"reason": "(\w+)"', source)
    assert {a or b for a, b in named} <= {str(reason) for reason in contracts.Reason}


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
    columns = (*COLUMNS, "label_response")
    job = AssembleJob(columns, labels=True, embedding=True, label_schema=SCHEMA, keep_raw_response=True)
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
    columns = tuple(c for c in COLUMNS if c != "label_json_valid")
    job = AssembleJob(columns, labels=True, embedding=True)
    got = row(chat("a sunny road"), job=job)
    assert (got["status"], got["label_text"]) == ("ok", "a sunny road")


def test_rows_that_reached_no_model_pass_unchanged():
    rows = pd.DataFrame(
        [{"image_url": None, "status": "failed", "error_stage": "frame_extraction", "error_type": "timeout"}]
    )
    [got] = passthrough(rows, JOB).to_dict("records")
    assert (got["error_stage"], got["error_type"]) == ("frame_extraction", "timeout")
    assert pd.isna(got["label_text"])
    assert pd.isna(got["label_input_token"])


def test_row_that_failed_earlier_keeps_its_stage_even_when_it_is_sent_here():
    rows = pd.DataFrame(
        [{"status": "failed", "error_stage": "frame_extraction", "error_type": "timeout", "error_msg": "m"}]
    ).assign(label_response=GOOD, label_success=True, embedding_response=VECTOR, embedding_success=True)
    [got] = assemble(rows, JOB).to_dict("records")
    assert (got["error_stage"], got["error_type"], got["error_msg"]) == ("frame_extraction", "timeout", "m")
    assert pd.isna(got["label_text"])
    assert pd.isna(got["image_embedding"])


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
        },
    ).set_axis([0, 1, 0])  # as after concatenating chunks


def test_both_branches_have_the_declared_columns_and_types():
    columns = ("image_url", "frame_idx", "width", "size_bytes", *COLUMNS[1:])
    job = AssembleJob(columns, labels=True, embedding=True, label_schema=SCHEMA)
    rows = inputs()
    declared = assemble_dtypes(job, dict(rows.dtypes))
    answered = rows.assign(
        label_response=GOOD, label_success=True, embedding_response=VECTOR, embedding_success=True
    )
    for made in (assemble(answered, job), passthrough(rows, job)):
        assert list(made.columns) == list(columns) == list(declared)
        assert [str(t) for t in made.dtypes] == [str(t) for t in declared.values()]
        table = pa.Table.from_pandas(made, preserve_index=False)
        assert table["size_bytes"].to_pylist() == [(1 << 60) + 1, None, 5]
        assert table["width"].to_pylist() == [96, None, 96]
        assert table["label_input_token"].type == pa.int64()
        assert table["label_json_valid"].type == pa.bool_()
    assert list(assemble(answered, job)["status"]) == ["ok", "failed", "ok"]


def test_labels_of_the_input_stay_when_only_embeddings_are_made():
    job = AssembleJob(("label_text", "image_embedding", "status"), labels=False, embedding=True)
    rows = inputs().assign(embedding_response=VECTOR, embedding_success=True)
    made = assemble(rows, job)
    assert [None if pd.isna(x) else x for x in made["label_text"]] == ["old", "older", None]
    assert pd.isna(made["image_embedding"].iloc[1])


def test_no_rows_give_no_rows():
    rows = (
        inputs()
        .iloc[:0]
        .assign(label_response="", label_success=True, embedding_response="", embedding_success=True)
    )
    assert list(assemble(rows, JOB).columns) == list(COLUMNS)
    assert len(passthrough(rows, JOB)) == 0


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
    schema = load_label_schema("driving-scene/v1")
    jsonschema.Draft202012Validator.check_schema(schema)
    label = dict.fromkeys(schema["required"], "unknown")
    label |= {"key_objects": [], "risk_reasons": [], "hazards": [], "caption": "", "abstain": True}
    jsonschema.validate(label, schema)
    assert list(violations(label, schema)) == []
    label["weather"] = "purple"
    assert "weather" in next(violations(label, schema))
