"""Model answers become rows: each kind of answer in its class, nothing paid thrown away."""

import json

import pandas as pd
import pytest

from airflow_provider_drivepipe import contracts
from airflow_provider_drivepipe.scenario.label_schemas import load_label_schema
from airflow_provider_drivepipe.worker import assemble as module
from airflow_provider_drivepipe.worker.answers import MAX_ERROR_MESSAGE, scrub
from airflow_provider_drivepipe.worker.assemble import (
    AssembleJob,
    assemble,
    assemble_dtypes,
    passthrough,
)
from airflow_provider_drivepipe.worker.label_check import violation

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
    assert tuple(c.name for c in contracts.STATUS_COLUMNS) == tuple(module._STATUS_DTYPES)
    assert contracts.Stage.LABEL.value == module.LABEL
    assert contracts.Stage.IMAGE_EMBEDDING.value == module.IMAGE_EMBEDDING
    assert MAX_ERROR_MESSAGE == contracts.MAX_ERROR_MESSAGE


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


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ('{"error": {"code": "429", "message": "slow down"}}', "rate_limited"),
        ('{"error": {"code": "Throttling.RateQuota", "message": ""}}', "rate_limited"),
        ('{"error": {"code": "DataInspectionFailed", "message": "x"}}', "content_blocked"),
        ('{"error": {"code": "500", "message": "oops"}}', "model_error"),
        ("TimeoutError: timed out", "timeout"),
        ("", "model_error"),
    ],
)
def test_calls_that_failed(response, reason):
    got = row(response, label_ok=False)
    assert (got["error_stage"], got["error_type"]) == ("label", reason)
    assert got["image_embedding"] is not None
    assert pd.isna(got["label_text"])


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (json.dumps({"output": {"embeddings": [{"embedding": [1, 2]}]}}), "dimension_mismatch"),
        (json.dumps({"output": {"embeddings": []}}), "empty_response"),
        ('{"output": {"embeddings": [{"embedding": [1, NaN, 2]}]}}', "model_error"),
        ("garbage", "model_error"),
    ],
)
def test_embeddings_that_are_none(vector, reason):
    got = row(vector=vector)
    assert (got["error_stage"], got["error_type"]) == ("image_embedding", reason)
    assert (got["label_text"], got["image_embedding"]) == (LABEL, None)


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


def test_both_branches_have_the_same_dtypes():
    dtypes = assemble_dtypes(JOB, {})
    assert list(dtypes) == list(COLUMNS)
    assert dtypes["label_input_token"] == "Int64"


def test_messages_are_scrubbed_and_short():
    text = scrub("denied: access_key_secret=abc123 Signature=zzz\n" + "x" * 900)
    assert "abc123" not in text
    assert "zzz" not in text
    assert len(text) == 512


def test_built_in_schema_is_accepted_by_a_real_validator():
    import jsonschema

    schema = load_label_schema("driving-scene/v1")
    jsonschema.Draft202012Validator.check_schema(schema)
    label = dict.fromkeys(schema["required"], "unknown")
    label |= {"key_objects": [], "risk_reasons": [], "hazards": [], "caption": "", "abstain": True}
    jsonschema.validate(label, schema)
    assert violation(label, schema) == ""
    label["weather"] = "purple"
    assert "weather" in violation(label, schema)
