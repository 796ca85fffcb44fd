"""Texts as input of a model: what is sent, and what becomes of the answers."""

import json

import pandas as pd
import pytest

from airflow_provider_drivepipe.worker.answer_rows import response_columns
from airflow_provider_drivepipe.worker.rows import RowPart
from airflow_provider_drivepipe.worker.vectors import EMBED_TEXT, VectorJob, mark_texts, read_vectors

COLUMNS = (
    "label_text",
    "status",
    "error_stage",
    "error_type",
    "error_msg",
    "label_embedding",
    "label_embedding_total_token",
    "frame_idx",
)
RESPONSE, SUCCESS = response_columns(0)
VECTOR = json.dumps({"data": [{"embedding": [0.5, 1.0]}], "usage": {"total_tokens": 7}})
PART = RowPart(
    "label_embedding",
    (("label_embedding", "string"), ("label_embedding_total_token", "bigint")),
    "label_embedding",
)


def job(dimension=None):
    return VectorJob(PART, "label_embedding_total_token", dimension, "label_text", None, "no_label")


def rows_of(*rows, index=None):
    """Rows of label text and status, as the stages before leave them."""
    frame = pd.DataFrame(
        [dict(zip(COLUMNS[:5], row, strict=True)) for row in rows], index=index, dtype=object
    )
    return frame.assign(
        label_embedding=pd.Series([None] * len(rows), index=frame.index, dtype=object),
        label_embedding_total_token=pd.Series([None] * len(rows), index=frame.index, dtype="Int64"),
        frame_idx=pd.Series([None, *range(1, len(rows))][: len(rows)], index=frame.index, dtype="Int64"),
    )


OK = ("ok", "", "", "")


def test_texts_are_sent_as_they_are_and_blanks_are_not():
    rows = rows_of(
        ('{"a": "{b}"} ', *OK),
        ("fine", "failed", "image_embedding", "timeout", "x"),
        (None, *OK),
        (" \n", *OK),
        (float("nan"), *OK),
        (None, "failed", "image_embedding", "timeout", "x"),
        index=[4, 9, 2, 2, 8, 7],
    )
    marked = mark_texts(rows, job())
    assert list(marked[EMBED_TEXT]) == ['{"a": "{b}"} ', "fine", "", "", "", ""]
    assert list(marked.index) == [4, 9, 2, 2, 8, 7]
    assert list(marked.columns) == [*COLUMNS, EMBED_TEXT, RESPONSE, SUCCESS]
    answered = marked.assign(**{RESPONSE: [VECTOR] * 2 + [None] * 4, SUCCESS: [True] * 2 + [False] * 4})
    read = read_vectors(answered, job(), COLUMNS)
    failures = list(read[["status", "error_stage", "error_type"]].itertuples(index=False, name=None))
    other, lacking = ("failed", "image_embedding", "timeout"), ("failed", "label_embedding", "no_label")
    assert failures == [("ok", "", ""), other, lacking, lacking, lacking, other]
    assert read["error_msg"].iloc[2] == "there is no text in label_text to embed"
    assert read["label_embedding_total_token"].isna().tolist() == [False, False, True, True, True, True]
    assert read.dtypes.equals(rows.dtypes)
    assert len(mark_texts(rows.iloc[:0], job())) == 0


@pytest.mark.parametrize(
    ("response", "success", "dimension", "reason"),
    [
        (VECTOR, True, 2, ""),
        (VECTOR, True, None, ""),
        (VECTOR, True, 3, "dimension_mismatch"),
        ('{"error": {"code": "429", "message": "slow down"}}', False, 2, "rate_limited"),
        ("", True, 2, "model_error"),
        (None, None, 2, "model_error"),
        ('{"data": []}', True, 2, "empty_response"),
        ('{"data": [{"embedding": [1, NaN]}]}', True, 2, "model_error"),
    ],
)
def test_answers_become_vectors_or_reasons(response, success, dimension, reason):
    answered = rows_of(("a", *OK), ("b", "failed", "image_embedding", "timeout", "x")).assign(
        **{EMBED_TEXT: ["a", "b"], RESPONSE: [response] * 2, SUCCESS: [success] * 2}
    )
    rows = read_vectors(answered, job(dimension), COLUMNS)
    assert tuple(rows.columns) == COLUMNS
    # What another stage failed stays so; the vector is kept nevertheless.
    assert list(rows["error_type"]) == [reason, "timeout"]
    assert list(rows["error_stage"]) == ["label_embedding" if reason else "", "image_embedding"]
    vectors = [v and json.loads(v) for v in rows["label_embedding"]]
    assert vectors == ([None, None] if reason else [[0.5, 1.0]] * 2)
    paid = [7, 7] if response == VECTOR else [0, 0]
    assert list(rows["label_embedding_total_token"]) == paid
